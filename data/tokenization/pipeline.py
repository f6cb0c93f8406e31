"""From corpora to token shards: any number of processes and machines, resumable, the same bytes every time.

The source is listed and cut into units; each unit becomes bundles, in any order, by anyone; the bundles become shards
in the order of the units. A kill loses the units that were under way. What decides the result is written down first
(`plan.json`) and compared on every new start.

    OUTPUT/tokenizer/    the tokenizer
    OUTPUT/train/        token shards
    OUTPUT/heldout/      token shards of the documents that training never sees; absent if none are held out
"""

from __future__ import annotations

import logging
import shutil
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from transformers import PreTrainedTokenizerFast

from ...languages.tags import choose_tags, note_tags
from ...modeling.tokenization_mmbert import tokenizer_fingerprint
from ..corpora.base import SPLITS, Source, Split
from ..corpora.rows import ReadOptions
from ..shards import TokenShards
from .chunking import check_chunk_size
from .document_tokenizer import DocumentTokenizer
from .intermediate import FinishedUnit, read_finished
from .open_source import open_feed
from .pool import run_units
from .progress import TokenizeProgress
from .shard_source import ShardsFeed
from .source import UNIT_BYTES, Feed, WorkUnit
from .workdir import WorkFolder
from .worker import UnitJob
from .writer import ShardOptions, write_languages

logger = logging.getLogger(__name__)

_PLAN_FORMAT = 1


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
    unit_bytes: int = UNIT_BYTES,
) -> dict[Split, TokenShards]:
    """Tokenise one or more sources into one set of shards.

    Args:
        locations: Files, folders, Hub dataset ids, MDS folders or their addresses, finished shards.
        output: Folder to make, absent or empty.
        tokenizer: Makes the ids; it must be the one that made those which a source brings along.
        options: How rows are read.
        shard_options: What happens to documents; None: copies are left out, documents stay whole.
        revision: Branch, tag or commit of a Hub dataset.
        hub_split: Split of a Hub dataset to read.
        processes: Processes on this machine.
        part: (I, N): do only the I-th of N parts and write its bundles, for `join_parts`.
        unit_bytes: About how much one process reads at a time.

    Returns:
        The shards of each split; empty if only a part was done.
    """
    options = options or ReadOptions()
    places = [locations] if isinstance(locations, (str, Path)) else locations
    vocabulary = len(tokenizer)
    feeds = [
        open_feed(str(place), options, vocabulary=vocabulary, revision=revision, hub_split=hub_split)
        for place in places
    ]
    return tokenize_feeds(
        feeds,
        Path(output),
        tokenizer,
        options=options,
        shard_options=shard_options,
        processes=processes,
        part=part,
        unit_bytes=unit_bytes,
    )


def tokenize_feeds(
    feeds: Sequence[Feed],
    output: Path,
    tokenizer: PreTrainedTokenizerFast,
    *,
    options: ReadOptions,
    shard_options: ShardOptions | None = None,
    processes: int = 1,
    part: tuple[int, int] = (1, 1),
    unit_bytes: int = UNIT_BYTES,
) -> dict[Split, TokenShards]:
    """Tokenise feeds that are open; the arguments are those of `tokenize_corpus`.

    Args:
        feeds: The sources.
        output: Folder to make.
        tokenizer: Makes the ids.
        options: How rows are read.
        shard_options: What happens to documents.
        processes: Processes on this machine.
        part: (I, N).
        unit_bytes: About how much one process reads at a time.

    Returns:
        The shards of each split; empty if only a part was done.

    Raises:
        ValueError: If an option is out of range, a row is bad, or an earlier start had another plan.
    """
    shard_options = shard_options or ShardOptions(deduplicate=True)
    if shard_options.chunk_size is not None:
        check_chunk_size(shard_options.chunk_size)
    if not 1 <= part[0] <= part[1]:
        raise ValueError(f"part is {part[0]}/{part[1]}, but must be I/N with 1 <= I <= N, such as 3/8.")
    folder = WorkFolder(output)
    units = [unit for number, feed in enumerate(feeds) for unit in feed.units(number, unit_bytes)]
    plan = _plan(feeds, tokenizer, {**asdict(options), **asdict(shard_options)}, part)
    plan["units"] = [list(unit) for unit in units]
    with folder.locked():
        folder.claim(plan)
        folder.keep_tokenizer(tokenizer)
        job = UnitJob(feeds, options, folder.bundles)
        try:
            _run(range(part[0] - 1, len(units), part[1]), units, job, tokenizer, folder.tokenizer, processes)
        except ValueError:
            folder.give_up()
            raise
        if part[1] > 1:
            folder.publish(folder.path)
            return {}
        done = _finished_units(folder.bundles, range(len(units)))
        return _write_shards(folder, folder.tokenizer, done, plan, options.languages, shard_options)


