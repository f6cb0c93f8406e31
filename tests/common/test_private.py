"""What is published of runs that were made in a strangely named folder: its name is in no byte of it."""

import getpass
import json
import shutil
import socket
from pathlib import Path

import pytest
from mmbert.common.checkpoints import verify_checksums
from mmbert.export.hub.assemble import assemble


def names_of_this_machine():
    found = {"jane-doe", "(secret)", "no. 1", "hf_secrettoken", socket.gethostname(), getpass.getuser()}
    return [name for name in found if len(name) > 4]  # `root` or `user` are words


def leaks(folder):
    written = [path for path in folder.rglob("*") if path.is_file()]
    assert len(written) > 3
    return [
        (path.name, name)
        for path in written
        for name in names_of_this_machine()
        for coded in {name.encode(), name.encode("utf-16-le")}
        if coded in path.read_bytes() or coded in str(path.relative_to(folder)).encode()
    ]


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
    assert {"README.md", "fine_tune_record.json", "loss.svg"} <= published
    assert not graphs or {".onnx", ".gguf"} <= {Path(name).suffix for name in published}


@pytest.mark.slow
def test_nor_is_it_in_what_is_exported(onnx_folder, gguf_folder):
    assert leaks(onnx_folder) == [] and leaks(gguf_folder) == []
