"""The description of an index, `index.json`: which parts count, of which model they are, how documents were cut."""

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...common.files import write_json
from .model import IndexModel
from .part import Cut

FORMAT = 1
MANIFEST = "index.json"


@dataclass(frozen=True, slots=True)
class Added:
    """What a call added.

    Attributes:
        documents: Documents whose passages are new.
        passages: Their passages.
        unchanged: Documents that the index held already.
        replaced: Documents among the new ones that it held with another text.
        skipped: Documents that were left out, by reason.
        cut: Passages that were longer than the model reads; None if that is not known.
        resumed: Passages that an earlier call had embedded before it was killed.
        removed: Documents that the index held and does not any more: they are blank now, or `mirror` missed them.
    """

    documents: int
    passages: int
    unchanged: int
    replaced: int
    skipped: dict[str, int]
    cut: int | None
    resumed: int
    removed: int = 0


def loaded_from(embedder: Any, source: dict[str, Any] | None) -> tuple[Any, dict[str, Any] | None]:
    """Load an embedder if its place was given.

    Args:
        embedder: It, or its folder or Hub id.
        source: How to load it again, for one that is loaded.

    Returns:
        The embedder, and options of `load_embedder` that load it again, or None.
    """
    if not isinstance(embedder, str | os.PathLike):
        return embedder, source
    from ..encoding.load import load_embedder

    loaded: Any = load_embedder(embedder)
    place = Path(embedder)
    name = str(place.absolute()) if place.exists() else str(embedder)
    return loaded, {"checkpoint": name, "dtype": str(loaded[0].model.dtype).removeprefix("torch.")}


def check_cut(cut: Cut, model: IndexModel, embedder: Any) -> None:
    """See that a passage fits the model, with its prompt and what begins and ends a text.

    Args:
        cut: `tokens` and `overlap`; None: whole documents.
        model: Of the index.
        embedder: The same, loaded.

    Raises:
        ValueError: If a number is out of range.
    """
    if cut is None:
        return
    around = len(embedder.tokenizer(model.document_prompt or "")["input_ids"])
    if not 8 <= cut["tokens"] <= model.max_seq_length - around:
        raise ValueError(
            f"passage_tokens must lie between 8 and {model.max_seq_length - around}, what this model reads, got "
            f"{cut['tokens']}; None embeds whole documents"
        )
    if not 0 <= cut["overlap"] <= cut["tokens"] // 2:
        raise ValueError(
            f"overlap must lie between 0 and half of the {cut['tokens']} tokens of a passage, got {cut['overlap']}"
        )


def read_manifest(path: Path) -> dict[str, Any]:
    """Read what an index says of itself.

    Args:
        path: Its folder.

    Returns:
        The content of index.json.

    Raises:
        FileNotFoundError: If there is none.
        ValueError: If it is broken, or of another version.
    """
    try:
        manifest: dict[str, Any] = json.loads((path / MANIFEST).read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError) as missing:
        raise FileNotFoundError(
            f"{path} holds no {MANIFEST}; give an index, or make one with SearchIndex.build or `mmbert search index`"
        ) from missing
    except ValueError as broken:
        raise ValueError(f"{path / MANIFEST} is broken ({broken}); make the index again") from broken
    if manifest.get("format") != FORMAT:
        raise ValueError(f"{path} has format {manifest.get('format')!r}, this version reads {FORMAT}; make it again")
    return manifest


def refuse_changed(path: Path, manifest: dict[str, Any]) -> None:
    """Refuse to write an index that has changed since it was read: what was added would be lost.

    Args:
        path: Its folder.
        manifest: What was read.

    Raises:
        ValueError: If another one is there.
    """
    there = read_manifest(path) if (path / MANIFEST).exists() else {"parts": []}
    if there["parts"] != manifest["parts"]:
        raise ValueError(f"{path} has changed since it was opened; open it again")


def replace_manifest(path: Path, manifest: dict[str, Any]) -> None:
    """Write index.json in one step: what it names counts from then on.

    Args:
        path: Folder of the index.
        manifest: The content.
    """
    write_json(path / MANIFEST, manifest, indent=1)
