"""Seconds to read a file of JSON lines row by row: our reader, and `datasets` (which first writes its Arrow cache).

    python benchmarks/read_rows.py --rows 1000000

Both give a dict per row. `datasets` starts without a cache, as with a file that it sees for the first time.
"""

import json
import tempfile
import time
from pathlib import Path

from mmbert.data import read_labelled, read_table
from support import parser_of


def write_rows(path: Path, count: int) -> None:
    """Write so many rows of three columns."""
    with path.open("w", encoding="utf-8") as file:
        for number in range(count):
            row = {"lang": "eng_Latn", "text": f"the river rises, row {number} " * 4, "label": str(number % 7)}
            file.write(json.dumps(row) + "\n")


def measure(count: int) -> dict[str, float]:
    """Measure the readers.

    Args:
        count: Rows.

    Returns:
        Reader to seconds.
    """
    import datasets

    datasets.disable_progress_bars()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "rows.jsonl"
        write_rows(path, count)
        seconds = {}
        for name, read in (
            ("read_table", lambda: sum(1 for _ in read_table(path))),
            ("read_labelled", lambda: len(read_labelled(path))),
            (
                "datasets, then its rows",
                lambda: sum(
                    1
                    for _ in datasets.load_dataset(
                        "json", data_files=str(path), split="train", cache_dir=f"{folder}/cache"
                    )
                ),
            ),
            (
                "datasets, load only",
                lambda: len(
                    datasets.load_dataset("json", data_files=str(path), split="train", cache_dir=f"{folder}/again")
                ),
            ),
        ):
            start = time.perf_counter()
            found = read()
            seconds[name] = time.perf_counter() - start
            assert found == count, (name, found)
    return seconds


if __name__ == "__main__":
    parser = parser_of(__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    options = parser.parse_args()
    for name, value in measure(options.rows).items():
        print(f"{name}: {value:.1f} s, {options.rows / value:,.0f} rows a second")
