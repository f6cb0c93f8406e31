"""The stream with all 1,833 languages of the recipe: start, far positions, shares after ten million draws."""

import csv
import time
from pathlib import Path

import mmbert
import numpy as np
import pytest
from mmbert.data import MlmStream, TokenShards
from mmbert.recipes import Recipe
from stream_support import shards_of_lengths

pytestmark = pytest.mark.slow  # 3,668 files are written and synchronised

COUNTS = Path(mmbert.__file__).parent / "languages" / "language_counts.csv"
RECIPE = """
name: all
seed: 7
model: {size: small}
phases:
  - name: decay-all
    languages: all
    temperature: 0.7
    shares: {eng: 0.1, code: 0.05}
    masking_ratio: 0.05
    context_length: 1024
    rope_theta: 160000
    tokens: 9000T
    batch_rows: 4608
    learning_rate: 1e-3
"""


@pytest.fixture(scope="module")
def many(tokenizer, tmp_path_factory):
    """Shards of every language that the last phase reads, in the proportions of the published counts, and a recipe."""
    folder = tmp_path_factory.mktemp("many")
    with COUNTS.open(encoding="utf-8") as file:
        counts = {row["language"]: int(row["decay-all"]) for row in csv.DictReader(file) if int(row["decay-all"])}
    # Two documents each: what a language has to say does not matter here, only how much the index says it is.
    lengths = {language: [1 + tokens // 400_000_000, 7] for language, tokens in counts.items()}
    (folder / "all.yaml").write_text(RECIPE.replace("9000T", f"{10**9 * 4608 * 1024 + 10**12}"))
    shards_of_lengths(folder / "shards", tokenizer, lengths)
    return folder, Recipe.from_yaml(folder / "all.yaml")


def test_a_position_of_a_billion_comes_at_once(many, tokenizer):
    folder, recipe = many
    began = time.perf_counter()
    stream = MlmStream(recipe, TokenShards(folder / "shards", verify=False), tokenizer, parts=144)
    item = stream[10**9 * 144 + 77]
    assert time.perf_counter() - began < 2
    assert len(stream.languages) == 1834
    assert item.step == 10**9 and item.input_ids.size > 20_000
    half = MlmStream(recipe, stream.shards, tokenizer, parts=288)
    halves = [half[10**9 * 288 + part].input_ids for part in (154, 155)]
    assert np.array_equal(np.concatenate(halves), item.input_ids)


def test_shares_after_ten_million_draws(many, tokenizer):
    folder, recipe = many
    shards = TokenShards(folder / "shards", verify=False)
    reader = MlmStream(recipe, shards, tokenizer).readers[0]
    blocks = int(10**7 / (reader.draws_before(10**6) - reader.draws_before(0)).sum() * 10**6)
    draws = reader.draws_before(blocks) - reader.draws_before(0)
    assert draws.sum() == pytest.approx(10**7, rel=1e-3)
    tokens = draws * reader.table.mean_length
    weights = {tag: n**0.7 for tag, n in shards.token_counts.items() if tag not in ("eng", "code")}
    target = {tag: 0.85 * weight / sum(weights.values()) for tag, weight in weights.items()}
    target |= {"eng": 0.1, "code": 0.05}
    seen = dict(zip(reader.table.languages, tokens / tokens.sum(), strict=True))
    large = [tag for tag, share in target.items() if share > 1e-4]
    assert len(large) > 1000
    assert max(abs(seen[tag] / target[tag] - 1) for tag in large) < 0.01
    assert np.all(draws > 0)
