"""Reading checkpoints: what is whole is read like safetensors reads it, what is not is refused with file and tensor."""

import json
import struct
import subprocess

import pytest
import torch
from mmbert.common.checkpoints import write_checksums
from mmbert.common.checkpoints.reader import checkpoint_fingerprint, open_checkpoint
from mmbert.common.checkpoints.writer import CheckpointWriter, atomic_directory, write_index
from safetensors.torch import load_file, save_file

TENSORS = {
    "wide": torch.randn(7, 5, generator=torch.Generator().manual_seed(0)),
    "half": torch.randn(3, 4, generator=torch.Generator().manual_seed(1)).bfloat16(),
    "ids": torch.arange(6),
    "flag": torch.tensor([True, False, True]),
    "one": torch.tensor(2.5),
    "empty": torch.zeros(0, 4),
}


@pytest.fixture
def single(tmp_path):
    directory = tmp_path / "single"
    directory.mkdir()
    (directory / "config.json").write_text('{"model_type": "mmbert", "vocab_size": 7}')
    save_file(TENSORS, directory / "model.safetensors", metadata={"format": "pt"})
    return directory


@pytest.fixture
def sharded(tmp_path):
    directory = tmp_path / "sharded"
    directory.mkdir()
    (directory / "config.json").write_text("{}")
    places = {}
    for shard, names in (("a.safetensors", ["wide", "one"]), ("b.safetensors", ["half", "ids", "flag", "empty"])):
        save_file({name: TENSORS[name] for name in names}, directory / shard, metadata={"format": "pt"})
        places |= dict.fromkeys(names, shard)
    (directory / "model.safetensors.index.json").write_text(json.dumps({"weight_map": places}))
    return directory


def refused(directory, match, error=ValueError):
    with pytest.raises(error, match=match) as caught:
        open_checkpoint(directory)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("kind", ["single", "sharded"])
def test_reads_what_safetensors_reads(kind, request):
    checkpoint = open_checkpoint(request.getfixturevalue(kind))
    assert checkpoint.tensors.keys() == TENSORS.keys()
    for name, tensor in TENSORS.items():
        assert checkpoint.tensors[name].shape == tuple(tensor.shape)
        assert torch.equal(checkpoint.read(name), tensor) and checkpoint.read(name).dtype == tensor.dtype
        pieces = [checkpoint.read_flat(name, start, start + 4) for start in range(0, tensor.numel(), 4)]
        assert torch.equal(torch.cat(pieces) if pieces else tensor.flatten(), tensor.flatten())


def test_asking_for_an_unknown_tensor_names_it(single):
    with pytest.raises(ValueError, match=r"holds no tensor 'decoder.weight'; it holds empty, flag"):
        open_checkpoint(single).read("decoder.weight")


@pytest.mark.parametrize("lost", [1, 30, 100, 10_000])
def test_truncated_file(single, lost):
    file = single / "model.safetensors"
    file.write_bytes(file.read_bytes()[: max(file.stat().st_size - lost, 4)])
    refused(single, r"model\.safetensors: .*truncated")


def test_file_that_grew(single):
    with (single / "model.safetensors").open("ab") as file:
        file.write(b"more")
    refused(single, r"model\.safetensors: \d+ bytes where its header promises \d+")


def test_file_that_shrinks_while_it_is_read(single):
    checkpoint = open_checkpoint(single)
    file = single / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-200])
    with pytest.raises(ValueError, match="ends inside tensor"):
        for name in TENSORS:
            checkpoint.read(name)


@pytest.mark.parametrize(
    "change, match",
    [
        (lambda h: h["wide"].update(shape=[7, 6]), r"tensor 'wide' of shape \[7, 6\] has 140 bytes instead of 168"),
        (lambda h: h["wide"].update(dtype="F7"), "tensor 'wide' has type 'F7'"),
        (lambda h: h["wide"].update(shape=[-7, -5]), "tensor 'wide' has shape"),
        (lambda h: h["wide"].pop("shape"), "the header is damaged"),
        (lambda h: h.update(wide=3), "the header is damaged"),
        (lambda h: h["ids"].update(data_offsets=h["wide"]["data_offsets"], shape=[35], dtype="F32"), "starts at byte"),
        (lambda h: h.pop("wide"), "starts at byte .* instead of|bytes where its header promises"),
    ],
)
def test_tampered_header(single, change, match):
    file = single / "model.safetensors"
    raw = file.read_bytes()
    length = struct.unpack("<Q", raw[:8])[0]
    header = json.loads(raw[8 : 8 + length])
    change(header)
    edited = json.dumps(header).encode()
    file.write_bytes(struct.pack("<Q", len(edited)) + edited + raw[8 + length :])
    refused(single, rf"model\.safetensors: .*({match})")


