"""Consent in the database, on both engines: what it lets be planned, and what its end stops."""

import sqlite3
from collections.abc import AsyncIterator
from typing import Any

import pytest
from sqlalchemy.exc import DBAPIError

from labtrawl.dispatch import planner
from labtrawl.domain.area import AreaKind
from labtrawl.domain.consent import Areas, Mode, Wording
from labtrawl.domain.visit import DISCOVERY
from labtrawl.errors import Conflict, Missing, StoreError
from labtrawl.protocol.messages import DiscoveredArea, DiscoveredJob
from labtrawl.store import accounts, areas, choices, consents, jobs, leases, mode, visits
from labtrawl.store.commands import Worked
from labtrawl.store.engine import NOW_MS, Connection, Database, Store
from tests.integration.store import table
from tests.rig.consenting import LATER, TEXT, agree, begin
from tests.rig.consenting import jobs as told_jobs


@pytest.fixture
async def store(database: Database) -> AsyncIterator[Store]:
    async with table.store(database) as opened:
        yield opened


def _participant(connection: Connection, user: int = 7) -> int:
    """Let somebody sign in: an account that GitLab accepts."""
    verified = accounts.VerifiedAccount("main", "http://g", "19", user, f"u{user}", (), "token")
    return planner.plan_account(connection, verified)


def _discover(connection: Connection, account_id: int, *paths: str) -> dict[str, int]:
    """Report areas as a crawler would, each project with its issues; return their numbers."""
    found = {}
    for number, path in enumerate(paths, 1):
        kind = AreaKind.PROJECT if path.rpartition("/")[2].startswith("p") else AreaKind.GROUP
        told = DiscoveredArea(
            type=kind, gitlab_id=number, full_path=path, name=path, role=30, parent_path=""
        )
        planner.record_area(connection, 1, account_id, told)
        if kind is AreaKind.PROJECT:
            wanted = DiscoveredJob(command="issues", full_path=path, gitlab_id=number)
            planner.queue_jobs(connection, 1, None, [wanted])  # type: ignore[arg-type]
        area_id = areas.find(connection, 1, kind, number)
        assert area_id is not None
        found[path] = area_id
    return found


def _state(connection: Connection, account_id: int) -> tuple[str, bool]:
    row = connection.exec_driver_sql(
        "SELECT state, consent_id IS NOT NULL FROM account WHERE id = ?", (account_id,)
    ).one()
    return row[0], bool(row[1])


def _read_areas(connection: Connection, account_id: int) -> list[str]:
    rows = connection.exec_driver_sql(
        "SELECT a.full_path FROM area_access AS x JOIN area AS a ON a.id = x.area_id"
        " WHERE x.account_id = ? ORDER BY a.full_path",
        (account_id,),
    ).all()
    return [row[0] for row in rows]


def _issues(connection: Connection) -> list[tuple[str, str, str | None]]:
    rows = connection.exec_driver_sql(
        "SELECT a.full_path, j.state, j.hold_reason FROM job AS j JOIN area AS a ON a.id = j.area_id"
        " WHERE j.resource = 'issues' ORDER BY a.full_path"
    ).all()
    return [(row[0], row[1], row[2]) for row in rows]


async def test_nothing_is_planned_of_who_has_not_agreed(store: Store) -> None:
    def sign_in(connection: Connection) -> tuple[Any, ...]:
        begin(connection)
        account_id = _participant(connection)
        _discover(connection, account_id, "lab", "lab/p1")
        return (
            _state(connection, account_id),
            _read_areas(connection, account_id),
            told_jobs(connection),
        )

    assert await store.write(sign_in) == (("refused", False), [], [])


