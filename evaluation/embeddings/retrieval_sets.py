"""Published sets as queries, documents and answers: what retrieval is evaluated on, here and through mteb."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

Row = dict[str, Any]
ENGLISH = "eng_Latn"


@dataclass(frozen=True, slots=True)
class RetrievalSet:
    """Queries that one document each answers."""

    queries: dict[str, str]  # texts by name
    documents: dict[str, str]  # texts by name, no text twice
    answers: dict[str, str]  # name of the document by name of the query

    @classmethod
    def of(cls, rows: Iterable[tuple[str, str]], documents: Iterable[str]) -> "RetrievalSet":
        """Name queries and documents by their numbers; rows are (query, document), repeated documents are one."""
        asked = list(rows)
        names = {text: f"d{number}" for number, text in enumerate(dict.fromkeys(documents))}
        return cls(
            queries={f"q{number}": query for number, (query, _) in enumerate(asked)},
            documents={name: text for text, name in names.items()},
            answers={f"q{number}": names[answer] for number, (_, answer) in enumerate(asked)},
        )


def xquad_sets(files: dict[str, list[Row]]) -> dict[str, RetrievalSet]:
    """Let the questions of a language look for its passages: a set per language."""
    return {
        tag: RetrievalSet.of(((row["question"], row["context"]) for row in rows), (row["context"] for row in rows))
        for tag, rows in by_language(files["data"]).items()
    }


def xquad_cross_sets(files: dict[str, list[Row]]) -> dict[str, RetrievalSet]:
    """Let questions look for the English passages; those whose id English lacks are left out."""
    rows = by_language(files["data"])
    if ENGLISH not in rows:
        raise ValueError(f"there are no rows of {ENGLISH}, whose passages the others look for; add them")
    home = {row["id"]: row["context"] for row in rows.pop(ENGLISH)}
    return {
        tag: RetrievalSet.of(((row["question"], home[row["id"]]) for row in own if row["id"] in home), home.values())
        for tag, own in rows.items()
    }


def cosqa_sets(files: dict[str, list[Row]]) -> dict[str, RetrievalSet]:
    """Let web queries look for Python functions, as `code_python`; queries whose label is 0 are left out."""
    codes = {str(row["code_idx"]): row["code"] for row in files["codebase"]}
    rows = [row for row in files["queries_dev"] if str(row.get("label", 1)) == "1"]
    answered = ((row["query"], codes[str(row["code_idx"])]) for row in rows)
    return {"code_python": RetrievalSet.of(answered, codes.values())}


def code_search_sets(files: dict[str, list[Row]]) -> dict[str, RetrievalSet]:
    """Let doc comments look for functions, as `code_go`: a bare `lua` would be the language of the Luba."""
    return {
        f"code_{tag}": RetrievalSet.of(((row["query"], row["code"]) for row in rows), (row["code"] for row in rows))
        for tag, rows in by_language(files["data"], "test").items()
    }


def by_language(rows: Iterable[Row], split: str | None = None) -> dict[str, list[Row]]:
    """Sort rows (of one split, or all) by their `lang`; none is an error."""
    found: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        if split is None or row["split"] == split:
            found[row["lang"]].append(row)
    if not found:
        raise ValueError(f"there is no row{f' of split {split!r}' if split else ''} to evaluate; give the whole file")
    return dict(sorted(found.items()))
