"""datatrove's tokenized folders as a source, and our tokenization as a step of its pipelines, in its own executor."""

import sys
from itertools import pairwise

import numpy as np
import pytest
from mmbert.data import ReadOptions, TokenShards, tokenize_corpus
from mmbert.data.tokenization import TokenizeStep
from mmbert.modeling.tokenization_mmbert import save_tokenizer
from tests_support import documents

TEXTS = [d.text for d in documents() if d.language == "eng_Latn"][:60]


def write_ds(folder, ids, width=2, name="00000.ds"):
    """Write as datatrove's TokenizedFile does: ids with <eos> (1), cumulative ends as uint64."""
    folder.mkdir(parents=True, exist_ok=True)
    whole = [[*document, 1] for document in ids]
    np.concatenate(whole).astype(f"<u{width}").tofile(folder / name)
    np.cumsum([len(document) for document in whole]).astype("<u8").tofile(folder / f"{name}.index")
    return folder / name


@pytest.mark.parametrize("width", [2, 4])
def test_ids_come_through_as_they_are(tokenizer, tmp_path, width):
    ids = [tokenizer.encode(text, add_special_tokens=False) for text in TEXTS]
    write_ds(tmp_path / "set" / "eng_Latn", ids, width)
    options = ReadOptions(heldout_fraction=0.0)
    found = tokenize_corpus(tmp_path / "set", tmp_path / "out", tokenizer, options=options, task_bytes=500)["train"]
    unique = list(dict.fromkeys(map(tuple, ids)))  # copies are left out
    offsets, tokens = found.offsets("eng_Latn"), found.tokens("eng_Latn")
    assert [tuple(tokens[a:b].tolist()) for a, b in pairwise(offsets)] == unique


def test_damaged_folders_are_refused_in_a_line(tokenizer, tmp_path):
    def attempt(**options):
        return tokenize_corpus(tmp_path / "set", tmp_path / "out", tokenizer, options=ReadOptions(**options))

    file = write_ds(tmp_path / "set" / "eng_Latn", [[5, 6], [7, 600]])
    with pytest.raises(ValueError, match=r"00000.ds, document 2: invalid ids \(600; the vocabulary has 600\)"):
        attempt()
    file.write_bytes(file.read_bytes()[:-2])
    with pytest.raises(ValueError, match=r"has 10 bytes, but 00000.ds.index speaks of 6 ids of 2 or 4 bytes"):
        attempt()
    file.with_name("00000.ds.index").unlink()
    with pytest.raises(FileNotFoundError, match=r"00000.ds.index is missing; datatrove writes it beside"):
        attempt()
    (tmp_path / "set" / "eng_Latn").rename(tmp_path / "set" / "english")
    with pytest.raises(ValueError, match="no folder on its path names a language; give it by --language"):
        attempt()


def test_the_step_says_what_is_missing():
    if "datatrove" in sys.modules:
        pytest.skip("datatrove is here")
    with pytest.raises(ImportError, match="pip install datatrove"):
        TokenizeStep("out", "tok")


@pytest.mark.slow
def test_two_tasks_of_the_local_executor_make_what_one_call_makes(tokenizer, tmp_path):
    pytest.importorskip("datatrove")
    from datatrove.data import Document as TheirDocument
    from datatrove.executor import LocalPipelineExecutor

    save_tokenizer(tokenizer, tmp_path / "tok")

    def read(data=None, rank=0, world_size=1):
        for number, text in enumerate(TEXTS):
            if number % world_size == rank:
                yield TheirDocument(text=text, id=str(number), metadata={"language": "eng_Latn"})

    step = TokenizeStep(tmp_path / "ranks", str(tmp_path / "tok"))
    logs = str(tmp_path / "logs")
    LocalPipelineExecutor(pipeline=[read, step], tasks=2, workers=1, logging_dir=logs).run()
    ranks = sorted((tmp_path / "ranks").iterdir())
    assert [path.name for path in ranks] == ["00000", "00001"]
    options = ReadOptions(heldout_fraction=0.0)
    joined = tokenize_corpus(ranks, tmp_path / "joined", tokenizer, options=options)["train"]
    assert sum(TokenShards(path).document_counts["eng_Latn"] for path in ranks) == len(TEXTS)
    assert joined.document_counts["eng_Latn"] == len({tuple(tokenizer.encode(text)) for text in TEXTS})


@pytest.mark.slow
@pytest.mark.parametrize("width", [2, 4])
def test_files_that_datatrove_wrote_are_read(tokenizer, tmp_path, width):
    pytest.importorskip("datatrove")
    from datatrove.pipeline.tokens.tokenizer import TokenizedFile

    ids = [tokenizer.encode(text, add_special_tokens=False) for text in TEXTS]
    folder = tmp_path / "set" / "eng_Latn"
    file = TokenizedFile(str(folder), "00000.ds", token_size=width)
    for document in ids:
        file.write([*document, 1], None)
    file.close()
    assert (folder / "00000.ds.index").is_file()
    options = ReadOptions(heldout_fraction=0.0)
    found = tokenize_corpus(tmp_path / "set", tmp_path / "out", tokenizer, options=options)["train"]
    assert found.document_counts["eng_Latn"] == len(set(map(tuple, ids)))
