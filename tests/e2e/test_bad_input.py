"""Bad input, end to end: one sentence, exit code not 0, nothing lost, nothing half written.

What init alone refuses is in tests/integration/init, the supervisor's own in its folder.
"""

import json
import os
import re
import shutil
import socket
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

from labtrawl.sandbox import build_world
from tests.e2e.typed import COMMAND, environment, files, labtrawl, started, taken_port
from tests.rig.private import write_private

ONCE = ("demo", "--once", "--no-chaos", "--world", "small", "--data-dir", "data")
FREE = ("--port", "0")
RIGHT = "verdict   2,860 of 2,860 records, each exactly once\n"


@pytest.mark.parametrize(
    ("arguments", "more", "sentence"),
    [
        (("demo", "--prot", "1"), {}, r"No such option '--prot'.*`labtrawl demo --help` tells"),
        (("demo",), {"LABTRAWL_WEBSITE_PROT": "1"}, "unknown.*nearest.*LABTRAWL_WEBSITE_PORT"),
        (("start",), {"LABTRAWL_CRAWLER_COUNT": "many"}, "LABTRAWL_CRAWLER_COUNT.*whole number"),
        (("demo", "--config", "unknown.toml"), {}, "unknown.*website.prot.*nearest.*website.port"),
        (("start", "--config", "unknown.toml"), {}, "unknown.*nearest.*website.port"),
        (("start", "--config", "torn.toml"), {}, "torn.toml"),
        (("demo", "--world", "nowhere"), {}, "no such world: nowhere; there are: default, small"),
        (("demo", "--import", "."), {}, "no GitLab export tree.*name its tree folder"),
        (("demo", "--import", "nothing"), {}, "nothing"),
        (("demo", "--fault", "{"), {}, "--fault '{' cannot be used"),
        (("demo", "--summary", "no/s.json"), {}, "there is no folder no; make it first"),
        (("demo", "--summary", "."), {}, "--summary . cannot be written; name another file"),
        (("demo", "--data-dir", "torn.toml"), {}, "torn.toml/demo/config cannot be made"),
        (("stop",), {}, "no labtrawl runs on .*; --data-dir names another folder"),
        (("admin", "link"), {}, "there is no labtrawl in "),
        (("dataset", "verify"), {}, "holds no dataset yet"),
    ],
)
def test_bad_input_is_one_sentence_and_leaves_nothing(
    tmp_path: Path, arguments: Sequence[str], more: dict[str, str], sentence: str
) -> None:
    (tmp_path / "unknown.toml").write_text("[website]\nprot = 1\n")
    (tmp_path / "torn.toml").write_text("[website\n")
    before = files(tmp_path)
    done = labtrawl(tmp_path, *arguments, **more)
    assert re.search(sentence, done.sentence()), done.err
    assert (done.out, files(tmp_path)) == ("", before)


@pytest.mark.parametrize("named_by", ["flag", "environment", "file"])
def test_port_that_was_named_and_is_taken_is_refused(tmp_path: Path, named_by: str) -> None:
    with taken_port() as port:
        (tmp_path / "labtrawl.toml").write_text(
            f"[website]\nport = {port}\n" if named_by == "file" else ""
        )
        flags = ("--port", str(port)) if named_by == "flag" else ()
        more = {"LABTRAWL_WEBSITE_PORT": str(port)} if named_by == "environment" else {}
        done = labtrawl(tmp_path, *ONCE, *flags, **more)
    assert done.sentence() == (
        f"port {port} on 127.0.0.1 is in use; stop what uses it or choose another by --port"
    )


def test_second_instance_is_refused_and_the_first_goes_on(tmp_path: Path) -> None:
    with started(tmp_path, *ONCE, "--port", "0", "--latency-ms", "10") as first:
        first.until("sign in ")
        second = labtrawl(tmp_path, *ONCE, "--port", "0")
        assert re.fullmatch(
            r"a labtrawl already runs on this data folder \(pid \d+\); "
            r"stop it with `labtrawl stop --data-dir '?\S+/data/demo'?`",
            second.sentence(),
        )
        assert first.end() == 0
    assert RIGHT in first.said