def _run(
    mine: range,
    units: Sequence[WorkUnit],
    job: UnitJob,
    tokenizer: PreTrainedTokenizerFast,
    tokenizer_folder: Path,
    processes: int,
) -> None:
    """Do the units of these numbers that are not finished."""
    found = {number: read_finished(job.directory, number, verify=True) for number in mine}
    finished = [unit for unit in found.values() if unit is not None]
    known = all(unit.bytes for unit in units)
    progress = TokenizeProgress(len(mine), sum(units[number].bytes for number in mine) if known else 0)
    progress.resume(len(finished), sum(unit.bytes for unit in finished))
    left = [(number, units[number]) for number in mine if found[number] is None]
    logger.info("tokenizing %d units of %d, %d finished before", len(left), len(mine), len(finished))
    run_units(left, job, DocumentTokenizer(tokenizer), tokenizer_folder, processes, progress)
    if left:
        progress.finish_all()


def _plan(
    feeds: Sequence[Feed], tokenizer: PreTrainedTokenizerFast, options: dict[str, Any], part: tuple[int, int]
) -> dict[str, Any]:
    """What decides the result."""
    fingerprint = tokenizer_fingerprint(tokenizer)
    for feed in feeds:
        if isinstance(feed, ShardsFeed) and feed.tokenizer_fingerprint != fingerprint:
            raise ValueError(
                f"the shards at {feed.path} were made by another tokenizer (fingerprint"
                f" {feed.tokenizer_fingerprint[:12]}, not {fingerprint[:12]}); name the one that made them."
            )
    prefix = [f"source {number + 1}, " if len(feeds) > 1 else "" for number in range(len(feeds))]
    numbered = list(zip(prefix, feeds, strict=True))
    return {
        "format": _PLAN_FORMAT,
        "tokenizer": fingerprint,
        "part": list(part),
        "options": options,
        "listing": [[words + entry.name, *entry[1:]] for words, feed in numbered for entry in feed.listing()],
        "modified": {words + name: time for words, feed in numbered for name, time in feed.modified.items()},
        "sources": [asdict(source) for feed in feeds for source in feed.sources],
        "skipped": dict(sum((feed.skipped for feed in feeds), Counter())),
    }


def _finished_units(bundles: Path, numbers: Iterable[int]) -> list[FinishedUnit]:
    found = []
    for number in numbers:
        unit = read_finished(bundles, number)
        if unit is None:
            raise ValueError(f"unit {number} is missing in {bundles}; run the same call again.")
        found.append(unit)
    return found


def _write_shards(
    folder: WorkFolder,
    tokenizer: Path,
    units: Sequence[FinishedUnit],
    plan: dict[str, Any],
    wanted: Sequence[str] | None,
    options: ShardOptions,
) -> dict[Split, TokenShards]:
    """Join finished units into shards and give them the output's name."""
    there = {group.language for unit in units for bundle in unit.bundles for group in bundle.groups}
    splits = {group.split for unit in units for bundle in unit.bundles for group in bundle.groups}
    if "train" not in splits:
        raise ValueError("the corpus has no text; check its path, its columns and its split.")
    if wanted:
        choose_tags(wanted, there, "the corpus", "holds no document in {}")
    renamed = {theirs: ours for unit in units for theirs, ours in unit.renamed.items()}
    note_tags("the corpus", {**{tag: tag for tag in there}, **renamed})
    whole = folder.begin("whole")
    directories: dict[Split, Path] = {split: whole / split for split in SPLITS if split in splits}
    for directory in directories.values():
        directory.mkdir()
    write_languages(
        units,
        directories,
        options,
        tokenizer=plan["tokenizer"],
        sources=[Source(**entry) for entry in plan["sources"]],
        skipped=sum((Counter(unit.skipped) for unit in units), Counter(plan["skipped"])),
    )
    shutil.copytree(tokenizer, whole / "tokenizer")
    folder.publish(whole)
    return {split: TokenShards(folder.output / split, verify=False) for split in directories}


def join_parts(parts: Sequence[str | Path], output: str | Path) -> dict[Split, TokenShards]:
    """Join the parts that several machines made into the shards that one machine would have made.

    Args:
        parts: Folders that `tokenize_corpus(..., part=(I, N))` wrote, in any order.
        output: Folder to make, absent or empty.

    Returns:
        The shards of each split.
    """
    from .parts import read_parts

    plan, units = read_parts([Path(part) for part in parts])
    options = plan["options"]
    shard_options = ShardOptions(options["deduplicate"], options["chunk_size"], options["seed"])
    folder = WorkFolder(Path(output))
    with folder.locked():
        return _write_shards(folder, Path(parts[0]) / "tokenizer", units, plan, options["languages"], shard_options)
