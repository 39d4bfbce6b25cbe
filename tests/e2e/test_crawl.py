"""`labtrawl crawl` as a process of its own: kills, signals, closed files, full disks."""

import os
import re
import shlex
import shutil
import signal
import subprocess
from pathlib import Path

import pytest
import zstandard

from labtrawl.sandbox import Edit, Options
from tests.e2e.crawling import (
    BEGUN,
    FEW,
    HANGS,
    SLOW_MS,
    asked,
    committed,
    few,
    until_asked,
    until_committed,
    words,
)
from tests.e2e.test_bad_input import small_disk
from tests.e2e.typed import COMMAND, Ended, environment, labtrawl, started
from tests.integration.faults.crawling import ONE, WORLD
from tests.rig.crawled import assert_is_current, assert_is_truth
from tests.rig.private import write_private
from tests.rig.served import served

HOW_TO = Path(__file__).parents[2] / "docs" / "how-to" / "crawl.md"


def test_crawl_that_is_killed_again_and_again_loses_and_doubles_nothing(tmp_path: Path) -> None:
    with served(WORLD, Options(latency_ms=15, enterprise=False, version="18.5.0")) as there:
        given = words(tmp_path, there, "--once")[: -len(FEW) - 1]
        rubbish = tmp_path / "tmp"
        rubbish.mkdir()
        for _ in range(3):
            before = asked(there)
            with started(tmp_path, *given, "--once", TMPDIR=str(rubbish)) as running:
                until_asked(there, before + 25)
                os.kill(running.process.pid, signal.SIGKILL)
                assert running.end() == -signal.SIGKILL
        done = labtrawl(tmp_path, *given, "--once")
        assert (done.code, done.err) == (0, ""), done
        assert_is_truth(tmp_path / "out", there.truth())
    assert list(rubbish.iterdir()) == []
    assert not list((tmp_path / "out").rglob("*.sock"))
    whole = labtrawl(tmp_path, "dataset", "verify", "--data-dir", "out")
    assert (whole.code, whole.out[:6]) == (0, "whole:")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_signal_ends_it_early_and_the_next_run_goes_on(
    tmp_path: Path, number: signal.Signals
) -> None:
    with served(WORLD, HANGS) as there:
        with started(tmp_path, *words(tmp_path, there, "--once")) as running:
            until_asked(there, BEGUN)
            running.process.send_signal(number)
            assert running.end() == 130
            said = re.sub(r" +", " ", running.said)
            assert "\nending after the pages that are under way; again ends it at once\n" in said
            assert re.search(r"\nended before all was there: .*; run the same again to go on", said)
            assert "Traceback" not in said
        port = there.server.port
    with served(WORLD, port=port) as there:
        done = labtrawl(tmp_path, *words(tmp_path, there, "--once"))
        assert (done.code, done.err) == (0, "")
        assert_is_truth(tmp_path / "out", there.truth(), few)


def test_terminal_that_closes_ends_no_crawl_that_nohup_started(tmp_path: Path) -> None:
    with served(WORLD, Options(latency_ms=SLOW_MS)) as there:
        given = words(tmp_path, there, "--once")
        with started(tmp_path, *given, terminal=True, under=("nohup",)) as running:
            until_asked(there, BEGUN)
            running.hang_up()
            assert running.end() == 0
        assert_is_truth(tmp_path / "out", there.truth(), few)


def test_second_ctrl_c_ends_it_at_once_and_leaves_the_terminal_whole(tmp_path: Path) -> None:
    with served(WORLD, HANGS) as there:
        given = words(tmp_path, there, "--once")
        with started(tmp_path, *given, terminal=True) as running:
            until_asked(there, BEGUN)
            running.type(b"\x03")
            running.until("again ends it at once")
            running.type(b"\x03")
            assert running.end() == 130
            assert running.said.rstrip().endswith("\x1b[?25h")


def test_token_is_nowhere_but_in_its_file(tmp_path: Path) -> None:
    with served(WORLD, HANGS) as there:
        with started(tmp_path, *words(tmp_path, there, "--once")) as running:
            until_committed(tmp_path / "out", 3, running)
            here = Path("/proc", str(running.process.pid))
            shown = (here / "cmdline").read_bytes() + (here / "environ").read_bytes()
            running.process.kill()
            running.end()
        token = there.token.encode()
    files = [each for each in (tmp_path / "out").rglob("*") if each.is_file()]
    assert any(each.suffix == ".zst" for each in files)
    held = b"".join(each.read_bytes() for each in files)
    opened = b"".join(
        zstandard.ZstdDecompressor()
        .stream_reader(each.read_bytes(), read_across_frames=True)
        .read()
        for each in files
        if each.suffix == ".zst"
    )
    assert token not in shown + held + opened + running.said.encode()


def test_crawl_without_any_standard_file_is_whole(tmp_path: Path) -> None:
    with served(WORLD) as there:
        closed = ["sh", "-c", 'exec "$@" <&- >&- 2>&-', "sh"]
        done = subprocess.run(
            [*closed, *COMMAND, *words(tmp_path, there, "--once")],
            cwd=tmp_path,
            env=environment(),
            check=False,
            timeout=60,
        )
        assert done.returncode == 0
        assert_is_truth(tmp_path / "out", there.truth(), few)


