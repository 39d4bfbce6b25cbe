"""Folders for the meantime: gone at the end, and after a kill swept by the next command."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from labtrawl.dataset.scratch import YOUNG_SECONDS, scratch

HOLD = """
import sys; from pathlib import Path; from labtrawl.dataset.scratch import scratch
with scratch(Path(sys.argv[1]), "x."):
    print("held", flush=True); sys.stdin.read()
"""


def _old(folder: Path) -> Path:
    before = time.time() - YOUNG_SECONDS - 5
    os.utime(folder, (before, before))
    return folder


def test_folder_is_there_for_a_while_and_empty(tmp_path: Path) -> None:
    with scratch(tmp_path, "x.") as folder:
        (folder / "file").touch()
        assert (folder.parent, folder.stat().st_mode & 0o777) == (tmp_path, 0o700)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["x.backup", "y.0123abcd", "x.0123abcd4", "x.0123ABCD"])
def test_folder_of_another_name_is_left_alone(tmp_path: Path, name: str) -> None:
    (tmp_path / name).mkdir()
    _old(tmp_path / name)
    with scratch(tmp_path, "x."):
        pass
    assert [each.name for each in tmp_path.iterdir()] == [name]


def test_what_a_killed_process_left_is_swept_and_what_is_held_is_not(tmp_path: Path) -> None:
    command = [sys.executable, "-c", HOLD, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"held\n"
        (left,) = tmp_path.iterdir()
        (left / "records").touch()
        _old(left)
        with scratch(tmp_path, "x."):
            assert (left / "records").exists()
        other.kill()
        other.wait()
        young = tmp_path / "x.0123abcd"
        young.mkdir()
        link = tmp_path / "x.89abcdef"
        link.symlink_to(tmp_path)
        with scratch(tmp_path, "x."):
            assert not left.exists()
        assert sorted(tmp_path.iterdir()) == [young, link]
