"""A program's life under the supervisor: start, crash, restart, silence, stop."""

import asyncio
import gc
import os
import signal
import time
from pathlib import Path

import pytest

from labtrawl.supervisor.keeper import Timing
from labtrawl.supervisor.process import Program
from labtrawl.supervisor.restarts import RestartPolicy
from labtrawl.supervisor.states import State
from tests.integration.supervisor.conftest import Staged, gone, program


async def test_program_started_and_stopped_passes_through_its_states(
    folder: Path, staged: Staged
) -> None:
    async with staged([program(folder, "a", "good")]) as stage:
        await stage.ready("a")
        killed = await stage.stop()
    assert killed == ()
    assert stage.states("a") == [
        State.STARTING,
        State.READY,
        State.STOPPING,
        State.STOPPED,
    ]
    assert [note["event"] for note in stage.notes("a")] == ["begin", "stopped"]
    assert ("a", "a is here") in stage.lines


@pytest.mark.seed("S1.16")
async def test_child_environment_holds_nothing_and_token_is_in_neither_environ_nor_cmdline(
    folder: Path, staged: Staged
) -> None:
    async with staged([program(folder, "a", "good")]) as stage:
        status = await stage.ready("a")
        token = str(stage.notes("a")[0]["token"])
        shown = shown_by_the_system(status.pid)
    # Python itself adds LC_CTYPE where the locale is missing (PEP 538).
    assert set(status.details["environment"].split(",")) <= {"LC_CTYPE", ""}
    assert len(token) == 64
    assert token.encode() not in shown


def shown_by_the_system(pid: int | None) -> bytes:
    folder = Path(f"/proc/{pid}")
    shown = (folder / "cmdline").read_bytes()
    if os.getuid() == 0:
        return shown + (folder / "environ").read_bytes()
    with pytest.raises(PermissionError):
        (folder / "environ").read_bytes()
    return shown


@pytest.mark.seed("S1.3")
async def test_crashed_program_starts_again_at_once_with_another_token(
    folder: Path, staged: Staged
) -> None:
    async with staged([program(folder, "a", "good")]) as stage:
        first = await stage.ready("a")
        assert first.pid is not None
        os.kill(first.pid, signal.SIGKILL)
        second = await stage.ready("a", starts=2)
    crash = next(status for status in stage.changes if status.state is State.BACKOFF)
    assert (crash.reason, crash.exit_code, crash.crashes) == ("killed by signal 9", -9, 1)
    assert (second.starts, second.crashes) == (2, 1)
    tokens = [note["token"] for note in stage.notes("a") if note["event"] == "begin"]
    assert len(set(tokens)) == 2


async def test_program_in_a_crash_loop_fails_alone_after_six_starts(
    folder: Path, staged: Staged
) -> None:
    programs = [program(folder, "a", "crash", "1"), program(folder, "b", "good")]
    async with staged(programs) as stage:
        status = await stage.supervisor.wait_for("a", lambda each: each.state is State.FAILED)
        other = await stage.ready("b")
    assert (status.starts, status.crashes, status.reason) == (6, 6, "exit code 1")
    assert (other.starts, other.crashes) == (1, 0)
    assert ("a", "out of order") in stage.lines


async def test_program_with_unusable_settings_fails_at_once(folder: Path, staged: Staged) -> None:
    async with staged([program(folder, "a", "crash", "78")]) as stage:
        status = await stage.supervisor.wait_for("a", lambda each: each.state is State.FAILED)
    assert (status.starts, status.exit_code) == (1, 78)


async def test_failed_program_is_tried_again_and_fails_at_the_first_crash(
    folder: Path, staged: Staged
) -> None:
    timing = Timing(restarts=RestartPolicy(base_seconds=0.001, retry_seconds=0.01))
    async with staged([program(folder, "a", "crash", "78")], timing) as stage:
        await stage.supervisor.wait_for("a", lambda each: each.starts == 3)
    states = stage.states("a")
    assert State.BACKOFF not in states
    assert states.count(State.FAILED) >= 2