async def test_who_agrees_is_discovered_and_read(store: Store) -> None:
    def take_part(connection: Connection) -> tuple[Any, ...]:
        begin(connection)
        account_id = _participant(connection)
        agree(connection, account_id)
        before = told_jobs(connection)
        _discover(connection, account_id, "lab", "lab/p1")
        claimed = table.claim(connection, "crawler", limit=9)
        return (
            before,
            _state(connection, account_id),
            _read_areas(connection, account_id),
            [(one.resource, one.account_id) for one in claimed],
        )

    assert await store.write(take_part) == (
        [(DISCOVERY, "queued", None)],
        ("active", True),
        ["@u7", "lab", "lab/p1"],
        [(DISCOVERY, 1), ("issues", 1)],
    )


async def test_withdrawal_stops_what_runs_and_keeps_what_another_may_read(store: Store) -> None:
    def leave(connection: Connection) -> tuple[Any, ...]:
        begin(connection)
        one, other = _participant(connection, 7), _participant(connection, 8)
        agree(connection, one)
        agree(connection, other)
        found = _discover(connection, one, "lab", "lab/p1", "lab/p2")
        areas.grant(
            connection,
            found["lab/p1"],
            other,
            20,
            choices.found(connection, other, found["lab/p1"], 20),
        )
        held = table.claim(connection, "crawler", limit=9)
        mine = sorted(job.job_id for job in held if job.account_id == one)
        stopped = consents.withdraw(connection, one)
        renewed = [
            renewal.lost
            for renewal in leases.renew(
                connection, "crawler", [(job.job_id, job.fence) for job in held], 5
            )
        ]
        return (
            stopped == [Worked(job_id, "crawler") for job_id in mine],
            [job.account_id == one for job in held] == renewed,
            _issues(connection),
            _state(connection, one),
            [(past.ended_why, past.holds) for past in consents.history(connection, one)],
            _read_areas(connection, one),
        )

    assert await store.write(leave) == (
        True,
        True,
        [("lab/p1", "queued", None), ("lab/p2", "held", "unseen")],
        ("refused", False),
        [("withdrawn", False)],
        [],
    )


async def test_who_agrees_again_goes_on(store: Store) -> None:
    def return_(connection: Connection) -> tuple[Any, ...]:
        begin(connection)
        account_id = _participant(connection)
        agree(connection, account_id)
        _discover(connection, account_id, "lab", "lab/p1")
        consents.withdraw(connection, account_id)
        gone = told_jobs(connection)
        agree(connection, account_id)
        return gone, told_jobs(connection), _read_areas(connection, account_id)

    assert await store.write(return_) == (
        [(DISCOVERY, "held", "unseen"), ("issues", "held", "unseen")],
        [(DISCOVERY, "queued", None), ("issues", "queued", None)],
        ["@u7", "lab", "lab/p1"],
    )


async def test_answer_for_a_group_holds_below_it_until_another_is_given(store: Store) -> None:
    def choose(connection: Connection) -> list[Any]:
        begin(connection)
        account_id = _participant(connection)
        agree(connection, account_id)
        found = _discover(connection, account_id, "lab", "lab/p1", "lab/p2", "labour", "labour/p3")
        read = []
        for path, wanted in (("lab", False), ("lab/p1", True), ("lab", None), ("lab/p2", False)):
            consents.choose(connection, account_id, found[path], wanted)
            read.append(_read_areas(connection, account_id))
        _discover(connection, account_id, "lab", "lab/p1", "lab/p2")
        return [*read, _read_areas(connection, account_id)]

    beside = ["labour", "labour/p3"]
    assert await store.write(choose) == [
        ["@u7", *beside],
        ["@u7", "lab/p1", *beside],
        ["@u7", "lab", "lab/p1", "lab/p2", *beside],
        ["@u7", "lab", "lab/p1", *beside],
        ["@u7", "lab", "lab/p1", *beside],
    ]


