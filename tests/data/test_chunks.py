"""Chunks: a pass over the spans of a language visits every chunk once, whatever the lengths of its documents."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from mmbert.data import TokenShards
from mmbert.data.pretraining.spans import ChunkTable
from stream_support import shards_of_lengths


def cut(lengths, piece):
    """Where each chunk begins and how long it is, document by document."""
    found, begin = [], 0
    for length in lengths:
        found += [(begin + at, min(piece, length - at)) for at in range(0, length, piece)]
        begin += length
    return found


def one_pass(table, number, visit=0):
    size = int(table.counts[number])
    language, start, length = table.locate(np.full(size, number), np.arange(size) + visit * size)
    assert (language == number).all()
    return list(zip(start.tolist(), length.tolist(), strict=True))


@settings(deadline=None, max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(st.lists(st.integers(1, 60), min_size=1, max_size=30), min_size=1, max_size=3),
    st.integers(8, 70),
    st.integers(0, 2**32),
)
def test_a_pass_reads_every_chunk_once(tokenizer, tmp_path_factory, lengths, context, seed):
    by_language = {f"{name}_Latn": many for name, many in zip("abc", lengths, strict=False)}
    shards = shards_of_lengths(tmp_path_factory.mktemp("chunks") / "s", tokenizer, by_language)
    table = ChunkTable(shards, sorted(by_language), context, seed)
    for number, language in enumerate(sorted(by_language)):
        for visit in (0, 1, 10**9):
            assert sorted(one_pass(table, number, visit)) == cut(by_language[language], context - 2)


def test_passes_differ_and_look_shuffled(shards):
    table = ChunkTable(shards, ["eng_Latn"], 32, 5)
    passes = [[start for start, _ in one_pass(table, 0, visit)] for visit in (0, 1, 2)]
    assert passes[0] != passes[1] != passes[2]
    for one in passes:
        assert abs(np.corrcoef(np.arange(len(one)), one)[0, 1]) < 0.2


def test_draws_of_several_languages_at_once_are_those_of_each_alone(shards):
    table = ChunkTable(shards, shards.languages, 32, 5)
    generator = np.random.default_rng(0)
    language, draw = generator.integers(0, 5, 200), generator.integers(0, 10**6, 200)
    together = zip(*(column.tolist() for column in table.locate(language, draw)), strict=True)
    alone = []
    for number, turn in zip(language.tolist(), draw.tolist(), strict=True):
        alone += zip(*(c.tolist() for c in table.locate(np.array([number]), np.array([turn]))), strict=True)
    assert sorted(together) == sorted(alone)


@pytest.mark.parametrize("mean", [30, 500, 3000])
def test_tokens_a_draw_are_known_without_reading(tokenizer, tmp_path, mean):
    """From the index alone, to a few ten-thousandths, for lengths as they are on the web (log-normal, sigma 1)."""
    lengths = np.ceil(np.random.default_rng(0).lognormal(np.log(mean) - 0.5, 1.0, 200_000 // mean)).astype(int)
    shards = shards_of_lengths(tmp_path / "s", tokenizer, {"eng_Latn": lengths.tolist()})
    for context in (1024, 8192):
        table = ChunkTable(shards, ["eng_Latn"], context, 0)
        tokens = sum(length + 2 for _, length in cut(lengths.tolist(), context - 2))
        assert table.mean_length[0] == pytest.approx(tokens / table.counts[0], rel=1e-3)


def test_no_file_is_read_before_the_first_draw(shards, monkeypatch):
    opened = []
    real = TokenShards.offsets
    monkeypatch.setattr(TokenShards, "offsets", lambda self, language: opened.append(language) or real(self, language))
    table = ChunkTable(shards, shards.languages, 32, 5)
    assert opened == []
    table.locate(np.array([1, 1]), np.array([0, 1]))
    assert opened == [shards.languages[1]]


def test_offsets_that_do_not_rise_name_the_language(tokenizer, tmp_path):
    shards_of_lengths(tmp_path / "s", tokenizer, {"deu_Latn": [5, 7, 9], "eng_Latn": [5]})
    offsets = np.memmap(tmp_path / "s" / "deu_Latn.offsets", dtype="<i8", mode="r+")
    offsets[2] = offsets[1]
    offsets.flush()
    table = ChunkTable(TokenShards(tmp_path / "s", verify=False), ["deu_Latn", "eng_Latn"], 32, 5)
    with pytest.raises(ValueError, match=r"document offsets of deu_Latn in .* do not rise; write the shards again"):
        one_pass(table, 0)
