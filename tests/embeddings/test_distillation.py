"""Learning from a teacher: vectors kept and resumed, the closed form, students that beat their start, bad input."""

import json
import random
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, HTTPServer

import numpy as np
import pytest
import torch
from mmbert import load_embedder
from mmbert.embeddings import (
    LabelStore,
    distil_embedder,
    distil_static,
    encode_to_file,
    label_texts,
    open_teacher,
    preset,
    read_distillation_rows,
)
from mmbert.embeddings.training.distillation.losses import DistillationLoss
from mmbert.embeddings.training.distillation.ridge import bag_of_tokens, fit_tokens
from mmbert.embeddings.training.distillation.static_start import start_from_tokens
from mmbert.modeling import train_tokenizer
from safetensors.torch import load_file
from sentence_transformers import SentenceTransformer

WORDS = "red blue old new small big river house tree dog bread snow night stone road fire".split()
SENSE = np.random.default_rng(7).standard_normal((len(WORDS), 12)).astype(np.float32)


def sense(text):
    """A teacher that can be learned: the mean of fixed vectors of the words."""
    return SENSE[[WORDS.index(word) for word in text.split() if word in WORDS] or [0]].mean(axis=0)


def sentences(count, seed=0):
    draw = random.Random(seed)
    return list(dict.fromkeys(" ".join(draw.choices(WORDS, k=draw.randint(2, 6))) for _ in range(count)))


class Counting:
    """A teacher that counts what it is asked for, and may fail."""

    def __init__(self, fail_after=None, width=12, bad=None):
        self.identity = {"toy": 1}
        self.asked, self.fail_after, self.width, self.bad = 0, fail_after, width, bad

    def stream(self, texts, window):
        for text in texts:
            if self.asked == self.fail_after:
                raise ValueError("the toy teacher broke")
            self.asked += 1
            row = sense(text)[: self.width].copy()
            if text == self.bad:
                row[1] = np.nan
            yield row[None]


@pytest.fixture
def script(tmp_path):
    """A command that gives a vector of each text: its length, its words, a constant."""

    def write(body):
        path = tmp_path / "teach.py"
        path.write_text(f"import json, sys\ndef vector(text): return [len(text), len(text.split()), 1.5]\n{body}\n")
        return f"command:{sys.executable} {path}"

    return write


ECHO = """for line in sys.stdin:
    row = json.loads(line)
    print(json.dumps({"id": row["id"], "embedding": vector(row["text"])}))"""


# --- labels on disk


def test_each_text_is_asked_for_once_and_found_again_in_any_order(tmp_path):
    texts, teacher = sentences(40), Counting()
    label_texts(teacher, texts, tmp_path / "labels")
    again = label_texts(teacher, [*reversed(texts), *texts, "snow stone"], tmp_path / "labels")
    assert teacher.asked == len(set(texts) | {"snow stone"})
    found = again.vectors()[again.rows(texts)]
    assert isinstance(again.vectors(), np.memmap)
    np.testing.assert_allclose(found, [sense(text) for text in texts], rtol=1e-3, atol=1e-3)


def test_a_teacher_that_breaks_loses_nothing_and_the_same_call_goes_on(tmp_path):
    texts = sentences(60)
    with pytest.raises(ValueError, match=r"broke; 25 of \d+ new vectors are kept in .*start the same command again"):
        label_texts(Counting(fail_after=25), texts, tmp_path / "labels")
    second = Counting()
    store = label_texts(second, texts, tmp_path / "labels")
    assert second.asked == len(texts) - 25 and len(store) == len(texts)


@pytest.mark.parametrize(("name", "cut"), [("vectors.f16", 5), ("texts.digests", 7), ("vectors.f16", 24)])
def test_what_a_kill_tore_is_asked_for_again(tmp_path, name, cut):
    texts = sentences(30)
    label_texts(Counting(), texts, tmp_path / "labels")
    whole = {path.name: path.read_bytes() for path in (tmp_path / "labels").iterdir()}
    file = tmp_path / "labels" / name
    file.write_bytes(file.read_bytes()[:-cut])
    second = Counting()
    label_texts(second, texts, tmp_path / "labels")
    assert second.asked == 1
    assert {path.name: path.read_bytes() for path in (tmp_path / "labels").iterdir()} == whole


def test_vectors_that_are_no_numbers_are_refused_with_their_text(tmp_path):
    texts = sentences(20)
    with pytest.raises(ValueError, match=rf"{texts[7]!r}.*NaN.*; 7 of \d+ new vectors are kept"):
        label_texts(Counting(bad=texts[7]), texts, tmp_path / "labels")