async def test_only_chosen_areas_are_read_where_the_consent_says_so(store: Store) -> None:
    def choose(connection: Connection) -> tuple[Any, ...]:
        begin(connection)
        account_id = _participant(connection)
        agree(connection, account_id, Areas.CHOSEN)
        found = _discover(connection, account_id, "lab", "lab/p1")
        before = (_read_areas(connection, account_id), _issues(connection))
        consents.choose(connection, account_id, found["lab/p1"], True)
        connection.exec_driver_sql("UPDATE job SET state = 'completed'")
        _discover(connection, account_id, "lab", "lab/p1")
        offered = [
            (one.full_path, one.wanted, one.is_collected)
            for one in choices.mine(connection, account_id)
        ]
        return before, _read_areas(connection, account_id), _issues(connection), offered

    assert await store.write(choose) == (
        (["@u7"], []),
        ["@u7", "lab/p1"],
        [("lab/p1", "queued", None)],
        [("lab", None, False), ("lab/p1", True, True)],
    )


async def test_area_that_gitlab_shows_no_more_is_not_read_again_by_an_answer(store: Store) -> None:
    def leave(connection: Connection) -> tuple[Any, ...]:
        begin(connection)
        account_id = _participant(connection)
        agree(connection, account_id)
        found = _discover(connection, account_id, "lab", "lab/p1")
        connection.exec_driver_sql("UPDATE area_access SET seen_at = 1 WHERE role > 0")
        connection.exec_driver_sql("UPDATE area_choice SET seen_at = 1")
        lost = areas.lose(connection, account_id, 2)
        consents.choose(connection, account_id, found["lab"], True)
        agree(connection, account_id)
        read = _read_areas(connection, account_id)
        _discover(connection, account_id, "lab", "lab/p1")
        return (
            sorted(lost.unseen) == sorted(found.values()),
            read,
            _read_areas(connection, account_id),
        )

    assert await store.write(leave) == (True, ["@u7"], ["@u7", "lab", "lab/p1"])


async def test_another_persons_area_is_missing(store: Store) -> None:
    def choose(connection: Connection) -> None:
        begin(connection)
        one, other = _participant(connection, 7), _participant(connection, 8)
        agree(connection, one)
        found = _discover(connection, one, "lab")
        consents.choose(connection, other, found["lab"], False)

    with pytest.raises(Missing, match="no area"):
        await store.write(choose)


async def test_new_text_ends_every_consent_and_asks_for_its_own_resources(store: Store) -> None:
    def change(connection: Connection) -> tuple[Any, ...]:
        begin(connection)
        account_id = _participant(connection)
        agree(connection, account_id)
        found = _discover(connection, account_id, "lab", "lab/p1")
        table.claim(connection, "crawler", limit=9)
        version, stopped = consents.publish(
            connection, Wording("Only labels", "Less.", ("labels",), LATER), "admin"
        )
        old = consents.Given(1, Areas.ALL, LATER, "participant")
        try:
            consents.give(connection, account_id, old)
        except Conflict as error:
            said = str(error)
        agree(connection, account_id)
        for resource in ("issues", "labels"):
            jobs.enqueue_first(connection, jobs.PlannedJob(found["lab/p1"], resource))
            visits.sweep_now(connection, found["lab/p1"], resource)
        return version, len(stopped), "newest" in said, told_jobs(connection)

    assert await store.write(change) == (
        2,
        2,
        True,
        [(DISCOVERY, "queued", None), ("issues", "held", "unseen"), ("labels", "queued", None)],
    )


async def test_consent_ends_by_itself_at_its_last_instant(store: Store) -> None:
    def expire(connection: Connection) -> tuple[Any, ...]:
        begin(connection)
        account_id = _participant(connection)
        now = connection.exec_driver_sql(f"SELECT {NOW_MS}").scalar_one()
        agree(connection, account_id, until=now + 300)
        return account_id, consents.has_expired(connection)

    account_id, _ = await store.write(expire)
    while not await store.read(consents.has_expired):
        continue  # by the database's clock
    stopped = await store.write(consents.end_expired)
    assert stopped == []
    past = await store.read(lambda c: consents.history(c, account_id))
    assert [one.ended_why for one in past] == ["expired"]
    assert await store.read(lambda c: _state(c, account_id)) == ("refused", False)


