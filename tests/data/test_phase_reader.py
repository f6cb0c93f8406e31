"""Rows: equally full, near their target shares, each a function of its number."""

import itertools

import numpy as np
import pytest
from mmbert.data.pretraining.sampler import ROWS_PER_BLOCK, PhaseReader
from mmbert.languages import LanguageMixture
from stream_support import phase, shards_of_lengths


def web_lengths(mean, tokens, seed=0):
    """Lengths of documents as on the web: log-normal, sigma 1."""
    draw = np.random.default_rng(seed).lognormal(np.log(mean) - 0.5, 1.0, tokens // mean)
    return np.ceil(draw).astype(int).tolist()


@pytest.fixture(scope="module")
def web_shards(tokenizer, tmp_path_factory):
    lengths = {"eng_Latn": web_lengths(300, 200_000), "deu_Latn": web_lengths(60, 40_000), "fao_Latn": [2000, 3, 1]}
    return shards_of_lengths(tmp_path_factory.mktemp("web") / "s", tokenizer, lengths)


def reader_of(shards, **changes):
    one = phase(**{"context_length": 512, "temperature": 0.5, **changes})
    return PhaseReader(one, shards.languages, shards, 3)


def tokens_a_row(pieces, rows):
    return np.bincount(pieces.row - pieces.row[0], weights=pieces.length + 2, minlength=rows)


def test_rows_do_not_depend_on_who_asks(web_shards):
    whole = reader_of(web_shards).pieces(0, 200)
    for first, end in ((0, 200), (63, 65), (70, 71), (128, 192)):
        found = reader_of(web_shards).pieces(first, end)
        inside = (whole.row >= first) & (whole.row < end)
        for name in ("language", "start", "length", "row"):
            assert np.array_equal(getattr(found, name), getattr(whole, name)[inside])


@pytest.mark.parametrize("context", [128, 1024])
def test_tokens_read_meet_the_target_shares(web_shards, context):
    """Counted from the pieces themselves; the target by the formula."""
    reader = reader_of(web_shards, context_length=context)
    target = LanguageMixture(web_shards.token_counts, 0.5).probabilities()
    blocks = 60 * 1024 // context
    pieces = reader.pieces(0, blocks * ROWS_PER_BLOCK)
    seen = np.bincount(pieces.language, weights=pieces.length + 2)
    for language, share in zip(reader.table.languages, seen / seen.sum(), strict=True):
        assert share == pytest.approx(target[language], rel=0.01)
    assert seen.sum() == pytest.approx(blocks * ROWS_PER_BLOCK * context, rel=0.01)


def test_draws_are_never_more_than_one_from_their_target(web_shards):
    reader = reader_of(web_shards)
    rate = (reader.draws_before(10**7) - reader.draws_before(0)) / 10**7
    for block in (1, 17, 10**3, 10**6, 10**6 + 1):
        assert (np.abs(reader.draws_before(block) - reader.draws_before(0) - block * rate) <= 1.01).all()


def test_rows_of_a_block_are_equally_full(web_shards):
    """Documents that leave room to deal: 64 rows within a few per cent of each other."""
    reader = reader_of(web_shards, context_length=1024, temperature=0.0)
    for block in range(5):
        rows = tokens_a_row(reader.pieces(block * ROWS_PER_BLOCK, (block + 1) * ROWS_PER_BLOCK), ROWS_PER_BLOCK)
        assert rows.min() > 0 and rows.max() <= 2 * 1024
        assert rows.std() / rows.mean() < 0.1


def test_parts_of_a_step_have_about_equally_many_tokens(tokenizer, tmp_path):
    """600 of 1,024 tokens a document: rows hold one or two, but runs of rows differ by less than one of them."""
    shards = shards_of_lengths(tmp_path / "s", tokenizer, {"eng_Latn": [600] * 100})
    rows = tokens_a_row(reader_of(shards, context_length=1024).pieces(0, ROWS_PER_BLOCK), ROWS_PER_BLOCK)
    assert set(rows) == {602, 1204}
    for many in (2, 4, 8, 16):
        parts = rows.reshape(many, -1).sum(1)
        assert parts.max() - parts.min() <= 602


def test_documents_longer_than_a_row_leave_no_row_empty(tokenizer, tmp_path):
    shards = shards_of_lengths(tmp_path / "s", tokenizer, {"eng_Latn": [500] * 3, "deu_Latn": [500, 1]})
    pieces = reader_of(shards, context_length=32).pieces(0, 4 * ROWS_PER_BLOCK)
    assert set(pieces.row.tolist()) == set(range(4 * ROWS_PER_BLOCK))
    assert pieces.length.min() > 0 and pieces.length.max() <= 30


def test_a_giant_among_tiny_documents(tokenizer, tmp_path):
    """Spans are a few tokens wide here, and nearly all of them lie inside a piece of the giant."""
    shards = shards_of_lengths(tmp_path / "s", tokenizer, {"eng_Latn": [*[1] * 3000, 30_000]})
    reader = reader_of(shards, context_length=8192)
    for block in range(3):
        rows = tokens_a_row(reader.pieces(block * ROWS_PER_BLOCK, (block + 1) * ROWS_PER_BLOCK), ROWS_PER_BLOCK)
        assert rows.min() > 0


def test_a_block_whose_draws_find_nothing_reads_those_of_the_next(web_shards, monkeypatch):
    """Too rare to wait for: every span that the block draws would have to lie inside a longer piece."""
    reader, whole = reader_of(web_shards), reader_of(web_shards)
    locate, nothing = reader.table.locate, np.empty(0, dtype=np.int64)
    first = iter([(nothing, nothing, nothing)])
    monkeypatch.setattr(reader.table, "locate", lambda *draws: next(first, None) or locate(*draws))
    found, next_block = reader.pieces(0, ROWS_PER_BLOCK), whole.pieces(ROWS_PER_BLOCK, 2 * ROWS_PER_BLOCK)
    assert sorted(found.start.tolist()) == sorted(next_block.start.tolist())


def test_every_document_is_read_once_before_any_is_read_twice(tokenizer, tmp_path):
    """Whole rows over one pass and a bit: documents without replacement, from several phases' worth of blocks."""
    lengths = list(range(5, 25)) * 20
    shards = shards_of_lengths(tmp_path / "s", tokenizer, {"eng_Latn": lengths})
    reader = reader_of(shards, context_length=32)
    draws = [int(reader.draws_before(block)[0]) for block in range(40)]
    size = int(reader.table.counts[0])
    block = next(number for number, done in enumerate(draws) if done > size)
    pieces = reader.pieces(0, block * ROWS_PER_BLOCK)
    starts, times = np.unique(pieces.start, return_counts=True)
    begins = [0, *itertools.accumulate(lengths)][:-1]
    assert set(begins) <= set(starts.tolist())
    assert set(times.tolist()) <= {1, 2} and (times == 2).mean() < 0.5