def test_another_teacher_or_width_does_not_mix(tmp_path):
    texts = sentences(20)
    label_texts(Counting(), texts, tmp_path / "labels")
    with pytest.raises(ValueError, match=r"gives vectors of 8 dimensions, .* holds 12"):
        label_texts(Counting(width=8), [*texts, "dog dog dog"], tmp_path / "labels")
    other = Counting()
    other.identity = {"toy": 2}
    with pytest.raises(ValueError, match=r"vectors of another teacher: teacher\.toy was 1 and is now 2"):
        label_texts(other, texts, tmp_path / "labels")
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "mine.txt").write_text("keep")
    with pytest.raises(ValueError, match=r"holds no teacher.json but other files"):
        LabelStore(tmp_path / "notes")


# --- kinds of teachers


def ask(name, texts):
    return np.concatenate(list(open_teacher(name).stream(texts, 4)))


@pytest.mark.parametrize(
    "body", [ECHO, "rows = [json.loads(line) for line in sys.stdin]\nfor row in rows: print(vector(row['text']))"]
)
def test_a_command_may_answer_line_by_line_or_after_it_read_all(script, body):
    texts = ["two\nlines", "grün", *sentences(30)]
    expected = [[len(text), len(text.split()), 1.5] for text in texts]
    np.testing.assert_array_equal(ask(script(body), texts), expected)


def test_a_command_may_read_plain_lines(tmp_path):
    path = tmp_path / "plain.py"
    path.write_text("import sys\nfor line in sys.stdin: print([len(line.rstrip('\\n')), 2])")
    np.testing.assert_array_equal(ask(f"lines:{sys.executable} {path}", ["a\nb", "four"]), [[3, 2], [4, 2]])


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (
            "for n, line in enumerate(sys.stdin):\n    print([1, 2])\n    if n == 4: sys.exit('out of memory')",
            r"status 1 after 5 of 9 texts \(out of memory\); 5 of 9",
        ),
        ("for line in sys.stdin: pass", "status 0 after 0 of 9 texts; 0 of 9"),
        ("print('hello')", "line 1 of the teacher command is no JSON vector: 'hello'"),
        ("print(3)", "line 1 of the teacher command is no list of numbers, got 3"),
        ("print([1, 2]); print([1, 2, 3])", "line 2 of the teacher command has 3 numbers, the line before 2; 1 of 9"),
        (
            "for n in range(9): print(json.dumps({'id': 8 - n, 'vector': [1, 2]}))",
            "answered text 0 with the vector of id 8; it must keep the order",
        ),
        ("for n in range(99): print([1, 2])", "more lines than the 9 texts"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", "ended by signal 9 after 0 of 9 texts"),
    ],
)
def test_a_command_that_fails_says_so_in_one_line(script, tmp_path, body, message):
    texts = [f"text {n}" for n in range(9)]
    with pytest.raises(ValueError, match=message) as told:
        label_texts(open_teacher(script(body)), texts, tmp_path / "labels")
    assert "\n" not in str(told.value)


class Endpoint(BaseHTTPRequestHandler):
    busy, asked = 0, []

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        Endpoint.asked.append((self.path, body.get("model"), len(body["input"])))
        if Endpoint.busy:
            Endpoint.busy -= 1
            self.send_error(503)
            return
        code = 404 if body.get("model") == "none" else 200
        rows = [{"index": n, "embedding": [len(text), 1.0]} for n, text in enumerate(body["input"])]
        content = json.dumps({"data": rows[::-1]} if code == 200 else {"error": "no such model"}).encode()
        self.send_response(code)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *args):
        pass


@pytest.fixture
def endpoint():
    Endpoint.busy, Endpoint.asked = 0, []
    server = HTTPServer(("127.0.0.1", 0), Endpoint)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_an_endpoint_is_asked_in_batches_and_again_when_it_is_busy(endpoint):
    Endpoint.busy = 2
    texts = ["a" * n for n in range(1, 7)]
    teacher = open_teacher(f"{endpoint}?model=tiny&batch=4")
    teacher._wait = 0.01
    np.testing.assert_array_equal(np.concatenate(list(teacher.stream(texts, 6))), [[n, 1] for n in range(1, 7)])
    assert Endpoint.asked == [("/v1/embeddings", "tiny", 4)] * 3 + [("/v1/embeddings", "tiny", 2)]
    with pytest.raises(ValueError, match=r"/v1/embeddings answered 404 Not Found: .*no such model"):
        list(open_teacher(f"{endpoint}/v1?model=none").stream(texts, 6))
    closed = open_teacher("http://127.0.0.1:9")
    closed._wait = 0.0
    with pytest.raises(ValueError, match="cannot be reached"):
        list(closed.stream(texts, 6))
    with pytest.raises(ValueError, match="'modle' is unknown"):
        open_teacher(f"{endpoint}?modle=x")


