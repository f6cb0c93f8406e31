"""Embedding into a file: equal bytes after a kill at any moment, equal vectors to encode, counted bad input."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest
import torch
from mmbert import load_embedder
from mmbert.embeddings import encode_to_file

TEXTS = [f"red river {' '.join(['stone'] * (number % 7))} {number}" for number in range(50)]

KILLED = """
import os, signal, sys
from mmbert import load_embedder
from mmbert.embeddings import encode_to_file
from mmbert.common import files
from mmbert.embeddings.encoding import to_file as vector_file

encoder, output, place = sys.argv[1:]
place = int(place)
texts = [f"red river {' '.join(['stone'] * (number % 7))} {number}" for number in range(50)]
die = lambda: os.kill(os.getpid(), signal.SIGKILL)

def stream():
    for number, text in enumerate(texts):
        if number == place:
            die()
        yield text

if place > 100:  # the steps of the end, one after the other
    steps, real = iter(range(101, 200)), vector_file.sync_to_disk
    def sync(path):
        real(path)
        if sync.armed and next(steps) == place:
            die()
    sync.armed = False
    vector_file.sync_to_disk = files.sync_to_disk = sync
    finish = vector_file.VectorFile.finish
    def armed(self, state):
        sync.armed = True
        if place == 107:  # the result has its name, the state is still there
            unlink = vector_file.Path.unlink
            vector_file.Path.unlink = lambda path, missing_ok=False: (
                die() if path == self._state else unlink(path, missing_ok=missing_ok)
            )
        finish(self, state)
    vector_file.VectorFile.finish = armed
