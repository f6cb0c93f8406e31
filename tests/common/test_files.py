"""Files appear whole or not at all, names stay in their folder, one run writes, differences are named."""

import errno
import subprocess
import sys

import pytest
from mmbert.common.changes import find_changes
from mmbert.common.files import inside, read_json, replacing, write_error, write_json
from mmbert.common.locks import only_writer
from mmbert.common.progress import Progress


def test_a_file_is_replaced_whole_or_not_at_all(tmp_path):
    path = tmp_path / "state.json"
    write_json(path, {"step": 1, "text": "naïve"})
    with pytest.raises(KeyError), replacing(path) as partial:
        partial.write_text("half")
        raise KeyError
    assert read_json(path) == {"step": 1, "text": "naïve"}
    assert [file.name for file in tmp_path.iterdir()] == ["state.json"]


def test_a_failed_write_names_file_reason_and_space(tmp_path):
    with pytest.raises(OSError, match=r"cannot write .*absent/a.json: No such file or directory"):
        write_json(tmp_path / "absent" / "a.json", {})
    full = OSError(errno.ENOSPC, "No space left on device")
    assert write_error(tmp_path / "model", full, 2_500_000_000).startswith("No space left on device (needs 2.5 GB, ")


@pytest.mark.parametrize("content", [b"{", b"[1]", b"\xff", b"[" * 100_000])
def test_json_that_is_no_object_is_refused_by_name(tmp_path, content):
    (tmp_path / "a.json").write_bytes(content)
    with pytest.raises(ValueError, match=r"a\.json"):
        read_json(tmp_path / "a.json")


def test_names_stay_in_their_folder(tmp_path):
    folder = tmp_path / "index"
    (folder / "part").mkdir(parents=True)
    (tmp_path / "other").write_text("")
    (folder / "link").symlink_to(tmp_path / "other")
    (folder / "circle").symlink_to(folder / "circle")
    assert inside(folder, "part/a.json", tmp_path) == folder / "part" / "a.json"
    assert inside(folder, "", tmp_path) == folder
    for name in (
        "../other",
        "/etc/hostname",
        "part/../../other",
        "link",
        "circle",
        "C:a",
        "a\\b",
        3,
        None,
        "a" * 300,
        "a\nb",
        "\u2028",
    ):
        with pytest.raises(ValueError, match=r"index\.json[^\n]*$"):
            inside(folder, name, folder / "index.json")
    assert inside(folder, "می\u200cخواهم.json", tmp_path).name == "می\u200cخواهم.json"


def test_a_second_writer_is_told_who_is_at_work(tmp_path):
    script = (
        "import sys\nfrom mmbert.common.locks import only_writer\n"
        "with only_writer(sys.argv[1]):\n    print('held', flush=True)\n    sys.stdin.read()\n"
    )
    other = subprocess.Popen(
        [sys.executable, "-c", script, str(tmp_path / "run")], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        assert other.stdout.readline() == "held\n"
        with (
            pytest.raises(ValueError, match=rf"run is being written by another run \(.*process {other.pid}\)"),
            only_writer(tmp_path / "run"),
        ):
            pass
    finally:
        other.kill()
        other.wait()
    with only_writer(tmp_path / "run"):  # a killed holder stands in nobody's way
        assert [path.name for path in tmp_path.iterdir()] == [".run.lock"]
    assert not any(tmp_path.iterdir())


def test_what_differs_is_named_as_deep_as_it_lies():
    before = {"options": {"epochs": 3, "lora": None}, "rows": ["a", "b"], "gone": 1}
    now = {"options": {"epochs": 4, "lora": None}, "rows": ["a", "c"], "new": 2}
    assert find_changes(before, now) == [
        "options.epochs was 3 and is now 4",
        "rows[1] was b and is now c",
        "gone was 1 and is now null",
        "new was null and is now 2",
    ]
    assert find_changes(before, dict(before)) == []


def test_progress_prints_one_line_per_interval_with_rate_and_time_left(caplog):
    now = [0.0]
    with caplog.at_level("INFO"), Progress("embedding", interval=5, clock=lambda: now[0]) as progress:
        progress.resume(10)
        for done, now[0] in ((20, 4.0), (30, 6.0), (40, 8.0), (60, 12.0)):
            progress.update(done, 100, f"{done} texts")
    assert [record.getMessage() for record in caplog.records] == [
        "embedding  30.0%  30 texts, 21 s left",
        "embedding  60.0%  60 texts, 10 s left",
    ]