@pytest.fixture
def files(tmp_path, encoder):
    """Vectors that `encode_to_file` wrote, their texts, and the same in other forms."""
    import pyarrow as pa
    from pyarrow import parquet
    from safetensors.numpy import save_file

    texts = sentences(30)
    (tmp_path / "texts.txt").write_text("\n".join(texts) + "\n")
    embedder = load_embedder(encoder, dtype="float32", device="cpu")
    encode_to_file(embedder, texts, tmp_path / "v.npy")
    vectors = np.load(tmp_path / "v.npy")
    digest = json.loads((tmp_path / "v.json").read_text())["texts"]
    save_file({"vectors": vectors}, tmp_path / "v.safetensors", metadata={"texts": digest})
    parquet.write_table(pa.table({"text": texts, "embedding": list(vectors)}), tmp_path / "v.parquet")
    np.save(tmp_path / "bare.npy", vectors)
    return tmp_path, texts, vectors


@pytest.mark.parametrize("name", ["v.npy?texts=", "v.safetensors?texts=", "v.parquet", "bare.npy?texts="])
def test_vectors_of_a_file_belong_to_their_texts(files, name):
    folder, texts, vectors = files
    place = f"{folder}/{name}" + (f"{folder}/texts.txt" if name.endswith("=") else "")
    np.testing.assert_array_equal(ask(place, texts[::-1]), vectors[::-1])
    with pytest.raises(ValueError, match="has no vector of 1 texts, such as 'unknown'"):
        ask(place, [*texts, "unknown"])


@pytest.mark.parametrize("name", ["v.npy", "v.safetensors"])
def test_another_order_of_the_texts_is_seen(files, name):
    folder, texts, _ = files
    (folder / "other.txt").write_text("\n".join(texts[::-1]) + "\n")
    with pytest.raises(ValueError, match="in another order: their fingerprint differs"):
        open_teacher(f"{folder}/{name}?texts={folder}/other.txt")
    (folder / "short.txt").write_text("\n".join(texts[:-1]) + "\n")
    with pytest.raises(ValueError, match=f"has {len(texts)} vectors, its texts are {len(texts) - 1}"):
        open_teacher(f"{folder}/{name}?texts={folder}/short.txt")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("python label.py", "write command:python label.py if it is a command"),
        ("command:", "the teacher command is empty"),
        ("command:'a b", "no closing quotation"),
        ("absent.npy?texts=t.txt", "absent.npy is no file of vectors"),
        ("http://me:secret@host/v1", "leave it out and set OPENAI_API_KEY"),
        ("no_such_folder", "no_such_folder is no folder of a saved model"),
    ],
)
def test_what_is_no_teacher_is_refused(name, message):
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        open_teacher(name)


def test_a_file_without_texts_or_of_another_shape_is_refused(tmp_path):
    np.save(tmp_path / "v.npy", np.ones((3, 2), np.float32))
    with pytest.raises(ValueError, match=r"name them: v.npy\?texts=FILE"):
        open_teacher(str(tmp_path / "v.npy"))
    np.save(tmp_path / "flat.npy", np.ones(3, np.float32))
    with pytest.raises(ValueError, match=r"shape \(3,\)"):
        open_teacher(f"{tmp_path}/flat.npy?texts=x")


# --- the closed form


def test_the_table_is_the_one_of_the_normal_equations():
    draw = np.random.default_rng(0)
    from scipy.sparse import csr_matrix

    shares = draw.random((60, 9)) * (draw.random((60, 9)) < 0.4) + 1e-3
    shares /= shares.sum(axis=1, keepdims=True)
    targets = draw.standard_normal((60, 4))
    weights = draw.random(60)
    table, mean = fit_tokens(
        csr_matrix(shares.astype(np.float32)), targets, ridge=0.3, steps=200, tolerance=1e-7, weights=weights
    )
    square = np.sqrt(weights)[:, None]
    centre = np.average(targets, axis=0, weights=weights)
    stacked = np.vstack([square * shares, np.sqrt(0.3) * np.eye(9)])
    expected = np.linalg.lstsq(stacked, np.vstack([square * (targets - centre), np.zeros((9, 4))]), rcond=None)[0]
    np.testing.assert_allclose(mean, centre, atol=1e-5)
    np.testing.assert_allclose(table, expected, atol=2e-4)


