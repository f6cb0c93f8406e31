"""Labelled rows from anywhere under one set of names: sentences, pairs, tagged words, passages with answers, choices.

    read_labelled("reviews.csv", columns={"text": "review", "label": "stars"})
    read_labelled("mteb/amazon_massive_intent", split="train", languages=["eng_Latn", "swh_Latn"])
    read_labelled("da_ddt-ud-train.conllu", language="dan_Latn", columns={"tags": "xpos"})

Usual names of columns are known (`sentence1`, `premise`, `category`, `ner_tags`, `lang`, ...), others are mapped by
`columns`. A class is always a string, also where the source counts classes: what a number means must not depend on the
order of somebody's list. A row that lacks what the task needs stops the reading, or is left out and counted.
"""

from __future__ import annotations

import logging
import random
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...common.messages import columns_option, did_you_mean, first_line, first_of, option
from ...languages.tags import choose_tags, same_language, tags_in_use
from ..corpora.rows import OnBadRow
from ..tables.files import format_of
from ..tables.names import other_names
from ..tables.read import open_tables
from .columns import FIELDS, Part, fields_of, listed, part_of
from .plausibility import hint_of_columns

if TYPE_CHECKING:
    from datasets import Dataset

logger = logging.getLogger(__name__)

UNKNOWN = "und"  # ISO 639: undetermined
_LISTED = 12
_DATA = re.compile(r"\d+|[BIES]-.+|O")  # a first line that is a row


def read_labelled(
    source: str | Path,
    *,
    split: str | None = None,
    languages: Sequence[str] | None = None,
    language: str | None = None,
    columns: Mapping[str, Any] | None = None,
    require: Sequence[str | tuple[str, ...]] = (),
    on_bad_row: OnBadRow = "error",
    configuration: str | None = None,
    revision: str | None = None,
) -> Dataset:
    """Read labelled rows.

    Args:
        source: A file of rows (parquet, JSON lines, JSON, CSV, TSV, Arrow, CoNLL; text files compressed or not), a
            folder of such files or one that `save_to_disk` wrote, or the id of a dataset on the Hub.
        split: Rows of this split: by a column `split`, by names of files, or the Hub's splits. "dev" and "validation"
            mean the same. None: all rows.
        languages: Only these, and all of these: one that has no row is an error. "swh_Latn" also finds a source's
            "sw" or "swh". None: all.
        language: Language of the rows of which neither a column nor a name of a file or configuration says it.
        columns: Name used here to name in the source, `a.b` inside a nested one. `choices` may name several columns,
            `labels` those that mark classes by 0 and 1; in a CoNLL file `tokens` and `tags` are numbers of columns.
        require: Names that every row must have a value for, such as ("text", "label"). Of a tuple of names the first
            that the source has; a name with "?" behind it only where the source has the column.
        on_bad_row: "error" stops at the first row that lacks one, "skip" leaves it out and logs how many.
        configuration: Of a Hub dataset with several ("cola").
        revision: Of a Hub dataset.

    Returns:
        A dataset with those of these columns that the source has: `id`; `language` (always; "und" if nothing says it);
        `text`, `text_pair`; `label` (string); `labels` (list of strings); `score` (number); `tokens` and `tags` (lists
        of strings); `question`, `context`, `answers` ({"text": [...], "answer_start": [...]}, empty lists where there
        is no answer); `choices` (list of strings).

    Raises:
        FileNotFoundError: If there is no such file or dataset.
        ValueError: If a column, split or language is missing, the message lists what there is; if a row is bad; if
            a file of a folder says no split, while others do.
    """
    unknown = sorted(set(columns or {}) - set(FIELDS) - {"split"})
    if unknown:
        raise ValueError(
            f"{columns_option(unknown[0], str((columns or {})[unknown[0]]))}: there is no name {unknown[0]!r}; "
            f"{did_you_mean(unknown[0], FIELDS)}"
        )
    named = columns or {}
    conll = {name: named[name] for name in ("tokens", "tags") if name in named}
    tables = open_tables(
        source, split=split, languages=languages, configuration=configuration, revision=revision, options=conll
    )
    skipped: Counter[str] = Counter()
    notes: dict[str, None] = {}
    named_by: dict[str, str] = {}
    taken: dict[str, str] = {}
    rows: dict[str, list[Any]] = {}
    seen: set[str] = set()
    count = 0
    for table in tables:
        part = part_of(table, named, skipped if on_bad_row == "skip" else None)
        found = _of_split(fields_of(part, named), part, split)
        notes.update(dict.fromkeys(part.notes))
        taken |= part.taken
        silent = [None] * len(found["row"])
        own = part.language or language or UNKNOWN
        if part.language and not all(found.get("language", silent)):
            named_by.setdefault(part.language, Path(part.place).name)
        found["language"] = [tag or own for tag in found.get("language", silent)]
        seen.update(str(tag) for tag in found["language"])
        found.pop("split", None)
        keep = _chosen(found, part, languages, require, on_bad_row, skipped)
        for name in found.keys() - rows.keys():
            rows[name] = [None] * count
        for name, values in rows.items():
            values.extend(found[name][index] if name in found else None for index in keep)
        count += len(keep)
    for note in notes:
        logger.warning("%s: %s", source, note)
    if named_by:
        some = first_of([f"{tag} ({name})" for tag, name in named_by.items()], _LISTED)
        logger.warning("%s: languages are those that names of files and folders say: %s", source, some)
    told = ", ".join(f"{n} rows {f'without {name}' if name in FIELDS else f'({name})'}" for name, n in skipped.items())
    if skipped and count:
        logger.warning("%s: left out %s", source, told)
    _require_languages(source, rows.get("language", []), languages, seen)
    if not count:
        why = f": left out {told}; repair them, or name other columns" if told else ""
        raise ValueError(f"{source} has no usable row{f' in split {split!r}' if split else ''}{why}.")
    rows.pop("row", None)
    used = tags_in_use(source, map(str, rows["language"]), UNKNOWN)
    rows["language"] = [used[str(tag)] for tag in rows["language"]]
    found_rows = _as_dataset(source, {name: rows[name] for name in FIELDS if name in rows})
    found_rows.info.description = "columns: " + ", ".join(f"{name} <- {column}" for name, column in taken.items())
    return found_rows


