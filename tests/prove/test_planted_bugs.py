"""Every invariant can fail: a bug planted in a copy of the source is caught by the named test."""

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

pytestmark = pytest.mark.prove

ROOT = Path(__file__).resolve().parent.parent.parent
DATASET = "tests/prove/test_invariants_dataset.py"
MESSAGES = "tests/prove/test_invariants_messages.py"
READINGS = "tests/prove/test_invariants_readings.py"
VISITS = "tests/prove/test_invariants_visits.py"
CODEC = "tests/prove/test_invariants_codec.py"
VISITING = "tests/integration/dispatch/test_visiting.py"


@dataclass(frozen=True, slots=True)
class Bug:
    """A wrong version of a few lines, and the test that must notice it."""

    name: str
    file: str
    right: str
    wrong: str
    caught_by: str


BUGS = [
    Bug(
        "what a part of the list misses is gone",
        "crawler/visit.py",
        "        return self.is_whole and self.compares(cursor)\n",
        "        return self.compares(cursor)\n",
        f"{READINGS}::test_visits_with_crashes_end_with_what_gitlab_has",
    ),
    Bug(
        "page numbers instead of instants",
        "crawler/paging.py",
        "    return BY_CREATION if resource.windowed and reader.since is None else None\n",
        "    return None\n",
        f"{READINGS}::test_list_that_changes_while_it_is_read_loses_nothing",
    ),
    Bug(
        "what is known is written again",
        "crawler/known.py",
        "            if before != content:\n",
        "            if True:\n",
        f"{READINGS}::test_unchanged_visit_writes_no_segment",
    ),
    Bug(
        "newest by the clocks of crawlers",
        "dataset/reader.py",
        "        last = {_identity(record): ordinal for ordinal, record in _numbered(root, folder)}\n",
        "        seen = sorted(_numbered(root, folder), key=lambda one: one[1].fetched_at)\n"
        "        last = {_identity(record): ordinal for ordinal, record in seen}\n",
        f"{READINGS}::test_visits_with_crashes_end_with_what_gitlab_has",
    ),
    Bug(
        "cursor before data",
        "crawler/run.py",
        """        closed = await self._close_segment()
        await self.line.checkpoint(self.cursor.encode(), closed, self._figures())
""",
        """        await self.line.checkpoint(self.cursor.encode(), None, self._figures())
        closed = await self._close_segment()
        await self.line.checkpoint(self.cursor.encode(), closed, self._figures())
""",
        f"{DATASET}::test_crash_before_every_event_loses_nothing_and_doubles_nothing",
    ),
    Bug(
        "no fsync of the file",
        "dataset/sink.py",
        "        self._disk.sync(self._opened())\n",
        "",
        f"{DATASET}::test_power_cut_at_every_disk_operation_loses_nothing_and_doubles_nothing",
    ),
    Bug(
        "no fsync of the folder",
        "dataset/sink.py",
        "        self._disk.sync_folder(self._path.parent)\n",
        "",
        f"{DATASET}::test_power_cut_at_every_disk_operation_loses_nothing_and_doubles_nothing",
    ),
    Bug(
        "no fsync of the folders above",
        "dataset/sink.py",
        "            self._folders.last(self._disk, self._root, self._segment.made)\n",
        "",
        f"{DATASET}::test_power_cut_at_every_disk_operation_loses_nothing_and_doubles_nothing",
    ),
    Bug(
        "no fence",
        "store/jobs.py",
        "    if state != JobState.RUNNING or fence != origin.fence or holder != origin.name:\n",
        "    if state != JobState.RUNNING:\n",
        f"{MESSAGES}::test_message_of_an_older_lease_changes_nothing",
    ),
    Bug(
        "acknowledged before the commit",
        "dispatch/telling.py",
        "    if await _count(desk, lambda c: reports.apply(c, job_id, origin, update, delay)):\n",
        "    asyncio.ensure_future(  # noqa: RUF006\n"
        "        desk.store.write(lambda c: reports.apply(c, job_id, origin, update, delay))\n    )\n"
        "    if True:\n",
        f"{MESSAGES}::test_acknowledgement_follows_the_commit",
    ),
    Bug(
        "no de-duplication",
        "store/jobs.py",
        "    if fence == origin.fence and applied_origin == origin.name"
        " and origin.message_id <= applied_id:\n        return True\n",
        "",
        f"{MESSAGES}::test_message_sent_again_is_applied_once",
    ),
    Bug(
        "data and cursor in two transactions",
        "store/engine.py",
        "        with _savepoint(connection):\n            item.result = item.work(connection)\n",
        "        item.result = item.work(connection)\n",
        f"{MESSAGES}::test_failed_transaction_leaves_neither_data_nor_cursor",
    ),
    Bug(
        "a second open job",
        "store/newest.sql",
        "CREATE UNIQUE INDEX uq_job_open ",
        "CREATE INDEX uq_job_open ",
        f"{MESSAGES}::test_area_and_resource_have_one_open_job_however_often_it_is_proposed",
    ),
    Bug(
        "an old lease is renewed",
        "store/leases.py",
        "WHERE id = ? AND fence = ? AND lease_holder = ? AND state = 'running'\"\n",
        "WHERE id = ? AND (fence = ? OR lease_holder = ? OR state = 'running')\"\n",
        f"{MESSAGES}::test_lease_that_ran_out_is_taken_over_and_its_holder_refused",
    ),
    Bug(
        "a watermark passes what was left unread",
        "store/visits.py",
        "    if mark is None or not reading.is_whole or mark > facts.now + SKEW_MS:\n",
        "    if mark is None or mark > facts.now + SKEW_MS:\n",
        f"{VISITING}::test_watermark_does_not_pass_what_was_left_unread",
    ),
    Bug(
        "a list opened again goes on at its old end",
        "store/jobs.py",
        "|| cursor || '}}' END,",
        "|| cursor || '}}' ELSE cursor END,",
        f"{VISITS}::test_list_read_again_forgets_nothing_whoever_dies_before_or_after_any_event",
    ),
    Bug(
        "a list whose last visit failed is taken as unchanged",
        "store/jobs.py",
        "cursor = CASE WHEN state = 'completed' AND cursor LIKE",
        "cursor = CASE WHEN cursor LIKE",
        f"{VISITING}::test_next_visit_keeps_the_mark_of_a_list_that_was_read_to_its_end",
    ),
    Bug(
        "what changes while a list is read is not read afterwards",
        "store/visits.py",
        "    if facts.wanted_at is not None and facts.wanted_at >= facts.began_at:\n",
        "    if facts.wanted_at is not None and facts.wanted_at < facts.began_at:\n",
        f"{VISITS}::test_list_read_again_forgets_nothing_whoever_dies_before_or_after_any_event",
    ),
    Bug(
        "braces in strings are counted",
        "protocol/codec.py",
        """rb'(?:[^"{}\\[\\]\\n]+|"[^"\\\\\\n]*"){0,256}+'""",
        """rb'[^{}\\[\\]\\n]*'""",
        f"{CODEC}::test_stream_cut_anywhere_gives_its_messages_in_order",
    ),
]


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the package, to plant bugs in."""
    copy = tmp_path_factory.mktemp("planted") / "src"
    shutil.copytree(ROOT / "src", copy, ignore=shutil.ignore_patterns("__pycache__"))
    return copy


@pytest.mark.parametrize("bug", BUGS, ids=lambda bug: bug.name)
def test_planted_bug_is_caught_by_its_test(bug: Bug, source: Path) -> None:
    file = source / "labtrawl" / bug.file
    text = file.read_text()
    assert text.count(bug.right) == 1, f"the lines of {bug.name!r} are no longer in {bug.file}"
    file.write_text(text.replace(bug.right, bug.wrong))
    try:
        ran = _run(bug.caught_by, source)
    finally:
        file.write_text(text)
    assert ran.returncode == pytest.ExitCode.TESTS_FAILED, ran.stdout[-3000:]
    assert " failed" in ran.stdout.splitlines()[-1], ran.stdout[-3000:]


def test_copy_without_a_bug_passes(source: Path) -> None:
    """A failure of the tests above is the bug's, not the copy's."""
    for bug in BUGS:
        assert (source / "labtrawl" / bug.file).read_text().count(bug.right) == 1
    ran = _run(MESSAGES, source)
    assert ran.returncode == pytest.ExitCode.OK, ran.stdout[-3000:]


def _run(test: str, source: Path) -> subprocess.CompletedProcess[str]:
    """Run one test against the copy, in a process of its own."""
    environment = {**os.environ, "PYTHONPATH": str(source), "PYTHONDONTWRITEBYTECODE": "1"}
    command = [sys.executable, "-m", "pytest", "-q", "-x", "--no-header", "-p", "no:cacheprovider"]
    return subprocess.run(
        [*command, "-p", "no:randomly", test],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
