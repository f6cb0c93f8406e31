"""Opens what holds training pairs as a table: parquet, jsonl, CSV, TSV, folders of such files, data sets of the Hub.

Trade-off: a file is read whole, as Arrow, and cleaned row by row in Python, which takes about half a minute for a
million triplets; in return every row that is left out has a reason.
"""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

_READERS = (".parquet", ".jsonl", ".json", ".csv", ".tsv")


def open_table(
    place: str, name: str | None = None, split: str | None = None
) -> tuple[list[str], Iterable[dict[str, Any]]]:
    """Open a place.

    Args:
        place: File, folder or Hub id.
        name: Configuration of a Hub data set.
        split: Split of a Hub data set; "train" if left out.

    Returns:
        Its columns, and its rows as they are.

    Raises:
        FileNotFoundError: If there is no such file or data set.
        ValueError: If it cannot be read.
    """
    path = Path(place)
    if path.exists():
        files = table_files(path) if path.is_dir() else [path]
        if not files:
            raise ValueError(f"{path} holds no file of pairs; give {', '.join(_READERS)}")
        tables = [_read(file) for file in files]
        if len({tuple(table.column_names) for table in tables}) > 1:
            raise ValueError(f"the files of {path} have different columns; give them one by one")
        return tables[0].column_names, (row for table in tables for row in _table_rows(table))
    if path.suffix in _READERS or len(path.parts) != 2:
        raise FileNotFoundError(f"{path} is no file; give one, or a Hub id like sentence-transformers/all-nli")
    data = _hub(place, name, split or "train")
    return data.column_names, data


def table_files(folder: Path) -> list[Path]:
    """Find the tables of a folder.

    Args:
        folder: The folder, searched at any depth.

    Returns:
        Their paths, in order.
    """
    return sorted(file for file in folder.rglob("*") if _suffix(file))


def _suffix(path: Path) -> str | None:
    """Return the format of a file by its name, compressed or not."""
    name = path.name.removesuffix(".gz").removesuffix(".zst")
    return next((suffix for suffix in _READERS if name.endswith(suffix)), None)


def _read(path: Path) -> Any:
    import pyarrow
    from pyarrow import csv, json, parquet

    kind = _suffix(path)
    try:
        if kind == ".parquet":
            return parquet.read_table(path)
        with pyarrow.input_stream(str(path), compression="detect") as stream:
            if kind in (".jsonl", ".json"):
                return json.read_json(stream, parse_options=json.ParseOptions(newlines_in_values=True))
            if kind in (".csv", ".tsv"):
                layout = csv.ParseOptions(delimiter="\t" if kind == ".tsv" else ",", newlines_in_values=True)
                return csv.read_csv(stream, parse_options=layout)
    except (pyarrow.ArrowInvalid, OSError) as error:
        raise ValueError(f"{path}: cannot be read ({' '.join(str(error).split())[:200]})") from error
    raise ValueError(f"{path}: files of pairs end in {', '.join(_READERS)}, compressed or not")


def _table_rows(table: Any) -> Iterator[dict[str, Any]]:
    for batch in table.to_batches(max_chunksize=10_000):
        yield from batch.to_pylist()


def _hub(place: str, name: str | None, split: str) -> Any:
    from datasets import load_dataset

    try:
        return load_dataset(place, name, split=split)
    except Exception as error:  # datasets raises a dozen types for a set that is not there
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise FileNotFoundError(f"cannot load {place} from the Hub: {reason}") from error
