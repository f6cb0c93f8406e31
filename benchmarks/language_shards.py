"""Shards of 1,833 languages and code for the benchmarks of the stream: the published counts, scaled; words at random.

The counts are those of the phase decay-all (languages/language_counts.csv), what was read of each language after
sampling. Taken as a corpus at temperature 1 they give the published mixture back: 1,833 languages as that phase has
them. Lengths of documents are log-normal, as they are on the web; ids are uniform over the vocabulary, since the stream
looks at none but the special ones.
"""

import hashlib
import json
from pathlib import Path

import numpy as np
from mmbert.data import MlmStream, TokenShards
from mmbert.languages import published_token_counts
from mmbert.modeling.tokenization_mmbert import PreTrainedTokenizerFast, build_tokenizer, tokenizer_fingerprint
from mmbert.recipes import Recipe

SPECIALS = ["<pad>", "<eos>", "<bos>", "<unk>", "<mask>"]
SHORTEST = 16  # tokens; the smallest of 1,833 languages would otherwise scale down to nothing
FIXED = ("eng", "code")  # from sources of their own, outside temperature sampling

RECIPE = """
name: stream-benchmark
seed: 21
model: {{size: small}}
phases:
  - name: decay-all
    languages: all
    temperature: {temperature}
    shares: {{{shares}}}
    masking_ratio: {ratio}
    context_length: {context}
    rope_theta: 160000
    tokens: {tokens}
    batch_rows: {rows}
    learning_rate: 1e-3
"""


def word_list_tokenizer(words: int, directory: Path) -> PreTrainedTokenizerFast:
    """Build a tokenizer of so many words in the mmBERT layout; it only has to have the size."""
    bytes_ = [f"<0x{value:02X}>" for value in range(256)]
    others = (f"word{number}" for number in range(words - len(SPECIALS) - len(bytes_)))
    vocab = {word: number for number, word in enumerate([*SPECIALS, *bytes_, *others])}
    path = directory / "words.json"
    path.write_text(json.dumps({"model": {"type": "BPE", "vocab": vocab, "merges": []}}), encoding="utf-8")
    return build_tokenizer(path)


def scaled_counts(total: int) -> dict[str, int]:
    """Scale the published counts to a corpus of about so many tokens."""
    published = published_token_counts("decay-all")
    scale = total / sum(published.values())
    return {language: max(SHORTEST, round(tokens * scale)) for language, tokens in published.items()}


def write_random_shards(
    directory: Path, tokenizer: PreTrainedTokenizerFast, total: int, mean_document: int, seed: int = 0
) -> TokenShards:
    """Write the shards, in the format of mmbert.data.shards; text of this size would take minutes to tokenise."""
    draw = np.random.default_rng(seed)
    directory.mkdir(parents=True)
    entries = {}
    for language, tokens in sorted(scaled_counts(total).items()):
        offsets = np.concatenate([[0], np.cumsum(document_lengths(draw, tokens, mean_document))]).astype("<i8")
        ids = draw.integers(len(SPECIALS), len(tokenizer), tokens, dtype=np.uint32)
        ids.tofile(directory / f"{language}.tokens")
        offsets.tofile(directory / f"{language}.offsets")
        entries[language] = {
            "tokens": tokens,
            "documents": len(offsets) - 1,
            "tokens_sha256": hashlib.sha256(ids.tobytes()).hexdigest(),
            "offsets_sha256": hashlib.sha256(offsets.tobytes()).hexdigest(),
        }
    index = {"format": 1, "tokenizer": tokenizer_fingerprint(tokenizer), "languages": entries, "sources": []}
    (directory / "index.json").write_text(json.dumps({**index, "skipped": {}}), encoding="utf-8")
    return TokenShards(directory, verify=False)


def document_lengths(draw: np.random.Generator, tokens: int, mean: int) -> np.ndarray:
    """Draw lengths that sum to the tokens, log-normal with sigma 1."""
    lengths = np.maximum(1, draw.lognormal(np.log(mean) - 0.5, 1.0, 2 * tokens // mean + 16).astype(np.int64))
    lengths = lengths[: int(np.searchsorted(np.cumsum(lengths), tokens))]
    left = tokens - int(lengths.sum())
    return np.append(lengths, left) if left > 0 else lengths


def plan(directory: Path, *, context: int, temperature: float, tokens: str = "100B", rows: int = 4608) -> Recipe:
    """Write and read a recipe of one phase over all languages, English and code at their published shares."""
    published = published_token_counts("decay-all")
    shares = ", ".join(f"{language}: {published[language] / sum(published.values())}" for language in FIXED)
    text = RECIPE.format(temperature=temperature, shares=shares, ratio=0.15, context=context, tokens=tokens, rows=rows)
    path = directory / "stream.yaml"
    path.write_text(text, encoding="utf-8")
    return Recipe.from_yaml(path)


def open_stream(directory: Path, tokenizer: PreTrainedTokenizerFast, recipe: Recipe, parts: int) -> MlmStream:
    """Open shards and stream, ready for the first batch."""
    stream = MlmStream(recipe, TokenShards(directory, verify=False), tokenizer, parts=parts)
    _ = stream.readers
    return stream