encode_to_file(load_embedder(encoder, dtype="float32", device="cpu"), stream(), output, window=8)
"""


@pytest.fixture(scope="module")
def embedder(encoder):
    return load_embedder(encoder, dtype="float32", device="cpu")


def test_a_file_holds_what_encode_gives(embedder, tmp_path):
    done = encode_to_file(embedder, iter(TEXTS), tmp_path / "made" / "vectors.npy", window=8)
    mapped = np.load(done.path, mmap_mode="r")
    assert isinstance(mapped, np.memmap) and mapped.dtype == np.float32 and done.rows == 50
    np.testing.assert_allclose(mapped, embedder.encode(TEXTS), atol=1e-5)
    side = json.loads((tmp_path / "made" / "vectors.json").read_text())
    tokens = sum(len(embedder.tokenizer(text)["input_ids"]) for text in TEXTS)
    assert side["rows"] == 50 and side["tokens"] == done.tokens == tokens and side["conditions"]["dimensions"] == 48
    assert sorted(path.name for path in done.path.parent.iterdir()) == ["vectors.json", "vectors.npy"]


@pytest.mark.slow
@pytest.mark.parametrize("place", [3, 29, 101, 102, 103, 104, 105, 106, 107])
def test_a_killed_run_goes_on_to_equal_bytes(encoder, embedder, tmp_path, place):
    straight = encode_to_file(embedder, TEXTS, tmp_path / "straight.npy", window=8).path
    output = tmp_path / "killed.npy"
    command = [sys.executable, "-c", KILLED, str(encoder), str(output), str(place)]
    killed = subprocess.run(command, env={**os.environ, "OMP_NUM_THREADS": "1"}, capture_output=True, check=False)
    assert killed.returncode == -9
    done = encode_to_file(embedder, iter(TEXTS), output, window=8)
    ended = 106  # all was done: there is nothing to go on with
    assert done.resumed == (0 if place == ended else 50 if place > 100 else place // 8 * 8)
    assert output.read_bytes() == straight.read_bytes()
    assert output.with_suffix(".json").read_bytes() == straight.with_suffix(".json").read_bytes()
    assert len(list(tmp_path.iterdir())) == 4


class Stop(Exception):
    """Ends a run in the middle."""


def stopped(embedder, output, texts=TEXTS, **options):
    """Leave a run unfinished after 24 rows."""

    def stream():
        yield from texts[:30]
        raise Stop

    with pytest.raises(Stop):
        encode_to_file(embedder, stream(), output, window=8, **options)
    assert not output.exists()


def test_a_stopped_run_goes_on_twice(embedder, tmp_path):
    output = tmp_path / "v.npy"
    stopped(embedder, output)
    stopped(embedder, output)
    with (tmp_path / ".v.npy.partial").open("ab") as file:
        file.write(b"half a row")  # what a kill may leave beyond the rows that count
    done = encode_to_file(embedder, TEXTS, output, window=8)
    straight = encode_to_file(embedder, TEXTS, tmp_path / "straight.npy", window=8)
    assert done.resumed == 24 and output.read_bytes() == straight.path.read_bytes()


@pytest.mark.parametrize(
    "texts, options, message",
    [
        (["other", *TEXTS[1:]], {}, "was begun with other texts: the first 24 differ"),
        (TEXTS[:10], {}, "was begun with other texts"),
        (TEXTS, {"window": 16}, r"window\[0\] was 8 and is now 16"),
        (TEXTS, {"dtype": "float16"}, "dtype was float32 and is now float16"),
        (TEXTS, {"prompt": "old "}, "prompt was null and is now old "),
    ],
)
def test_a_run_is_not_continued_with_something_else(embedder, tmp_path, texts, options, message):
    output = tmp_path / "v.npy"
    stopped(embedder, output)
    with pytest.raises(ValueError, match=message) as caught:
        encode_to_file(embedder, texts, output, **{"window": 8, **options})
    assert "restart=True" in str(caught.value) and "\n" not in str(caught.value)
    assert encode_to_file(embedder, texts, output, restart=True, **options).rows == len(texts)


def test_a_run_is_not_continued_with_another_default_prompt(encoder, embedder, tmp_path):
    prompts = {"old": "old ", "red": "red "}
    old, red = (
        load_embedder(encoder, dtype="float32", device="cpu", prompts=prompts, default_prompt=name) for name in prompts
    )
    stopped(old, tmp_path / "v.npy")
    with pytest.raises(ValueError, match="begun under other conditions: prompt"):
        encode_to_file(red, TEXTS, tmp_path / "v.npy", window=8)
    # the same prompt, said in another way
    assert encode_to_file(embedder, TEXTS, tmp_path / "v.npy", window=8, prompt="old ").resumed == 24


def test_a_single_text_is_not_taken_for_its_characters(embedder, tmp_path):
    with pytest.raises(ValueError, match="an iterable of texts, got one str; put it in a list"):
        encode_to_file(embedder, "red river", tmp_path / "v.npy")
    assert not list(tmp_path.iterdir())


def test_a_run_is_not_continued_with_another_model(encoder, embedder, tmp_path):
    stopped(embedder, tmp_path / "v.npy")
    for other in ({"dtype": "bfloat16"}, {"dtype": "float32", "pooling": "cls"}):
        with pytest.raises(ValueError, match="under other conditions: model"):
            encode_to_file(load_embedder(encoder, device="cpu", **other), TEXTS, tmp_path / "v.npy", window=8)


@pytest.mark.parametrize("bad", [7, None, float("nan"), "\ud83d"])
def test_what_is_not_text_is_refused_or_a_counted_row_of_zeros(embedder, tmp_path, bad):
    texts = [*TEXTS[:10], bad, "", "  \n", "blue"]
    with pytest.raises(ValueError, match="text 10: "):
        encode_to_file(embedder, texts, tmp_path / "v.npy", window=8)
    done = encode_to_file(embedder, texts, tmp_path / "v.npy", window=8, on_bad_text="zero")
    vectors = np.load(done.path)
    assert (done.zeroed, done.blank, done.rows) == (1, 2, 14) and done.resumed == 8
    assert not vectors[10].any() and np.allclose(np.linalg.norm(np.delete(vectors, 10, 0), axis=1), 1, atol=1e-5)


@pytest.mark.parametrize(
    "change", [{"rows": "x"}, {"rows": None}, {"rows": -3}, {"conditions": []}, {"tokens": {}}], ids=str
)
def test_a_state_that_no_run_wrote_is_begun_anew(embedder, tmp_path, change):
    whole = np.load(encode_to_file(embedder, TEXTS[:9], tmp_path / "v.npy").path)
    state = json.loads((tmp_path / "v.json").read_text())
    (tmp_path / ".v.npy.partial").write_bytes((tmp_path / "v.npy").read_bytes())
    (tmp_path / ".v.json.partial").write_text(json.dumps({**state, **change}))
    done = encode_to_file(embedder, TEXTS[:9], tmp_path / "v.npy")
    assert done.resumed == 0 and (np.load(done.path) == whole).all()


def test_a_vector_that_is_not_finite_is_refused(encoder, tmp_path):
    broken = load_embedder(encoder, dtype="float32", device="cpu")
    plain = broken.encode
    broken.encode = lambda texts, **options: np.where(np.array(texts)[:, None] == TEXTS[9], np.nan, plain(texts))
    with pytest.raises(ValueError, match="the vector of text 9 is not finite; embed in float32"):
        encode_to_file(broken, TEXTS, tmp_path / "v.npy", window=8)
    assert not (tmp_path / "v.npy").exists()


@pytest.mark.parametrize("options", [{}, {"convert_to_tensor": True}, {"precision": "int8"}], ids=str)
def test_nor_is_one_given_back_by_encode(encoder, tmp_path, options):
    broken = load_embedder(encoder, dtype="float32", device="cpu")
    with torch.no_grad():  # as fp16 does with a weight that is too large for it
        broken[0].model.embeddings.tok_embeddings.weight[broken.tokenizer(TEXTS[9])["input_ids"][1]] = float("inf")
    kept = [text for text in TEXTS[:3] if not set(text.split()) & set(TEXTS[9].split())]
    for texts in (TEXTS[9], [*kept, TEXTS[9]]):
        with pytest.raises(ValueError, match=r"the vector of text \d+ is not finite; embed in float32"):
            broken.encode(texts, **options)
    with pytest.raises(ValueError, match=r"the vector of text \d+ is not finite"):
        encode_to_file(broken, TEXTS, tmp_path / "v.npy", window=8)


def test_a_json_file_of_the_user_is_not_overwritten(embedder, tmp_path):
    (tmp_path / "v.json").write_text('{"mine": 1}')
    with pytest.raises(ValueError, match=r"v\.json is no description of vectors and would be replaced"):
        encode_to_file(embedder, TEXTS, tmp_path / "v.npy")
    assert (tmp_path / "v.json").read_text() == '{"mine": 1}'
    encode_to_file(embedder, TEXTS[:3], tmp_path / "w.npy")
    assert encode_to_file(embedder, TEXTS[:2], tmp_path / "w.npy").rows == 2  # one of ours is


def test_two_runs_do_not_write_one_file(embedder, tmp_path):
    def texts():
        yield from TEXTS[:20]
        with pytest.raises(ValueError, match=r"v\.npy is being written by another run"):
            encode_to_file(embedder, TEXTS, tmp_path / "v.npy", window=8)
        encode_to_file(embedder, TEXTS, tmp_path / "other.npy", window=8)
        yield from TEXTS[20:]

    done = encode_to_file(embedder, texts(), tmp_path / "v.npy", window=8)
    np.testing.assert_allclose(np.load(done.path), embedder.encode(TEXTS), atol=1e-5)


def test_no_text_is_a_file_of_no_rows_and_half_precision_a_smaller_file(embedder, tmp_path):
    assert np.load(encode_to_file(embedder, [], tmp_path / "v.npy").path).shape == (0, 48)
    half = np.load(encode_to_file(embedder, TEXTS, tmp_path / "h.npy", dtype="float16").path)
    assert half.dtype == np.float16
    np.testing.assert_allclose(half, embedder.encode(TEXTS), atol=1e-3)


@pytest.mark.parametrize(
    "options, message",
    [
        ({"window": 0}, "window must be at least 1 text"),
        ({"dtype": "int8"}, "dtype='int8' is none of float32, float16"),
        ({"on_bad_text": "drop"}, "on_bad_text='drop' is none of raise, zero"),
        ({"output": "v.txt"}, "output must end in .npy"),
        ({"output": "file/v.npy"}, "cannot write"),
    ],
)
def test_options_out_of_range_are_refused(embedder, tmp_path, options, message):
    (tmp_path / "file").write_text("not a folder")
    options = {"output": "v.npy", **options}
    with pytest.raises(ValueError, match=message):
        encode_to_file(embedder, TEXTS, tmp_path / options.pop("output"), **options)
