"""What is published of runs that were made in a strangely named folder: its name is in no byte of it."""

import getpass
import gzip
import json
import shutil
import socket
import zipfile
from pathlib import Path

import PIL.Image
import PIL.PngImagePlugin
import pytest
from mmbert.common.checkpoints import verify_checksums
from mmbert.export.hub.assemble import assemble


def names_of_this_machine():
    found = {"jane-doe", "(secret)", "no. 1", "hf_secrettoken", socket.gethostname(), getpass.getuser()}
    return [name for name in found if len(name) > 4]  # `root` or `user` are words


def contents(path):
    """The bytes of a file, and what is compressed in them: texts of a picture, members of an archive."""
    yield path.read_bytes()
    if path.suffix == ".png":
        with PIL.Image.open(path) as picture:
            picture.load()
            yield repr(picture.info).encode()
    elif zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            yield from (name.encode() + archive.read(name) for name in archive.namelist())
    elif path.read_bytes()[:2] == b"\x1f\x8b":
        yield gzip.decompress(path.read_bytes())


def leaks(folder):
    written = [path for path in folder.rglob("*") if path.is_file()]
    assert len(written) > 3
    return [
        (path.name, name)
        for path in written
        for name in names_of_this_machine()
        for coded in {name.encode(), name.encode("utf-16-le")}
        if coded in str(path.relative_to(folder)).encode() or any(coded in one for one in contents(path))
    ]


def test_what_is_compressed_is_seen(tmp_path):
    for number in range(4):
        (tmp_path / f"{number}.txt").write_text("nothing")
    draw(tmp_path / "loss.png", "made in /home/jane-doe")
    with gzip.open(tmp_path / "a.json.gz", "wt") as file:
        file.write("jane-doe")
    with zipfile.ZipFile(tmp_path / "b.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("note", "jane-doe" * 9)
    assert sorted(leaks(tmp_path)) == [(name, "jane-doe") for name in ("a.json.gz", "b.npz", "loss.png")]


def draw(path, told):
    """A picture with a text of each kind, two of them compressed."""
    notes = PIL.PngImagePlugin.PngInfo()
    notes.add_text("Title", told)
    notes.add_text("Source", told * 50, zip=True)
    notes.add_itxt("Comment", told * 50, zip=True)
    PIL.Image.new("RGB", (3, 2), (200, 30, 60)).save(path, pnginfo=notes)


@pytest.mark.parametrize("kind", ["plain", "exported", "embedder", "stock", "run/final", "merged", "trimmed"])
def test_no_folder_user_or_host_name_is_published(folders, tmp_path, kind):
    assemble(folders / kind, tmp_path / "published")
    assert leaks(tmp_path / "published") == []
    assert verify_checksums(tmp_path / "published")


@pytest.mark.parametrize("graphs", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_nor_of_a_fine_tuned_network_its_record_card_and_graphs(folders, fine_tuned, request, tmp_path, graphs):
    folder = shutil.copytree(folders / "finetuned", folders / "published from")
    (folder / "README.md").write_text(f"# Mine\n\nTrained as `mmbert finetune --train {folders}/rows.csv`.\n")
    (folder / "scores.json").write_text(json.dumps({"argv": [f"--data={folders}/a.csv", f"from {folders} on"]}))
    (folder / "loss.svg").write_text(f'<svg xmlns="http://www.w3.org/2000/svg" id="{folders}/loss.svg"></svg>')
    draw(folder / "curve.png", str(folders))
    if graphs:
        shutil.copytree(request.getfixturevalue("onnx_folder") / "onnx", folder / "onnx")
        shutil.copytree(request.getfixturevalue("gguf_folder"), folder / "gguf")
    try:
        assemble(folder, tmp_path / "published")
    finally:
        shutil.rmtree(folder)
    assert leaks(tmp_path / "published") == []
    assert verify_checksums(tmp_path / "published")
    published = {path.relative_to(tmp_path / "published").as_posix() for path in (tmp_path / "published").rglob("*")}
    assert {"README.md", "fine_tune_record.json", "loss.svg", "curve.png"} <= published
    with PIL.Image.open(tmp_path / "published" / "curve.png") as picture:
        assert [picture.getpixel((x, y)) for x in range(3) for y in range(2)] == [(200, 30, 60)] * 6
    assert not graphs or {".onnx", ".gguf"} <= {Path(name).suffix for name in published}


@pytest.mark.slow
def test_nor_is_it_in_what_is_exported(onnx_folder, gguf_folder):
    assert leaks(onnx_folder) == [] and leaks(gguf_folder) == []
