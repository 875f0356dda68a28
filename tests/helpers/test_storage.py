"""Nothing a learner made is lost: not by two kernels at once, not by a kill, not by damage."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest

from labs_utils.errors import WorkbookError
from labs_utils.storage import read_json, update_json

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
