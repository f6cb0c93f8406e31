"""Shard tasks done by one process or many; what comes out does not depend on how many there are.

One process works in place, and `tokenizers` may use its own threads. Several have those threads off: a process per core
does more, since reading and hashing run in parallel too. They are forked from a clean server process that has imported
the package once, some four seconds; forking this process would copy locks of its threads. Where there is no such server
(Windows) every worker starts from nothing. A worker whose parent is gone ends itself, so a killed run leaves nobody
behind who writes.
"""

from __future__ import annotations

import logging
import multiprocessing
import os
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ...common.messages import speak, spoken
from ...common.progress import Progress, logger
from ..corpora.base import is_heldout
from ..corpora.rows import ReadOptions, Row, bad_row, find_problem, with_known_tag
from ..hashing import bytes_hash, text_hash
from .document_tokenizer import DocumentTokenizer
from .intermediate import BundleWriter
from .source import RowSource, ShardTask

# Documents are encoded in batches: large enough to keep the tokenizer's threads busy, small enough that the encodings,
# some 200 bytes per token while they live, stay below 200 MB.
_BATCH_DOCUMENTS = 1024
_BATCH_CHARACTERS = 2_000_000
_TICK = 1.0  # seconds between two updates of the progress

ProgressCallback = Callable[[int, int], None]  # documents and tokens of a batch
_worker: dict[str, Any] = {}


@dataclass(frozen=True)
class TokenizeJob:
    """What all tasks of a run have in common: the row sources, how rows are read, where bundles go."""

    sources: Sequence[RowSource]
    options: ReadOptions
    directory: Path


def run_task(
    number: int, task: ShardTask, job: TokenizeJob, tokenizer: DocumentTokenizer, progress_callback: ProgressCallback
) -> None:
    """Read, check, tokenize and bundle the rows of one task; its number names its files."""
    writer = BundleWriter(job.directory, number)
    batch: list[Row] = []
    characters = 0
    for theirs in job.sources[task.source].rows(task):
        row = with_known_tag(theirs, job.options)
        problem, detail = find_problem(row, job.options)
        if problem:
            if job.options.on_bad_row == "error":
                raise bad_row(row, problem, detail)
            writer.skipped[problem] += 1
        elif job.options.wants(row.language):
            if row.language != theirs.language:
                writer.renamed[theirs.language] = row.language
            batch.append(row)
            characters += len(row.text)
            if len(batch) >= _BATCH_DOCUMENTS or characters >= _BATCH_CHARACTERS:
                progress_callback(*_encode(batch, task, job.options, tokenizer, writer))
                batch, characters = [], 0
    progress_callback(*_encode(batch, task, job.options, tokenizer, writer))
    writer.close(task.bytes)


def _encode(
    batch: Sequence[Row], task: ShardTask, options: ReadOptions, tokenizer: DocumentTokenizer, writer: BundleWriter
) -> tuple[int, int]:
    """Tokenize what is still text, and hand everything to the writer; returns documents and tokens."""
    texts = iter(tokenizer.encode([row.text for row in batch if isinstance(row.text, str)]))
    tokens = 0
    for row in batch:
        if isinstance(row.text, str):
            ids, digest = next(texts), text_hash(row.text)
        else:
            ids = np.asarray(row.text, dtype=np.uint32)
            digest = bytes_hash(ids.tobytes())
        if not len(ids):
            writer.skipped["document without tokens"] += 1
            continue
        # A document known by its ids alone is held out by their hash; the same text elsewhere may fall otherwise.
        name = str(row.key) if row.key else row.text if isinstance(row.text, str) else f"{digest:016x}"
        split = task.split or ("heldout" if is_heldout(name, options.heldout_fraction) else "train")
        writer.add(split, row.language, ids, digest)
        tokens += len(ids)
    return len(batch), tokens


