"""CPU time to read a file of JSON lines row by row: our reader, and `datasets` (which first writes its Arrow cache).

    python benchmarks/read_rows.py --rows 1000000 --rounds 3

Both give a dict per row. `datasets` starts without a cache, as with a file that it sees for the first time. The readers
take turns; of the rounds the median counts.
"""

import json
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from mmbert.data import read_labelled, read_table
from support import parser_of


def write_rows(path: Path, count: int) -> None:
    """Write so many rows of three columns."""
    with path.open("w", encoding="utf-8") as file:
        for number in range(count):
            row = {"lang": "eng_Latn", "text": f"the river rises, row {number} " * 4, "label": str(number % 7)}
            file.write(json.dumps(row) + "\n")


def measure(count: int, rounds: int) -> dict[str, float]:
    """Measure the readers, in turns.

    Args:
        count: Rows.
        rounds: How often each reads the file.

    Returns:
        Reader to seconds of CPU time, the median of its rounds.
    """
    import datasets

    datasets.disable_progress_bars()

    def load(cache: str) -> Any:
        return datasets.load_dataset("json", data_files=str(path), split="train", cache_dir=cache)

    readers: dict[str, Callable[[str], int]] = {
        "datasets, then its rows": lambda cache: sum(1 for _ in load(cache)),
        "read_table": lambda cache: sum(1 for _ in read_table(path)),
        "datasets, load only": lambda cache: len(load(cache)),
        "read_labelled": lambda cache: len(read_labelled(path)),
    }
    seconds: dict[str, list[float]] = {name: [] for name in readers}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "rows.jsonl"
        write_rows(path, count)
        for number in range(rounds):
            for name, read in readers.items():
                start = time.process_time()
                found = read(f"{folder}/{number}-{name}")
                seconds[name].append(time.process_time() - start)
                assert found == count, (name, found)
                shutil.rmtree(f"{folder}/{number}-{name}", ignore_errors=True)
    return {name: statistics.median(values) for name, values in seconds.items()}


if __name__ == "__main__":
    parser = parser_of(__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    found = measure(options.rows, options.rounds)
    whole = found["datasets, then its rows"]
    for name, value in found.items():
        print(f"{name}: {value:.1f} s of CPU time, {whole / value:.2f} times the speed of datasets with its rows")