async def test_program_that_cannot_be_started_says_why(folder: Path, staged: Staged) -> None:
    missing = program(folder, "a", "good")
    broken = type(missing)(name="a", argv=(str(folder / "nothing"),), config=b"{}")
    async with staged([broken]) as stage:
        status = await stage.supervisor.wait_for("a", lambda each: each.crashes == 1)
    assert status.reason == "cannot be started: No such file or directory"


async def test_program_that_does_not_become_ready_is_ended_and_started_again(
    folder: Path, staged: Staged
) -> None:
    async with staged(
        [program(folder, "a", "silent", grace_seconds=0.1)], Timing(ready_seconds=0.6)
    ) as stage:
        status = await stage.supervisor.wait_for("a", lambda each: each.crashes == 1)
    assert status.reason == "not ready within 0.6 s"


async def test_program_that_sends_no_frames_is_ended_and_its_mistake_named(
    folder: Path, staged: Staged
) -> None:
    async with staged([program(folder, "a", "rubbish")]) as stage:
        status = await stage.supervisor.wait_for("a", lambda each: each.crashes == 1)
    assert status.reason.startswith("a control frame could not be read: ")


@pytest.mark.seed("S1.3", "S2.106")
async def test_stuck_program_that_ignores_term_is_killed_with_its_group(
    folder: Path, staged: Staged
) -> None:
    timing = Timing(heartbeat_seconds=0.1, missed_heartbeats=3, ready_seconds=10)
    async with staged([program(folder, "a", "stuck", grace_seconds=0.1)], timing) as stage:
        status = await stage.supervisor.wait_for("a", lambda each: each.crashes == 1)
        near = int(str(stage.notes("a")[0]["near"]))
    assert (status.reason, status.exit_code) == ("no sign of life for 3 heartbeats", -9)
    gone(near)


async def test_stop_of_a_program_that_ignores_term_kills_it_and_says_so(
    folder: Path, staged: Staged
) -> None:
    async with staged([program(folder, "a", "stuck", grace_seconds=0.1)]) as stage:
        await stage.ready("a")
        assert await stage.stop() == ("a",)
        near = int(str(stage.notes("a")[0]["near"]))
    gone(near)


async def test_restart_on_request_counts_as_no_crash(folder: Path, staged: Staged) -> None:
    async with staged([program(folder, "a", "good")]) as stage:
        await stage.ready("a")
        status = await stage.supervisor.restart("a")
    assert (status.state, status.starts, status.crashes) == (State.READY, 2, 0)
    assert [note["event"] for note in stage.notes("a")][:3] == ["begin", "stopped", "begin"]


async def test_restart_of_a_failed_program_starts_it_at_once(folder: Path, staged: Staged) -> None:
    async with staged([program(folder, "a", "crash", "78")]) as stage:
        await stage.supervisor.wait_for("a", lambda each: each.state is State.FAILED)
        status = await stage.supervisor.restart("a")
    assert (status.state, status.starts) == (State.FAILED, 2)


@pytest.mark.proof
async def test_program_that_ignores_term_is_gone_half_a_second_after_its_grace(
    folder: Path, staged: Staged
) -> None:
    async with staged([program(folder, "a", "stuck", grace_seconds=1.0)]) as stage:
        await stage.ready("a")
        note = stage.notes("a")[0]
        began = time.monotonic()
        stage.supervisor.stop()
        await asyncio.to_thread(gone, int(str(note["pid"])), int(str(note["near"])))
        assert time.monotonic() - began < 1.5


@pytest.mark.proof
async def test_thousand_restarts_leave_the_memory_as_it_was(folder: Path, staged: Staged) -> None:
    patient = RestartPolicy(base_seconds=0.0, crashes=10_000)
    true = Program(name="a", argv=("/bin/true",), config=b"{}")
    async with staged([true], Timing(restarts=patient)) as stage:
        await stage.supervisor.wait_for("a", lambda each: each.starts == 100)
        before = resident_pages()
        stage.changes.clear()
        await stage.supervisor.wait_for("a", lambda each: each.starts == 1100)
        stage.changes.clear()
        after = resident_pages()
    assert after - before < 256  # of 4 KiB: 1 MiB


def resident_pages() -> int:
    gc.collect()
    return int(Path("/proc/self/statm").read_text().split()[1])
