"""The supervisor as a process: signals, kill -9, strays, one a data folder, its own commands."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from labtrawl.cli.main import execute
from tests.integration.supervisor.conftest import gone

WHOLE = Path(__file__).with_name("whole.py")


class Whole:
    """A running supervisor and what it wrote so far."""

    def __init__(self, data_dir: Path, *kinds: str) -> None:
        self.data_dir = data_dir
        self.process = subprocess.Popen(
            [sys.executable, str(WHOLE), str(data_dir), *kinds],
            stderr=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            text=True,
        )
        self.lines: list[str] = []

    def until(self, event: str, **keys: str) -> dict[str, object]:
        """Read its log up to an event."""
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.lines.append(line)
            found: dict[str, object] = json.loads(line) if line.startswith("{") else {}
            if found.get("event") == event and keys.items() <= found.items():
                return found
        raise AssertionError(f"no {event} in {self.lines}")

    def note(self, name: str) -> dict[str, int]:
        noted: dict[str, int] = json.loads((self.data_dir / name).read_text().splitlines()[0])
        return noted

    def end(self) -> int:
        """Wait for its end, having read all that it wrote."""
        assert self.process.stderr is not None
        self.lines += self.process.stderr
        return self.process.wait(10)


@pytest.fixture
def run(folder: Path) -> Iterator[Callable[..., Whole]]:
    started: list[Whole] = []

    def start(*kinds: str) -> Whole:
        started.append(Whole(folder / "data", *kinds))
        return started[-1]

    yield start
    for whole in started:
        whole.process.kill()
        whole.process.wait()
        assert whole.process.stderr is not None
        whole.process.stderr.close()


Run = Callable[..., Whole]


@pytest.mark.seed("S1.4", "S1.32", "S1.33")
def test_interrupt_stops_everything_with_exit_code_0(run: Run) -> None:
    whole = run("good", "good")
    whole.until("program_ready")
    whole.until("program_ready")
    pids = [whole.note(name)["pid"] for name in ("good-1", "good-2")]
    whole.process.send_signal(signal.SIGINT)
    assert whole.end() == 0
    gone(*pids)
    assert sorted(path.name for path in (whole.data_dir / "run").iterdir()) == []
    assert not (whole.data_dir / "config" / "api.sock").exists()


@pytest.mark.seed("S1.33")
def test_child_that_had_to_be_killed_makes_exit_code_1(run: Run) -> None:
    whole = run("stuck")
    whole.until("program_ready", program="stuck-1")
    started = time.monotonic()
    whole.process.send_signal(signal.SIGTERM)
    assert whole.end() == 1
    assert 0.5 <= time.monotonic() - started < 5
    note = whole.note("stuck-1")
    gone(note["pid"], note["near"], note["far"])


def test_second_interrupt_kills_at_once(run: Run) -> None:
    whole = run("stuck")
    whole.until("program_ready", program="stuck-1")
    whole.process.send_signal(signal.SIGINT)
    whole.until("program_stopping")
    whole.process.send_signal(signal.SIGINT)
    assert whole.end() == 1


@pytest.mark.seed("S1.4")
def test_stop_sweeps_grandchildren_even_those_that_left_the_group(run: Run) -> None:
    whole = run("parent")
    whole.until("program_ready", program="parent-1")
    note = whole.note("parent-1")
    whole.process.send_signal(signal.SIGTERM)
    assert whole.end() == 0
    gone(note["pid"], note["near"], note["far"])


def test_crash_of_a_child_sweeps_its_grandchildren_while_the_supervisor_goes_on(run: Run) -> None:
    whole = run("parent")
    whole.until("program_ready", program="parent-1")
    note = whole.note("parent-1")
    os.kill(note["pid"], signal.SIGKILL)
    gone(note["near"], note["far"])
    whole.until("program_ready", program="parent-1")


@pytest.mark.parametrize("kind", ["parent", "good", "stuck"])
def test_kill_9_of_the_supervisor_leaves_neither_child_nor_grandchild(run: Run, kind: str) -> None:
    whole = run(kind)
    whole.until("program_ready", program=f"{kind}-1")
    note = whole.note(f"{kind}-1")
    whole.process.kill()
    gone(*(note[key] for key in ("pid", "near", "far") if key in note))


def test_start_after_kill_9_waits_for_the_children_left_and_then_runs(run: Run) -> None:
    first = run("stuck")
    first.until("program_ready", program="stuck-1")
    first.process.kill()
    second = run("good")
    second.until("program_ready", program="good-1")
    gone(first.note("stuck-1")["pid"])


def test_second_supervisor_on_a_data_folder_is_refused_in_one_sentence(
    run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    first = run("good")
    first.until("program_ready", program="good-1")
    assert execute(["start", "--data-dir", str(first.data_dir), "--port", "0"]) == 2
    assert capsys.readouterr().err == (
        f"labtrawl: a labtrawl already runs on this data folder (pid {first.process.pid}); "
        f"stop it with `labtrawl stop --data-dir '{first.data_dir}'`\n"
    )


def test_status_restart_and_stop_reach_the_running_supervisor(
    run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = run("good")
    whole.until("program_ready", program="good-1")
    place = ["--data-dir", str(whole.data_dir)]
    assert execute(["restart", "good-1", *place]) == 0
    assert execute(["restart", "good-9", *place]) == 2
    assert execute(["status", "--json", *place]) == 0
    assert execute(["stop", *place]) == 0
    assert execute(["status", *place]) == 3
    assert execute(["stop", *place]) == 2
    out, err = capsys.readouterr()
    restarted, status, stopped, nothing = out.splitlines()
    shown = json.loads(status)
    assert restarted == "good-1 is ready"
    assert (shown["pid"], shown["data_dir"]) == (whole.process.pid, str(whole.data_dir))
    assert [(each["name"], each["state"], each["starts"]) for each in shown["programs"]] == [
        ("good-1", "ready", 2)
    ]
    assert (stopped, nothing) == ("stopped", f"nothing runs on {whole.data_dir}")
    assert err.splitlines() == [
        "labtrawl: there is no program good-9; there are: good-1",
        f"labtrawl: no labtrawl runs on {whole.data_dir}; --data-dir names another folder",
    ]
    assert whole.end() == 0


def test_program_that_can_never_work_ends_the_start_with_its_sentence(run: Run) -> None:
    whole = run("good", "unusable")
    assert whole.end() == 2
    assert whole.lines[-1] == "labtrawl: unusable-2 cannot work: the key is damaged\n"


def test_quick_ends_of_children_are_never_taken_for_strays(run: Run) -> None:
    whole = run("good", "crash_1", "crash_1", "crash_1")
    reasons = {whole.until("program_crashed")["reason"] for _ in range(6)}
    assert reasons == {"exit code 1"}


def test_child_that_knows_nothing_of_supervision_is_killed_at_the_stop(run: Run) -> None:
    whole = run("ignorant")
    whole.until("program_starting", program="ignorant-1")
    whole.process.send_signal(signal.SIGTERM)
    assert whole.end() in {0, 1}


def test_connection_left_open_at_the_end_makes_no_noise(run: Run) -> None:
    whole = run("good")
    whole.until("program_ready")
    with socket.socket(socket.AF_UNIX) as idle, socket.socket(socket.AF_UNIX) as asking:
        idle.connect(str(whole.data_dir / "run" / "control.sock"))
        asking.connect(str(whole.data_dir / "run" / "control.sock"))
        asking.sendall(b'{"request":"status"}\n{"request":"stop"}\n{"request":"dance"}\n')
        answers = [json.loads(line) for line in asking.makefile()]
    assert whole.end() == 0
    assert [list(answer) for answer in answers][:2] == [["status"], []]
    assert [line for line in whole.lines if '"level": "error"' in line] == []


def test_nonsense_on_the_control_socket_is_refused_and_changes_nothing(run: Run) -> None:
    whole = run("good")
    whole.until("program_ready")
    nonsense = [
        {"request": "join", "kind": "crawler", "settings": {}, "source": {}},
        {"request": "join", "kind": "root", "settings": {}, "source": {}},
        {"request": "leave"},
        {"request": "reload"},
    ]
    with socket.socket(socket.AF_UNIX) as asking:
        asking.connect(str(whole.data_dir / "run" / "control.sock"))
        lines = [json.dumps(each) for each in nonsense] + ["{", '{"request":"status"}']
        asking.sendall("".join(line + "\n" for line in lines).encode())
        asking.shutdown(socket.SHUT_WR)
        answers = [json.loads(line) for line in asking.makefile()]
    unknown = {"error": "this supervisor does not know that request"}
    fixed = {"error": "the settings of this run cannot be read again; stop and start it"}
    assert answers[:-1] == [unknown, unknown, unknown, fixed, unknown]
    assert [each["state"] for each in answers[-1]["status"]["programs"]] == ["ready"]


def test_output_of_children_is_named_kept_and_private(run: Run) -> None:
    whole = run("good")
    whole.until("program_ready", program="good-1")
    whole.process.send_signal(signal.SIGTERM)
    assert whole.end() == 0
    (shown,) = (json.loads(line) for line in whole.lines if "is here" in line)
    path = whole.data_dir / "logs" / "good-1.log"
    kept = json.loads(path.read_text())
    assert shown == {"program": "good-1", **kept}
    assert kept.pop("timestamp").endswith("Z")
    assert kept == {"level": "info", "event": "output", "text": "good-1 is here"}
    assert (path.stat().st_mode & 0o777, path.parent.stat().st_mode & 0o777) == (0o600, 0o700)


def test_supervisor_and_children_cannot_be_inspected_and_dump_no_core(run: Run) -> None:
    whole = run("good")
    whole.until("program_ready", program="good-1")
    folders = [Path(f"/proc/{pid}") for pid in (whole.process.pid, whole.note("good-1")["pid"])]
    # What cannot be inspected belongs to root in /proc (man 5 proc, "dumpable").
    assert {(folder / "environ").stat().st_uid for folder in folders} == {0}
    cores = [re.search(r"Max core file size +(\d+)", (f / "limits").read_text()) for f in folders]
    assert [found and found.group(1) for found in cores] == ["0", "0"]