def _as_dataset(source: str | Path, columns: dict[str, list[Any]]) -> Dataset:
    import pyarrow as pa
    from datasets import Dataset

    try:
        return Dataset.from_dict(columns)
    except UnicodeEncodeError as error:
        raise ValueError(
            f"{source}: character {error.start} of {error.object!r:.60} is half a surrogate pair; repair the text with "
            "text.encode('utf-8', 'replace').decode()"
        ) from None
    except (pa.ArrowInvalid, pa.ArrowTypeError, OverflowError) as error:  # such as true in a list of texts
        if len(columns) > 1:
            for name, values in columns.items():
                _as_dataset(source, {name: values})
        raise ValueError(
            f"{source}: {', '.join(columns)} holds values that no column of one kind can ({first_line(error)}); write "
            "texts, or numbers below 2^63"
        ) from None


def _of_split(found: dict[str, list[Any]], part: Part, split: str | None) -> dict[str, list[Any]]:
    """Keep the rows of a split where a column tells it; numbers of rows stay those of the source, in `row`."""
    found["row"] = list(range(len(part)))
    if split is not None and "split" not in found and part.of_no_split:
        raise ValueError(
            f"{part.place} says no split, in its name or in a column, while files beside it do: it would be read as "
            f"{split} and as every other split too; put train, dev or test in its name, or take it out of the folder."
        )
    if split is None or "split" not in found:
        return found
    there = {str(value) for value in found["split"]}
    name = next((name for name in other_names(split) if name in there), None)
    if name is None:
        raise ValueError(f"{part.place} has no split {split!r}; there are {', '.join(sorted(there))}.")
    keep = [index for index, value in enumerate(found["split"]) if value == name]
    return {column: [values[index] for index in keep] for column, values in found.items()}


def _chosen(
    found: dict[str, list[Any]],
    part: Part,
    languages: Sequence[str] | None,
    require: Sequence[str | tuple[str, ...]],
    on_bad_row: OnBadRow,
    skipped: Counter[str],
) -> list[int]:
    """Return the rows to keep, and write the tags that were asked for over the source's own."""
    if languages is not None:
        there = set(found["language"])
        loose = [one for one in languages if one not in there]  # a tag that is there means itself only
        tags = {
            tag: tag if tag in languages else next((one for one in loose if same_language(str(tag), one)), None)
            for tag in there
        }
        found["language"] = [tags[tag] for tag in found["language"]]
    needed = _needed(found, part, require)
    keep = []
    for index, tag in enumerate(found["language"]):
        if tag is None:
            continue
        empty = next((name for name in needed if _is_empty(found[name][index], name)), _not_of_text(found, index))
        if empty is None:
            keep.append(index)
        elif on_bad_row == "skip":
            skipped[empty] += 1
        else:
            raise ValueError(
                f"{part.rows[found['row'][index]]}: no {empty} ({found[empty][index]!r:.40}); "
                f"repair it, or leave it out by {option('on_bad_row', 'skip')}."
            )
    return keep


