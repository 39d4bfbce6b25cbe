"""`labtrawl token` and `labtrawl audit`, on a data folder as the website leaves it."""

import re
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from labtrawl.cli.main import labtrawl
from labtrawl.errors import ConfigError, Missing
from labtrawl.store import tokens
from labtrawl.store.audit import Head, head_path, remember
from labtrawl.store.engine import Connection, database_path, open_snapshots, open_store
from labtrawl.store.migrate import migrate
from labtrawl.store.secrets import create_key_file, key_path
from labtrawl.store.tokens import KnownToken, TokenScope


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    migrate(database_path(tmp_path))
    create_key_file(key_path(tmp_path))
    return tmp_path


def run(data_dir: Path, *words: str) -> Result:
    arguments = [*words, "--data-dir", str(data_dir)]
    return CliRunner().invoke(labtrawl, arguments, standalone_mode=False)


def known(data_dir: Path, text: str) -> KnownToken | None:
    with open_snapshots(database_path(data_dir)) as database:
        return database.read_now(lambda c: tokens.find(c, text))


def test_token_is_made_shown_listed_and_revoked(data_dir: Path) -> None:
    made = run(data_dir, "token", "create", "far", "--scope", "crawler", "--scope", "read")
    text = made.stdout.strip()
    prefix = text.rpartition("_")[0][:12]
    found = known(data_dir, text)
    assert found is not None
    assert (found.name, found.scopes) == ("far", frozenset({TokenScope.CRAWLER, TokenScope.READ}))
    listed = run(data_dir, "token", "list").stdout
    assert listed.startswith(f"{prefix}  far  crawler read  good, until ")
    assert text not in listed
    revoked = run(data_dir, "token", "revoke", prefix)
    assert revoked.stdout == f"{prefix} (far) opens nothing any more.\n"
    assert known(data_dir, text) is None
    assert "  revoked, until " in run(data_dir, "token", "list").stdout


def test_token_that_is_not_there_is_told(data_dir: Path) -> None:
    assert isinstance(run(data_dir, "token", "revoke", "ltw_00000000").exception, Missing)
    assert run(data_dir, "audit", "list").stdout == ""


@pytest.mark.parametrize("words", [("token", "list"), ("audit", "verify"), ("audit", "list")])
def test_folder_without_a_labtrawl_is_told(tmp_path: Path, words: tuple[str, str]) -> None:
    create_key_file(key_path(tmp_path))
    assert isinstance(run(tmp_path, *words).exception, ConfigError)


def test_folder_that_was_meant_is_named_where_it_lies_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    migrate(database_path(tmp_path / "lab"))
    (tmp_path / "same").symlink_to("lab")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match=r"with --data-dir \(here is lab\)$"):
        raise run(tmp_path / "other", "token", "list").exception or AssertionError


@pytest.mark.parametrize(
    "words",
    [
        *(("admin", "link"), ("keys", "list"), ("keys", "rotate"), ("audit", "verify")),
        ("token", "create", "far", "--scope", "read"),
    ],
)
def test_folder_of_a_crawl_has_no_website_and_says_how_it_gets_one(
    tmp_path: Path, words: tuple[str, ...]
) -> None:
    migrate(database_path(tmp_path))
    (tmp_path / "config" / "crawl.json").write_text("{}")
    refused = run(tmp_path, *words).exception
    assert isinstance(refused, ConfigError)
    assert str(refused) == (
        f"{tmp_path} is a folder of `labtrawl crawl`, which has no website; `labtrawl init"
        f" --data-dir {tmp_path}`, then `labtrawl start`, gives it one"
    )


def test_doctor_and_logs_of_a_folder_of_a_crawl_tell_of_the_crawl(tmp_path: Path) -> None:
    migrate(database_path(tmp_path))
    (tmp_path / "config" / "crawl.json").write_text("{}")
    (tmp_path / "crawl.log").write_text('{"timestamp": "2026-11-22T23:43:39Z", "event": "here"}\n')
    told = run(tmp_path, "doctor").stdout
    assert re.findall(r"^\S+ +([A-Z].*?):", told, re.MULTILINE) == [
        *("Database", "Schema", "Disk", "Keys", "Accounts", "End of credentials", "Discovery"),
        *("Backup", "Versions", "Fields of records", "Collected share"),
    ]
    assert "here" in run(tmp_path, "logs").stdout


async def test_token_is_made_while_the_website_has_the_database(data_dir: Path) -> None:
    import asyncio

    async with open_store(database_path(data_dir)) as store:
        made = await asyncio.to_thread(
            run, data_dir, "token", "create", "far", "--scope", "crawler"
        )
        text = made.stdout.strip()
        assert await store.read(lambda c: tokens.find(c, text)) is not None


@pytest.mark.seed("S2.50")
def test_what_was_done_is_in_the_audit_log_and_no_secret(data_dir: Path) -> None:
    text = run(data_dir, "token", "create", "far", "--scope", "crawler").stdout.strip()
    link = run(data_dir, "admin", "link", "--role", "operator").stdout.strip()
    run(data_dir, "token", "revoke", text[:12])
    listed = run(data_dir, "audit", "list").stdout
    told = [line.split("  ", 5)[5] for line in listed.splitlines()]
    assert told == [
        f"token create  {text[:12]}  created for far: crawler",
        "admin link  operator  created",
        f"token revoke  {text[:12]}  revoked that of far",
    ]
    assert text not in listed
    assert link.partition("token=")[2] not in listed
    verdict = run(data_dir, "audit", "verify")
    assert (verdict.return_value, verdict.stdout) == (0, "the audit log is whole: 3 rows\n")


def test_broken_log_has_the_exit_code_1(data_dir: Path) -> None:
    run(data_dir, "admin", "link")
    remember(head_path(data_dir), Head(2, "hmac:x:y"))
    verdict = run(data_dir, "audit", "verify")
    assert verdict.return_value == 1
    assert verdict.stderr == (
        "the audit log is broken: the end was cut off: the log had 2 rows and has 1\n"
    )


def test_role_of_a_link_becomes_that_of_the_session(data_dir: Path) -> None:
    import asyncio

    from labtrawl.store.sessions import Role, find_session, sign_in

    link = run(data_dir, "admin", "link", "--role", "operator").stdout.strip()

    def use(connection: Connection) -> Role:
        _, session = sign_in(connection, link.partition("token=")[2])
        assert session is not None
        found = find_session(connection, session)
        assert found is not None
        return found.role

    async def role() -> Role:
        async with open_store(database_path(data_dir)) as store:
            return await store.write(use)

    assert asyncio.run(role()) is Role.OPERATOR


def test_log_stays_whole_over_a_rotation_of_the_key(data_dir: Path) -> None:
    run(data_dir, "admin", "link")
    rotated = run(data_dir, "keys", "rotate")
    assert rotated.exception is None
    run(data_dir, "admin", "link")
    verdict = run(data_dir, "audit", "verify")
    assert (verdict.return_value, verdict.stdout) == (0, "the audit log is whole: 3 rows\n")
