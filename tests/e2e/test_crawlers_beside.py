"""The crawlers beside `labtrawl crawl`, processes of their own: shared lists, kills, processors."""

import contextlib
import os
import re
import select
import signal
import sys
import time
from pathlib import Path

import pytest

from labtrawl.sandbox import Options
from tests.e2e.crawling import HANGS, SLOW_MS, few, until_asked, until_committed, words
from tests.e2e.typed import Running, alive, labtrawl, started
from tests.integration.faults.crawling import WORLD
from tests.rig.crawled import assert_is_truth
from tests.rig.served import served

# What a crawler takes to give its jobs back, which it need not when nobody would hear of it.
DRAIN_SECONDS = 5.0


def test_crawlers_beside_share_the_lists_and_end_with_it(tmp_path: Path) -> None:
    with served(WORLD, Options(latency_ms=10)) as there:
        given = words(tmp_path, there, "--crawlers", "3", "--jobs", "1")
        with started(tmp_path, *given) as running:
            running.until("complete +following changes")
            beside = children(running)
            assert len(beside) == 3
            for number in (2, 3):
                while not (tmp_path / "out" / f"crawl-{number}.log").exists():
                    assert running.process.poll() is None
            running.interrupt()
            assert running.end() == 0
        assert alive(beside) == []
        assert_is_truth(tmp_path / "out", there.truth(), few)


@pytest.mark.parametrize("more", [0, 1])
def test_crawlers_have_a_processor_each_where_there_are_as_many(tmp_path: Path, more: int) -> None:
    places = os.sched_getaffinity(0)
    if len(places) == 1:
        pytest.skip("needs two processors: with one there is one process for all")
    with served(WORLD, HANGS) as there:
        given = words(tmp_path, there, "--crawlers", str(len(places) + more), "--once")
        with started(tmp_path, *given) as running:
            until_committed(tmp_path / "out", 2, running)
            kept = [os.sched_getaffinity(crawler) for crawler in children(running)]
            assert os.sched_getaffinity(running.process.pid) == places
    assert kept == ([places] * (len(places) + 1) if more else [{place} for place in sorted(places)])


def children(running: Running) -> list[int]:
    """The processes beside a crawl."""
    pid = running.process.pid
    return [int(each) for each in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def until_gone(pids: list[int]) -> None:
    """Wait for the end of processes that are not ours: the kernel tells it of each."""
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            select.select([os.pidfd_open(pid)], [], [])


def test_crawler_that_is_killed_ends_the_crawl_in_one_sentence_and_the_next_goes_on(
    tmp_path: Path,
) -> None:
    with served(WORLD, HANGS) as there:
        with started(tmp_path, *words(tmp_path, there, "--once")) as running:
            until_committed(tmp_path / "out", 2, running)
            beside = children(running)
            assert len(beside) == 2
            for crawler in beside:
                os.kill(crawler, signal.SIGKILL)
            assert running.end() == 2
            assert re.search(
                r"\nlabtrawl: the crawler was killed by signal 9: run the same again", running.said
            )
        port = there.server.port
    with served(WORLD, port=port) as there:
        done = labtrawl(tmp_path, *words(tmp_path, there, "--once"))
        assert (done.code, done.err) == (0, ""), done
        assert_is_truth(tmp_path / "out", there.truth(), few)


def test_crawlers_that_are_left_read_what_a_killed_one_had(tmp_path: Path) -> None:
    with served(WORLD, Options(latency_ms=SLOW_MS)) as there:
        given = words(tmp_path, there, "--crawlers", "3", "--jobs", "1", "--once")
        with started(tmp_path, *given) as running:
            until_committed(tmp_path / "out", 1, running)
            os.kill(children(running)[0], signal.SIGKILL)
            assert running.end() == 0, running.said
        assert_is_truth(tmp_path / "out", there.truth(), few)


def test_crawler_ends_at_once_when_its_command_is_killed(tmp_path: Path) -> None:
    with (
        served(WORLD, HANGS) as there,
        started(tmp_path, *words(tmp_path, there, "--once")) as running,
    ):
        until_asked(there, 8)
        beside = children(running)
        running.process.kill()
        began = time.monotonic()
        until_gone(beside)
        assert time.monotonic() - began < DRAIN_SECONDS
        assert running.end() == -signal.SIGKILL


def test_crawl_on_one_processor_is_one_process(tmp_path: Path) -> None:
    alone = "import os, sys; os.sched_setaffinity(0, {0}); os.execvp(sys.argv[1], sys.argv[1:])"
    under = (sys.executable, "-c", alone)
    with served(WORLD, Options(latency_ms=SLOW_MS)) as there:
        given = words(tmp_path, there, "--once")
        with started(tmp_path, *given, under=under) as running:
            until_committed(tmp_path / "out", 1, running)
            assert children(running) == []
            assert running.end() == 0
        assert_is_truth(tmp_path / "out", there.truth(), few)
