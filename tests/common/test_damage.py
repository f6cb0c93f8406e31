"""Every file of a folder, damaged in seven ways: the reader refuses it by name, or gives the same result."""

import itertools
import json
import shutil
from pathlib import Path

import pytest
import torch
from mmbert import export_modernbert, load_embedder
from mmbert.common.checkpoints import check_folder, verify_checksums
from mmbert.common.checkpoints.reader import open_checkpoint
from mmbert.data import TokenShards
from mmbert.export import export_onnx
from mmbert.trainers.checkpointing.paths import check_resumable

TEXTS = ["the old bridge over the river", "leads to a house"]
DAMAGES = {
    "deleted": None,
    "empty": lambda raw: b"",
    "half": lambda raw: raw[: len(raw) // 2],
    "one byte less": lambda raw: raw[:-1],
    "four more": lambda raw: raw + b"\0\0\0\0",
    "zeros": lambda raw: bytes(len(raw)),
    "flipped bit": lambda raw: raw[: len(raw) // 2] + bytes([raw[len(raw) // 2] ^ 4]) + raw[len(raw) // 2 + 1 :],
}


def vectors(folder, backend="torch"):
    loaded = load_embedder(folder, dtype="float32", device=None if backend == "onnx" else "cpu", backend=backend)
    return loaded.encode(TEXTS).tolist()


def shards(folder):
    found = TokenShards(folder)
    return [found.fingerprint, found.tokens("eng_Latn").tolist()]


@pytest.fixture
def reader(request, kind, folders):
    """Make the folder of a kind and return what reads it back."""
    fixtures = {"finetuned": "fine_tuned", "onnx": "onnx_folder", "gguf": "gguf_folder"}
    made = request.getfixturevalue(fixtures.get(kind, "folders"))
    return {
        "shards": shards,
        "checkpoint-6": check_resumable,
        "finetuned": lambda folder: made(folder).scores,
        "onnx": lambda folder: vectors(folder, "onnx"),
        "gguf": lambda folder: [verify_checksums(folder)][1:],  # llama.cpp reads it; the list is for who has it
    }.get(kind, vectors)


SLOW = [pytest.param(kind, marks=pytest.mark.slow) for kind in ("onnx", "gguf")]
KINDS = ["exported", "embedder", "merged", "trimmed", "run/final", "finetuned", "shards", "checkpoint-6", *SLOW]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("share", [7, pytest.param(1, marks=pytest.mark.slow)], ids=["a seventh", "every file"])
def test_damage_is_refused_by_name_or_changes_nothing(folders, tmp_path, kind, share, reader, record_property):
    """Every file of the folder with each of the damages, or one of seven of these pairs."""
    folder = tmp_path / Path(kind).name
    shutil.copytree(folders / kind, folder)
    whole = reader(folder)
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    same = refused = 0
    for number, (path, (damage, change)) in enumerate(itertools.product(files, DAMAGES.items())):
        raw = path.read_bytes()
        if (number + number // 7) % share or not (raw or change is None):
            continue
        if change is None:
            path.unlink()
        else:
            path.write_bytes(change(raw))
        try:
            found = reader(folder)
        except (ValueError, OSError) as error:
            # what is wrong in the index of shards is told of the shard that it does not fit
            assert path.name in str(error) or kind == "shards", (path, damage)
            assert str(folder) in str(error) and "\n" not in str(error)
            refused += 1
        else:
            assert found == whole, (path, damage)
            same += 1
        path.write_bytes(raw)
    record_property(kind, f"{len(files)} files: {refused} refused by name, {same} with the same result")


def test_a_step_that_disagrees_is_refused(folders, tmp_path):
    folder = shutil.copytree(folders / "checkpoint-6", tmp_path / "checkpoint-6")
    (folder / "trainer_state.json").write_text(json.dumps({"global_step": 8}))
    (folder / "SHA256SUMS").unlink()
    with pytest.raises(ValueError, match=r"trainer_state\.json says step 8, the folder's name says step 6"):
        check_resumable(folder)


@pytest.mark.parametrize(
    ("field", "value"), [("train_batch_size", None), ("log_history", 3), ("log_history", [1]), ("epoch", "one")]
)
def test_a_state_with_fields_of_another_type_is_refused(folders, tmp_path, field, value):
    folder = shutil.copytree(folders / "checkpoint-6", tmp_path / "checkpoint-6")
    state = json.loads((folder / "trainer_state.json").read_text())
    (folder / "trainer_state.json").write_text(json.dumps(state | {field: value}))
    (folder / "SHA256SUMS").unlink()
    with pytest.raises(ValueError, match=rf"trainer_state\.json is damaged \({field}\)"):
        check_resumable(folder)


@pytest.mark.parametrize("name", ["tokenizer.json", "tokenizer_config.json", "config.json"])
@pytest.mark.parametrize("damage", [lambda text: text[: len(text) // 2], lambda text: "3"], ids=["half", "a number"])
def test_settings_that_a_library_cannot_read_are_named(folders, tmp_path, name, damage):
    """Without a list of checksums, as in a folder from elsewhere."""
    from mmbert.common.checkpoints.hub import load_tokenizer

    folder = shutil.copytree(folders / "embedder", tmp_path / "model")
    (folder / "SHA256SUMS").unlink()
    (folder / name).write_text(damage((folder / name).read_text()))
    for load in (load_embedder, *([load_tokenizer] if name.startswith("tokenizer") else [])):
        with pytest.raises(ValueError, match=rf"{name}: [^\n]*$"):
            load(folder)


def test_a_tokenizer_that_is_none_or_missing_is_named(folders, tmp_path):
    from mmbert.common.checkpoints.hub import load_tokenizer

    folder = shutil.copytree(folders / "stock", tmp_path / "model")
    (folder / "SHA256SUMS").unlink(missing_ok=True)
    loads = (load_embedder, load_tokenizer, lambda one: export_onnx(one, tmp_path / "onnx"))
    (folder / "tokenizer.json").write_text('{"version": "1.0"}')
    for load in loads:
        with pytest.raises(ValueError, match=r"tokenizer.json: not a tokenizer \([^\n]*$"):
            load(folder)
    (folder / "tokenizer.json").unlink()
    for load in loads[:2]:
        with pytest.raises(FileNotFoundError, match=r"holds no tokenizer.json; save the model with its tokenizer$"):
            load(folder)
    with pytest.raises(FileNotFoundError, match=r"holds neither .*; give .*model, which does$"):
        open_checkpoint(tmp_path)
    with pytest.raises(FileNotFoundError, match=r"holds neither .*; give .*final, which does$"):
        load_embedder(shutil.copytree(folders / "run", tmp_path / "out" / "stable").parent)


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
