"""The stream: a batch is a function of its position, whoever asks, however it is cut."""

import itertools
from collections import Counter

import numpy as np
import pytest
import torch
from mmbert.data import MlmStream, PackedCollator, write_shards
from mmbert.data.phase_reader import ROWS_A_BLOCK
from mmbert.recipes import Recipe
from tests_support import documents
from torch.utils.data import DataLoader


@pytest.fixture
def stream(recipe, shards, tokenizer):
    return MlmStream(recipe, shards, tokenizer, variant="decay-all")


def whole_step(stream, step):
    """All sequences of a step as hashable values, in no order."""
    found = Counter()
    for index in range(step * stream.parts, (step + 1) * stream.parts):
        item = stream[index]
        ends = np.cumsum(item.lengths)
        for start, end, language in zip(ends - item.lengths, ends, item.languages, strict=True):
            found[(item.input_ids[start:end].tobytes(), item.labels[start:end].tobytes(), int(language))] += 1
    return found


@pytest.mark.parametrize("parts", [1, 2, 3, 8])
def test_a_step_is_the_same_however_it_is_cut(recipe, shards, tokenizer, parts):
    one = MlmStream(recipe, shards, tokenizer, variant="decay-all")
    cut = MlmStream(recipe, shards, tokenizer, variant="decay-all", parts=parts)
    assert len(cut) == 24 * parts
    for step in (0, 7, 8, 15, 16, 23):
        assert whole_step(one, step) == whole_step(cut, step)


def test_any_position_is_read_without_those_before_it(recipe, shards, tokenizer):
    forwards = MlmStream(recipe, shards, tokenizer, variant="decay-all")
    items = [forwards[i] for i in range(len(forwards))]
    for index in (23, 3, 11):
        alone = MlmStream(recipe, shards, tokenizer, variant="decay-all")[index]
        assert np.array_equal(alone.input_ids, items[index].input_ids)
        assert np.array_equal(alone.labels, items[index].labels)


@pytest.mark.parametrize("workers", [0, 2])
def test_workers_change_nothing(stream, workers):
    loader = DataLoader(stream, batch_size=1, num_workers=workers, collate_fn=PackedCollator(witness=True))
    for index, batch in enumerate(itertools.islice(loader, 24)):
        assert batch["step"].tolist() == [index]
        assert torch.equal(batch["input_ids"][0], torch.from_numpy(stream[index].input_ids))
        assert torch.equal(batch["labels"][0], torch.from_numpy(stream[index].labels))


def test_languages_enter_with_their_phase(stream):
    seen = [set(), set(), set()]
    for index in range(len(stream)):
        item = stream[index]
        seen[stream.road.at(item.step).index] |= {stream.languages[i] for i in item.languages}
    assert seen[0] == {"eng_Latn", "deu_Latn"}
    assert seen[1] == {"eng_Latn", "deu_Latn", "rus_Cyrl"}
    assert seen[2] == set(stream.languages)


def test_masking_falls_at_the_exact_step(recipe, shards, tokenizer, tmp_path):
    text = (tmp_path / "tiny.yaml").read_text().replace("tokens: 4096", "tokens: 131072")
    (tmp_path / "long.yaml").write_text(text.replace("batch_rows: 16", "batch_rows: 256").replace(": 8\n", ": 128\n"))
    stream = MlmStream(Recipe.from_yaml(tmp_path / "long.yaml"), shards, tokenizer, variant="decay-all")

    def ratio(step):
        item = stream[step]
        ordinary = item.input_ids.size - 2 * len(item.lengths)
        return (item.labels != -100).sum() / ordinary

    borders = [stretch.first_step for stretch in stream.road.stretches]
    for border, before, after in ((borders[1], 0.3, 0.15), (borders[2], 0.15, 0.05)):
        assert ratio(border - 1) == pytest.approx(before, abs=0.02)
        assert ratio(border) == pytest.approx(after, abs=0.02)


def test_sequences_are_whole_documents_with_their_specials(stream, shards):
    known = {
        shards.tokens(language)[a:b].astype(np.int64).tobytes()
        for language in shards.languages
        for a, b in itertools.pairwise(shards.offsets(language))
    }
    whole = pieces = 0
    for index in range(len(stream)):
        item = stream[index]
        original = np.where(item.labels == -100, item.input_ids, item.labels)
        ends = np.cumsum(item.lengths)
        limit = stream.road.at(item.step).phase.context_length
        assert item.lengths.max() <= limit
        for start, end in zip(ends - item.lengths, ends, strict=True):
            assert original[start] == 2 and original[end - 1] == 1  # <bos> ... <eos>, both unmasked
            assert item.labels[start] == item.labels[end - 1] == -100
            is_whole = original[start + 1 : end - 1].tobytes() in known
            whole, pieces = whole + is_whole, pieces + (not is_whole)
    assert whole > 20 * pieces  # only the rare sentence longer than the context is cut


