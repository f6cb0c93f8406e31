"""Scores of a fine-tuned network: over all rows of each data set, and language by language."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from datasets import Dataset

from ..data.labelled_hub import is_among
from .finetuning_trainer import FineTuneTrainer, Predictions


def judge(
    trainer: FineTuneTrainer, judged: Mapping[str, Dataset], trained: Sequence[str]
) -> tuple[dict[str, Predictions], dict[str, dict[str, float]], dict[str, dict[str, dict[str, Any]]]]:
    """Predict and score data sets, whole and by language.

    Args:
        trainer: The trainer, after training.
        judged: Encoded rows by data set.
        trained: Languages of training.

    Returns:
        By data set the predictions, one array a row; the scores over all rows; and scores by language.
    """
    predictions: dict[str, Predictions] = {}
    scores: dict[str, dict[str, float]] = {}
    by_language: dict[str, dict[str, dict[str, Any]]] = {}
    for name, rows in judged.items():
        found, _ = trainer.predict_rows(rows)
        predictions[name], scores[name], by_language[name] = found, trainer.metrics(found, rows), {}
        tags = rows["language"] if "language" in rows.column_names else []
        places: dict[str, list[int]] = {}
        for place, tag in enumerate(tags):
            places.setdefault(tag, []).append(place)
        for tag, members in sorted(places.items()):
            part = rows.select(members)
            own = trainer.metrics([found[place] for place in members], part)
            by_language[name][tag] = {"rows": row_count(part), "trained": is_among(tag, trained), **own}
    return predictions, scores, by_language


def row_count(rows: Dataset) -> int:
    """Count the rows of the source; windows of one text are one row.

    Args:
        rows: Encoded rows.

    Returns:
        How many.
    """
    return len(set(rows["row"][:])) if "row" in rows.column_names else len(rows)


def languages_of(rows: Dataset) -> list[str]:
    """List the languages of rows.

    Args:
        rows: Encoded rows.

    Returns:
        Sorted tags; none where rows do not say.
    """
    return sorted(set(rows["language"])) if "language" in rows.column_names else []
