"""Results of the efficiency benchmark: rows, their table, and the JSON file in which runs add up.

A file holds the rows of one machine and one set of libraries: `Report.add` replaces rows that were measured again and
refuses rows of other conditions. It names the processor and the libraries, never the machine.
"""

import json
import platform
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from ...common.deprecation import warn_renamed
from ...common.files import write_json
from ...model_cards.markdown import markdown_table as write_table
from .models import COMPILED, MINILM, OURS, STOCK, XLM_R


@dataclass(frozen=True, slots=True)
class Row:
    """One model in one setting."""

    setting: str  # whose lengths its batch has
    compared_with: str  # setting in whose rounds it was measured; rows of one can be compared
    network: str
    size: str
    dtype: str
    threads: int  # threads it ran with
    rows: int  # rows of its batch
    tokens: int  # real tokens of its batch
    padded_tokens: int  # rows times the longest row
    rounds: int  # timed rounds
    cpu_seconds: float  # median CPU time of a forward pass, over all threads
    wall_seconds: float  # median wall time of it
    tokens_per_second: float  # real tokens per second of CPU time on one thread, of wall time on more
    flops: int  # useful operations of a forward pass, see `useful_flops`
    gemm_rate: float  # operations a second of the layer's matrix products, measured in the same rounds
    roofline: float  # useful operations over what the processor could have done in that time
    peak_total: int | None = None  # peak of resident memory in bytes; None if not measured
    peak_over_weights: int | None = None  # the same, less what was resident before the pass
    date: str = ""  # day of the measurement

    @property
    def key(self) -> tuple[str | int, ...]:
        """What a second measurement replaces."""
        return self.compared_with, self.setting, self.threads, self.network, self.size, self.dtype


def conditions(**more: Any) -> dict[str, Any]:
    """Describe the processor and the libraries, and `more` that must be equal, without naming the machine."""
    import torch
    import transformers

    from ...modeling.hardware import has_fast_bf16
    from ...version import __version__

    seen = torch.cpu.get_capabilities() if hasattr(torch.cpu, "get_capabilities") else {}
    return {
        "mmbert": __version__,
        "torch": torch.__version__,
        "transformers": transformers.__version__,
        "python": platform.python_version(),
        "processor": str(seen.get("cpu_name") or platform.machine()),
        "instructions": torch.backends.cpu.get_cpu_capability(),
        "bf16_instructions": has_fast_bf16(torch.device("cpu")),
        **more,
    }


@dataclass(slots=True)
class Report:
    """Rows measured under equal conditions."""

    conditions: dict[str, Any]
    rows: list[Row] = field(default_factory=list)  # in the order they were measured

    @property
    def about(self) -> str:
        """Processor and libraries in one line."""
        now = self.conditions
        bf16 = "with" if now["bf16_instructions"] else "without"
        processor = f"{now['processor']}, {now['instructions']}, {bf16} bf16 instructions"
        return f"{processor}, torch {now['torch']}, transformers {now['transformers']}"

    @classmethod
    def open(cls, path: Path, now: dict[str, Any]) -> "Report":
        """Read the report that a run goes on with, or begin one; refuse rows of other conditions."""
        if not path.is_file():
            return cls(now)
        before = cls.read(path)
        other = [name for name in {**before.conditions, **now} if before.conditions.get(name) != now.get(name)]
        if other:
            name = other[0]
            raise ValueError(
                f"{path} was measured with {name} {before.conditions.get(name)}, this run has {now.get(name)}; "
                "write to another folder"
            )
        return before

    @classmethod
    def read(cls, path: Path) -> "Report":
        """Read what `write` wrote."""
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            if any("beside" in row for row in content["rows"]):
                warn_renamed(f"{path}: the key beside", "compared_with", stacklevel=3)
            rows = [
                Row(**{("compared_with" if key == "beside" else key): row[key] for key in row})
                for row in content["rows"]
            ]
            return cls(dict(content["conditions"]), rows)
        except (KeyError, TypeError, json.JSONDecodeError) as broken:
            raise ValueError(f"{path} is no report of this benchmark ({broken}); write to another folder") from broken

    def add(self, rows: Iterable[Row]) -> None:
        """Take rows in; a row that was there before is replaced."""
        known = {row.key: row for row in self.rows} | {row.key: row for row in rows}
        self.rows = list(known.values())

    def write(self, path: Path, **ratios: float | None) -> None:
        """Write it as JSON, with the ratios that are known; an interrupted run leaves what the last setting wrote."""
        path.parent.mkdir(parents=True, exist_ok=True)
        known = {name: value for name, value in ratios.items() if value is not None}
        content = {"conditions": self.conditions, **known, "rows": [asdict(row) for row in self.rows]}
        write_json(path, content, indent=1)


def ratio(rows: Sequence[Row], ours: Row, network: str, size: str) -> float | None:
    """Speed of a row over that of a network in the same rounds, dtype and threads; None where there is none."""
    wanted = (ours.compared_with, ours.setting, ours.threads, network, size, ours.dtype)
    other = next((row for row in rows if row.key == wanted), None)
    return None if other is None else ours.tokens_per_second / other.tokens_per_second


def _megabytes(size: int | None) -> str:
    return "" if size is None else f"{size / 1e6:,.0f} MB"


def markdown_table(rows: Sequence[Row]) -> str:
    """Write rows as a Markdown table without empty columns and without rows of another setting's rounds."""
    shown = [row for row in rows if row.compared_with == row.setting]

    def against(network: str, size: str | None) -> Callable[[Row], str]:
        def cell(row: Row) -> str:
            found = ratio(rows, row, network, size or row.size) if row.network in (OURS, COMPILED) else None
            return "" if found is None else f"{found:.2f}x"

        return cell

    columns: dict[str, Callable[[Row], str]] = {
        "setting": lambda row: row.setting,
        "network": lambda row: row.network,
        "size": lambda row: row.size,
        "dtype": lambda row: row.dtype,
        "threads": lambda row: str(row.threads),
        "tokens/s": lambda row: f"{row.tokens_per_second:,.0f}",
        "against stock": against(STOCK, None),
        "against XLM-R": against(XLM_R, "base"),
        "against MiniLM": against(MINILM, None),
        "roofline": lambda row: f"{row.roofline:.2f}",
        "peak over weights": lambda row: _megabytes(row.peak_over_weights),
        "rounds": lambda row: str(row.rounds),
    }
    cells = {name: [write(row) for row in shown] for name, write in columns.items()}
    kept = {name: column for name, column in cells.items() if any(column)}
    texts = {"setting", "network", "size", "dtype"}
    return write_table(list(kept), zip(*kept.values(), strict=True), text_columns=len(texts & kept.keys()))
