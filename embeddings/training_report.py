"""What a training run did, for people (a table) and programs (JSON)."""

import json
import math
from dataclasses import asdict, dataclass, field
from pathlib import Path

# of the thirty numbers that the evaluators give, those that a table shows
_SHOWN = ("accuracy@1", "mrr@10", "ndcg@10", "cosine_accuracy", "spearman_cosine", "spearman", "active_dims")


@dataclass(frozen=True, slots=True)
class TrainingReport:
    """What a training run did.

    Attributes:
        output: Folder of the saved model.
        rows: Rows trained on.
        skipped: Rows left out, by reason.
        steps: Optimizer steps.
        seconds: Time from the first step to the last, evaluation included.
        losses: (step, mean loss of the steps since the entry before).
        scores: (step, scores on the held-out rows); step 0 is before training.
    """

    output: Path
    rows: int
    skipped: dict[str, int]
    steps: int
    seconds: float
    losses: list[tuple[int, float]] = field(default_factory=list)
    scores: list[tuple[int, dict[str, float]]] = field(default_factory=list)

    def table(self) -> str:
        """Return the scores before, during and after training as a Markdown table."""
        names = [name for name in (self.scores[0][1] if self.scores else ()) if name.endswith(_SHOWN)]
        lines = ["| step | " + " | ".join(names) + " |", "|---:|" + "---:|" * len(names)]
        for step, scores in self.scores:
            lines.append(f"| {step} | " + " | ".join(f"{scores.get(name, math.nan):.3f}" for name in names) + " |")
        return "\n".join(lines)

    def save(self, path: Path) -> None:
        """Write the report as JSON.

        Args:
            path: The file.
        """
        path.write_text(json.dumps({**asdict(self), "output": str(self.output)}, indent=1) + "\n", encoding="utf-8")
