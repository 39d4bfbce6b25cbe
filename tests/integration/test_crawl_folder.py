"""Which folders `labtrawl crawl --out` takes, looked at before anything is asked."""

import errno
import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from labtrawl.clock import system_clock
from labtrawl.sandbox import Options
from labtrawl.supervisor import instance
from tests.integration.faults.crawling import WORLD
from tests.integration.test_crawl_command import FEW, code_of, crawl, refusal
from tests.rig.served import Served, served


@pytest.fixture(scope="module")
def gitlab() -> Iterator[Served]:
    with served(WORLD, Options(enterprise=False, version="18.5.0")) as there:
        yield there


def test_folder_of_another_target_or_of_something_else_is_refused(
    tmp_path: Path, gitlab: Served
) -> None:
    group = f"{gitlab.url}/fjordlab"
    assert code_of(crawl(tmp_path, group, gitlab.token, *FEW)) == 0
    assert code_of(crawl(tmp_path, f"{group}/-/issues", gitlab.token, *FEW)) == 0
    other = refusal(crawl(tmp_path, f"{group}/handbook", gitlab.token))
    assert f"holds what was crawled from {group}: choose another folder" in str(other)
    narrower = refusal(crawl(tmp_path, group, gitlab.token, "--exclude", "x*"))
    assert "was crawled with no bounds: give the same again" in str(narrower)
    for name in ("crawl.json", "crawl.copy.json"):
        (tmp_path / "out" / "config" / name).unlink()
    strange = refusal(crawl(tmp_path, group, gitlab.token))
    assert "holds something else" in str(strange)


def test_folder_with_files_of_others_is_refused_before_anything_is_asked(tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    for name in ("lost+found", ".hidden", "crawl.log", "labtrawl.lock"):
        (out / name).write_text("")
    asked = refusal(crawl(tmp_path, "http://127.0.0.1:1", "glpat-x"))
    assert "127.0.0.1" in str(asked)
    (out / "thesis.txt").write_text("mine")
    failed = refusal(crawl(tmp_path, "http://127.0.0.1:1", "glpat-x"))
    assert str(failed) == f"{out} holds something else: choose another folder with --out"


@pytest.fixture
def shut(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder in which nothing can be written, for root neither."""
    access = os.access
    monkeypatch.setattr(
        "labtrawl.cli.crawl.os.access",
        lambda place, *how: Path(place) != tmp_path and access(place, *how),
    )
    return tmp_path


def assert_is_refused(folder: Path) -> None:
    failed = refusal(crawl(folder, "http://127.0.0.1:1", "glpat-x"))
    told = f"nothing can be written in {folder}: choose another folder with --out"
    assert str(failed) == told


def test_folder_that_cannot_be_made_is_refused_before_anything_is_asked(shut: Path) -> None:
    assert_is_refused(shut)


def test_folder_below_one_that_may_not_be_entered_is_refused(
    shut: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    exists = Path.exists

    def entered(path: Path) -> bool:
        if shut in path.parents:
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return exists(path)

    monkeypatch.setattr(Path, "exists", entered)
    assert_is_refused(shut)


async def test_folder_in_use_is_refused_before_anything_is_asked(tmp_path: Path) -> None:
    out = tmp_path / "out"
    async with instance.hold(out, out / "control.sock", system_clock(), 1):
        failed = refusal(crawl(tmp_path, "http://127.0.0.1:1", "glpat-x"))
    assert re.search(r"another labtrawl \(pid \d+\) works in \S+/out: wait for it", str(failed))
