"""From corpora to token shards: any number of processes and machines, resumable, the same bytes every time.

The source is listed and cut into shard tasks; each task becomes bundles, in any order, by anyone; the bundles become
shards in the order of the tasks. A kill loses the tasks that were under way. What decides the result is written down
first (`plan.json`) and compared on every new start.

    OUTPUT/tokenizer/    the tokenizer
    OUTPUT/train/        token shards
    OUTPUT/heldout/      token shards of the documents that training never sees; absent if none are held out
"""

from __future__ import annotations

import logging
import shutil
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from transformers import PreTrainedTokenizerFast

from ...common.deprecation import renamed_keywords
from ...common.files import write_json
from ...common.messages import first_of, option
from ...languages.tags import choose_tags, note_tags
from ...modeling.tokenization_mmbert import tokenizer_fingerprint
from ..corpora.base import SPLITS, Corpus, Source, Split
from ..corpora.demo import CatalogueCorpus
from ..corpora.files import FileCorpus
from ..corpora.open import open_with
from ..corpora.rows import ReadOptions
from ..shards import TokenShards
from .datatrove import DatatroveRowSource
from .document_tokenizer import DocumentTokenizer
from .intermediate import FinishedTask, read_finished
from .mds_source import MdsRowSource, holds_mds
from .shard_source import ShardRowSource
from .source import TASK_BYTES, CatalogueRowSource, FileRowSource, HubRowSource, RowSource, ShardTask
from .workdir import PLAN, WorkFolder, read_parts
from .workers import TokenizeJob, TokenizeProgress, run_tasks
from .writer import ShardOptions, check_chunk_size, write_languages

logger = logging.getLogger(__name__)

_PLAN_FORMAT = 1


def open_row_source(
    location: str, options: ReadOptions, *, vocabulary: int, revision: str | None = None, hub_split: str = "train"
) -> RowSource:
    """Find out what is at a place, and open it.

    Args:
        location: File, folder, Hub dataset id, or an address such as `hf://datasets/OWNER/NAME` of MDS folders.
        options: How rows are read.
        vocabulary: Number of token ids, for sources that hold ids.
        revision: Branch, tag or commit of a Hub dataset.
        hub_split: Split of a Hub dataset.

    Returns:
        The source.
    """
    path = Path(location)
    if "://" not in location and ShardRowSource.fits(path):
        return ShardRowSource(path, options, vocabulary)
    if "://" not in location and DatatroveRowSource.fits(path):
        return DatatroveRowSource(path, options, vocabulary)
    if "://" in location or holds_mds(path):
        return MdsRowSource(location, options, vocabulary)
    return row_source_of(open_with(location, options, revision=revision, hub_split=hub_split))


def row_source_of(corpus: Corpus) -> RowSource:
    """Return the shard tasks of a corpus that is open."""
    if isinstance(corpus, CatalogueCorpus):
        return CatalogueRowSource(corpus)
    return FileRowSource(corpus) if isinstance(corpus, FileCorpus) else HubRowSource(corpus)  # type: ignore[arg-type]


@renamed_keywords(unit_bytes="task_bytes")
def tokenize_corpus(
    locations: str | Path | Sequence[str | Path],
    output: str | Path,
    tokenizer: PreTrainedTokenizerFast,
    *,
    options: ReadOptions | None = None,
    shard_options: ShardOptions | None = None,
    revision: str | None = None,
    hub_split: str = "train",
    processes: int = 1,
    part: tuple[int, int] = (1, 1),
    task_bytes: int = TASK_BYTES,
) -> dict[Split, TokenShards]:
    """Tokenize one or more sources into one set of shards.

    Args:
        locations: Files, folders, Hub dataset ids, MDS folders or their addresses, finished shards, datatrove folders.
        output: Folder to make, absent or empty.
        tokenizer: Makes the ids; it must be the one that made those which a source brings along.
        options: How rows are read.
        shard_options: What happens to documents; None: copies are left out, documents stay whole.
        revision: Branch, tag or commit of a Hub dataset.
        hub_split: Split of a Hub dataset to read.
        processes: Processes on this machine.
        part: (I, N): do only the I-th of N parts and write its bundles, for `join_parts`.
        task_bytes: About how much one process reads at a time.

    Returns:
        The shards of each split; empty if only a part was done.

    Raises:
        ValueError: If an option is out of range, a row is bad, or an earlier start had another plan.
    """
    options = options or ReadOptions()
    places = [locations] if isinstance(locations, (str, Path)) else locations
    given = {"vocabulary": len(tokenizer), "revision": revision, "hub_split": hub_split}
    sources = [open_row_source(str(place), options, **given) for place in places]  # type: ignore[arg-type]
    more = {"shard_options": shard_options, "processes": processes, "part": part, "task_bytes": task_bytes}
    return tokenize_sources(sources, Path(output), tokenizer, options=options, **more)  # type: ignore[arg-type]


