"""What `init` says and writes, as pure functions: no disk, no socket."""

import errno
import io
import tomllib
from datetime import UTC, date, datetime
from pathlib import Path

import pytest
from rich.console import Console

from labtrawl.cli import settings_file
from labtrawl.cli.init import Found, Wish, _url, report
from labtrawl.cli.settings_file import Access, Draft
from labtrawl.clock import Clock
from labtrawl.config import Instance
from labtrawl.domain.credential import Secret
from labtrawl.errors import ConfigError, DiskFull
from labtrawl.gitlab.probe import Probe, ProbedAccount, ProbedInstance, Scope
from labtrawl.store.secrets import Cipher


async def never(seconds: float) -> None:
    raise AssertionError("nothing waits here")


CLOCK = Clock(lambda: datetime(2026, 11, 22, tzinfo=UTC), lambda: 0.0, never)
MANY = Scope(12, 60)
URL = "https://gitlab.example.org"


def found(
    *,
    scopes: tuple[str, ...] | None = ("read_api",),
    expires_at: date | None = date(2026, 12, 2),
    offset: float = 0.0,
    scope: Scope = MANY,
    name: str = "Ada",
) -> Found:
    account = ProbedAccount(7, "ada", name, scopes, expires_at)
    instance = ProbedInstance("19.3.0", False, offset)
    access = Access(Secret("t"))
    return Found(Instance(name="main", url=URL), access, Probe(instance, account, ()), scope)


def shown(what: Found) -> list[str]:
    console = Console(file=io.StringIO(), width=120, highlight=False)
    for line in report(what, CLOCK):
        console.print(line)
    text = console.file.getvalue()  # type: ignore[attr-defined]
    return [" ".join(line.split()) for line in text.splitlines()]


def test_report_of_a_fitting_token_is_five_lines() -> None:
    assert shown(found()) == [
        f"GitLab {URL} (19.3.0, Community Edition)",
        "Account Ada (@ada)",
        "Scopes read_api: enough, nothing lacks",
        "Expires 2026-12-02, in 10 days",
        "Member of 12 groups, 60 projects",
    ]


@pytest.mark.parametrize(
    ("what", "line"),
    [
        (
            found(scopes=None),
            "Scopes GitLab does not tell; the account and its lists could be read",
        ),
        (found(scopes=None, expires_at=None), "Expires GitLab does not tell"),
        (found(expires_at=None), "Expires no day is set"),
        (found(scope=Scope(1, 1)), "Member of 1 group, 1 project"),
        (
            found(scope=Scope(200, 20_000, is_exact=False)),
            "Member of at least 200 groups, 20,000 projects",
        ),
        (
            found(scope=Scope(0, 0)),
            "The account is a member of nothing: a crawl would find no data.",
        ),
        (
            found(offset=-3600.0),
            "The clocks differ by 3,600 s: set the time of this machine right.",
        ),
        (found(name="[red]\x1b[2J\u202e"), r"Account [red]\x1b[2J\u202e (@ada)"),
    ],
)
def test_report_names_what_is_special(what: Found, line: str) -> None:
    assert line in shown(what)


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("gitlab.example.org", URL),
        (f" {URL}/ ", URL),
        (f"{URL}/api/v4/", URL),
        (f"{URL}/gitlab/api/v4", f"{URL}/gitlab"),
        ("http://10.0.0.1:8080/gl/", "http://10.0.0.1:8080/gl"),
    ],
)
def test_url_is_read_as_people_write_it(written: str, expected: str) -> None:
    assert _url(Wish(url=written), is_terminal=False) == expected


@pytest.mark.parametrize("text", ['"', "\\", "\x7f\x00\n", "é 🔑", "'''", "# no comment"])
def test_quoted_text_is_the_same_after_toml(text: str) -> None:
    assert tomllib.loads(f"key = {settings_file.quoted(text)}") == {"key": text}


def test_username_in_the_comment_cannot_leave_it() -> None:
    instance = Instance(name="main", url=URL)
    draft = Draft(Path("/a/b.toml"), Path("/a/d"), "", instance, None, 'x\n[website] "é\r', 7)
    document = tomllib.loads(draft.text(Access(Secret("t")), Cipher(bytes(32))))
    (account,) = document["accounts"]
    assert account.pop("token").startswith("enc:v2:")
    assert document == {
        "data_dir": "d",
        "instances": [{"name": "main", "url": URL}],
        "accounts": [{"instance": "main", "user_id": 7}],
    }


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_full_disk_is_said_in_one_sentence(number: int) -> None:
    failure = settings_file.failure(OSError(number, "No space"), Path("/a/labtrawl.toml"))
    assert isinstance(failure, DiskFull)
    assert str(failure) == (
        "no room to write /a/labtrawl.toml: free some space, then run the same again"
    )


def test_other_failure_to_write_names_the_file_and_the_reason() -> None:
    error = PermissionError(errno.EACCES, "Permission denied", "/a/.draft")
    failure = settings_file.failure(error, Path("/a/labtrawl.toml"))
    assert isinstance(failure, ConfigError)
    assert str(failure) == "/a/.draft cannot be written: Permission denied"
