"""`mmbert search` indexes a folder and answers, grows, and gives one line for what it cannot do."""

import json
import shutil

import pytest
from mmbert.cli import app
from mmbert.common.messages import speaking
from typer.testing import CliRunner


@pytest.fixture(scope="module")
def notes(tmp_path_factory):
    folder = tmp_path_factory.mktemp("notes")
    (folder / "a.md").write_text("# House\n\nred blue house\n")
    (folder / "b.txt").write_text("snow night stone")
    (folder / "c.jsonl").write_text('{"id": "tree", "text": "big tree"}\n')
    return folder


def run(*arguments, text=None):
    return CliRunner().invoke(app, ["search", *map(str, arguments)], input=text)


@pytest.fixture(scope="module")
def made(notes, encoder, tmp_path_factory):
    output = tmp_path_factory.mktemp("made") / "index"
    done = run("index", notes, "-o", output, "--model", encoder, "--dtype", "float32")
    assert done.exit_code == 0, done.exception
    assert "3 documents added, 3 passages; now 3 passages of 48 dimensions" in done.stdout
    return output


def test_a_question_finds_its_passage(made, notes):
    done = run("query", made, "snow", "night", "stone", "--top", 2)
    assert done.exit_code == 0, done.exception
    assert f"{notes}/b.txt:1" in done.stdout.splitlines()[0]
    assert done.stdout.splitlines()[1].strip() == "snow night stone" and len(done.stdout.splitlines()) == 4


def test_json_and_lines_of_questions(made):
    done = run("query", made, "--json", "--top", 1, text="big tree\n\nsnow night stone\n")
    hits = [json.loads(line) for line in done.stdout.splitlines()]
    assert [(hit["query"], hit["rank"], hit["text"]) for hit in hits] == [
        ("big tree", 1, "big tree"),
        ("snow night stone", 1, "snow night stone"),
    ]


def test_it_grows(notes, encoder, tmp_path):
    output = tmp_path / "index"
    assert run("index", notes / "b.txt", "-o", output, "--model", encoder).exit_code == 0
    done = run("index", notes, "-o", output)
    assert "2 documents added, 2 passages; 1 there already; now 3 passages" in done.stdout, done.exception
    same = ["--dims", 48, "--passage-tokens", 256, "--overlap", 0, "--backend", "torch", "--device", "cpu"]
    done = run("index", notes, "-o", output, *same)
    assert "0 documents added, 0 passages; 3 there already" in done.stdout, done.exception


@pytest.mark.parametrize("dtype", ["auto", "int8"])
def test_the_same_command_goes_on_with_the_same_model(notes, encoder, tmp_path, dtype):
    output = tmp_path / "index"
    command = ["-o", output, "--model", encoder, "--dtype", dtype, "--query-prompt", "", "--device", "cpu"]
    assert run("index", notes / "b.txt", *command).exit_code == 0
    done = run("index", notes, *command)
    assert "2 documents added" in done.stdout and "1 there already" in done.stdout, done.exception
    assert run("query", output, "snow", "--device", "cpu").exit_code == 0


@pytest.mark.parametrize(
    ("option", "was"),
    [
        (("--dims", 8), "48"),
        (("--passage-tokens", 64), "256"),
        (("--overlap", 8), "0"),
        (("--half",), "False"),
        (("--graph",), "False"),
        (("--no-texts",), "False"),
        (("--dtype", "bfloat16"), "'float32'"),
        (("--backend", "onnx"), "'torch'"),
        (("--query-prompt", "query: "), "None"),
    ],
)
def test_an_option_that_the_index_has_not_is_refused(made, notes, option, was):
    done = run("index", notes, "-o", made, *option)
    assert isinstance(done.exception, ValueError) and f"was made with {option[0]} {was}, got" in str(done.exception)


def test_documents_are_removed_by_name_and_with_their_files(notes, encoder, tmp_path):
    folder, output = tmp_path / "notes", tmp_path / "index"
    shutil.copytree(notes, folder)
    assert run("index", folder, "-o", output, "--model", encoder).exit_code == 0
    done = run("remove", output, "tree")
    assert f"{output}: 1 document removed; now 2 passages" in done.stdout, done.exception
    (folder / "b.txt").unlink()
    done = run("index", folder, "-o", output, "--mirror")
    assert "1 documents added" in done.stdout and "1 removed; now 2 passages" in done.stdout, done.exception
    found = [json.loads(line)["document"] for line in run("query", output, "--json", "snow").stdout.splitlines()]
    assert sorted(found) == [(folder / "a.md").as_posix(), "tree"]
    done = run("remove", output, "three")
    assert "holds no document 'three' (did you mean 'tree'?)" in str(done.exception)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["index", "NOTES", "-o", "new"], "say with --model"),
        (["index", "nowhere", "-o", "new", "--model", "x"], "nowhere is no file or folder"),
        (["query", "nowhere", "words"], "holds no index.db"),
        (["query", "MADE", " "], "the query is blank"),
    ],
)
def test_bad_input_gets_one_line(made, notes, tmp_path, monkeypatch, arguments, message):
    monkeypatch.chdir(tmp_path)
    places = {"NOTES": notes, "MADE": made}
    done = run(*(places.get(one, one) for one in arguments))
    assert isinstance(done.exception, ValueError | OSError) and message in str(done.exception)
    assert "\n" not in str(done.exception)


def test_a_number_out_of_range_is_told_by_its_option(made, notes, encoder, tmp_path):
    done = run("query", made, "red", "--top", 0)
    assert done.exit_code == 2 and "--top" in done.stderr and "top_k" not in done.stderr
    with speaking("command"):
        done = run("index", notes, "-o", tmp_path / "new", "--model", encoder, "--passage-tokens", 3)
    told = str(done.exception)
    assert told.startswith("--passage-tokens must lie between 8") and told.endswith("0 embeds whole documents")


@pytest.mark.slow
def test_a_reranker_orders_the_hits(made, encoder, tmp_path):
    from mmbert.embeddings import load_reranker, save_retriever

    refused = run("query", made, "red house", "--reranker", encoder)
    assert "head was never trained" in str(refused.exception)
    reranker = load_reranker(encoder)
    save_retriever(reranker, tmp_path / "reranker")
    done = run("query", made, "red house", "--json", "--reranker", tmp_path / "reranker")
    assert done.exit_code == 0, done.exception
    hits = [json.loads(line) for line in done.stdout.splitlines()]
    expected = reranker.predict([("red house", hit["text"]) for hit in hits])
    assert [hit["score"] for hit in hits] == pytest.approx(sorted(expected.tolist(), reverse=True), abs=1e-5)


def test_words_filters_and_compact_need_no_model(notes, encoder, tmp_path):
    output, model = tmp_path / "index", tmp_path / "model"
    shutil.copytree(encoder, model)
    (tmp_path / "more.jsonl").write_text('{"id": "khm", "lang": "khm_Khmr", "text": "មនុស្សទាំងអស់"}\n')
    assert run("index", notes, tmp_path / "more.jsonl", "-o", output, "--model", model).exit_code == 0
    shutil.rmtree(model)
    done = run("query", output, "--mode", "words", "--json", "--where", "lang = 'khm_Khmr'", "ទាំង")
    assert json.loads(done.stdout)["columns"] == {"lang": "khm_Khmr"}, done.exception
    assert run("remove", output, "tree").exit_code == 0
    done = run("compact", output)
    assert f"{output}: 3 passages in" in done.stdout, done.exception
    assert "no column 'x'" in str(run("query", output, "a", "--mode", "words", "--where", "x = 1").exception)
