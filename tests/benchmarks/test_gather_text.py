"""benchmarks/gather_text.py: what it gathers is a corpus with the rows of its data sets."""

import runpy
import sys
from pathlib import Path

import mmbert
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from mmbert.data import open_corpus

SCRIPT = Path(mmbert.__file__).parent / "benchmarks" / "gather_text.py"
SETS = {
    "text_news": {"lang": ["eng_Latn", "fao_Latn", "eng_Latn"], "line": [1, 2, 3], "text": ["one", "tvær", "three"]},
    "text_tales": {"text": ["дом у реки"], "lang": ["rus_Cyrl"]},
    "code_text": {"lang": ["ruby", "go"], "path": ["a.rb", "b.go"], "text": ["puts 1", "package b"]},
    "questions": {"lang": ["deu_Latn"], "text": ["not running text"]},
}


@pytest.fixture
def run(monkeypatch):
    """Return a function that runs the script as its command line does."""

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["gather_text.py", *map(str, arguments)])
        runpy.run_path(str(SCRIPT), run_name="__main__")

    return run


@pytest.fixture
def source(tmp_path):
    for name, columns in SETS.items():
        (tmp_path / "sets" / name).mkdir(parents=True)
        pq.write_table(pa.table(columns), tmp_path / "sets" / name / "data.parquet")
    return tmp_path / "sets"


def test_it_makes_a_corpus_of_text_and_code(source, tmp_path, run, capsys):
    run(source, tmp_path / "corpus")
    documents = open_corpus(str(tmp_path / "corpus")).documents("train")
    assert sorted((document.language, document.text) for document in documents) == [
        ("code", "package b"),
        ("code", "puts 1"),
        ("eng_Latn", "one"),
        ("eng_Latn", "three"),
        ("fao_Latn", "tvær"),
        ("rus_Cyrl", "дом у реки"),
    ]
    assert pq.read_schema(tmp_path / "corpus" / "text_news.parquet").names == ["lang", "text"]
    printed = {line.split()[0]: line.split() for line in capsys.readouterr().out.splitlines()}
    assert [printed[name][1] for name in ("text_news", "text_tales", "code_text", "all")] == ["3", "1", "2", "6"]
    assert printed["all"][-2:] == ["4", "languages"]


def test_what_is_no_data_set_is_refused_in_one_line(source, tmp_path, run):
    pq.write_table(pa.table({"text": ["a"]}), source / "text_tales" / "data.parquet")
    for arguments, message in [
        ((tmp_path / "nowhere", tmp_path / "corpus"), "nowhere holds no text_*/data.parquet; name the folder"),
        ((source, tmp_path / "corpus"), "data.parquet has no column 'lang'; there are text"),
        ((source, source), "exists and is not empty; remove it or choose another"),
    ]:
        with pytest.raises(SystemExit) as ended:
            run(*arguments)
        assert message in ended.value.code and "\n" not in ended.value.code
        assert not (tmp_path / "corpus").exists()
