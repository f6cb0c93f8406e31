"""How a student is compared with its teacher, on vectors of a batch; the parts are mixed by weights.

    cosine        mean of 1 - cosine to the teacher's vector
    mse           mean square of the differences, over texts and dimensions
    kl            how alike each text is to the others: softmax of cosines, student's against teacher's (in the batch)
    contrastive   the teacher's vector of a text must be the nearest of the batch's; those that the teacher itself finds
                  too alike to be wrong answers are left out (as GISTEmbed filters, arXiv 2402.16829)

The labels of a batch are row numbers of the teacher's vectors, which are looked up where they lie: on disk.
"""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from ....common.messages import did_you_mean

PARTS = ("cosine", "mse", "kl", "contrastive")


class DistillationLoss(torch.nn.Module):
    """A weighted sum of losses against a teacher, for sentence-transformers' trainer.

    Args:
        embedder: The student.
        targets: (rows, dimensions), an array that may be mapped from disk.
        weights: Weight of each part, by name.
        temperature: Of `kl` and `contrastive`; cosines are divided by it.
        margin: A wrong answer of `contrastive` counts only if the teacher finds it less alike than 1 - margin.

    Raises:
        ValueError: If a part is unknown, or a number out of range.
    """

    def __init__(
        self,
        embedder: Any,
        targets: Any,
        weights: Mapping[str, float],
        *,
        temperature: float = 0.05,
        margin: float = 0.05,
    ) -> None:
        super().__init__()
        refuse_bad_weights(weights, temperature, margin)
        self.model, self.targets = embedder, targets
        self.weights = {name: weight for name, weight in weights.items() if weight}
        self.temperature, self.margin = temperature, margin

    def forward(self, sentence_features: Iterable[dict[str, Any]], labels: Tensor) -> Tensor:
        """Embed a batch and compare it.

        Args:
            sentence_features: One column of texts.
            labels: (texts,) rows of the teacher's vectors.

        Returns:
            The loss.
        """
        (features,) = sentence_features
        found = self.model(features)["sentence_embedding"]
        rows = np.asarray(self.targets[labels.cpu().numpy()], dtype=np.float32)
        return self.of_vectors(found, torch.from_numpy(rows).to(found.device))

    def of_vectors(self, student: Tensor, teacher: Tensor) -> Tensor:
        """Compare vectors."""
        student, teacher = student.float(), teacher.float()
        ours, theirs = functional.normalize(student, dim=1), functional.normalize(teacher, dim=1)
        total = student.new_zeros(())
        for name, weight in self.weights.items():
            if name == "cosine":
                part = 1 - (ours * theirs).sum(dim=1).mean()
            elif name == "mse":
                part = functional.mse_loss(student, teacher)
            elif name == "kl":
                part = _similarity_divergence(ours, theirs, self.temperature)
            else:
                part = _filtered_contrast(ours, theirs, self.temperature, self.margin)
            total = total + weight * part
        return total


def _similarity_divergence(ours: Tensor, theirs: Tensor, temperature: float) -> Tensor:
    """KL divergence of the student's distribution of similarities from the teacher's, a text itself left out."""
    if len(ours) < 3:
        return ours.sum() * 0.0
    itself = torch.eye(len(ours), dtype=torch.bool, device=ours.device)
    mine = (ours @ ours.T / temperature)[~itself].view(len(ours), -1).log_softmax(dim=1)
    wanted = (theirs @ theirs.T / temperature)[~itself].view(len(ours), -1).log_softmax(dim=1)
    return functional.kl_div(mine, wanted, reduction="batchmean", log_target=True)


def _filtered_contrast(ours: Tensor, theirs: Tensor, temperature: float, margin: float) -> Tensor:
    """Cross-entropy of finding one's teacher vector among those of the batch, doubtful wrong answers left out."""
    doubtful = theirs @ theirs.T > 1 - margin
    doubtful.fill_diagonal_(False)
    scores = (ours @ theirs.T / temperature).masked_fill(doubtful, -torch.inf)
    return functional.cross_entropy(scores, torch.arange(len(ours), device=ours.device))


def refuse_bad_weights(weights: Mapping[str, float], temperature: float = 0.05, margin: float = 0.05) -> None:
    """Refuse losses that no run can have."""
    if unknown := sorted(set(weights) - set(PARTS)):
        raise ValueError(f"loss {unknown[0]!r} is unknown; {did_you_mean(unknown[0], PARTS)}")
    if not any(weights.values()) or not all(0 <= weight < float("inf") for weight in weights.values()):
        raise ValueError(f"weights of the losses must be at least 0 and one above it, got {dict(weights)}")
    if not temperature > 0 or not 0 <= margin <= 2:
        raise ValueError(f"temperature must be above 0 and margin lie between 0 and 2, got {temperature} and {margin}")