def test_reader_that_goes_away_ends_no_crawl(tmp_path: Path) -> None:
    with served(WORLD, Options(latency_ms=5)) as there:
        with subprocess.Popen(
            [*COMMAND, *words(tmp_path, there, "--once")],
            cwd=tmp_path,
            env=environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        ) as process:
            assert process.stdout is not None
            assert process.stderr is not None
            process.stdout.readline()
            process.stdout.close()
            assert process.stderr.read() == b""
        assert process.returncode == 0
        assert_is_truth(tmp_path / "out", there.truth(), few)


@pytest.mark.parametrize("term", ["dumb", "xterm"])
def test_terminal_without_colours_gets_none(tmp_path: Path, term: str) -> None:
    with served(WORLD) as there:
        under = (str(shutil.which("env")), f"TERM={term}")
        given = words(tmp_path, there, "--once")
        with started(tmp_path, *given, terminal=True, under=under) as running:
            assert running.end() == 0
        assert re.search(r"\ncomplete +\d+ records of 2 projects and 1 group\n", running.said)
        assert not re.search(r"\x1b\[[0-9;]*3[0-9]", running.said)
        assert term != "dumb" or "\x1b" not in running.said


def test_folder_that_another_crawl_works_in_is_refused(tmp_path: Path) -> None:
    with served(WORLD, HANGS) as there:
        given = words(tmp_path, there, "--once")
        with started(tmp_path, *given) as running:
            until_asked(there, BEGUN)
            refused = labtrawl(tmp_path, *given)
            assert refused.code == 2
            pid = running.process.pid
            assert f"another labtrawl (pid {pid}) works in" in refused.sentence()
            status = labtrawl(tmp_path, "status", "--data-dir", "out")
            assert status.code == 0
            assert re.fullmatch(
                rf"labtrawl crawl works in \S+/out, pid {pid}\n"
                r"collected: \d+ records, \d+ of \d+ lists, \d+ requests\n",
                status.out,
            )
            reload = labtrawl(tmp_path, "reload", "--data-dir", "out").sentence()
            assert re.fullmatch(
                rf"`labtrawl crawl` works in \S+/out \(pid {pid}\), which has no programs;"
                " `labtrawl stop` ends it",
                reload,
            )
            stopped = labtrawl(tmp_path, "stop", "--data-dir", "out")
            assert stopped == Ended(
                0, "stopped; the same `labtrawl crawl` goes on where it was\n", ""
            )
            assert running.end() == 130


def test_changes_are_followed_until_it_is_ended(tmp_path: Path) -> None:
    with served(WORLD) as there:
        with started(tmp_path, *words(tmp_path, there, "--every", "0.3")) as running:
            running.until("complete +following changes, looked for every 0.3 s; Ctrl-C ends it")
            before = len(committed(tmp_path / "out"))
            issue = ONE.issues[0]
            change = Edit(what="issue", project=ONE.id, key=issue.iid, fields={"title": "other"})
            there.change(change)
            until_committed(tmp_path / "out", before + 1, running)
            running.interrupt()
            assert running.end() == 0
        assert_is_current(tmp_path / "out", there.truth(), few)


def test_disk_that_is_full_is_told_and_the_crawl_goes_on_when_there_is_room(
    tmp_path: Path,
) -> None:
    out = tmp_path / "out"
    out.mkdir(mode=0o700)
    filled = ["sh", "-c", f'head -c 70M /dev/zero >{out}/.ballast; exec "$@"', "sh"]
    with served(WORLD) as there:
        given = words(tmp_path, there)
        with started(tmp_path, *given, under=[*small_disk(out, 120), *filled]) as running:
            running.until("disk full less than 64 MiB are free in ")
            inside = Path("/proc", str(running.process.pid), "root", *out.parts[1:])
            (inside / ".ballast").unlink()
            running.until("complete +following")
            # Nothing is written meanwhile: it waits an hour.
            shutil.copytree(inside, tmp_path / "copy", ignore=shutil.ignore_patterns("*.sock"))
            assert_is_truth(tmp_path / "copy", there.truth(), few)
            running.interrupt()
            assert running.end() == 0
            assert "Traceback" not in running.said


def test_disk_that_stays_full_ends_it_in_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir(mode=0o700)
    with served(WORLD) as there:
        command = [*small_disk(tmp_path / "out", 60), *COMMAND, *words(tmp_path, there, "--once")]
        done = subprocess.run(
            command, cwd=tmp_path, env=environment(), capture_output=True, text=True, check=False
        )
    assert done.returncode == 2
    assert re.fullmatch(
        r"labtrawl: less than 64 MiB are free in \S+/out: free some space, then run the same again;"
        r" it goes on where it was\n",
        done.stderr,
    )


def test_commands_of_the_how_to_do_what_it_says(tmp_path: Path) -> None:
    named = re.findall(r"^ {4}labtrawl (.*)$", HOW_TO.read_text(), re.MULTILINE)
    with served(WORLD) as there:
        write_private(tmp_path / "token.txt", there.token)
        for line in named:
            known = line.replace("https://gitlab.example.org/group", f"{there.url}/fjordlab")
            given = shlex.split(known.replace("/project", "/handbook"))
            if "--every" not in given:
                done = labtrawl(tmp_path, *given)
                assert (done.code, done.err.startswith("labtrawl:")) == (0, False), done
                continue
            with started(tmp_path, *given) as running:
                running.until("complete +following changes")
                running.interrupt()
                assert running.end() == 0
    assert {each.name for each in tmp_path.iterdir()} == {
        *("token.txt", "lab", "tables", "few", "most", "late")
    }
    assert (tmp_path / "tables" / "issues.parquet").exists()