def test_a_pass_visits_every_document_once(stream, shards):
    """Without replacement: the first n draws of a language with n chunks are n different chunks."""
    table = stream.readers[2].table
    for number, language in enumerate(table.languages):
        size = int(table.counts[number])
        first = [table.locate(np.full(size, number), np.arange(size) + k * size) for k in (0, 1)]
        for start, length in first:
            assert len(set(start.tolist())) == size
            assert length.sum() == shards.token_counts[language]
        assert size < 3 or not np.array_equal(first[0][0], first[1][0])  # another order in the next pass


@pytest.mark.parametrize("phase", [0, 1, 2])
def test_seen_shares_meet_their_targets(stream, phase):
    """Over many blocks the tokens of a language come to within a hundredth of its share."""
    reader = stream.readers[phase]
    blocks = 400
    draws = reader.draws_before(blocks) - reader.draws_before(0)
    tokens = draws * reader.table.mean_length
    for share, target in zip(tokens / tokens.sum(), reader.shares.values(), strict=True):
        assert share == pytest.approx(target, rel=0.01)
    assert tokens.sum() == pytest.approx(blocks * ROWS_A_BLOCK * reader.phase.context_length, rel=0.01)


def test_rows_are_equally_full(stream):
    reader = stream.readers[0]
    tokens = np.array([(length + 2).sum() for _, _, length in reader.rows(0, 640)])
    assert tokens.mean() == pytest.approx(32, rel=0.03)
    assert (tokens > 0).all()
    assert tokens.max() <= 2 * 32


def test_documents_as_long_as_a_row_leave_no_row_empty(tokenizer, tmp_path, recipe):
    from mmbert.data import Document

    long = [Document("eng_Latn", "house river " * 40, "x"), Document("deu_Latn", "Haus Fluss " * 40, "x")]
    shards = write_shards([*long * 3, *documents(scale=0.02)], tokenizer, tmp_path / "long")
    reader = MlmStream(recipe, shards, tokenizer).readers[0]
    for _, _, length in reader.rows(0, 4 * ROWS_A_BLOCK):
        assert len(length) > 0 and length.min() > 0


def test_a_far_position_is_as_quick_as_the_first(recipe, shards, tokenizer, tmp_path):
    (tmp_path / "far.yaml").write_text((tmp_path / "tiny.yaml").read_text().replace("tokens: 4096", "tokens: 600B"))
    stream = MlmStream(Recipe.from_yaml(tmp_path / "far.yaml"), shards, tokenizer, variant="decay-all")
    assert len(stream) > 10**9
    item = stream[10**9]
    assert item.step == 10**9 and item.lengths.min() > 2


def test_the_collator_packs_without_padding(stream):
    batch = PackedCollator()([stream[0], stream[1]])
    assert set(batch) == {"input_ids", "labels", "cu_seq_lens_q", "cu_seq_lens_k", "max_length_q", "max_length_k"}
    boundaries = batch["cu_seq_lens_q"]
    assert batch["input_ids"].shape == batch["labels"].shape == (1, int(boundaries[-1]))
    assert boundaries[0] == 0 and boundaries.dtype == torch.int32
    assert batch["max_length_q"] == int(torch.diff(boundaries).max())
    assert (batch["input_ids"] != 0).all()
    with pytest.raises(ValueError, match="at least one item"):
        PackedCollator()([])


def test_bad_input(recipe, shards, tokenizer, tmp_path):
    import mmbert

    other = mmbert.train_tokenizer([d.text for d in documents()], 400)
    with pytest.raises(ValueError, match="come from another tokenizer"):
        MlmStream(recipe, shards, other)
    with pytest.raises(ValueError, match=r"cut into 9 parts, but phase 'midtrain' has 8 rows in its first step"):
        MlmStream(recipe, shards, tokenizer, parts=9)
    text = (tmp_path / "tiny.yaml").read_text().replace("rus_Cyrl", "rus_Latn")
    (tmp_path / "typo.yaml").write_text(text)
    with pytest.raises(ValueError, match=r"phase 'midtrain' reads rus_Latn, of which .* near it are .*rus_Cyrl"):
        MlmStream(Recipe.from_yaml(tmp_path / "typo.yaml"), shards, tokenizer)
    with pytest.raises(IndexError):
        MlmStream(recipe, shards, tokenizer)[16]
