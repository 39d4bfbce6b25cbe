"""API tokens on a real database: shown once, found by their hash, over in time or at once."""

import re

import pytest

from labtrawl.errors import ConfigError, Conflict, Missing
from labtrawl.store import tokens
from labtrawl.store.engine import Connection, Database
from labtrawl.store.tokens import KnownToken, TokenScope
from tests.integration.store.table import rows, store

CRAWLER = frozenset({TokenScope.CRAWLER})
BOTH = frozenset({TokenScope.ADMIN, TokenScope.READ})


def put_back(connection: Connection, column: str, milliseconds: int) -> None:
    connection.exec_driver_sql(f"UPDATE api_token SET {column} = {column} - ?", (milliseconds,))


@pytest.mark.seed("S2.45")
async def test_token_is_found_by_its_text_and_the_text_is_nowhere(database: Database) -> None:
    async with store(database) as opened:
        made = await opened.write(lambda c: tokens.create(c, "far", BOTH))
        text = made.text.reveal()
        assert re.fullmatch(r"ltw_[0-9a-f]{8}_[\w-]{43}", text)
        assert await opened.read(lambda c: tokens.find(c, text)) == KnownToken(
            1, "far", made.prefix, BOTH, stale=True
        )
        kept = await opened.read(lambda c: rows(c, "SELECT * FROM api_token"))
        assert text.rpartition("_")[2] not in str(kept)
        assert made.prefix in str(kept)


@pytest.mark.parametrize("change", [str.upper, lambda text: text[:-1], lambda text: text + "A"])
async def test_token_that_is_another_is_not_found(database: Database, change: object) -> None:
    assert callable(change)
    async with store(database) as opened:
        made = await opened.write(lambda c: tokens.create(c, "far", CRAWLER))
        other = change(made.text.reveal())
        assert await opened.read(lambda c: tokens.find(c, other)) is None


async def test_token_is_over_when_it_expires_or_is_revoked(database: Database) -> None:
    async with store(database) as opened:
        old = await opened.write(lambda c: tokens.create(c, "old", CRAWLER, days=1))
        await opened.write(lambda c: put_back(c, "expires_at", tokens.DAY_MS))
        gone = await opened.write(lambda c: tokens.create(c, "gone", CRAWLER))
        assert await opened.write(lambda c: tokens.revoke(c, gone.prefix)) == "gone"
        for each in (old, gone):
            text = each.text.reveal()
            assert await opened.read(lambda c, text=text: tokens.find(c, text)) is None  # type: ignore[misc]
        with pytest.raises(Missing, match="labtrawl token list"):
            await opened.write(lambda c: tokens.revoke(c, gone.prefix))
        listed = await opened.read(tokens.every)
        assert [(row.name, bool(row.revoked_at), bool(row.is_over)) for row in listed] == [
            ("gone", True, False),
            ("old", False, True),
        ]


async def test_use_is_written_down_once_a_minute(database: Database) -> None:
    async with store(database) as opened:
        text = (await opened.write(lambda c: tokens.create(c, "far", CRAWLER))).text.reveal()

        async def is_stale() -> bool | None:
            found = await opened.read(lambda c: tokens.find(c, text))
            return found.stale if found else None

        before = await is_stale()
        await opened.write(lambda c: tokens.touch(c, 1))
        used = await is_stale()
        await opened.write(lambda c: put_back(c, "last_used_at", tokens.USED_MS + 1))
        assert (before, used, await is_stale()) == (True, False, True)


@pytest.mark.parametrize(
    ("name", "scopes", "days", "words"),
    [
        ("", CRAWLER, 90, "name"),
        ("a b", CRAWLER, 90, "name"),
        ("far", frozenset(), 90, "scope"),
        ("far", CRAWLER, 0, "days"),
        ("far", CRAWLER, 366, "days"),
    ],
)
async def test_token_that_cannot_be_is_refused(
    database: Database, name: str, scopes: frozenset[TokenScope], days: int, words: str
) -> None:
    async with store(database) as opened:
        with pytest.raises(ConfigError, match=words):
            await opened.write(lambda c: tokens.create(c, name, scopes, days))


@pytest.mark.parametrize("name", ["crawler-1", "*", "web-server", "copilot-study", "", "a b"])
async def test_name_that_means_somebody_else_is_not_given(database: Database, name: str) -> None:
    async with store(database) as opened:
        with pytest.raises(Conflict, match="cannot be called"):
            await opened.write(lambda c: tokens.take_name(c, name, "token:1"))


async def test_name_belongs_to_the_first_that_takes_it(database: Database) -> None:
    async with store(database) as opened:
        for _ in range(2):
            await opened.write(lambda c: tokens.take_name(c, "far-1", "token:1"))
        with pytest.raises(Conflict, match="belongs to another credential"):
            await opened.write(lambda c: tokens.take_name(c, "far-1", "token:2"))
        owned = [
            await opened.read(lambda c, owner=owner: tokens.owns_name(c, "far-1", owner))  # type: ignore[misc]
            for owner in ("token:1", "token:2")
        ]
        assert owned == [True, False]