def tokenize_sources(
    sources: Sequence[RowSource],
    output: Path,
    tokenizer: PreTrainedTokenizerFast,
    *,
    options: ReadOptions,
    shard_options: ShardOptions | None = None,
    processes: int = 1,
    part: tuple[int, int] = (1, 1),
    task_bytes: int = TASK_BYTES,
    data: dict[str, Any] | None = None,
) -> dict[Split, TokenShards]:
    """Tokenize row sources that are open, as `tokenize_corpus` does; `data`, a recipe's plan, is kept in OUTPUT."""
    shard_options = shard_options or ShardOptions(deduplicate=True)
    if shard_options.chunk_size is not None:
        check_chunk_size(shard_options.chunk_size)
    if not 1 <= part[0] <= part[1]:
        raise ValueError(f"part is {part[0]}/{part[1]}, but must be I/N with 1 <= I <= N, such as 3/8.")
    folder = WorkFolder(output)
    tasks = [task for number, source in enumerate(sources) for task in source.tasks(number, task_bytes)]
    plan = _plan(sources, tokenizer, {**asdict(options), **asdict(shard_options)}, part)
    plan["tasks"] = [list(task) for task in tasks]
    if data is not None:
        plan["data"] = data
    with folder.locked():
        folder.claim(plan)
        folder.keep_tokenizer(tokenizer)
        job = TokenizeJob(sources, options, folder.bundles)
        try:
            _run(range(part[0] - 1, len(tasks), part[1]), tasks, job, tokenizer, folder.tokenizer, processes)
        except ValueError:
            folder.give_up()
            raise
        if part[1] > 1:
            folder.publish(folder.path)
            return {}
        done = [_finished(folder.bundles, number) for number in range(len(tasks))]
        return _write_shards(folder, folder.tokenizer, done, plan, shard_options)


def _run(
    mine: range,
    tasks: Sequence[ShardTask],
    job: TokenizeJob,
    tokenizer: PreTrainedTokenizerFast,
    tokenizer_folder: Path,
    processes: int,
) -> None:
    """Do the tasks of these numbers that are not finished."""
    found = {number: read_finished(job.directory, number, verify=True) for number in mine}
    finished = [task for task in found.values() if task is not None]
    known = all(task.bytes for task in tasks)
    progress = TokenizeProgress(len(mine), sum(tasks[number].bytes for number in mine) if known else 0)
    progress.resume(len(finished), sum(task.bytes for task in finished))
    left = [(number, tasks[number]) for number in mine if found[number] is None]
    logger.info("tokenizing %d tasks of %d, %d finished before", len(left), len(mine), len(finished))
    run_tasks(left, job, DocumentTokenizer(tokenizer), tokenizer_folder, processes, progress)
    if left:
        progress.close()


def _plan(
    sources: Sequence[RowSource], tokenizer: PreTrainedTokenizerFast, options: dict[str, Any], part: tuple[int, int]
) -> dict[str, Any]:
    """What decides the result."""
    fingerprint = tokenizer_fingerprint(tokenizer)
    for source in sources:
        if isinstance(source, ShardRowSource) and source.tokenizer_fingerprint != fingerprint:
            raise ValueError(
                f"the shards at {source.path} were made by another tokenizer (fingerprint"
                f" {source.tokenizer_fingerprint[:12]}, not {fingerprint[:12]}); name the one that made them."
            )
    prefix = [f"source {number + 1}, " if len(sources) > 1 else "" for number in range(len(sources))]
    numbered = list(zip(prefix, sources, strict=True))
    return {
        "format": _PLAN_FORMAT,
        "tokenizer": fingerprint,
        "part": list(part),
        "options": options,
        "listing": [[words + entry.name, *entry[1:]] for words, source in numbered for entry in source.listing()],
        "modified": {words + name: time for words, source in numbered for name, time in source.modified.items()},
        "sources": [asdict(entry) for source in sources for entry in source.sources],
        "skipped": dict(sum((source.skipped for source in sources), Counter())),
    }