def _needed(found: dict[str, list[Any]], part: Part, require: Sequence[str | tuple[str, ...]]) -> list[str]:
    """Return which columns must hold a value, all of them there."""
    needed = []
    for entry in require:
        names = (entry,) if isinstance(entry, str) else entry
        there = next((name.removesuffix("?") for name in names if name.removesuffix("?") in found), None)
        if there is not None:
            needed.append(there)
        elif not names[0].endswith("?") and not part.columns:
            raise ValueError(f"{part.place} holds no row.")
        elif not names[0].endswith("?"):
            raise ValueError(
                f"{part.place} has no {' or '.join(names)}: its columns are {listed(_with_inner(part.columns))};"
                f" name the one that holds it, {columns_option(names[0], 'COLUMN')}."
                f"{hint_of_columns(part.columns)}{_hint_of_header(part)}"
            )
    return needed


def _with_inner(columns: Mapping[str, Sequence[Any]]) -> list[str]:
    """Name columns, and of objects what lies in them, as `columns` takes it."""
    firsts = {name: next((value for value in values if value is not None), None) for name, values in columns.items()}
    return [
        f"{name}.{inner}" if inner else name
        for name, first in firsts.items()
        for inner in (first if isinstance(first, Mapping) and first else (None,))
    ]


def _hint_of_header(part: Part) -> str:
    """Return the remedy for a table whose first line is a row: its names of columns are found as values of none."""
    if format_of(part.place) not in ("csv", "tsv") or not any(
        " " in name or _DATA.fullmatch(name) for name in part.columns
    ):
        return ""
    return " The first line of the file must name its columns."


def _is_empty(value: Any, name: str) -> bool:
    """Tell whether a value says nothing: none, blank, not a number, no words. None of the `labels` is a label."""
    if isinstance(value, float):
        return value != value
    if isinstance(value, list):
        return not value and name != "labels"
    return value is None or (isinstance(value, str) and not value.strip())


def _not_of_text(found: Mapping[str, Sequence[Any]], index: int) -> str | None:
    """Name the column `choices` where one of them is a list or an object: no column of a table can hold both."""
    choices = found["choices"][index] if "choices" in found else None
    nested = isinstance(choices, list) and any(isinstance(one, (list, dict)) for one in choices)
    return "choices" if nested else None


def first_look(rows: Dataset, examples: int = 3) -> str:
    """Describe labelled rows before anything is trained on them.

    Args:
        rows: From `read_labelled`.
        examples: How many rows to show, of different classes where there are several.

    Returns:
        Lines: rows, columns and where they were taken from, languages, classes, examples.
    """
    said = [f"{len(rows):,} rows; {rows.info.description or ', '.join(rows.column_names)}"]
    said.append(f"  languages: {_counted(rows['language'][:])}")
    target = next((name for name in ("label", "labels", "tags") if name in rows.column_names), None)
    values = [] if target is None else rows[target][:]
    if target is not None:
        flat = values if target == "label" else [one for row in values for one in row or ()]
        said.append(f"  {'tags' if target == 'tags' else 'classes'}: {_counted(flat)}")
    shown: dict[str, int] = {}
    for place in range(len(rows)):
        if len(shown) == examples:
            break
        shown.setdefault(str(values[place]) if values else str(place), place)
    for place in shown.values():
        row = {name: value for name, value in rows[place].items() if value is not None}
        said.append("  " + "; ".join(f"{name}: {value!r:.70}" for name, value in row.items()))
    return "\n".join(said)


def _counted(values: Sequence[Any]) -> str:
    counts = Counter(str(value) for value in values if value is not None).most_common()
    return first_of([f"{name} {count:,}" for name, count in counts], _LISTED) or "none"


def sample_rows(rows: Dataset, count: int, seed: int = 0) -> Dataset:
    """Keep some rows of every language, drawn for each anew: few rows a language are many texts of parallel data.

    Args:
        rows: With `language`.
        count: How many of each, at most.
        seed: Which ones.

    Returns:
        The rows in their order.
    """
    keep = [
        own[index]
        for tag, own in places_by_language(rows).items()
        for index in random.Random(f"{seed}/{tag}").sample(range(len(own)), min(count, len(own)))
    ]
    return rows.select(sorted(keep))


def places_by_language(rows: Dataset) -> dict[str, list[int]]:
    """The numbers of the rows of each language."""
    places: dict[str, list[int]] = {}
    for place, tag in enumerate(rows["language"][:]):
        places.setdefault(tag, []).append(place)
    return places


def _require_languages(
    source: str | Path, found: Sequence[str], languages: Sequence[str] | None, seen: set[str]
) -> None:
    missing = [tag for tag in languages or () if tag not in set(found)]
    if missing:
        choose_tags(missing[:1], seen - {"None"}, str(source), "has no row in {}")
        raise ValueError(f"{source} has no usable row in {missing[0]}.")
