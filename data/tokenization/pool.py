"""Units of work spread over processes; what comes out does not depend on how many there are.

One process works in place, and `tokenizers` may use its own threads. Several have those threads off: a process a core
does more, since reading and hashing run in parallel too. They are forked from a clean server process that has imported
the package once, some four seconds; forking this process would copy locks of its threads. Where there is no such server
(Windows) every worker starts from nothing. A worker whose parent is gone ends itself, so a killed run leaves nobody
behind who writes.
"""

from __future__ import annotations

import multiprocessing
import os
import threading
from collections.abc import Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any

from .document_tokenizer import DocumentTokenizer
from .progress import TokenizeProgress
from .source import WorkUnit
from .worker import UnitJob, tokenize_unit

Numbered = tuple[int, WorkUnit]
_TICK = 1.0  # seconds between looks at the clock
_worker: dict[str, Any] = {}


def run_units(
    units: Sequence[Numbered],
    job: UnitJob,
    tokenizer: DocumentTokenizer,
    tokenizer_folder: Path,
    processes: int,
    progress: TokenizeProgress,
) -> None:
    """Do units, in any order.

    Args:
        units: Their numbers and themselves.
        job: What they share.
        tokenizer: Turns texts into ids, in this process.
        tokenizer_folder: A folder with its tokenizer.json, for the others.
        processes: How many processes.
        progress: Told of everything that is done.

    Raises:
        ValueError: If `processes` is below 1, or a row is bad and the options say to stop.
        ChildProcessError: If a worker dies.
    """
    if processes < 1:
        raise ValueError(f"processes is {processes}, but must be 1 or more.")
    if processes == 1 or len(units) < 2:
        for number, unit in units:
            tokenize_unit(number, unit, job, tokenizer, progress.tell)
            progress.finish(unit.bytes)
        return
    context = _context()
    counters = context.Array("q", 2)
    count = min(processes, len(units))
    with ProcessPoolExecutor(count, context, _start, (job, tokenizer_folder, counters)) as pool:
        try:
            _collect({pool.submit(_work, number, unit): unit for number, unit in units}, counters, progress)
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


def _collect(futures: dict[Future[None], WorkUnit], counters: Any, progress: TokenizeProgress) -> None:
    waiting = set(futures)
    while waiting:
        done, waiting = wait(waiting, timeout=_TICK, return_when=FIRST_COMPLETED)
        with counters.get_lock():
            documents, tokens = counters[:]
        progress.at(documents, tokens)
        for future in done:
            future.result()
            progress.finish(futures[future].bytes)


def _start(job: UnitJob, tokenizer_folder: Path, counters: Any) -> None:
    """Prepare a worker."""
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    threading.Thread(target=_end_with_parent, daemon=True).start()
    _worker.update(job=job, tokenizer=DocumentTokenizer(tokenizer_folder), counters=counters)


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _work(number: int, unit: WorkUnit) -> None:
    tokenize_unit(number, unit, _worker["job"], _worker["tokenizer"], _tell)


def _tell(documents: int, tokens: int) -> None:
    counters = _worker["counters"]
    with counters.get_lock():
        counters[0] += documents
        counters[1] += tokens