def _finished(bundles: Path, number: int) -> FinishedTask:
    task = read_finished(bundles, number)
    if task is None:
        raise ValueError(f"task {number} is missing in {bundles}; run the same call again.")
    return task


def _why_empty(tasks: Sequence[FinishedTask], splits: Collection[Split], languages: Sequence[str] | None) -> str:
    """Say why there is nothing to train on."""
    if splits:
        return f"all documents are held out; hold out fewer, {option('heldout_fraction', '0')} none."
    if skipped := sum((Counter(task.skipped) for task in tasks), Counter()):
        told = ", ".join(f"{count:,} x {reason}" for reason, count in skipped.items())
        return f"the corpus has no text; left out: {told}."
    if languages:
        return f"the corpus holds no document in {', '.join(languages)}; check languages, and its columns and split."
    return "the corpus has no text; check its path, its columns and its split."


def _write_shards(
    folder: WorkFolder, tokenizer: Path, tasks: Sequence[FinishedTask], plan: dict[str, Any], options: ShardOptions
) -> dict[Split, TokenShards]:
    """Join finished tasks into shards and give them the output's name."""
    there = {group.language for task in tasks for bundle in task.bundles for group in bundle.groups}
    splits = {group.split for task in tasks for bundle in task.bundles for group in bundle.groups}
    if "train" not in splits:
        raise ValueError(_why_empty(tasks, splits, plan["options"]["languages"]))
    if wanted := plan["options"]["languages"]:
        choose_tags(wanted, there, "the corpus", "holds no document in {}")
    renamed = {theirs: ours for task in tasks for theirs, ours in task.renamed.items()}
    note_tags("the corpus", {**{tag: tag for tag in there}, **renamed})
    whole = folder.begin("whole")
    directories: dict[Split, Path] = {split: whole / split for split in SPLITS if split in splits}
    for directory in directories.values():
        directory.mkdir()
    write_languages(
        tasks,
        directories,
        options,
        tokenizer=plan["tokenizer"],
        sources=[Source(**entry) for entry in plan["sources"]],
        skipped=sum((Counter(task.skipped) for task in tasks), Counter(plan["skipped"])),
    )
    shutil.copytree(tokenizer, whole / "tokenizer")
    if "data" in plan:
        write_json(whole / PLAN, plan["data"], indent=1)
    folder.publish(whole)
    found = {split: TokenShards(folder.output / split, verify=False) for split in directories}
    if plan["options"]["heldout_fraction"] > 0:
        _warn_of_missing_heldout(found)
    return found


def _warn_of_missing_heldout(found: dict[Split, TokenShards]) -> None:
    heldout = found["heldout"].languages if "heldout" in found else []
    if missing := [tag for tag in found["train"].languages if tag not in heldout]:
        named = first_of(missing, 10)
        logger.warning("no held-out text in %s: no loss is reported there; raise the held-out fraction", named)


def join_parts(parts: Sequence[str | Path], output: str | Path) -> dict[Split, TokenShards]:
    """Join the parts that several machines made into the shards that one machine would have made.

    Args:
        parts: Folders that `tokenize_corpus(..., part=(I, N))` wrote, in any order.
        output: Folder to make, absent or empty.

    Returns:
        The shards of each split.

    Raises:
        FileNotFoundError: If a folder is no part.
        ValueError: If parts are missing, come twice, belong to different plans, or are damaged.
    """
    plan, tasks = read_parts([Path(part) for part in parts])
    options = plan["options"]
    shard_options = ShardOptions(options["deduplicate"], options["chunk_size"], options["seed"])
    folder = WorkFolder(Path(output))
    with folder.locked():
        return _write_shards(folder, Path(parts[0]) / "tokenizer", tasks, plan, shard_options)