def run_tasks(
    tasks: Sequence[tuple[int, ShardTask]],
    job: TokenizeJob,
    tokenizer: DocumentTokenizer,
    tokenizer_folder: Path,
    processes: int,
    progress: TokenizeProgress,
) -> None:
    """Do numbered tasks, in any order."""
    if processes < 1:
        raise ValueError(f"processes is {processes}, but must be 1 or more.")
    if processes == 1 or len(tasks) < 2:
        for number, task in tasks:
            run_task(number, task, job, tokenizer, progress.add)
            progress.finish(task.bytes)
        return
    context = _context()
    counters = context.Array("q", 2)
    with ProcessPoolExecutor(
        min(processes, len(tasks)), context, _start, (job, tokenizer_folder, counters, spoken())
    ) as pool:
        try:
            _collect({pool.submit(_work, number, task): task for number, task in tasks}, counters, progress)
        except BrokenProcessPool:
            raise ChildProcessError(
                "a worker process ended by itself, probably for lack of memory; take fewer --processes."
                " The same call goes on where it stopped."
            ) from None
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def _context() -> Any:
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])
    return context


def _collect(futures: dict[Future[None], ShardTask], counters: Any, progress: TokenizeProgress) -> None:
    waiting = set(futures)
    while waiting:
        done, waiting = wait(waiting, timeout=_TICK, return_when=FIRST_COMPLETED)
        with counters.get_lock():
            documents, tokens = counters[:]
        progress.set(documents, tokens)
        for future in done:
            future.result()
            progress.finish(futures[future].bytes)


def _start(job: TokenizeJob, tokenizer_folder: Path, counters: Any, said: tuple[str, dict[str, str]]) -> None:
    """Prepare a worker."""
    speak(said[0], **said[1])
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    threading.Thread(target=_end_with_parent, daemon=True).start()
    _worker.update(job=job, tokenizer=DocumentTokenizer(tokenizer_folder), counters=counters)


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _work(number: int, task: ShardTask) -> None:
    run_task(number, task, _worker["job"], _worker["tokenizer"], _count)


def _count(documents: int, tokens: int) -> None:
    counters = _worker["counters"]
    with counters.get_lock():
        counters[0] += documents
        counters[1] += tokens


class TokenizeProgress:
    """Counts what is done and shows it: share done, documents, tokens per second, time left.

    The time left comes from bytes of source where their number is known (files, MDS), else from tasks. Within tasks
    that are under way bytes are estimated from their tokens. What an earlier run had done does not count.
    """

    def __init__(self, tasks: int, total_bytes: int, clock: Callable[[], float] = time.monotonic) -> None:
        self.tasks, self.total_bytes = tasks, total_bytes
        self.documents = self.tokens = self.finished_tasks = self.finished_bytes = 0
        self._before_bytes = self._finished_tokens = 0
        self._progress = Progress("tokenized", shown=logger.isEnabledFor(logging.INFO), clock=clock)

    def resume(self, tasks: int, finished_bytes: int) -> None:
        """Count the tasks of an earlier run, and the bytes of source in them."""
        self.finished_tasks = tasks
        self.finished_bytes = self._before_bytes = finished_bytes
        self._progress.resume(self.share)

    def add(self, documents: int, tokens: int) -> None:
        """Count a batch."""
        self.set(self.documents + documents, self.tokens + tokens)

    def set(self, documents: int, tokens: int) -> None:
        """Set what was done in this run so far."""
        self.documents, self.tokens = documents, tokens
        self._progress.update(self.share, 1.0, self._counts())

    def finish(self, covered: int) -> None:
        """Count a finished task, and the bytes of source in it."""
        self.finished_tasks += 1
        self.finished_bytes += covered
        self._finished_tokens = self.tokens

    @property
    def share(self) -> float:
        """Share of the source that is done, 0 to 1, as far as one can tell."""
        if not self.total_bytes:
            return self.finished_tasks / self.tasks if self.tasks else 1.0
        done = self.finished_bytes
        fresh = done - self._before_bytes
        if fresh and self._finished_tokens:
            done += int((self.tokens - self._finished_tokens) * fresh / self._finished_tokens)
        return min(1.0, done / self.total_bytes)

    def close(self) -> None:
        """Take the bar away and log the last line."""
        self._progress.close()
        logger.info("%s", self.line())

    def line(self) -> str:
        """Say how far it is, in one line."""
        return self._progress.line(self.share, 1.0, self._counts())

    def _counts(self) -> str:
        rate = self.tokens / self._progress.seconds
        return f"{self.documents:,} documents, {self.tokens:,} tokens, {rate:,.0f} tokens/s"
