"""People and their sessions on a real database: a number of a GitLab, and what belongs to it."""

import pytest
from sqlalchemy.exc import IntegrityError

from labtrawl.errors import StoreError
from labtrawl.store import accounts, connections, people, sessions
from labtrawl.store.connections import Connected
from labtrawl.store.engine import Connection, Database
from labtrawl.store.pages.keyset import Place
from labtrawl.store.pages.sessions import list_sessions, own_sessions
from labtrawl.store.people import Identified
from labtrawl.store.sessions import KnownSession, Role, SessionState
from tests.integration.store.table import rows, store

ADA = Identified("main", "http://gitlab", 5_000_000_000, "ada", "Ada")


def known(connection: Connection, token: str) -> KnownSession:
    found = sessions.find_session(connection, token)
    assert found is not None
    return found


async def test_person_is_a_number_of_one_gitlab_whatever_the_name(database: Database) -> None:
    same = Identified("main", "http://gitlab", ADA.gitlab_user_id, "renamed", "Another name")
    other = Identified("second", "http://second", ADA.gitlab_user_id, "ada", "Ada")
    async with store(database) as opened:
        found = [
            await opened.write(lambda c, w=who: people.record(c, w))  # type: ignore[misc]
            for who in (ADA, same, other)
        ]
        assert (found[0] == found[1], found[0] == found[2]) == (True, False)
        told = "SELECT gitlab_user_id, username, name FROM person ORDER BY id"
        assert await opened.read(lambda c: rows(c, told)) == [
            (ADA.gitlab_user_id, "renamed", "Another name"),
            (ADA.gitlab_user_id, "ada", "Ada"),
        ]


async def test_session_knows_its_person_and_the_account_of_the_same_number(
    database: Database,
) -> None:
    async with store(database) as opened:
        person = await opened.write(lambda c: people.record(c, ADA))
        token = await opened.write(lambda c: sessions.create_session(c, Role.PARTICIPANT, person))
        before = await opened.read(lambda c: known(c, token))
        account = await opened.write(
            lambda c: connections.connect(c, Connected(ADA, "19", (), "t"))
        )
        other = Identified("second", "http://second", ADA.gitlab_user_id)
        await opened.write(lambda c: connections.connect(c, Connected(other, "19", (), "t")))
        after = await opened.read(lambda c: known(c, token))
        identity = f"main:{ADA.gitlab_user_id}"
        assert (before.account_id, after.account_id) == (None, account)
        assert after == KnownSession(
            SessionState.VALID, Role.PARTICIPANT, before.name, 1, person, identity, "ada", account
        )


async def test_participant_without_a_person_has_no_session(database: Database) -> None:
    async with store(database) as opened:
        with pytest.raises((IntegrityError, StoreError)):
            await opened.write(lambda c: sessions.create_session(c, Role.PARTICIPANT))
        assert await opened.read(lambda c: rows(c, "SELECT * FROM session")) == []


async def test_sessions_end_one_by_one_or_all_of_a_person(database: Database) -> None:
    async with store(database) as opened:
        person = await opened.write(lambda c: people.record(c, ADA))
        mine = [
            await opened.write(lambda c: sessions.create_session(c, Role.PARTICIPANT, person))
            for _ in range(4)
        ]
        await opened.write(sessions.create_session)
        ids = [(await opened.read(lambda c, t=t: known(c, t))).id for t in mine]  # type: ignore[misc]
        ended = [
            await opened.write(lambda c: sessions.end(c, 5, person)),
            await opened.write(lambda c: sessions.end(c, ids[0], person)),
            await opened.write(lambda c: sessions.end(c, ids[0], person)),
            await opened.write(lambda c: sessions.end_all(c, person, ids[1])),
            await opened.write(lambda c: sessions.end_all(c, person)),
        ]
        assert ended == [False, True, False, 2, 1]
        page = await opened.read(lambda c: list_sessions(c, Place()))
        own = await opened.read(lambda c: own_sessions(c, person, 0))
        assert ([row.id for row in page.rows], list(own)) == ([5], [])


async def test_connected_account_takes_the_place_of_what_was_there(database: Database) -> None:
    new = Connected(ADA, "19", ("openid", "read_api"), "t2", "r2", 9_000, 8_000, "http://back")
    told = (
        "SELECT token, refresh_token, expires_at, renew_at, redirect_uri, state, token_version"
        " FROM account"
    )
    async with store(database) as opened:
        by_hand = accounts.VerifiedAccount(
            "main",
            "http://gitlab",
            "19",
            ADA.gitlab_user_id,
            "ada",
            ("read_api",),
            "t1",
            "settings",
        )
        await opened.write(lambda c: accounts.record(c, by_hand))
        account = await opened.write(lambda c: connections.connect(c, new))
        assert await opened.read(lambda c: rows(c, told)) == [
            ("t2", "r2", 9_000, 8_000, "http://back", "active", 1)
        ]
        assert await opened.read(connections.has_usable)
        assert await opened.read(lambda c: connections.find(c, ADA)) == account
        gone = [await opened.write(lambda c: connections.disconnect(c, account)) for _ in range(2)]
        assert gone == [[], None]
        assert await opened.read(lambda c: rows(c, told)) == [
            ("", "", None, None, "http://back", "refused", 2)
        ]
        link = await opened.read(lambda c: connections.link_of(c, account))
        assert link is not None
        assert (link.is_connected, link.is_usable, link.renews_itself) == (False, False, False)
        assert not await opened.read(connections.has_usable)
