"""A labtrawl that runs, operated over its API: programs, crawlers, accounts, logs, the audit log."""

import json
from pathlib import Path
from typing import Any

from tests.e2e.test_doors import ask
from tests.e2e.test_own_gitlab import connected, own_gitlab, until_complete
from tests.e2e.typed import labtrawl, started

LOCAL = ("--unix-socket", "data.private/config/http.sock")
BECAUSE = "to see that it comes back"


def get(home: Path, path: str) -> dict[str, Any]:
    status, told = ask(home, *LOCAL, f"http://localhost/api/v1{path}")
    assert status == 200, told
    return told


def post(home: Path, path: str, **body: str) -> dict[str, Any]:
    sent = ("-H", "Content-Type: application/json", "-d", json.dumps(body))
    status, told = ask(home, *LOCAL, *sent, f"http://localhost/api/v1{path}")
    assert status == 200, told
    return told


def programs(home: Path) -> dict[str, dict[str, Any]]:
    return {
        each["program"]["name"]: each["program"] for each in get(home, "/supervisor")["programs"]
    }


def account(home: Path) -> dict[str, Any]:
    (only,) = get(home, "/accounts")["accounts"]
    found: dict[str, Any] = only
    return found


def restart_crawler(home: Path) -> None:
    before = programs(home)
    assert {name: each["state"] for name, each in before.items()} == {
        "website": "ready",
        "crawler-1": "ready",
    }
    assert all(each["memory_bytes"] > 1 << 20 for each in before.values())
    told = post(home, "/supervisor/restart", name="crawler-1", because=BECAUSE)
    after = programs(home)
    assert told == {"outcome": "crawler-1 is ready"}
    assert (before["crawler-1"]["starts"], after["crawler-1"]["starts"]) == (1, 2)
    assert before["crawler-1"]["pid"] != after["crawler-1"]["pid"]
    assert before["website"]["pid"] == after["website"]["pid"]
    joined = get(home, "/logs?program=website&text=client_authorized")["lines"]
    assert len(joined) == 2


def switch_account(home: Path) -> None:
    known = account(home)
    place = f"/accounts/{known['id']}"
    assert (known["state"], known["warns"], known["is_in_settings"]) == ("works", False, True)
    assert f"accepts @{known['username']}" in post(home, f"{place}/verify")["outcome"]
    post(home, f"{place}/switch", to="off", because=BECAUSE)
    assert account(home)["state"] == "off"
    post(home, f"{place}/switch", to="on", because=BECAUSE)
    assert account(home)["state"] == "works"


def look_at_audit_log(home: Path) -> None:
    checked = post(home, "/audit/check")
    assert (checked["problem"], checked["intact_to"]) == ("", checked["rows"])
    row = get(home, "/audit?action=supervisor/restart")["rows"][0]
    assert (row["meaning"], row["detail"]) == ("Restarted a program", f"crawler-1: {BECAUSE}")


def test_running_labtrawl_is_operated_over_its_api(tmp_path: Path) -> None:
    """A credential that was removed stays so, though the file of settings still has it."""
    home = tmp_path / "h"  # the path of a Unix socket is short
    home.mkdir()
    with own_gitlab(tmp_path / "gitlab") as own:
        connected(home, own)
        with started(home, "start", "--port", "0") as running:
            running.until(r"labtrawl is ready at (http://127\.0\.0\.1:\d+)")
            until_complete(home)
            restart_crawler(home)
            switch_account(home)
            look_at_audit_log(home)
            shown = [get(home, path) for path in ("/accounts", "/logs", "/audit", "/settings")]
            assert [each for each in shown if own.token in json.dumps(each)] == []
            known = account(home)
            removed = f"/accounts/{known['id']}/remove"
            told = post(home, removed, username=known["username"], because=BECAUSE)
            assert told == {"outcome": "erased here, and ended at its GitLab", "accepted": True}
            told = post(home, "/supervisor/restart", name="website", because=BECAUSE)
            assert "restarts" in told["outcome"]
            running.until(r"account_left_out")
            assert account(home)["state"] == "removed"
            assert labtrawl(home, "stop").out == "stopped\n"
            assert running.end() == 0