def test_bags_count_tokens_as_shares_without_special_ones(toy_tokenizer):
    texts = ["red river red", "", "dog"]
    bags = bag_of_tokens(toy_tokenizer, texts, len(toy_tokenizer)).toarray()
    ids = toy_tokenizer(texts, add_special_tokens=False)["input_ids"]
    for row, own in zip(bags, ids, strict=True):
        expected = np.bincount(own, minlength=len(toy_tokenizer)) / max(len(own), 1)
        np.testing.assert_allclose(row, expected, atol=1e-6)


@pytest.fixture
def rows(tmp_path):
    path = tmp_path / "sentences.txt"
    path.write_text("\n".join(sentences(400)) + "\n")
    return read_distillation_rows(str(path))


def test_a_static_embedder_loads_in_plain_sentence_transformers(rows, toy_tokenizer, tmp_path):
    train, dev = rows.split(40)
    report = distil_static(
        toy_tokenizer, train, tmp_path / "table", teacher=Counting(), labels=tmp_path / "labels", dev=dev,
        settings=preset("distilled"), ridge=0.01,
    )  # fmt: skip
    assert report.scores[0][1]["dev_teacher_cosine"] > 0.98, "word means are what a table can say"
    texts = [row[1] for row in dev.pairs.rows]
    found = SentenceTransformer(str(tmp_path / "table"), device="cpu").encode(texts)
    wanted = np.asarray([sense(text) for text in texts])
    wanted /= np.linalg.norm(wanted, axis=1, keepdims=True)
    assert (found * wanted).sum(axis=1).mean() > 0.98


def test_a_student_begins_as_the_table_does(encoder, toy_tokenizer):
    texts = sentences(80)
    bags = bag_of_tokens(toy_tokenizer, texts, len(toy_tokenizer))
    table, mean = fit_tokens(bags, np.asarray([sense(text) for text in texts]), ridge=0.1)
    embedder = load_embedder(encoder, dtype="float32", device="cpu")
    kept = start_from_tokens(embedder, table, mean, np.asarray(bags.sum(axis=0)).ravel())
    assert kept == pytest.approx(1.0), "12 dimensions fit into a width of 48"
    wanted = bags @ (table + mean)
    wanted /= np.linalg.norm(wanted, axis=1, keepdims=True)
    near = (embedder.encode(texts) * wanted).sum(axis=1)
    assert near.min() > 0.99 and np.median(near) > 0.9999, "but for the longest token's cut"
    size = embedder[2].linear.weight.square().mean().sqrt().item()
    assert size == pytest.approx(48**-0.5), "as large as a new layer's weights: steps of Adam do not spoil it"


# --- losses


def vectors(seed=0, rows=6, width=5):
    torch.manual_seed(seed)
    return torch.randn(rows, width), torch.randn(rows, width)


def loss_of(parts, student, teacher, **options):
    return DistillationLoss(torch.nn.Identity(), None, parts, **options).of_vectors(student, teacher)


def test_parts_equal_the_losses_of_sentence_transformers():
    from sentence_transformers.sentence_transformer.losses import EmbedDistillLoss, MultipleNegativesRankingLoss

    student, teacher = vectors()
    for part, metric in (("cosine", "cosine"), ("mse", "mse")):
        stock = EmbedDistillLoss(SentenceTransformer(modules=[torch.nn.Identity()]), distance_metric=metric)
        expected = stock.compute_loss_from_embeddings([student], [teacher])
        torch.testing.assert_close(loss_of({part: 1.0}, student, teacher), expected)
    ranking = MultipleNegativesRankingLoss(SentenceTransformer(modules=[torch.nn.Identity()]), scale=20)
    expected = ranking.compute_loss_from_embeddings([student, teacher], None)
    torch.testing.assert_close(loss_of({"contrastive": 1.0}, student, teacher, margin=0.0), expected)
    mixed = loss_of({"cosine": 2.0, "contrastive": 0.5}, student, teacher, margin=0.0)
    torch.testing.assert_close(mixed, 2 * loss_of({"cosine": 1.0}, student, teacher) + 0.5 * expected)


