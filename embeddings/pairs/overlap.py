"""Finds evaluation texts inside longer ones: what must not be trained on hides in documents, too.

Texts are compared as units: words in one case and composition, without punctuation; in scripts that write no blanks,
characters with their marks. An evaluation text of 5 to 13 units is found where all of them stand in a row; of a longer
one, any 13 in a row are enough, as in the decontamination of GPT-3 (arXiv 2005.14165, appendix C). One of fewer than 5
says too little to be looked for inside others ("thank you very much"). Scripts without blanks need twice the units.

Every text is read once, through a window of 5 units; only where that begins an evaluation text is more compared. So
the time is linear in the texts, and the memory in the evaluation texts.
"""

import unicodedata
from collections import defaultdict
from collections.abc import Iterable

import regex

SHORTEST, LONGEST = 5, 13
"""Units of an evaluation text that is looked for; see above."""
_UNSPACED = r"[\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}\p{Tibetan}]"
_UNIT = regex.compile(rf"{_UNSPACED}\p{{M}}*|(?:(?!{_UNSPACED})[\w\p{{M}}])+")
_CHARACTER = regex.compile(_UNSPACED)


class TextFinder:
    """Knows evaluation texts and finds them in others.

    Args:
        texts: The evaluation texts.
    """

    def __init__(self, texts: Iterable[str]) -> None:
        # by its first units: lengths of what begins so, and all of those as hashes
        self._beginnings: dict[int, set[int]] = defaultdict(set)
        self._whole: set[int] = set()
        for text in texts:
            found = units(text)
            factor = 2 if _mostly_unspaced(found) else 1
            if len(found) < SHORTEST * factor:
                continue
            length = min(len(found), LONGEST * factor)
            for first in range(len(found) - length + 1):
                window = tuple(found[first : first + length])
                self._beginnings[hash(window[:SHORTEST])].add(length)
                self._whole.add(hash(window))

    def holds(self, text: str) -> bool:
        """Tell whether one of the evaluation texts stands in a text, as a whole or by 13 units in a row."""
        if not self._whole:
            return False
        found = units(text)
        for first in range(len(found) - SHORTEST + 1):
            for length in self._beginnings.get(hash(tuple(found[first : first + SHORTEST])), ()):
                if first + length <= len(found) and hash(tuple(found[first : first + length])) in self._whole:
                    return True
        return False


def units(text: str) -> list[str]:
    """Cut a text into words, or characters where no blanks are written."""
    found: list[str] = _UNIT.findall(unicodedata.normalize("NFKC", text).casefold())
    return found


def _mostly_unspaced(found: list[str]) -> bool:
    return 2 * sum(_CHARACTER.match(unit) is not None for unit in found) > len(found)
