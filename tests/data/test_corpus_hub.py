"""Hub datasets, stood in for by dataset folders on disk: `datasets` reads both through the same door."""

import json

import pytest
from mmbert.data import Source, open_corpus
from mmbert.data.corpora.hub import HubCorpus
from mmbert.data.corpora.rows import ReadOptions

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:datasets")


def write_rows(path, rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def options(**changes):
    return ReadOptions(**{"heldout_fraction": 0.0, **changes})


def texts(corpus, split="train"):
    return [(document.language, document.text) for document in corpus.documents(split)]


@pytest.fixture
def configurations(tmp_path):
    """A dataset with a configuration per language, as FineWeb2 has."""
    folder = tmp_path / "fineweb"
    write_rows(folder / "data" / "swh_Latn" / "train.jsonl", [{"text": f"habari {n}"} for n in range(30)])
    write_rows(folder / "data" / "fao_Latn" / "train.jsonl", [{"text": "góðan dag"}, {"text": ""}])
    lines = [
        f"- config_name: {tag}\n  data_files:\n  - split: train\n    path: data/{tag}/train.jsonl"
        for tag in ("swh_Latn", "fao_Latn")
    ]
    (folder / "README.md").write_text("---\nlicense: odc-by\nconfigs:\n" + "\n".join(lines) + "\n---\n")
    return folder


def test_a_configuration_per_language(configurations):
    corpus = HubCorpus(str(configurations), options(on_bad_row="skip"))
    assert corpus.languages() == ["fao_Latn", "swh_Latn"]
    assert texts(corpus) == [("fao_Latn", "góðan dag"), *[("swh_Latn", f"habari {n}") for n in range(30)]]
    assert corpus.skipped == {"empty document": 1}
    assert [source.name for source in corpus.sources().values()] == ["fineweb"]
    with pytest.raises(ValueError, match=r"\(fao_Latn\), row 2: empty document"):
        texts(HubCorpus(str(configurations), options()))


def test_chosen_configurations_and_split(configurations):
    corpus = HubCorpus(str(configurations), options(languages=("swh_Latn",), heldout_fraction=0.3))
    assert corpus.languages() == ["swh_Latn"]
    train, heldout = texts(corpus), texts(corpus, "heldout")
    assert len(train) + len(heldout) == 30
    assert heldout and not set(train) & set(heldout)
    with pytest.raises(ValueError, match=r"no configuration 'deu_Latn'; there are fao_Latn, swh_Latn"):
        HubCorpus(str(configurations), options(languages=("deu_Latn",)))


def test_a_language_column(tmp_path):
    rows = [{"lang": "fra_Latn", "text": "bonjour", "id": 1}, {"lang": "qqq_Latn", "text": "non", "id": 2}]
    write_rows(tmp_path / "mixed" / "train.jsonl", rows)
    corpus = HubCorpus(str(tmp_path / "mixed"), options(on_bad_row="skip", key_column="id"))
    assert corpus.languages() == ["fra_Latn"]
    assert [document.key for document in corpus.documents("train")] == ["1"]
    assert corpus.skipped == {"unknown language": 1}
    with pytest.raises(ValueError, match="no column 'body'"):
        texts(HubCorpus(str(tmp_path / "mixed"), options(text_column="body")))


def test_a_folder_per_language(tmp_path):
    write_rows(tmp_path / "folders" / "fra_Latn" / "train.jsonl", [{"text": "bonjour"}])
    write_rows(tmp_path / "folders" / "deu_Latn" / "train.jsonl", [{"text": "Guten Tag"}])
    corpus = HubCorpus(str(tmp_path / "folders"), options(languages=("fra_Latn", "deu_Latn")))
    assert texts(corpus) == [("deu_Latn", "Guten Tag"), ("fra_Latn", "bonjour")]
    with pytest.raises(ValueError, match="neither a configuration per language nor a column 'lang'"):
        HubCorpus(str(tmp_path / "folders"), options())


def test_a_damaged_file_is_named_or_counted(tmp_path):
    write_rows(tmp_path / "damaged" / "a.jsonl", [{"lang": "fra_Latn", "text": "bonjour"}])
    (tmp_path / "damaged" / "b.jsonl").write_bytes(b'{"lang": "fra_Latn", "text": "\xff\xfe')
    with pytest.raises(ValueError, match="after row 1: unreadable file"):
        texts(HubCorpus(str(tmp_path / "damaged"), options()))
    corpus = HubCorpus(str(tmp_path / "damaged"), options(on_bad_row="skip"))
    assert texts(corpus) == [("fra_Latn", "bonjour")]
    assert corpus.skipped == {"unreadable file": 1}


def test_given_source_wins(tmp_path):
    write_rows(tmp_path / "mine" / "train.jsonl", [{"lang": "fra_Latn", "text": "bonjour"}])
    source = Source("mine", "3", "CC0-1.0", "https://example.org")
    corpus = HubCorpus(str(tmp_path / "mine"), options(source=source))
    assert corpus.sources() == {"mine": source}
    assert next(corpus.documents("train")).source == "mine"


def test_unreachable_dataset_says_so_in_one_line():
    with pytest.raises(FileNotFoundError, match=r"someone/nothing is no file here.*HF_HUB_OFFLINE") as caught:
        open_corpus("someone/nothing")
    assert "\n" not in str(caught.value)
