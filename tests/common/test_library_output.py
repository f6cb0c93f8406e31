"""What other libraries say goes into run.log beside the result, what we say is shown."""

import logging
import os
import sys
import warnings

import pytest
from mmbert import cli
from mmbert.common import library_output
from tests_support import save_model, sentences, write_rows

NOISE = """
import logging, os, sys, warnings
def speak():
    print("loud print")
    sys.stderr.write("loud error\\n")
    warnings.warn("loud warning")
    logging.getLogger("loud.part").warning("loud record")
    os.write(2, b"loud native\\n")
    logging.getLogger("loud.part").error("loud failure")
"""
SAID = ("print", "error", "warning", "record", "native", "failure")


@pytest.fixture
def loud(tmp_path, monkeypatch):
    """A package that counts as installed and says something in every way."""
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "loud_library.py").write_text(NOISE, encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    monkeypatch.setattr(library_output, "_LIBRARIES", (str(tmp_path / "site") + os.sep,))
    import loud_library

    yield loud_library
    sys.modules.pop("loud_library")


@pytest.fixture
def run(monkeypatch, capfd, tmp_path):
    """Run a command with real file descriptors; returns status, standard output and error."""
    root = logging.getLogger()
    monkeypatch.setattr(root, "handlers", [])
    level = root.level
    monkeypatch.chdir(tmp_path)

    def command(*words):
        root.handlers.clear()
        monkeypatch.setattr("sys.argv", ["mmbert", *map(str, words)])
        with pytest.raises(SystemExit) as end:
            cli.main()
        said = capfd.readouterr()
        return end.value.code, said.out, said.err

    yield command
    root.setLevel(level)


def spoken_before(function, loud):
    def speaks(*args, **options):
        loud.speak()
        return function(*args, **options)

    return speaks


def test_the_log_lies_beside_the_result_of_verbs_that_make_one(tokenizer, tmp_path, loud, run, monkeypatch):
    warnings.simplefilter("always")  # pytest puts the filters back
    save_model(tmp_path / "base", tokenizer)
    rows = [{"text": text, "label": "ab"[place % 2]} for place, text in enumerate(sentences("eng_Latn", 8))]
    write_rows(tmp_path / "rows.jsonl", rows)
    from mmbert.common.checkpoints import integrity, reader
    from mmbert.embeddings.encoding import load

    monkeypatch.setattr(integrity, "verify_checksums", spoken_before(integrity.verify_checksums, loud))
    for module in (reader, load):
        monkeypatch.setattr(module, "read_header", spoken_before(module.read_header, loud))
    tuned = "finetune classification --model base --train rows.jsonl --output tuned --epochs 1 --seeds 1 --use_cpu"
    lines = {
        tuned: ("tuned/run.log", "the network, trained on 8 rows"),
        "export base exported": ("exported/export.log", "exported model: exported"),
        "embed base rows.jsonl vectors.npy --device cpu": ("vectors.run.log", "8 vectors of 32 dimensions"),
    }
    for line, (log, told) in lines.items():
        status, out, said = run(*line.split())
        assert status == 0, said
        text = (tmp_path / log).read_text(encoding="utf-8")
        assert told in out and f"what other libraries said is in {log}" in said
        assert all(f"loud {word}" in text for word in SAID), text
        shown = [word for word in SAID if f"loud {word}" in out + said]
        assert shown == ["failure"], "errors are shown as well"
        assert told not in text and "SHA256SUMS" not in text, "ours is not hidden"
    assert "step 1/1" in run(*tuned.replace("tuned", "again").split())[2]


def test_nothing_said_makes_no_file_and_a_refusal_stays_one_line(tokenizer, tmp_path, run):
    save_model(tmp_path / "base", tokenizer)
    (tmp_path / "texts.txt").write_text("one\ntwo\n", encoding="utf-8")
    assert run("embed", "base", "texts.txt", "v.npy", "-q")[0] == 0
    status, _, said = run("embed", "base", "texts.txt", "w.npy", "--dtype", "float23", "-q")
    assert status == 2 and said.count("\n") == 1
    assert not list(tmp_path.glob("*.log")) and sys.stdout is not None
    assert not isinstance(sys.stdout, library_output._Sorted)
    assert (tmp_path / "v.npy").is_file()
