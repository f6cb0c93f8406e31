"""Published sets as queries, documents and answers: what retrieval is evaluated on, here and through mteb."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

Row = dict[str, Any]
ENGLISH = "eng_Latn"


@dataclass(frozen=True, slots=True)
class RetrievalSet:
    """Queries that one document each answers.

    Attributes:
        queries: Texts by name.
        documents: Texts by name, no text twice.
        answers: Name of the document by name of the query.
    """

    queries: dict[str, str]
    documents: dict[str, str]
    answers: dict[str, str]

    @classmethod
    def of(cls, rows: Iterable[tuple[str, str]], documents: Iterable[str]) -> "RetrievalSet":
        """Name queries and documents by their numbers.

        Args:
            rows: Query, and the document that answers it.
            documents: All documents; repeated texts are one document.

        Returns:
            The set.
        """
        asked = list(rows)
        names = {text: f"d{number}" for number, text in enumerate(dict.fromkeys(documents))}
        return cls(
            queries={f"q{number}": query for number, (query, _) in enumerate(asked)},
            documents={name: text for text, name in names.items()},
            answers={f"q{number}": names[answer] for number, (_, answer) in enumerate(asked)},
        )


def xquad_sets(files: dict[str, list[Row]]) -> dict[str, RetrievalSet]:
    """Let the questions of a language look for its passages.

    Args:
        files: Rows of XQuAD under `data`.

    Returns:
        A set a language.
    """
    return {
        tag: RetrievalSet.of(((row["question"], row["context"]) for row in rows), (row["context"] for row in rows))
        for tag, rows in by_language(files["data"]).items()
    }


def xquad_cross_sets(files: dict[str, list[Row]]) -> dict[str, RetrievalSet]:
    """Let the questions of a language look for the English passages.

    Args:
        files: Rows of XQuAD under `data`.

    Returns:
        A set a language but English; a question whose id English lacks is left out.

    Raises:
        ValueError: If there are no English rows.
    """
    rows = by_language(files["data"])
    if ENGLISH not in rows:
        raise ValueError(f"there are no rows of {ENGLISH}, whose passages the others look for; add them")
    home = {row["id"]: row["context"] for row in rows.pop(ENGLISH)}
    return {
        tag: RetrievalSet.of(((row["question"], home[row["id"]]) for row in own if row["id"] in home), home.values())
        for tag, own in rows.items()
    }


def cosqa_sets(files: dict[str, list[Row]]) -> dict[str, RetrievalSet]:
    """Let web queries look for Python functions.

    Args:
        files: Rows under `codebase` and `queries_dev`; queries whose label is 0 are left out.

    Returns:
        One set, of `code_python`.
    """
    codes = {str(row["code_idx"]): row["code"] for row in files["codebase"]}
    rows = [row for row in files["queries_dev"] if str(row.get("label", 1)) == "1"]
    answered = ((row["query"], codes[str(row["code_idx"])]) for row in rows)
    return {"code_python": RetrievalSet.of(answered, codes.values())}


def code_search_sets(files: dict[str, list[Row]]) -> dict[str, RetrievalSet]:
    """Let doc comments look for their functions among those of the programming language.

    Args:
        files: Rows under `data`; those of the test split are taken.

    Returns:
        A set a programming language, such as `code_go`: bare, `lua` would be the language of the Luba.
    """
    return {
        f"code_{tag}": RetrievalSet.of(((row["query"], row["code"]) for row in rows), (row["code"] for row in rows))
        for tag, rows in by_language(files["data"], "test").items()
    }


def by_language(rows: Iterable[Row], split: str | None = None) -> dict[str, list[Row]]:
    """Sort rows by their language.

    Args:
        rows: With `lang`.
        split: Take those whose `split` it is; None: all.

    Returns:
        Rows by tag, sorted.

    Raises:
        ValueError: If there is none.
    """
    found: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        if split is None or row["split"] == split:
            found[row["lang"]].append(row)
    if not found:
        raise ValueError(f"there is no row{f' of split {split!r}' if split else ''} to evaluate; give the whole file")
    return dict(sorted(found.items()))
