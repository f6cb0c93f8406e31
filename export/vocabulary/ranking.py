"""The order in which tokens are wanted: what the texts use, then what the languages' scripts allow.

A token's weight is its share of each language's running tokens, summed over the languages, so that a language with
little text counts as much as one with a lot. Word lists, where asked for, make 40 % of a language's shares. Tokens that
nothing speaks for follow in the order of their ids, which is that of the tokenizer's own training: frequent ones first.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from tokenizers import Tokenizer

from ...languages.scripts import is_written_in, scripts_of_tags
from ...languages.tags import is_tag
from .bpe import Vocabulary
from .counts import TextCounts
from .word_lists import token_shares

_TEXT_SHARE = (
    0.6  # of a language's weight, where it has both text and a word list; 0.3 and 0.6 differ by 0.1 % of held-out words
)


@dataclass(frozen=True, slots=True)
class Ranking:
    """Tokens in the order in which they are kept."""

    order: list[int]  # ids; every beginning holds the parents of what it holds
    required: int  # how many are always kept
    used: int  # how many it takes to keep all that texts and word lists use


def rank_tokens(
    vocabulary: Vocabulary,
    tokenizer: Tokenizer,
    counts: Mapping[str, TextCounts],
    frequencies: Mapping[str, Mapping[str, float]],
    *,
    heldout: bool,
) -> Ranking:
    """Order all tokens that any of the languages may need, by its texts and word lists."""
    weights: dict[int, float] = {}
    for tag, count in counts.items():
        texts = count.token_counts(heldout=heldout)
        total = sum(texts.values())
        shares = {token: number / total for token, number in texts.items()}
        if tag in frequencies:
            listed = token_shares(tokenizer, vocabulary.tokens, frequencies[tag], count.seen)
            part = _TEXT_SHARE if shares else 0.0
            tokens = shares.keys() | listed.keys()
            shares = {t: part * shares.get(t, 0.0) + (1 - part) * listed.get(t, 0.0) for t in tokens}
        for token, share in shares.items():
            weights[token] = weights.get(token, 0.0) + share
    used = sorted(weights, key=lambda token: (-weights[token], token))
    rest: list[int] = list(range(len(vocabulary)))
    if all(map(is_tag, counts)):
        scripts = scripts_of_tags(counts)
        rest = [token for token in rest if is_written_in(vocabulary.tokens[token], scripts)]
    order = vocabulary.with_parents(used)
    count_used = len(order)
    return Ranking(vocabulary.with_parents([*used, *rest]), len(vocabulary.required), count_used)