@pytest.fixture(scope="module")
def ended(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a demo that has ended; whoever asks for it is refused there."""
    folder = tmp_path_factory.mktemp("ended")
    assert labtrawl(folder, *ONCE, "--port", "0").code == 0
    return folder


def test_demo_of_another_world_in_the_same_folder_is_refused_and_loses_nothing(
    ended: Path,
) -> None:
    before = files(ended / "data" / "demo" / "dataset")
    other = labtrawl(ended, *ONCE, "--port", "0", "--seed", "2")
    assert "holds the demo of another world: remove it, or choose --data-dir" in other.sentence()
    assert files(ended / "data" / "demo" / "dataset") == before


def test_port_of_the_sandbox_in_use_ends_the_demo_in_one_sentence(ended: Path) -> None:
    kept = json.loads((ended / "data" / "demo" / "config" / "sandbox.json").read_text())
    with socket.create_server(("127.0.0.1", kept["port"])):
        done = labtrawl(ended, *ONCE, "--port", "0")
    assert f"cannot listen on port {kept['port']}" in done.sentence()


@pytest.mark.parametrize(
    ("which", "sentence"),
    [
        ("wrong", r"GitLab refuses the token \(401 .*make one"),
        ("narrow", "has the scopes read_user, and a crawl needs read_api: make another one"),
        ("no gitlab", "there is no GitLab at this URL"),
        ("nobody", "cannot be reached"),
    ],
)
def test_own_gitlab_that_cannot_be_crawled_is_refused_and_nothing_is_written(
    tmp_path: Path, which: str, sentence: str
) -> None:
    world = build_world("small")
    good = world.accounts[0].token
    narrow = next(each.token for each in world.spoilt_tokens if each.scopes == ("read_user",))
    with started(tmp_path, "sandbox", "serve", "--world", "small") as serving:
        url = serving.until(r"listening on (\S+)\n")[1]
        if which == "nobody":
            serving.interrupt()
            serving.end()
        tokens = {"wrong": "glpat-sandbox-00000000", "narrow": narrow}
        write_private(tmp_path / "token", tokens.get(which, good))
        before = files(tmp_path)
        place = url + "/elsewhere" if which == "no gitlab" else url
        flags = ("--token-file", "token", "--allow-address", "127.0.0.0/8")
        done = labtrawl(tmp_path, "init", "--url", place, *flags)
    assert re.search(sentence, done.sentence()), done.err
    assert (files(tmp_path), good in done.err) == (before, False)


# ---------------------------------------------------------------- a full disk


def small_disk(folder: Path, mebibytes: int) -> list[str]:
    """The start of a command line that runs what follows with a small disk at `folder`.

    The disk is in a mount namespace of its own and goes with the last process in it.
    """
    mount = f'mount -t tmpfs -o size={mebibytes}m tmpfs "$0" && exec "$@"'
    ways = (["unshare", "--mount"], ["unshare", "--user", "--map-root-user", "--mount"])
    for way in ways:
        line = [*way, "sh", "-c", mount, str(folder)]
        works = shutil.which("unshare") and subprocess.run(
            [*line, "true"], capture_output=True, check=False
        )
        if works and works.returncode == 0:
            return line
    pytest.skip("neither root nor user namespaces: no small disk can be mounted here")


def fill(seen: Path, leave_bytes: int) -> Path:
    """Fill a disk but for some bytes; return the file that fills it."""
    ballast = seen / "ballast"
    with ballast.open("wb") as file:
        free = shutil.disk_usage(seen).free - leave_bytes
        os.posix_fallocate(file.fileno(), 0, free)
    return ballast


def test_full_disk_is_told_and_the_crawl_goes_on_when_there_is_room(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    with started(
        tmp_path,
        *ONCE,
        *(*FREE, "--latency-ms", "10"),
        under=small_disk(tmp_path / "data", 120),
    ) as demo:
        demo.until("sign in ")
        seen = Path("/proc", str(demo.process.pid), "root", *tmp_path.parts[1:], "data")
        ballast = fill(seen, 0)
        told = demo.until(r"disk full (.*)\n")[1]
        assert re.fullmatch(
            r"\d+ MiB are free under \S+ and 64 MiB are kept for the database: "
            r"free some space; the crawl then goes on by itself",
            told.strip(),
        )
        ballast.unlink()
        assert demo.end() == 0
    assert RIGHT in demo.said
    assert "Traceback" not in demo.said


def test_disk_that_stays_full_ends_in_one_sentence_and_loses_nothing(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    script = (
        'head -c 60M /dev/zero >data/ballast; "$@" >first.out 2>first.err; echo $? >first.code; '
        'cp -r data/demo/logs logs; rm data/ballast; "$@"'
    )
    done = subprocess.run(
        [*small_disk(tmp_path / "data", 120), "sh", "-c", script, "sh", *COMMAND, *ONCE, *FREE],
        cwd=tmp_path,
        env=environment(),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert (tmp_path / "first.code").read_text() == "2\n"
    (line,) = (tmp_path / "first.err").read_text().splitlines()
    assert re.fullmatch(
        r"labtrawl: \d+ MiB are free under \S+ and 64 MiB are kept for the database: "
        r"free some space, then run the same again; it goes on where it was",
        line,
    )
    logs = "".join(path.read_text() for path in (tmp_path / "logs").iterdir())
    assert "Traceback" not in logs
    assert (done.returncode, done.stderr, RIGHT in done.stdout) == (0, "", True)
