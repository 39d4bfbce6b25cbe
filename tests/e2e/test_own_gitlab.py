"""A GitLab of one's own, as docs/how-to/own-gitlab.md tells it: init, start, look, stop."""

import json
import re
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.e2e.typed import Running, alive, files, labtrawl, pids, started
from tests.rig.private import write_private


@dataclass(frozen=True, slots=True)
class Own:
    """A sandbox that stands for the GitLab of the user."""

    url: str
    token: str
    process: Running


@contextmanager
def own_gitlab(folder: Path, *flags: str) -> Iterator[Own]:
    folder.mkdir()
    with started(folder, "sandbox", "serve", "--world", "small", *flags) as serving:
        url = serving.until(r"listening on (\S+)\n")[1]
        token = serving.until(r"ada\.lindqvist: (\S+)\n")[1]
        yield Own(url, token, serving)


def connected(folder: Path, own: Own) -> None:
    """Run init as the how-to says."""
    write_private(folder / "token", own.token + "\n")
    flags = ("--url", own.url, "--token-file", "token", "--allow-address", "127.0.0.0/8")
    done = labtrawl(folder, "init", *flags)
    assert (done.code, done.err) == (0, "")
    said = re.sub(r" +\n", "\n", done.out)
    assert "Account    Ada Lindqvist (@ada.lindqvist)\n" in said
    assert "Scopes     read_api, read_user: enough, nothing lacks\n" in said
    assert "Member of  1 group, 4 projects\n" in said
    assert said.endswith("Go on with: labtrawl start\n")


def lines(text: str) -> list[str]:
    """The lines of JSON Lines: U+2028 and its kin inside a text end none of them."""
    return text.removesuffix("\n").split("\n")


def until_complete(folder: Path) -> str:
    """Wait until the dataset is whole and return its table."""
    while " 2,860 " not in (table := labtrawl(folder, "dataset", "ls")).out:
        assert table.code == 0, table
    return table.out


@pytest.mark.seed("S1.1", "S1.6", "S1.15", "S2.117")
def test_own_gitlab_is_connected_crawled_read_and_stopped(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    with own_gitlab(tmp_path / "gitlab") as own:
        connected(home, own)
        settings = (home / "labtrawl.toml").read_text()
        assert own.token not in settings
        assert (home / "labtrawl.toml").stat().st_mode & 0o777 == 0o600
        with started(home, "start", "--port", "0") as running:
            address = running.until(r"labtrawl is ready at (http://127\.0\.0\.1:\d+)")[1]
            assert until_complete(home).splitlines()[-1].startswith("all")
            link = labtrawl(home, "admin", "link")
            assert re.fullmatch(rf"{address}/sign-in\?token=[\w-]+\n", link.out)
            assert link.err == "It signs in once, within 15 minutes.\n"
            shown = labtrawl(home, "status")
            assert (shown.code, shown.err) == (0, "")
            assert re.match(rf"labtrawl at {address}, data in {home}/data.private", shown.out)
            everything = pids(home, "data.private")
            assert len(everything) == 3
            assert labtrawl(home, "stop").out == "stopped\n"
            assert running.end() == 0, running.said[-4000:]
        assert alive(everything) == []
        nothing = labtrawl(home, "status")
        kinds = [line.partition(":")[0] for line in nothing.out.splitlines()]
        stopped = f"nothing runs on {home}/data.private"
        assert (nothing.code, kinds) == (3, [stopped, "collected", "jobs", "last crawled"])
    assert own.token not in running.said
    logs = "".join(path.read_text() for path in (home / "data.private" / "logs").iterdir())
    assert own.token not in logs
    assert "Traceback" not in logs + running.said
    whole = labtrawl(home, "dataset", "verify")
    assert (whole.code, whole.out[:6]) == (0, "whole:")
    issues = labtrawl(home, "dataset", "cat", "--resource", "issues", "--bodies")
    bodies = [json.loads(line) for line in lines(issues.out)]
    assert len({body["id"] for body in bodies}) == len(bodies) == 600
    users = [json.loads(line) for line in lines(labtrawl(home, "dataset", "users").out)]
    assert len({user["id"] for user in users}) == len(users) > 0


def test_own_gitlab_that_goes_away_and_comes_back_is_crawled_to_the_end(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    with own_gitlab(tmp_path / "gitlab", "--latency-ms", "20") as own:
        connected(home, own)
        port = own.url.rsplit(":", 1)[1]
        flags = ("--port", "0", "--data-dir", "data.private")
        with started(home, "start", *flags, LABTRAWL_RETRY_ATTEMPTS="100") as running:
            running.until("client_authorized")
            own.process.interrupt()
            assert own.process.end() == 0
            with own_gitlab(tmp_path / "again", "--port", port):
                until_complete(home)
                running.interrupt()
                assert running.end() == 0, running.said[-4000:]
    whole = labtrawl(home, "dataset", "verify")
    assert (whole.code, whole.err) == (0, "")
    assert not [name for name in files(home) if name.endswith(".tmp")]


def test_crawl_without_graphql_asks_each_item_and_status_tells_what_is_left(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    with own_gitlab(tmp_path / "gitlab", "--latency-ms", "60") as own:
        connected(home, own)
        with started(home, "start", "--port", "0", LABTRAWL_CRAWLER_GRAPHQL="off") as running:
            running.until(r"labtrawl is ready at ")
            while "  work=" not in (shown := labtrawl(home, "status")).out:
                assert shown.code == 0, shown
            assert re.search(r"website .*  work=(about|at least|less than|no estimate)", shown.out)
            until_complete(home)
            with urllib.request.urlopen(f"{own.url}/-/sandbox/requests") as answer:
                asked = json.load(answer)["by_endpoint"]
        # REST has no list of time logs.
        assert sum(count for name, count in asked.items() if "graphql" in name) <= 2 * 4
        assert asked["projects/:id/issues/:iid/discussions"] == 600
