"""Answers to questions: exact match and token F1 after a normaliser that knows the language.

Three sets of scores: `f1` and `exact` know the language of the answer; `official_scores` are those of the scripts of
SQuAD (XQuAD and TyDi QA use it too) and MLQA, for tables beside published numbers.

As in SQuAD, case, punctuation, articles and blanks do not count, and of several right answers the nearest decides. As
in MLQA, punctuation is what Unicode says (so the danda, the Arabic comma and the maqaf are gone too), articles depend
on the language, and scripts without spaces are compared character by character, a character with its marks.

Trade-off: an article is dropped only where it is a word of its own, an elided one (l', d') or the Arabic prefix; where
article and another word look alike (Hungarian `a`, Portuguese `a`) the word goes as well, on both sides alike. MLQA's
script deletes the letters of the Arabic article in the middle of words too; here only a word's beginning loses them.
"""

import re
import string
import unicodedata
from collections import Counter
from collections.abc import Sequence
from functools import cache
from typing import Literal

from ...languages.scripts import is_unspaced
from ...languages.tags import language_code

_ARTICLES = {
    "eng": "a an the",
    "deu": "ein eine einen einem eines einer der die das den dem des",  # MLQA
    "spa": "un una unos unas el la los las",  # MLQA
    "vie": "của là cái chiếc những",  # MLQA
    "afr": "die n",  # 'n without its apostrophe
    "cat": "un una uns unes el la els les lo l d",
    "dan": "en et den det de",
    "ell": "ο η το οι τα του της των τον την τους τις ένας μια μία ένα ενός μιας",
    "fao": "ein eitt ein",
    "fra": "un une des le la les l d",
    "glg": "un unha uns unhas o a os as",
    "hun": "a az egy",
    "ita": "un uno una il lo la i gli le l",
    "nld": "de het een",
    "nno": "ein ei eit den det dei",
    "nob": "en ei et den det de",
    "oci": "un una lo la los las l",
    "por": "um uma uns umas o a os as",
    "ron": "un o unei unui niște",
    "swe": "en ett den det de",
}
_ELIDED = re.compile(r"\b(l|d|un|dell|all|dall|nell|sull)['’](?=\w)")  # l'eau, dell'acqua; not aujourd'hui
_ELIDING = {"fra", "ita", "cat", "oci"}
Official = Literal["squad", "mlqa"]
OFFICIAL: tuple[Official, ...] = ("squad", "mlqa")
_MLQA_ARTICLES = {
    "eng": r"\b(a|an|the)\b",
    "spa": r"\b(un|una|unos|unas|el|la|los|las)\b",
    "vie": r"\b(của|là|cái|chiếc|những)\b",
    "deu": r"\b(ein|eine|einen|einem|eines|einer|der|die|das|den|dem|des)\b",
    "arb": r"\sال^|ال",
}


def answer_tokens(text: str, language: str = "eng") -> list[str]:
    """Lower-cased tokens without punctuation and the language's articles; unspaced scripts by their characters."""
    code = language_code(language.partition("_")[0])
    text = unicodedata.normalize("NFC", text).lower()
    if code in _ELIDING:
        text = _ELIDED.sub(" ", text)
    kept = "".join(character for character in text if not _is_punctuation(character))
    articles = _articles(code)
    tokens = []
    for word in kept.split():
        if code == "arb":
            word = _without_prefix(word)
        if word not in articles:
            tokens += _pieces(word)
    return tokens


def exact_match(prediction: str, answers: Sequence[str], language: str = "eng") -> float:
    """1.0 if a prediction (empty: "there is no answer") is one of the answers, else 0.0."""
    guess = answer_tokens(prediction, language)
    return float(any(guess == answer_tokens(answer, language) for answer in answers or [""]))


def token_f1(prediction: str, answers: Sequence[str], language: str = "eng") -> float:
    """Harmonic mean of precision and recall of tokens with the nearest answer; 1 if both are empty, 0 if one is."""
    guess = answer_tokens(prediction, language)
    return max(_overlap(guess, answer_tokens(answer, language)) for answer in answers or [""])


def official_scores(
    script: Official, evaluated: Sequence[tuple[str, Sequence[str], str]], *, unanswerable: bool = False
) -> dict[str, float]:
    """Score answers as a data set's own script does, for tables beside published numbers.

    SQuAD's script, which XQuAD and TyDi QA use in every language, knows English articles and ASCII punctuation only;
    MLQA's knows its seven languages. An answer of which nothing is left ("the") has an F1 of 0 even for itself, but for
    SQuAD 2.0's script (`unanswerable`), which does not count it among the right answers.
    """
    second, totals = unanswerable and script == "squad", [0.0, 0.0]
    for prediction, answers, language in evaluated:
        guess = _official_tokens(script, prediction, language)
        right = [_official_tokens(script, answer, language) for answer in answers]
        if second or not right:
            right = [answer for answer in right if answer] or [[]]
        elif not guess:
            totals[1] += [] in right
            continue
        totals[0] += max(_overlap(guess, answer) for answer in right)
        totals[1] += any(guess == answer for answer in right)
    return {"official_f1": totals[0] / len(evaluated), "official_exact": totals[1] / len(evaluated)}


def _official_tokens(script: Official, text: str, language: str) -> list[str]:
    text = text.lower()
    if script == "squad":
        text = "".join(character for character in text if character not in string.punctuation)
        return re.sub(_MLQA_ARTICLES["eng"], " ", text).split()
    code = language_code(language.partition("_")[0])
    text = "".join(character for character in text if not _is_punctuation(character))
    text = re.sub(_MLQA_ARTICLES.get(code, r"(?!)"), " ", text)
    return re.sub(r"([\u4e00-\u9fa5])", r" \1 ", text).split() if code in ("cmn", "zho") else text.split()


def _overlap(guess: list[str], answer: list[str]) -> float:
    if not guess or not answer:
        return float(guess == answer)
    shared = sum((Counter(guess) & Counter(answer)).values())
    return 2 * shared / (len(guess) + len(answer))


@cache
def _articles(code: str) -> frozenset[str]:
    return frozenset(_ARTICLES.get(code, "").split())


@cache
def _is_punctuation(character: str) -> bool:
    return character in string.punctuation or unicodedata.category(character).startswith("P")


def _without_prefix(word: str) -> str:
    """Take the Arabic article off a word that is longer than it."""
    return word[2:] if word.startswith("ال") and len(word) > 3 else word


def _pieces(word: str) -> list[str]:
    """Cut a word into runs of spaced scripts and single characters of unspaced ones, marks with their character."""
    pieces: list[str] = []
    joined = False  # the last piece is a run that may grow
    for character in word:
        if pieces and unicodedata.category(character).startswith("M"):
            pieces[-1] += character
        elif is_unspaced(character):
            pieces.append(character)
            joined = False
        elif joined:
            pieces[-1] += character
        else:
            pieces.append(character)
            joined = True
    return pieces
