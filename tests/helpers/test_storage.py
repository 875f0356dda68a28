"""Nothing a learner made is lost: not by two kernels at once, not by a kill, not by damage."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest

from labs_utils.errors import WorkbookError
from labs_utils.storage import read_json, read_text, replace_file, replace_folder, update_json

COUNT = """
import sys; from pathlib import Path; from labs_utils.storage import update_json
def add(record): record[sys.argv[2]] = record.get(sys.argv[2], 0) + 1
for _ in range(40): update_json(Path(sys.argv[1]), add)
"""


def test_two_kernels_at_once_lose_nothing(tmp_path):
    path = tmp_path / "progress.json"
    kernels = [subprocess.Popen([sys.executable, "-c", COUNT, str(path), name]) for name in "abc"]
    assert [kernel.wait() for kernel in kernels] == [0, 0, 0]
    assert read_json(path) == {"a": 40, "b": 40, "c": 40}


def test_a_kill_in_the_middle_leaves_a_whole_file(tmp_path):
    path = tmp_path / "progress.json"
    update_json(path, lambda record: record.update(before=1))
    forever = COUNT.replace("range(40)", "iter(int, 1)")
    for _ in range(5):
        kernel = subprocess.Popen([sys.executable, "-c", forever, str(path), "killed"])
        deadline = time.monotonic() + 20
        while "killed" not in read_json(path) and time.monotonic() < deadline:
            time.sleep(0.01)
        kernel.send_signal(signal.SIGKILL)
        kernel.wait()
        assert json.loads(path.read_text())["before"] == 1
    update_json(path, lambda record: record.update(after=1))  # and the dead kernel's lock is free


@pytest.mark.parametrize("damage", [b"{ broken", b"\xff\xfe", b"[1, 2]", b""])
def test_a_damaged_file_is_set_aside_with_a_message(tmp_path, capsys, damage):
    path = tmp_path / "progress.json"
    path.write_bytes(damage)
    assert update_json(path, lambda record: record.update(new=1)) == {"new": 1}
    aside = [other for other in tmp_path.iterdir() if "damaged" in other.name]
    assert [other.read_bytes() for other in aside] == [damage]
    assert aside[0].name in capsys.readouterr().out


def test_a_folder_that_cannot_be_written_names_the_cure(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(WorkbookError, match="LABS_HOME"):
        update_json(tmp_path / "file" / "progress.json", lambda record: None)


def test_a_change_that_fails_writes_nothing(tmp_path):
    path = tmp_path / "progress.json"
    update_json(path, lambda record: record.update(kept=1))
    with pytest.raises(ZeroDivisionError):
        update_json(path, lambda record: record.update(lost=1 / 0))
    assert os.listdir(tmp_path).count("progress.json") == 1
    assert read_json(path) == {"kept": 1}


def test_a_mark_in_front_of_a_file_saved_on_windows_is_no_damage(tmp_path, capsys):
    path = tmp_path / "progress.json"
    path.write_bytes(b'\xef\xbb\xbf{"kept": 1}')
    assert update_json(path, lambda record: record.update(new=2)) == {"kept": 1, "new": 2}
    path.write_bytes(b"\xef\xbb\xbfna\xc3\xafve")
    assert read_text(path) == "naïve"
    assert "damaged" not in capsys.readouterr().out


def test_a_file_is_replaced_whole_or_not_at_all(tmp_path, monkeypatch):
    path = tmp_path / "notes.txt"
    replace_file(path, "old\r\n")
    path.chmod(0o640)

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        replace_file(path, "new")
    monkeypatch.undo()
    assert path.read_bytes() == b"old\r\n" and os.listdir(tmp_path) == ["notes.txt"]
    replace_file(path, b"new")
    assert path.read_bytes() == b"new" and path.stat().st_mode & 0o777 == 0o640
    replace_file(tmp_path / "token", "secret", mode=0o600)
    assert (tmp_path / "token").stat().st_mode & 0o777 == 0o600


def test_a_folder_is_replaced_whole_or_not_at_all(tmp_path):
    folder = tmp_path / "model"
    with replace_folder(folder) as part:
        (part / "a").write_text("first")
    with pytest.raises(ZeroDivisionError), replace_folder(folder) as part:
        (part / "a").write_text(str(1 / 0))
    assert [path.name for path in tmp_path.rglob("*")] == ["model", "a"] and (folder / "a").read_text() == "first"
    with replace_folder(folder) as part:
        (part / "b").write_text("second")
    assert [path.name for path in tmp_path.rglob("*")] == ["model", "b"]


def test_a_folder_whose_exchange_was_killed_comes_back(tmp_path):
    (tmp_path / ".model.old").mkdir()  # killed between the two renames
    (tmp_path / ".model.old" / "kept").write_text("")
    (tmp_path / ".model.part").mkdir()
    with pytest.raises(ZeroDivisionError), replace_folder(tmp_path / "model"):
        raise ZeroDivisionError
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["kept", "model"]
