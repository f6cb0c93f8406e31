"""Every file of a folder, damaged in seven ways: the reader refuses it by name, or gives the same result."""

import json
import shutil

import pytest
import torch
from mmbert import MmBertConfig, MmBertForMaskedLM, export_modernbert, load_embedder, train_tokenizer
from mmbert.common.checkpoints import check_folder, verify_checksums, write_checksums
from mmbert.data import Document, TokenShards, write_shards
from mmbert.modeling.tokenization_mmbert import save_tokenizer
from mmbert.trainers.checkpointing.paths import check_resumable

TEXTS = [f"the old bridge {number} over the river leads to a house" for number in range(40)]
DAMAGES = {
    "deleted": None,
    "empty": lambda raw: b"",
    "half": lambda raw: raw[: len(raw) // 2],
    "one byte less": lambda raw: raw[:-1],
    "four more": lambda raw: raw + b"\0\0\0\0",
    "zeros": lambda raw: bytes(len(raw)),
    "flipped bit": lambda raw: raw[: len(raw) // 2] + bytes([raw[len(raw) // 2] ^ 4]) + raw[len(raw) // 2 + 1 :],
}


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    home = tmp_path_factory.mktemp("folders")
    tokenizer = train_tokenizer(TEXTS, 300)
    torch.manual_seed(0)
    shape = dict(hidden_size=32, intermediate_size=48, num_hidden_layers=3, num_attention_heads=2)
    network = MmBertForMaskedLM(MmBertConfig.small(**shape, vocab_size=len(tokenizer)))
    network.save_pretrained(home / "plain")
    save_tokenizer(tokenizer, home / "plain")
    export_modernbert(home / "plain", home / "exported")
    load_embedder(home / "plain", dtype="float32", device="cpu").save_pretrained(str(home / "stock"))
    from mmbert.embeddings import save_embedder

    save_embedder(load_embedder(home / "plain", dtype="float32", device="cpu"), home / "embedder")
    write_shards([Document("eng_Latn", text, "s") for text in TEXTS], tokenizer, home / "shards")
    run = home / "checkpoint-6"
    shutil.copytree(home / "plain", run)
    (run / "run_identity.json").write_text(json.dumps({"step": 6}))
    (run / "trainer_state.json").write_text(json.dumps({"global_step": 6}))
    write_checksums(run)
    return home


def vectors(folder):
    return load_embedder(folder, dtype="float32", device="cpu").encode(TEXTS[:2]).tolist()


def shards(folder):
    found = TokenShards(folder)
    return [found.fingerprint, found.tokens("eng_Latn").tolist()]


READERS = {"exported": vectors, "embedder": vectors, "shards": shards, "checkpoint-6": check_resumable}


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("kind", READERS)
def test_damage_is_refused_by_name_or_changes_nothing(folders, tmp_path, kind, damage):
    folder = tmp_path / kind
    shutil.copytree(folders / kind, folder)
    whole = READERS[kind](folder)
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        raw = path.read_bytes()
        if DAMAGES[damage] is None:
            path.unlink()
        elif not raw:
            continue
        else:
            path.write_bytes(DAMAGES[damage](raw))
        try:
            found = READERS[kind](folder)
        except (ValueError, OSError) as error:
            # what is wrong in the index of shards is told of the shard that it does not fit
            assert (path.name in str(error) or kind == "shards") and str(folder) in str(error)
            assert "\n" not in str(error)
        else:
            assert found == whole, path
        path.write_bytes(raw)


def test_a_step_that_disagrees_is_refused(folders, tmp_path):
    folder = shutil.copytree(folders / "checkpoint-6", tmp_path / "checkpoint-6")
    (folder / "trainer_state.json").write_text(json.dumps({"global_step": 8}))
    (folder / "SHA256SUMS").unlink()
    with pytest.raises(ValueError, match=r"trainer_state\.json says step 8, the folder's name says step 6"):
        check_resumable(folder)


def test_the_list_is_read_by_coreutils_and_a_folder_without_one_is_read(folders, tmp_path, monkeypatch):
    folder = shutil.copytree(folders / "exported", tmp_path / "exported")
    assert verify_checksums(folder) and not verify_checksums(folders / "plain")
    (folder / "README.md").write_text("edited")
    assert verify_checksums(folder)
    with (folder / "config.json").open("a") as file:
        file.write(" ")
    with pytest.raises(ValueError, match=r"config\.json has \d+ bytes instead of \d+"):
        verify_checksums(folder)
    monkeypatch.setenv("MMBERT_VERIFY", "0")
    assert not verify_checksums(folder)


@pytest.mark.parametrize("name", ["pytorch_model.bin", "model.pt", "pytorch_model.bin.index.json"])
@pytest.mark.parametrize("place", ["", "1_Pooling"])
def test_no_way_in_opens_a_pickle(folders, tmp_path, monkeypatch, name, place):
    """Every public loader refuses before torch.load, whatever lies in the file: here plain text."""
    from mmbert import embeddings, merge_ties, trim_vocabulary

    folder = shutil.copytree(folders / "embedder", tmp_path / "model")
    if not place:
        (folder / "model.safetensors").unlink()
        (folder / "SHA256SUMS").unlink()
    (folder / place / name).write_text("no pickle at all")
    monkeypatch.setattr(torch, "load", lambda *args, **options: pytest.fail(f"torch.load of {args[0]}"))
    ways = [
        *(getattr(embeddings, f"load_{kind}") for kind in ("embedder", "reranker", "multi_vector", "sparse_encoder")),
        lambda path: export_modernbert(path, tmp_path / "out"),
        lambda path: merge_ties(path, [path], tmp_path / "out"),
        lambda path: trim_vocabulary(path, TEXTS, tmp_path / "out"),
        check_folder,
    ]
    for way in ways[:4] + ([] if place else ways[4:]):
        with pytest.raises((ValueError, OSError), match=name.split(".")[0]):
            way(folder)


def test_modules_stay_in_their_folder_and_in_known_packages(folders, tmp_path):
    for number, module in enumerate(
        [{"type": "sentence_transformers.models.Dense", "path": "../exported"}, {"type": "pip.Main", "path": ""}, 3]
    ):
        folder = shutil.copytree(folders / "stock", tmp_path / str(number))
        modules = json.loads((folder / "modules.json").read_text())
        (folder / "modules.json").write_text(json.dumps([*modules, module]))
        with pytest.raises(ValueError, match=r"modules\.json"):
            load_embedder(folder)
