"""The doors of a labtrawl that runs: the local socket, the shared token of earlier crawlers, the log."""

import json
import re
import subprocess
from pathlib import Path

import pytest

from tests.e2e.test_own_gitlab import connected, own_gitlab, until_complete
from tests.e2e.typed import labtrawl, pids, started

SHARED = "canary-Zk3v9Qw7Lx2Rt8Yp4Nb6Mc1Hd5"


def ask(home: Path, *words: str) -> tuple[int, dict[str, object]]:
    """Ask with curl; the status and what the JSON says."""
    done = subprocess.run(
        ["curl", "-sS", "-w", "\n%{http_code}", *words],
        cwd=home,
        capture_output=True,
        text=True,
        check=True,
    )
    body, _, status = done.stdout.rpartition("\n")
    return int(status), json.loads(body)


def read(pid: int, name: str) -> bytes:
    return Path(f"/proc/{pid}/{name}").read_bytes()


@pytest.mark.seed("S2.65", "S2.77", "S2.30", "S2.111")
def test_shared_token_opens_the_crawlers_door_and_is_written_nowhere(tmp_path: Path) -> None:
    home = tmp_path / "h"  # the path of a Unix socket is short
    home.mkdir()
    with own_gitlab(tmp_path / "gitlab") as own:
        connected(home, own)
        with started(home, "start", "--port", "0", CRAWLER_API_TOKEN=SHARED) as running:
            url = running.until(r"labtrawl is ready at (http://127\.0\.0\.1:\d+)")[1]
            until_complete(home)
            bearer = ("-H", f"Authorization: Bearer {SHARED}")
            local = ("--unix-socket", "data.private/config/http.sock")
            assert ask(home, *bearer, f"{url}/api/internal2/health")[0] == 200
            assert ask(home, *bearer, f"{url}/api/admin/crawler")[0] == 403
            assert ask(home, f"{url}/api/admin/crawler")[0] == 401
            status, told = ask(home, *local, "http://localhost/api/admin/crawler")
            assert (status, [each["name"] for each in told["clients"]]) == (200, ["crawler-1"])  # type: ignore[attr-defined]
            assert ask(home, *local, "http://localhost/api/admin/health")[1]["healthy"] is True
            everything = pids(home, "data.private")
            mother = running.process.pid
            shown = {(pid, name) for pid in everything for name in ("environ", "cmdline")}
            shown.discard((mother, "environ"))  # whoever started it gave it this variable
            assert [place for place in shown if SHARED.encode() in read(*place)] == []
            assert labtrawl(home, "audit", "verify").code == 0
            assert labtrawl(home, "stop").out == "stopped\n"
            assert running.end() == 0
        log = (home / "data.private" / "logs" / "website.log").read_text()
        assert re.search('"shared_token_in_use"', log)
        assert '"request_by_token"' in log
        kept = [path for path in home.rglob("*") if path.is_file()]
        assert [path for path in kept if SHARED.encode() in path.read_bytes()] == []
        assert SHARED not in running.said
        whole = labtrawl(home, "audit", "verify")
        assert (whole.code, whole.out.startswith("the audit log is whole: ")) == (0, True)


@pytest.mark.parametrize("text", ["x" * 64, "too-short", "your_token_here_your_token_here_1234"])
def test_known_or_short_shared_token_is_refused(tmp_path: Path, text: str) -> None:
    done = labtrawl(tmp_path, "start", CRAWLER_API_TOKEN=text)
    assert (done.code, done.out) == (2, "")
    assert done.err.startswith("labtrawl: website.crawler_token (CRAWLER_API_TOKEN) is too short")
    assert text not in done.err
