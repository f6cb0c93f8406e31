"""One unit of work: its rows are read, judged, tokenised and bundled. Every process runs exactly this."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..corpora.base import is_heldout
from ..corpora.rows import ReadOptions, Row, bad_row, find_problem, with_known_tag
from .dedup import bytes_hash, text_hash
from .document_tokenizer import DocumentTokenizer
from .intermediate import BundleWriter
from .source import Feed, WorkUnit

# Documents are encoded in batches: large enough to keep the tokenizer's threads busy, small enough that the encodings,
# some 200 bytes a token while they live, stay below 200 MB.
_BATCH_DOCUMENTS = 1024
_BATCH_CHARACTERS = 2_000_000

Tell = Callable[[int, int], None]


@dataclass(frozen=True)
class UnitJob:
    """What all units of a run have in common.

    Attributes:
        feeds: The sources.
        options: How rows are read.
        directory: Where bundles go.
    """

    feeds: Sequence[Feed]
    options: ReadOptions
    directory: Path


def tokenize_unit(number: int, unit: WorkUnit, job: UnitJob, tokenizer: DocumentTokenizer, tell: Tell) -> None:
    """Do one unit.

    Args:
        number: Its number, for the names of its files.
        unit: The unit.
        job: What all units share.
        tokenizer: Turns texts into ids.
        tell: Called with (documents, tokens) after every batch.

    Raises:
        ValueError: If a row is bad and the options say to stop.
    """
    writer = BundleWriter(job.directory, number)
    batch: list[Row] = []
    characters = 0
    for theirs in job.feeds[unit.feed].rows(unit):
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
                tell(*_encode(batch, unit, job.options, tokenizer, writer))
                batch, characters = [], 0
    tell(*_encode(batch, unit, job.options, tokenizer, writer))
    writer.close(unit.bytes)


def _encode(
    batch: Sequence[Row], unit: WorkUnit, options: ReadOptions, tokenizer: DocumentTokenizer, writer: BundleWriter
) -> tuple[int, int]:
    """Tokenise what is still text, and hand everything to the writer; returns documents and tokens."""
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
        split = unit.split or ("heldout" if is_heldout(name, options.heldout_fraction) else "train")
        writer.add(split, row.language, ids, digest)
        tokens += len(ids)
    return len(batch), tokens
