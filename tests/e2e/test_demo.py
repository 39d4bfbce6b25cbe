"""The demo as a new user runs it: the kill, the verdict, Ctrl+C, going on, and a bad end."""

import json
import re
import socket
from collections import Counter
from contextlib import suppress
from pathlib import Path

from labtrawl.cli.demo_verdict import Verdict
from labtrawl.sandbox import build_world, truth
from labtrawl.store.summary import Gap
from tests.e2e.typed import alive, fetch, files, labtrawl, pids, started

SMALL = ("demo", "--world", "small", "--port", "0", "--data-dir", "data")
KEYS = {
    *("areas", "jobs", "records", "requests", "retries", "kills", "gaps", "seconds", "dataset"),
    *("total", "expected", "missing", "twice", "wrong"),
}
KILLED = r"chaos     crawler killed at [\d,]+ records, back in \d+\.\d s, 0 records lost\n"
TOOK = r"took      \d+\.\d s, [\d,]+ {} for 1 group, 4 projects\n"
RIGHT = "verdict   2,860 of 2,860 records, each exactly once\n"


def held_by(world: str) -> dict[str, int]:
    """The sandbox's own count of records by resource."""
    counts = Counter[str]()
    for cell in truth(build_world(world, 1, {}, [])).cells:
        counts[cell.resource] += len(cell.items)
    return {resource: count for resource, count in counts.items() if count}


def test_demo_once_survives_its_kill_and_ends_with_verdict_and_summary(tmp_path: Path) -> None:
    done = labtrawl(tmp_path, *SMALL, "--once", "--summary", "summary.json")
    assert (done.code, done.err) == (0, "")
    assert re.search(KILLED, done.out)
    assert RIGHT in done.out
    assert done.out.endswith("init   connects a GitLab of yours\n")
    told = json.loads((tmp_path / "summary.json").read_text())
    assert told.keys() == KEYS
    assert (told["areas"], told["jobs"]) == ({"group": 1, "project": 4}, {"completed": 144})
    assert told["records"] == held_by("small")
    assert (told["total"], told["expected"]) == (2860, 2860)
    faults = ("missing", "twice", "wrong", "kills", "gaps")
    assert [told[each] for each in faults] == [0, 0, 0, 1, []]
    assert told["dataset"] == str(tmp_path / "data" / "demo" / "dataset")
    assert list(tmp_path.glob(".summary*")) == []


def test_second_demo_goes_on_and_asks_nothing_again(tmp_path: Path) -> None:
    first = labtrawl(tmp_path, *SMALL, "--once", "--no-chaos")
    assert (first.code, "killed" in first.out) == (0, False)
    assert re.search(TOOK.format("requests"), first.out)
    collected = files(tmp_path / "data" / "demo" / "dataset")
    with started(tmp_path, *SMALL) as second:
        second.until("Ctrl.C stops everything")
        kept = json.loads((tmp_path / "data" / "demo" / "config" / "sandbox.json").read_text())
        asked = fetch(f"http://127.0.0.1:{kept['port']}/-/sandbox/requests")
    assert RIGHT in second.said
    assert re.search(TOOK.format("requests in all runs"), second.said)
    assert "killed" not in second.said
    assert asked["by_project"] == {}
    assert asked["total"] <= 6, asked  # who am I, which version: the verification of the account
    assert files(tmp_path / "data" / "demo" / "dataset") == collected


def test_ctrl_c_on_a_terminal_stops_all_and_the_next_demo_goes_on(tmp_path: Path) -> None:
    with started(tmp_path, *SMALL, "--latency-ms", "25", terminal=True) as demo:
        demo.until(r"[1-9][\d,]* of 2,860 records")
        running = pids(tmp_path, "data/demo")
        assert len(running) == 4
        demo.type(b"\x03")
        assert demo.end() == 0
    assert alive(running) == []
    assert "stopped before the end; run the same again to go on" in demo.said
    assert "\x1b[?25h" in demo.said, "the cursor is not given back"
    again = labtrawl(tmp_path, *SMALL, "--once")
    assert (again.code, again.err, RIGHT in again.out) == (0, "", True)


def test_demo_once_that_is_interrupted_is_no_success(tmp_path: Path) -> None:
    with started(tmp_path, *SMALL, "--once", "--latency-ms", "25") as demo:
        demo.until("sign in ")
        demo.interrupt()
        assert demo.end() == 130
    assert "stopped before the end" in demo.said


def test_demo_moves_on_from_the_default_port_when_it_is_taken(tmp_path: Path) -> None:
    with socket.socket() as holder:
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        with suppress(OSError):  # somebody else's is as good
            holder.bind(("127.0.0.1", 3000))
            holder.listen()
        with started(tmp_path, "demo", "--world", "small", "--data-dir", "data") as demo:
            found = demo.until(r"site +http://127\.0\.0\.1:(\d+)\n")
    assert 3000 < int(found[1]) < 3100


def test_fault_that_lasts_makes_exit_code_1_and_the_rest_stays_whole(tmp_path: Path) -> None:
    fault = json.dumps({"path": r"/projects/\d+/labels\?", "kind": "500", "times": 0})
    arguments = (*SMALL, "--once", "--no-chaos", "--summary", "s.json")
    done = labtrawl(tmp_path, *arguments, "--fault", fault, LABTRAWL_RETRY_ATTEMPTS="1")
    assert (done.code, done.err) == (1, "")
    told = json.loads((tmp_path / "s.json").read_text())
    expected = held_by("small")
    missing = expected["labels"] - told["records"]["labels"]
    assert 0 < missing == told["missing"] == 2860 - told["total"]
    assert {gap["resource"] for gap in told["gaps"]} == {"labels"}
    assert all(gap["reason"] for gap in told["gaps"])
    assert f"{missing} missing\n" in done.out
    assert "repair    the site's Jobs page says why a job failed" in done.out
    whole = labtrawl(tmp_path, "dataset", "verify", "--data-dir", "data/demo")
    assert (whole.code, whole.out.split(",")[0][:6]) == (0, "whole:")


def test_gap_without_a_reason_is_told_and_no_success() -> None:
    gaps = [Gap(f"group/p{number}", "issues", None, "") for number in range(12)]
    verdict = Verdict(expected=1, right=1, missing=0, wrong=0, twice=0, strange=0, unexplained=gaps)
    assert verdict.good is False
    told = verdict.sentences()
    assert told[1] == ("no reason", "group/p0 issues is not complete, and nobody knows why")
    assert (len(told), told[-1]) == (12, ("no reason", "and 2 more"))


def test_demo_of_the_default_world_is_complete_in_less_than_a_minute(tmp_path: Path) -> None:
    arguments = ("--port", "0", "--once", "--summary", "s.json")
    done = labtrawl(tmp_path, "demo", "--data-dir", "data", *arguments)
    assert (done.code, done.err) == (0, "")
    told = json.loads((tmp_path / "s.json").read_text())
    assert told["records"] == held_by("default")
    assert told["total"] == told["expected"] > 30_000
    assert {gap["reason"] for gap in told["gaps"]} == {
        *("forbidden", "feature_off", "empty_repository")
    }
    assert (told["areas"], told["kills"]) == ({"group": 12, "project": 60}, 1)
    assert told["seconds"] < 60


def test_demo_of_a_study_has_no_verdict(tmp_path: Path) -> None:
    done = labtrawl(tmp_path, *SMALL, "--study", "--once")
    told = "labtrawl: a study has no verdict: leave --once and --summary out\n"
    assert (done.code, done.err) == (2, told)
