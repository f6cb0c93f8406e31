"""The stream: a batch is a function of its position, whoever asks, however it is cut."""

import itertools
import shutil
from collections import Counter

import numpy as np
import pytest
import torch
from mmbert.data import MlmStream, PackedCollator, TokenShards
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


GROWING = """
    tokens: 81920
    batch_warmup_rows: 6
    batch_warmup_tokens: 8192"""


def test_a_growing_batch_is_the_same_for_any_ranks_workers_and_accumulation(recipe, shards, tokenizer, tmp_path):
    """Batch warm-up: steps of 6, 12, ... rows; every cut reads the rows of each step once, and none twice."""
    text = (
        (tmp_path / "tiny.yaml")
        .read_text()
        .replace("    tokens: 4096\n    batch_rows: 16", GROWING[1:] + "\n    batch_rows: 40", 1)
    )
    (tmp_path / "growing.yaml").write_text(text)
    growing = Recipe.from_yaml(tmp_path / "growing.yaml")
    one = MlmStream(growing, shards, tokenizer)
    rows = [one.schedule.at(step).phase.batches.rows_at(step) for step in range(20)]
    assert rows[0] == 6 and rows[-1] == 40 and len(set(rows)) > 5
    steps = [*range(20), one.schedule.steps - 1]
    expected = [whole_step(one, step) for step in steps]
    seen = Counter()
    for step in range(20):
        seen += expected[step]
    assert sum(seen.values()) == sum(len(one[step].lengths) for step in range(20))
    for parts in (2, 3, 6):
        cut = MlmStream(growing, shards, tokenizer, parts=parts)
        assert [whole_step(cut, step) for step in steps] == expected


@pytest.mark.parametrize(("before", "after"), [((1, 4), (4, 1)), ((2, 2), (3, 1)), ((4, 2), (1, 1))])
def test_another_world_size_goes_on_with_the_same_batches(recipe, shards, tokenizer, before, after):
    """(ranks, accumulation) change after step 5; ranks take items in turn, as accelerate's loader shares them."""

    def batches(layout, steps):
        ranks, accumulation = layout
        stream = MlmStream(recipe, shards, tokenizer, parts=ranks * accumulation)
        for step in steps:
            items = []
            for micro, rank in itertools.product(range(accumulation), range(ranks)):
                item = stream[(step * accumulation + micro) * ranks + rank]
                assert item.step == step
                items.append(item)
            yield np.concatenate([item.input_ids for item in items]), np.concatenate([item.labels for item in items])

    straight = list(batches((1, 1), range(16)))
    changed = [*batches(before, range(5)), *batches(after, range(5, 16))]
    for one, other in zip(straight, changed, strict=True):
        assert all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))


def test_any_position_is_read_without_those_before_it(recipe, shards, tokenizer):
    forwards = MlmStream(recipe, shards, tokenizer, variant="decay-all")
    items = [forwards[i] for i in range(len(forwards))]
    for index in (23, 3, 11):
        alone = MlmStream(recipe, shards, tokenizer, variant="decay-all")[index]
        assert np.array_equal(alone.input_ids, items[index].input_ids)
        assert np.array_equal(alone.labels, items[index].labels)


@pytest.mark.parametrize("workers", [0, 2])
def test_workers_change_nothing(stream, workers):
    loader = DataLoader(stream, batch_size=1, num_workers=workers, collate_fn=PackedCollator())
    for index, batch in enumerate(itertools.islice(loader, 24)):
        assert torch.equal(batch["input_ids"][0], torch.from_numpy(stream[index].input_ids))
        assert torch.equal(batch["labels"][0], torch.from_numpy(stream[index].labels))


def test_languages_enter_with_their_phase(stream):
    seen = [set(), set(), set()]
    for index in range(len(stream)):
        item = stream[index]
        seen[stream.schedule.at(item.step).index] |= {stream.languages[i] for i in item.languages}
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

    borders = [scheduled.first_step for scheduled in stream.schedule.scheduled_phases]
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
        limit = stream.schedule.at(item.step).phase.context_length
        assert item.lengths.max() <= limit
        for start, end in zip(ends - item.lengths, ends, strict=True):
            assert original[start] == 2 and original[end - 1] == 1  # <bos> ... <eos>, both unmasked
            assert item.labels[start] == item.labels[end - 1] == -100
            is_whole = original[start + 1 : end - 1].tobytes() in known
            whole, pieces = whole + is_whole, pieces + (not is_whole)
    assert whole > 20 * pieces  # only the rare sentence longer than the context is cut


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


def test_a_word_that_the_tokenizer_lacks_names_the_language(recipe, shards, tokenizer, tmp_path):
    copy = shutil.copytree(shards.directory, tmp_path / "copy")
    tokens = np.memmap(copy / "deu_Latn.tokens", dtype="<u4", mode="r+")
    tokens[:] = len(tokenizer)
    tokens.flush()
    stream = MlmStream(recipe, TokenShards(copy, verify=False), tokenizer)
    with pytest.raises(
        ValueError, match=rf"token id {len(tokenizer)} in the shard of deu_Latn .* tokenizer's 600 tokens"
    ):
        stream[0]