AGAINST = (
    "UPDATE account SET state = 'active' WHERE id = 1",
    "UPDATE account SET mode = 'team' WHERE id = 1",
    "UPDATE account SET consent_id = 1, state = 'active' WHERE id = 2",
    "INSERT INTO account (instance_id, gitlab_user_id, username, token, state, verified_at)"
    " VALUES (1, 99, 'x', 't', 'active', 1)",
    "INSERT INTO area_access (area_id, account_id, role, seen_at) VALUES (1, 1, 30, 1)",
    "UPDATE consent SET ended_at = NULL, ended_why = NULL WHERE id = 1",
    "UPDATE consent SET until = until + 1 WHERE id = 2",
    "UPDATE consent SET ended_at = 1, ended_why = 'withdrawn' WHERE id = 2",
    "DELETE FROM consent WHERE id = 1",
    "UPDATE consent_text SET body = 'all of it' WHERE version = 1",
    "DELETE FROM consent_text WHERE version = 1",
    "DELETE FROM consent_resource",
    "UPDATE consent_resource SET resource = '*'",
    "UPDATE pinned SET mode = 'team'",
    "UPDATE pinned SET key_id = 'ffffffff'",
    "DELETE FROM pinned",
    "INSERT INTO consent (account_id, version, areas, until, given_at, given_by)"
    " VALUES (3, 1, 'all', 9, 1, 'x')",
)


# What a database says when a constraint or a trigger refuses; `store` maps some of it.
REFUSED = (StoreError, DBAPIError, sqlite3.Error)


async def test_database_itself_refuses_what_consent_does_not_allow(store: Store) -> None:
    """Account 1 has withdrawn, 2 never agreed, 3 takes part."""

    def begun(connection: Connection) -> None:
        begin(connection)
        first, _, third = (_participant(connection, user) for user in (7, 8, 9))
        agree(connection, first)
        consents.withdraw(connection, first)
        agree(connection, third)

    await store.write(begun)
    done = []
    for statement in AGAINST:
        try:
            await store.write(lambda c, s=statement: c.exec_driver_sql(s))  # type: ignore[misc]
            done.append(statement)
        except REFUSED:
            continue
    assert done == []


async def test_excluded_area_cannot_be_read_by_any_statement(store: Store) -> None:
    def excluded(connection: Connection) -> int:
        begin(connection)
        account_id = _participant(connection)
        agree(connection, account_id)
        found = _discover(connection, account_id, "lab", "lab/p1")
        consents.choose(connection, account_id, found["lab"], False)
        return found["lab/p1"]

    area_id = await store.write(excluded)
    statement = "INSERT INTO area_access (area_id, account_id, role, seen_at) VALUES (?, 1, 30, 1)"
    with pytest.raises(REFUSED):
        await store.write(lambda c: c.exec_driver_sql(statement, (area_id,)))


async def test_team_becomes_a_study_only_before_anything_was_collected(store: Store) -> None:
    def team(connection: Connection) -> None:
        mode.pin(connection, Mode.TEAM, "", "Our own history.")
        [job_id] = table.planned(connection)
        begin(connection)
        assert (_state(connection, 1), _read_areas(connection, 1)) == (("refused", False), [])
        connection.exec_driver_sql("UPDATE job SET state = 'held', hold_reason = 'unseen'")
        assert job_id

    await store.write(team)
    found = await store.read(mode.pinned)
    assert found is not None
    assert (found.mode, found.basis) == (Mode.STUDY, "Our own history.")


async def test_texts_keep_their_words(store: Store) -> None:
    await store.write(begin)
    found = await store.read(consents.texts)
    assert [(one.version, one.title, one.body, one.resources) for one in found] == [
        (1, TEXT.title, TEXT.body, ("*",))
    ]
