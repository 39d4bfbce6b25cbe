"""`labtrawl crawl` without --once: what it says when there is nothing to read any more."""

from pathlib import Path

import pytest

from labtrawl.sandbox import Fault, Options
from tests.e2e.typed import labtrawl, started
from tests.integration.faults.crawling import ONE, WORLD
from tests.rig.private import write_private
from tests.rig.served import Served, served

BROKEN = Fault(path=rf"/projects/{ONE.id}/labels", kind="wrong_type", times=0)


def words(folder: Path, there: Served, path: str) -> tuple[str, ...]:
    write_private(folder / "token", there.token + "\n")
    url = there.url + path
    return ("crawl", url, "--token-file", "token", "--out", "out", "--resources", "labels")


def test_url_that_names_nothing_is_not_followed(tmp_path: Path) -> None:
    with served(WORLD) as there:
        ended = labtrawl(tmp_path, *words(tmp_path, there, "/fjordlab/nothing"))
    assert ended.code == 2
    assert "complete" not in ended.out
    assert ended.err.count("\n") == 1
    assert "nothing could not be read: 404" in ended.err
    assert not (tmp_path / "out").exists()


def test_list_of_areas_that_failed_is_told_when_those_that_are_known_are_followed(
    tmp_path: Path,
) -> None:
    # The forecast and the first discovery ask for it; then the account lost the right to.
    lost = Fault(path=r"/api/v4/projects\?membership", kind="403", times=0, skip=2)
    with served(WORLD, Options(faults=(lost,))) as there:
        flags = words(tmp_path, there, "")
        assert labtrawl(tmp_path, *flags, "--once").code == 0
        with started(tmp_path, *flags) as running:
            running.until(
                r"gaps +in 1 list, \S.* ledger --gaps --data-dir out says why; following"
                " changes, looked for every 1:00 h; Ctrl-C ends it"
            )
            assert "complete  " not in running.said
            running.interrupt()
            assert running.end() == 1


# Half a minute: the list is tried as often as any before it counts as failed.
@pytest.mark.proof
def test_list_that_failed_is_told_when_the_others_are_followed(tmp_path: Path) -> None:
    with (
        served(WORLD, Options(faults=(BROKEN,))) as there,
        started(tmp_path, *words(tmp_path, there, "/fjordlab")) as running,
    ):
        running.until(
            r"gaps +in 1 list, \S.* ledger --gaps --data-dir out says why; following"
            " changes, looked for every 1:00 h; Ctrl-C ends it"
        )
        assert "complete  " not in running.said
        running.interrupt()
        assert running.end() == 1