def test_similarities_are_compared_by_their_distributions():
    student, teacher = vectors()
    expected = 0.0
    for n in range(len(student)):
        others = [m for m in range(len(student)) if m != n]
        mine, theirs = (
            torch.softmax(torch.cosine_similarity(x[n][None], x[others]) / 0.1, dim=0) for x in (student, teacher)
        )
        expected += float((theirs * (theirs / mine).log()).sum()) / len(student)
    assert float(loss_of({"kl": 1.0}, student, teacher, temperature=0.1)) == pytest.approx(expected, rel=1e-4)
    assert float(loss_of({"kl": 1.0}, teacher, teacher)) == pytest.approx(0.0, abs=1e-6)


def test_wrong_answers_that_the_teacher_finds_right_are_left_out():
    student, teacher = vectors()
    teacher[3] = teacher[0] + 1e-3
    kept = [0, 1, 2, 4, 5]
    both = loss_of({"contrastive": 1.0}, student, teacher, margin=0.05)
    scores = torch.nn.functional.normalize(student, dim=1) @ torch.nn.functional.normalize(teacher, dim=1).T / 0.05
    first = torch.nn.functional.cross_entropy(scores[[0]][:, kept], torch.tensor([0]))
    scores[0, 3] = scores[3, 0] = -torch.inf
    torch.testing.assert_close(both, torch.nn.functional.cross_entropy(scores, torch.arange(6)))
    torch.testing.assert_close(first, torch.nn.functional.cross_entropy(scores[[0]], torch.tensor([0])))


# --- rows, and the whole way


def test_translations_learn_the_vector_of_the_pivot(tmp_path):
    import pyarrow as pa
    from pyarrow import parquet

    table = {
        "line": [0, 0, 1, 1],
        "lang": ["eng_Latn", "toy_Latn"] * 2,
        "text": ["red dog", "rud dag", "old tree", "eld bom"],
    }
    parquet.write_table(pa.table(table), tmp_path / "parallel.parquet")
    (tmp_path / "single.jsonl").write_text('{"s": "big snow", "language": "eng_Latn"}\n')
    rows = read_distillation_rows(
        f"{tmp_path}/parallel.parquet?key=line&text=text&language=lang", f"{tmp_path}/single.jsonl?text=s"
    )
    assert set(rows.pairs.rows) == {
        ("red dog", "red dog"), ("red dog", "rud dag"), ("old tree", "old tree"), ("old tree", "eld bom"),
        ("big snow", "big snow"),
    }  # fmt: skip
    assert rows.teacher_texts == ["red dog", "old tree", "big snow"]
    assert set(rows.teacher_languages.values()) == {"eng_Latn"}
    (tmp_path / "bare.csv").write_text("text,topic\nbig snow,1\nold road,2\n")
    assert read_distillation_rows(f"{tmp_path}/bare.csv").teacher_texts == ["big snow", "old road"]
    kept = read_distillation_rows(f"{tmp_path}/parallel.parquet?key=line&text=text&language=lang", exclude=["eld bom"])
    assert len(kept) == 3 and kept.pairs.skipped["excluded"] == 1


def test_a_student_beats_its_start_and_the_loss_falls(encoder, rows, tmp_path):
    train, dev = rows.split(40)
    report = distil_embedder(
        encoder, train, tmp_path / "student", teacher=Counting(), labels=tmp_path / "labels", dev=dev,
        settings=preset("distilled", batch_size=32, learning_rate=3e-3, max_seq_length=32), max_steps=40, device="cpu",
        loss={"cosine": 1.0, "kl": 0.2, "contrastive": 0.1},
    )  # fmt: skip
    before, after = report.scores[0][1], report.scores[-1][1]
    assert after["dev_teacher_cosine"] > 0.8 > before["dev_teacher_cosine"] + 0.4
    assert after["dev_accuracy@1"] > before["dev_accuracy@1"]
    assert report.losses[-1][1] < 0.6 * report.losses[0][1]
    assert "dev_teacher_cosine" in report.table()
    texts = [row[1] for row in dev.pairs.rows]
    stock = SentenceTransformer(str(tmp_path / "student"), device="cpu").encode(texts)
    assert stock.shape == (len(texts), 12), "a linear layer leads to the teacher's width"
    np.testing.assert_allclose(
        stock, load_embedder(tmp_path / "student", dtype="float32", device="cpu").encode(texts), atol=1e-5
    )


