"""Word frequencies of the `wordfreq` package, as knowledge of a language beyond the user's own text.

In two megabytes of English, one different word in ten of the held-out part has a token that the rest never showed.
wordfreq lists some hundred thousand words of each of about 40 languages with their frequencies, in lower case; how
often a word is capitalised is taken from the user's text where it occurs there, else from the text's average.

Trade-off: the lists hold words only. Signs, digits and code must come from the user's text, and the lists end in 2021.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence

from tokenizers import Tokenizer

from ...languages.scripts import is_unspaced, is_written_in, scripts_of_tags
from ...modeling.tokenization_mmbert import SPACE
from .counts import Word

_TWO_LETTERS = dict(
    entry.split(":")
    for entry in """
arb:ar ben:bn bos:sh bul:bg cat:ca ces:cs cmn:zh dan:da deu:de ell:el eng:en fas:fa fil:fil fin:fi fra:fr heb:he hin:hi
hrv:sh hun:hu ind:id isl:is ita:it jpn:ja kor:ko lit:lt lvs:lv mkd:mk nld:nl nob:nb pol:pl por:pt ron:ro rus:ru slk:sk
slv:sl spa:es srp:sh swe:sv tam:ta tur:tr ukr:uk urd:ur vie:vi zsm:ms
""".split()
)
_USUAL_CASES = (0.85, 0.13, 0.02)  # lower, Title, UPPER: a guess, for languages without text
_LOOKED_AT = 1_000  # words, to see in which script a list is
_TRUST = 2  # occurrences in the text that weigh as much as the average


def word_frequencies(tag: str) -> dict[str, float]:
    """Look up the words of a language: lower case to share of running words."""
    try:
        from wordfreq import get_frequency_dict
    except ImportError:
        raise ImportError('word lists need wordfreq: pip install "mmbert[words]", or leave them out') from None
    code = _TWO_LETTERS.get(tag.partition("_")[0])
    if code is None:
        known = ", ".join(sorted(_TWO_LETTERS))
        raise ValueError(f"no word list for {tag!r}; there are lists for {known}: leave them out and give text")
    found: dict[str, float] = get_frequency_dict(code, "best")
    # wordfreq 3.1.1 lists Chinese in Simplified characters only and Serbian in Latin letters only.
    some = list(found)[:_LOOKED_AT]
    in_script = sum(is_written_in(word, scripts_of_tags([tag])) for word in some)
    if tag.endswith("_Hant") or in_script < len(some) / 2:
        raise ValueError(f"wordfreq lists no words of {tag!r} in its script; leave --word-lists out and give text")
    return found


def token_shares(
    tokenizer: Tokenizer, tokens: Sequence[str], frequencies: Mapping[str, float], seen: Mapping[Word, int]
) -> dict[int, float]:
    """Turn word frequencies into shares of running tokens, by id; `seen` words tell how often one is capitalised."""
    words = list(frequencies)
    cases, average = _case_counts(tokens, seen)
    weights: defaultdict[int, float] = defaultdict(float)
    for case, write in enumerate((str.lower, str.title, str.upper)):
        written = [write(word) for word in words]
        if case and written == words:
            continue  # a script without capitals
        for word, encoding in zip(words, tokenizer.encode_batch(written, add_special_tokens=False), strict=True):
            known = cases.get(word, (0, 0, 0))
            share = (known[case] + _TRUST * average[case]) / (sum(known) + _TRUST)
            ids = encoding.ids
            # Where no spaces are written the word mark is not part of the word.
            start = 1 if tokens[ids[0]] == SPACE and is_unspaced(word) else 0
            for token in ids[start:]:
                weights[token] += share * frequencies[word]
    total = sum(weights.values())
    return {token: weight / total for token, weight in weights.items()}


def _case_counts(
    tokens: Sequence[str], seen: Mapping[Word, int]
) -> tuple[dict[str, tuple[int, int, int]], tuple[float, float, float]]:
    counts: dict[str, list[int]] = defaultdict(lambda: [0, 0, 0])
    for word, number in seen.items():
        text = "".join(tokens[token] for token in word).strip(SPACE + ".,;:!?()[]«»„“”\"'")
        case = next((n for n, test in enumerate((str.islower, str.istitle, str.isupper)) if test(text)), None)
        if case is not None and text.isalpha():
            counts[text.lower()][case] += number
    sums = [sum(count[case] for count in counts.values()) for case in range(3)]
    average = tuple(number / sum(sums) for number in sums) if sum(sums) else _USUAL_CASES
    return {word: (a, b, c) for word, (a, b, c) in counts.items()}, (average[0], average[1], average[2])
