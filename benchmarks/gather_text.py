"""Text of many data sets as one corpus: a folder of parquet tables with the columns lang and text.

    python benchmarks/gather_text.py SOURCE corpus

SOURCE holds data sets in folders of their own: `text_*/data.parquet` with the columns lang and text and any others, and
`code_text/data.parquet`, whose lang is a programming language and becomes the tag `code`. Each set becomes a table of
its own, so that its share stays visible; rows keep their order, and nothing is cleaned, since `data:` of a recipe says
what to do with bad rows. The output appears when it is whole. Prints rows, bytes of text and languages of every set.
"""

import argparse
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from mmbert.common.checkpoints.writer import atomic_directory

COLUMNS = ["lang", "text"]
SCHEMA = pa.schema([(name, pa.string()) for name in COLUMNS])
CODE_SET, CODE_TAG = "code_text", "code"
BATCH_ROWS = 4096


@dataclass
class Counts:
    """What one table got.

    Attributes:
        rows: Rows.
        size: Bytes of text, in UTF-8.
        languages: Tags.
    """

    rows: int = 0
    size: int = 0
    languages: set[str] = field(default_factory=set)

    def add(self, batch: pa.RecordBatch) -> None:
        """Count the rows of a batch."""
        self.rows += batch.num_rows
        self.size += pc.sum(pc.binary_length(batch.column("text"))).as_py() or 0
        self.languages.update(tag for tag in pc.unique(batch.column("lang")).to_pylist() if tag is not None)


def data_sets(source: Path) -> list[Path]:
    """Find the tables, the code last; refuse a folder without text."""
    found = sorted(source.glob("text_*/data.parquet"))
    if not found:
        raise FileNotFoundError(f"{source} holds no text_*/data.parquet; name the folder of the data sets.")
    code = source / CODE_SET / "data.parquet"
    return [*found, code] if code.is_file() else found


def batches(path: Path) -> Iterator[pa.RecordBatch]:
    """Yield the two columns of a table, code under its tag."""
    with pq.ParquetFile(path) as file:
        if missing := [name for name in COLUMNS if name not in file.schema_arrow.names]:
            there = ", ".join(file.schema_arrow.names)
            raise ValueError(f"{path} has no column {missing[0]!r}; there are {there}. Rename the right one.")
        for batch in file.iter_batches(batch_size=BATCH_ROWS, columns=COLUMNS):
            lang, text = (batch.column(name).cast(pa.string()) for name in COLUMNS)
            if path.parent.name == CODE_SET:
                lang = pa.array([CODE_TAG] * len(text), pa.string())
            yield pa.record_batch([lang, text], schema=SCHEMA)


def gather(source: Path, output: Path) -> dict[str, Counts]:
    """Write a table for every data set; return what each got, by the set's name."""
    counts = {}
    with atomic_directory(output) as partial:
        for path in data_sets(source):
            name = path.parent.name
            counts[name] = Counts()
            with pq.ParquetWriter(partial / f"{name}.parquet", SCHEMA, compression="zstd") as writer:
                for batch in batches(path):
                    writer.write_batch(batch)
                    counts[name].add(batch)
    return counts


def main() -> None:
    """Gather and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", type=Path, metavar="SOURCE", help="folder of data sets")
    parser.add_argument("output", type=Path, metavar="OUTPUT", help="folder to make, absent or empty")
    options = parser.parse_args()
    counts = gather(options.source, options.output)
    whole = Counts()
    for one in counts.values():
        whole = Counts(whole.rows + one.rows, whole.size + one.size, whole.languages | one.languages)
    for name, one in [*counts.items(), ("all", whole)]:
        print(f"{name:24} {one.rows:10,} rows {one.size / 1e6:9.2f} MB {len(one.languages):5} languages")


if __name__ == "__main__":
    try:
        main()
    except (ValueError, OSError) as error:
        sys.exit(f"{type(error).__name__}: {' '.join(str(error).split())}")