def test_a_start_from_tokens_is_near_the_teacher_before_training(encoder, rows, tmp_path):
    train, dev = rows.split(40)
    report = distil_embedder(
        encoder, train, tmp_path / "student", teacher=Counting(), labels=tmp_path / "labels", dev=dev, start="tokens",
        settings=preset("distilled", batch_size=16, max_seq_length=32), max_steps=2, device="cpu", centre="all",
    )  # fmt: skip
    assert report.scores[0][1]["dev_teacher_cosine"] > 0.95


def test_a_start_from_a_saved_table_is_the_start_from_tokens(encoder, toy_tokenizer, rows, tmp_path):
    shared = {"teacher": Counting(), "labels": tmp_path / "labels", "settings": preset("distilled", max_seq_length=32)}
    distil_static(encoder, rows, tmp_path / "table", **shared)
    found = []
    for start in ("tokens", tmp_path / "table"):
        out = tmp_path / f"student-{len(found)}"
        distil_embedder(encoder, rows, out, start=start, max_steps=1, device="cpu", **shared)
        found.append(load_file(out / "model.safetensors"))
    assert all(torch.equal(found[0][name], value) for name, value in found[1].items())
    other = train_tokenizer(sentences(50), 300)
    distil_static(other, rows, tmp_path / "other", **shared)
    with pytest.raises(ValueError, match="other: its vocabulary is not the student's; make it with --static"):
        distil_embedder(encoder, rows, tmp_path / "out", start=tmp_path / "other", device="cpu", **shared)
    with pytest.raises(ValueError, match=r"start needs a static embedder .*, this is another"):
        distil_embedder(encoder, rows, tmp_path / "out", start=tmp_path / "student-0", device="cpu", **shared)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"loss": {"cosin": 1.0}}, "loss 'cosin' is unknown; did you mean cosine"),
        ({"loss": {"mse": 0.0}}, "one above it"),
        ({"temperature": 0.0}, "temperature must be above 0"),
        ({"centre": "english"}, "center='english' is none of none, all, language"),
        ({"start": "zero"}, "start='zero' is none of model, tokens"),
        ({"ridge": 0.0, "start": "tokens"}, "ridge must be above 0"),
    ],
)
def test_options_out_of_range_are_refused(encoder, rows, tmp_path, options, message):
    with pytest.raises(ValueError, match=message):
        distil_embedder(
            encoder, rows, tmp_path / "out", teacher=Counting(), labels=tmp_path / "labels",
            settings=preset("distilled"), device="cpu", **options,
        )  # fmt: skip


def test_tokenizers_of_any_kind_give_bags():
    tokenizer = train_tokenizer(sentences(50), 300)
    assert bag_of_tokens(tokenizer.backend_tokenizer, ["red dog"], 300).sum() == pytest.approx(1.0)


@pytest.mark.slow
def test_a_killed_command_goes_on_where_it_was(tmp_path):
    """The whole command is killed, twice, while a slow teacher answers; nothing is asked for twice but a window."""
    texts = sentences(90)
    (tmp_path / "texts.txt").write_text("\n".join(texts) + "\n")
    (tmp_path / "slow.py").write_text(
        "import json, sys, time\n"
        "for line in sys.stdin:\n"
        "    open('asked', 'a').write(line)\n"
        "    time.sleep(0.05)\n"
        "    print([float(len(json.loads(line)['text'])), 1.0], flush=True)\n"
    )
    words = ["train", "distilled", "--labels_only", "--labels", "labels", "--train", "texts.txt"]
    code = (
        "import sys; from mmbert.embeddings.training.distillation import command_teacher as t; t.PATIENCE = 0.5\n"
        "from mmbert.cli import main; main()"
    )
    command = [sys.executable, "-c", code, *words, "--teacher", f"command:{sys.executable} slow.py"]
    store = tmp_path / "labels" / "texts.digests"
    for least in (5, 25):
        process = subprocess.Popen(command, cwd=tmp_path)
        until = time.monotonic() + 120
        while (store.stat().st_size if store.is_file() else 0) < 16 * least and time.monotonic() < until:
            time.sleep(0.02)
        process.kill()
        process.wait()
    subprocess.run(command, cwd=tmp_path, check=True)
    labels = LabelStore(tmp_path / "labels")
    np.testing.assert_array_equal(labels.vectors()[labels.rows(texts)][:, 0], [len(text) for text in texts])
    asked = (tmp_path / "asked").read_text().count("\n")
    assert len(texts) <= asked <= len(texts) + 2 * 40