@pytest.mark.parametrize("raw", [b"", b"\x80\x04pickle", b"\x05" + bytes(7) + b"nojso", b"\x02" + bytes(7) + b"[]"])
def test_no_safetensors_at_all(single, raw):
    (single / "model.safetensors").write_bytes(raw)
    refused(single, r"model\.safetensors: ")


@pytest.mark.parametrize("name", ["pytorch_model.bin", "model.pt", "weights.pkl", "last.ckpt"])
def test_pickles_are_never_loaded(single, name):
    (single / "model.safetensors").unlink()
    (single / name).write_bytes(b"\x80\x04")
    refused(single, rf"{name} is a pickle, which can run code when opened, and is never loaded")


def test_a_pickle_beside_safetensors_is_ignored(single):
    (single / "pytorch_model.bin").write_bytes(b"\x80\x04")
    assert open_checkpoint(single).files == ("model.safetensors",)


def test_adapter_without_its_base(single):
    (single / "model.safetensors").rename(single / "adapter_model.safetensors")
    refused(single, "is a LoRA adapter; merge it into its base model first")


@pytest.mark.parametrize(
    "spoil, match",
    [
        (lambda d: (d / "b.safetensors").unlink(), "b.safetensors is missing"),
        (lambda d: (d / "config.json").unlink(), "config.json does not exist"),
        (lambda d: (d / "model.safetensors.index.json").unlink(), "holds neither model.safetensors nor"),
    ],
)
def test_missing_files(sharded, spoil, match):
    spoil(sharded)
    refused(sharded, match, error=FileNotFoundError)


@pytest.mark.parametrize(
    "places, match",
    [
        ({"wide": "../a.safetensors"}, "'../a.safetensors' is not the plain name"),
        ({"wide": "a.bin"}, "'a.bin' is not the plain name"),
        ({"wide": "a.safetensors"}, "says that tensor 'one' lies in None"),
        ({"wide": "a.safetensors", "one": "a.safetensors", "lost": "a.safetensors"}, "'lost' lies in a.safetensors"),
        (["wide"], "has no weight_map"),
    ],
)
def test_index_that_contradicts_the_shards(sharded, places, match):
    (sharded / "model.safetensors.index.json").write_text(json.dumps({"weight_map": places}))
    refused(sharded, match)


def test_tensor_in_two_shards(sharded):
    save_file({name: TENSORS[name] for name in ("half", "ids", "flag", "empty", "wide")}, sharded / "b.safetensors")
    refused(sharded, "b.safetensors: tensor 'wide' is stored in another shard too")


@pytest.mark.parametrize("text", ["", "{", "[1]", '"x"', "\udcff"])
def test_broken_config(single, text):
    (single / "config.json").write_bytes(text.encode("utf-8", "surrogateescape"))
    refused(single, r"config\.json: (not valid JSON|a JSON object is needed)")


@pytest.mark.parametrize("make", [lambda p: None, lambda p: p.write_text("x")])
def test_no_directory(tmp_path, make):
    make(tmp_path / "model.pt")
    refused(tmp_path / "model.pt", "model.pt (does not exist|is a file, not a directory)", error=FileNotFoundError)


def test_check_against_shapes_names_every_kind_of_difference(single):
    checkpoint = open_checkpoint(single)
    shapes = {name: tensor.shape for name, tensor in TENSORS.items()}
    checkpoint.check_against(shapes)
    shapes["wide"] = (5, 7)
    shapes["head.dense.weight"] = shapes.pop("ids")
    match = r"missing: head\.dense\.weight; extra: ids; other shapes: wide \[7, 5\] instead of \[5, 7\]"
    with pytest.raises(ValueError, match=match):
        checkpoint.check_against(shapes)
    shapes["wide"] = (7, 5)
    checkpoint.check_against(shapes, optional=("head.", "ids"))


def test_check_against_a_model_on_the_meta_device_accepts_absent_tied_copies(tmp_path):
    from transformers import ModernBertConfig, ModernBertForMaskedLM

    sizes = {"hidden_size": 8, "intermediate_size": 12, "num_hidden_layers": 1, "num_attention_heads": 1}
    ids = {"pad_token_id": 0, "bos_token_id": 2, "eos_token_id": 1, "cls_token_id": 2, "sep_token_id": 1}
    config = ModernBertConfig(vocab_size=20, **sizes, **ids)
    ModernBertForMaskedLM(config).save_pretrained(tmp_path)
    checkpoint = open_checkpoint(tmp_path)
    assert "decoder.weight" not in checkpoint.tensors
    with torch.device("meta"):
        checkpoint.check_against(ModernBertForMaskedLM(config))
        config.vocab_size = 21
        with pytest.raises(ValueError, match=r"tok_embeddings\.weight \[20, 8\] instead of \[21, 8\]"):
            checkpoint.check_against(ModernBertForMaskedLM(config))


