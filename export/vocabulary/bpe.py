"""A BPE vocabulary that can lose tokens without changing how the text it still covers is read.

The rule. BPE joins, again and again, the neighbours of a word whose merge has the lowest rank, the leftmost first. The
tokens that appear on the way to a token t are the same in every word that t ends up in: no join ever crossed t's
borders, and the best choice of the whole word is the best inside t. So each token has one last merge, found by running
BPE on its own letters, and whoever keeps t keeps its two parents, their parents, and so on. All merges between kept
tokens stay, in their order.

Why that is exact. Let the original reading of a word consist of kept tokens. Then every join on its way makes a kept
token out of kept ones, so its merge is kept. At each step the smaller list of merges contains the original's choice
and nothing that the larger lacks, hence no better one: both make the same step. At the end the original finds no
merge, and neither does a part of its list. Conversely a word one of whose tokens was dropped cannot be read as before.
Coverage of a text can therefore be computed from the original's ids alone. What is not covered is read by shorter kept
tokens and, for characters that are gone, by their UTF-8 bytes, all 256 of which stay: <unk> never appears.

What always stays: special and added tokens (they are cut out of the text before BPE, and a fine-tuned model may mean
something by any of them), bytes, ASCII characters, the word mark. Ids are renumbered densely in their old order, so
the special tokens keep 0 to 4. Tokens that BPE can never produce are dropped.

Trade-off: the proof needs plain BPE. Vocabularies with `ignore_merges`, dropout or affixes are refused.
"""

from collections.abc import Iterable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

from ...common.files import read_json
from ...modeling.tokenization_mmbert import BYTE_TOKENS, SPACE, SPECIAL_TOKENS

_DEVIATIONS = ("dropout", "continuing_subword_prefix", "end_of_word_suffix", "ignore_merges")


class Vocabulary:
    """The vocabulary of a tokenizer.json.

    Args:
        path: The file.

    Attributes:
        path: The file.
        tokens: Token by id, added ones too.
        required: Ids that are always kept.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is no BPE with byte fallback in the mmBERT layout.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._document = read_json(path)
        self._model = _checked_model(self._document, path)
        self._ids: dict[str, int] = self._model["vocab"]
        self._merges = [tuple(m.split(" ", 1)) if isinstance(m, str) else tuple(m) for m in self._model["merges"]]
        self._ranks = {merge: rank for rank, merge in enumerate(self._merges)}
        added = {int(entry["id"]): entry["content"] for entry in self._document.get("added_tokens") or []}
        by_id = {index: token for token, index in self._ids.items()} | added
        if sorted(by_id) != list(range(len(by_id))):
            raise ValueError(f"{path}: the ids of its {len(by_id)} tokens are not 0 to {len(by_id) - 1}, each once")
        self.tokens = [by_id[index] for index in range(len(by_id))]
        ascii_bytes = [chr(byte) for byte in range(128)]
        always = {self._ids[token] for token in (*BYTE_TOKENS, *ascii_bytes, SPACE) if token in self._ids}
        self._atoms = frozenset(always | added.keys())
        self._parents: dict[int, tuple[int, ...] | None] = {}
        # An added token that is only cut out where it stands alone may be made by BPE elsewhere: its parents stay too.
        self.required = frozenset(self._closed(sorted(self._atoms)))

    def __len__(self) -> int:
        return len(self.tokens)

    def parents(self, token: int) -> tuple[int, ...] | None:
        """Find the two tokens whose merge makes a token.

        Args:
            token: Its id.

        Returns:
            Two ids; an empty tuple for a character, a byte or an added token; None if BPE never produces it.
        """
        if token not in self._parents:
            found = self._last_merge(self.tokens[token])
            atom = token in self._atoms or len(self.tokens[token]) == 1
            self._parents[token] = () if found is None and atom else found
        return self._parents[token]

    def with_parents(self, ranked: Iterable[int]) -> list[int]:
        """Order tokens so that every beginning of the list is a vocabulary that reads exactly what it covers.

        Args:
            ranked: Ids, the most wanted first.

        Returns:
            The required tokens, then each ranked one right after those of its parents that were not there yet.
        """
        return self._closed([*sorted(self.required), *ranked])

    def reduced(self, kept: Sequence[int]) -> dict[str, Any]:
        """Write tokenizer.json anew for the kept tokens; what else it says stays.

        Args:
            kept: Old ids in rising order, parents included; the new id is the place in this list.

        Returns:
            The document.
        """
        new = {old: place for place, old in enumerate(kept)}
        vocab = {self.tokens[old]: place for old, place in new.items() if self._ids.get(self.tokens[old]) == old}
        merges = [[left, right] for left, right in self._merges if {left, right, left + right} <= vocab.keys()]
        added = [entry | {"id": new[int(entry["id"])]} for entry in self._document.get("added_tokens") or []]
        document = self._document | {"added_tokens": added}
        document["model"] = self._model | {"vocab": vocab, "merges": merges}
        return document

    def _closed(self, ranked: Iterable[int]) -> list[int]:
        order: dict[int, None] = {}

        def place(token: int) -> None:
            parents = () if token in order else self.parents(token)
            if token in order or parents is None:
                return
            for parent in parents:
                place(parent)
            order[token] = None

        for token in ranked:
            place(token)
        return list(order)

    def _last_merge(self, text: str) -> tuple[int, int] | None:
        pieces, last = list(text), None
        while len(pieces) > 1:
            ranks = [self._ranks.get(pair, len(self._ranks)) for pair in pairwise(pieces)]
            best = min(ranks)
            if best == len(self._ranks):
                return None
            at = ranks.index(best)
            last = (pieces[at], pieces[at + 1])
            pieces[at : at + 2] = [pieces[at] + pieces[at + 1]]
        return None if last is None else (self._ids[last[0]], self._ids[last[1]])


def _checked_model(document: dict[str, Any], path: Path) -> dict[str, Any]:
    model = document.get("model")
    if not isinstance(model, dict) or not isinstance(model.get("vocab"), dict) or "merges" not in model:
        kind = model.get("type") if isinstance(model, dict) else type(model).__name__
        raise ValueError(f"{path}: holds a {kind} model; only BPE vocabularies with byte fallback can be trimmed")
    if not model.get("byte_fallback"):
        raise ValueError(f"{path}: has no byte fallback, so text outside the kept languages would become <unk>")
    if odd := [name for name in _DEVIATIONS if model.get(name)]:
        raise ValueError(f"{path}: uses {odd[0]}={model[odd[0]]!r}; trimming is exact for plain BPE only")
    vocab = model["vocab"]
    for expected, name in enumerate(SPECIAL_TOKENS):
        if vocab.get(name) != expected:
            raise ValueError(f"{path}: {name} has id {vocab.get(name)}, the mmBERT layout needs {expected}")
    missing = [t for b, t in enumerate(BYTE_TOKENS) if t not in vocab and not (b < 128 and chr(b) in vocab)]
    if missing:
        raise ValueError(
            f"{path}: {len(missing)} byte tokens are missing (first {missing[0]}); byte fallback needs 256"
        )
    return model
