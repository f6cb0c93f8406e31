"""Rows that are judged and were trained on: counted and said, because a score on them says nothing."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datasets import Dataset

logger = logging.getLogger(__name__)


def warn_of_copies(rows: Mapping[str, Dataset], columns: Sequence[str]) -> dict[str, int]:
    """Says how many rows of dev and test stand in the training rows too.

    Args:
        rows: Data sets by name, `train` among them.
        columns: What makes two rows the same; one that a data set lacks is empty there.

    Returns:
        Copies by data set; those without any are left out.
    """
    keys = {
        name: [json.dumps([row.get(column) for column in columns]) for row in part.select_columns(there)]
        for name, part in rows.items()
        if (there := [column for column in columns if column in part.column_names])
    }
    trained = set(keys.pop("train"))
    copies = {name: sum(key in trained for key in found) for name, found in keys.items()}
    for name, count in copies.items():
        if count:
            logger.warning("%d of %d rows of %s are in the training rows too", count, len(keys[name]), name)
    return {name: count for name, count in copies.items() if count}