def test_fingerprint_depends_on_numbers_and_names_not_on_shards(single, sharded):
    assert checkpoint_fingerprint(single) == checkpoint_fingerprint(sharded)
    save_file({**TENSORS, "wide": TENSORS["wide"] + 1e-6}, single / "model.safetensors")
    assert checkpoint_fingerprint(single) != checkpoint_fingerprint(sharded)


@pytest.mark.parametrize("kind", ["single", "sharded"])
def test_written_in_pieces_and_read_by_safetensors(kind, request, tmp_path):
    template = open_checkpoint(request.getfixturevalue(kind))
    with atomic_directory(tmp_path / "out") as directory:
        with CheckpointWriter(directory, template) as writer:
            for name, info in reversed(template.tensors.items()):
                for start in range(0, info.numel, 5):
                    writer.write(name, start, template.read_flat(name, start, start + 5))
        write_index(directory, template)
        (directory / "config.json").write_text("{}")
    back = {}
    for file in template.files:
        back |= load_file(tmp_path / "out" / file)
    assert back.keys() == TENSORS.keys() and all(torch.equal(back[name], TENSORS[name]) for name in TENSORS)
    assert open_checkpoint(tmp_path / "out").verify()
    done = subprocess.run(["sha256sum", "-c", "SHA256SUMS"], cwd=tmp_path / "out", capture_output=True, check=False)
    assert done.returncode == 0


def test_a_forgotten_tensor_is_not_published(single, tmp_path):
    with (
        pytest.raises(RuntimeError, match="140 bytes of the checkpoint were never written"),
        atomic_directory(tmp_path / "out") as directory,
        CheckpointWriter(directory, open_checkpoint(single)) as writer,
    ):
        for name in TENSORS.keys() - {"wide"}:
            writer.write(name, 0, TENSORS[name].flatten())
    assert not (tmp_path / "out").exists()


def test_verify_finds_one_changed_bit_and_a_shard_without_a_sum(sharded):
    checkpoint = open_checkpoint(sharded)
    assert checkpoint.verify() is False  # nothing recorded, nothing compared
    write_checksums(sharded)
    assert checkpoint.verify() is True
    raw = bytearray((sharded / "b.safetensors").read_bytes())
    raw[-1] ^= 1
    (sharded / "b.safetensors").write_bytes(raw)
    with pytest.raises(ValueError, match=r"b\.safetensors: its bytes are not those recorded in SHA256SUMS"):
        open_checkpoint(sharded).verify()
    write_checksums(sharded)
    sums = sharded / "SHA256SUMS"
    sums.write_text("".join(line for line in sums.read_text().splitlines(True) if "a.safetensors" not in line))
    with pytest.raises(ValueError, match=r"a\.safetensors is not in SHA256SUMS"):
        open_checkpoint(sharded).verify()


def test_an_error_inside_leaves_neither_target_nor_partial(tmp_path):
    with pytest.raises(KeyError), atomic_directory(tmp_path / "deep" / "out") as directory:
        (directory / "file").write_text("half")
        raise KeyError
    assert list((tmp_path / "deep").iterdir()) == []


def test_an_error_about_an_input_is_not_called_a_write_error(tmp_path):
    with pytest.raises(FileNotFoundError, match="missing"), atomic_directory(tmp_path / "out"):
        (tmp_path / "missing").read_text()


def test_full_disk_is_told_in_one_line(tmp_path):
    with (
        pytest.raises(ValueError, match=r"cannot write .*out: No space left on device"),
        atomic_directory(tmp_path / "out"),
    ):
        raise OSError(28, "No space left on device")
    assert list(tmp_path.iterdir()) == []


def test_a_target_that_appears_meanwhile_is_not_overwritten(tmp_path):
    with pytest.raises(ValueError, match="exists and is not empty"), atomic_directory(tmp_path / "out") as directory:
        (directory / "mine").write_text("1")
        (tmp_path / "out").mkdir()
        (tmp_path / "out" / "theirs").write_text("2")
    assert [file.name for file in tmp_path.rglob("*")] == ["out", "theirs"]


def test_published_directory_has_ordinary_permissions(tmp_path):
    with atomic_directory(tmp_path / "out") as directory:
        (directory / "file").write_text("x")
    (tmp_path / "plain").mkdir()
    assert (tmp_path / "out").stat().st_mode == (tmp_path / "plain").stat().st_mode
