"""Every page query answers the same on both databases, and pages add up to the whole list."""

import dataclasses
import functools
import importlib
import inspect
import itertools
import pkgutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from labtrawl.domain.area import AreaKind
from labtrawl.domain.job import HoldReason, JobState
from labtrawl.errors import LabtrawlError
from labtrawl.store import commands, operations, pages
from labtrawl.store.engine import Connection, Database, open_engine
from labtrawl.store.migrate import migrate
from labtrawl.store.operations import Action, Wish
from labtrawl.store.pages import areas, audit, jobs, live, records, walks
from labtrawl.store.pages.keyset import Page, Place
from labtrawl.store.pages.walks import Target
from tests.integration.store.table import rows
from tests.integration.website import world
from tests.rig import postgresql

FILTERS = [
    jobs.JobFilter(*choice)
    for choice in itertools.product(
        (None, JobState.FAILED, JobState.QUEUED),
        ("", "issues"),
        ("", "KELP", "e", "%"),
        (None, AreaKind.GROUP),
    )
]
FIELDS: tuple[dict[str, Any], ...] = (
    {},
    {"state": JobState.FAILED},
    {"state": JobState.RUNNING},
    {"state": JobState.COMPLETED, "account": 1},
    {"hold": HoldReason.CREDENTIAL},
    {"error": "forbidden", "kind": AreaKind.PROJECT},
    {"area": "kelp", "resource": "issues"},
    {"message": "internal SERVER"},
    {"message": '"403 …: insufficient permissions"', "error": "forbidden"},
    {"message": "50%"},
    {"message": "Bad Gateway", "state": JobState.QUEUED},
    {"message": "40", "hold": HoldReason.CREDENTIAL},
)
ORDERED = [
    jobs.JobFilter(order=order, **fields) for order, fields in itertools.product(jobs.Order, FIELDS)
]
TREES = [
    areas.AreaFilter(*choice)
    for choice in itertools.product(("", "Kelp", "_"), (None, AreaKind.PROJECT))
]
IN_JOBS: tuple[Place[int], ...] = (Place(), Place(after=40), Place(before=40))
IN_TREE: tuple[Place[areas.AreaKey], ...] = (
    Place(),
    Place(after=areas.AreaKey("kelp", 11)),
    Place(before=areas.AreaKey("kelp", 11)),
)
LOGGED = [
    audit.AuditFilter(*choice)
    for choice in itertools.product(
        ("", "ANN", "%"), ("", "settings"), (None, *audit.Outcome), (None, 9_500), (None, 60_500)
    )
]
PARENTS = {"issue_notes": "issues", "merge_request_notes": "merge_requests"}
REACHES = [
    records.Reach(*choice)
    for choice in itertools.product((1, None, 10**6), (None, 30), ("", "issues"))
]
# By "module.function": what it is asked. Each call gets the same connection.
QUESTIONS: dict[str, list[tuple[Any, ...]]] = {
    "accounts.list_accounts": [(place,) for place in IN_JOBS],
    "accounts.waiting_jobs": [()],
    "audit.block_after": list(itertools.product(LOGGED, (0, 30, 10**6))),
    "audit.list_rows": list(itertools.product(LOGGED, IN_JOBS)),
    "areas.area_detail": [(5,), (30,), (10**6,)],
    "areas.ledger_lines": [([2, 5, 30],)],
    "areas.list_areas": list(itertools.product(TREES, IN_TREE, (3, 50))),
    "areas.page_of_areas": list(itertools.product(TREES, IN_TREE, (7,))),
    "crawlers.crew": [()],
    "coverage.coverage": list(itertools.product(TREES, IN_TREE)),
    "job.children": list(itertools.product((1, 2), IN_JOBS)),
    "job.job_detail": list(itertools.product((1, 7, 40, 10**6), IN_JOBS)),
    "job.retry": [(7,), (8,), (10**6,)],
    "job.attempts": [(7,), (10**6,)],
    "jobs.choices": [()],
    "jobs.count_jobs": [(wanted,) for wanted in FILTERS + ORDERED],
    "jobs.facets": [(wanted,) for wanted in FILTERS + ORDERED],
    "jobs.first_ids": [(wanted,) for wanted in FILTERS],
    "jobs.list_jobs": [
        *itertools.product(FILTERS, IN_JOBS),
        *itertools.product(ORDERED, (Place(), Place(after=(5, 40)), Place(before=(5, 40)))),
    ],
    "jobs.next_matching": list(itertools.product(FILTERS, (0, 700), (3, 1000))),
    "jobs.resources": [()],
    "live.changed_families": [([1, 2, 40, 41], 3), ([1], 10**9)],
    "live.changed_rows": [([1, 2, 40, 41], 3), ([], 0)],
    "live.newest_change": [()],
    "live.read": [
        ([live.JobView(1, place), live.JobsView(jobs.JobFilter(), (1, 2), True)], since)
        for place, since in itertools.product(IN_JOBS, (3, 10**9))
    ],
    "mine.my_account": [(1,), (10**6,)],
    "mine.my_areas": [(1,), (10**6,)],
    "mine.my_figures": [(1,), (10**6,)],
    "mine.my_place": [(1, 5), (1, 30), (1, 10**6), (10**6, 5)],
    "mine.my_sum": [(1,), (10**6,)],
    "operations.list_operations": [(place,) for place in IN_JOBS],
    "operations.one_operation": [(1,), (10**6,)],
    "rates.limits_per_minute": [()],
    "rates.slowest_areas": [()],
    "sessions.list_sessions": [(place,) for place in IN_JOBS],
    "sessions.own_sessions": [(1, 1), (None, 1), (10**6, 1)],
    "outlook.outlook": [(PARENTS, 10**6), ({}, 10**9)],
    "outlook.part": [(5, PARENTS), (30, PARENTS)],
    "outlook.parts": [(1, PARENTS), (10**6, PARENTS)],
    "outlook.requests_done": [()],
    "overview.now": [(0,), (10**7,)],
    "overview.totals": [()],
    "records.lists": [(reach,) for reach in REACHES],
    "records.path_of": [(reach,) for reach in REACHES],
    "records.pieces": [(records.ListRow(30, 1, "", 30, "", "", "", "issues"),)],
    "records.stored": [(reach,) for reach in REACHES],
}
# They build the statements that the others run, or run those one by one.
BUILDERS = {"walks.narrow", "records.walk", "records.walk_back"}


def _build(connection: Connection) -> None:
    """The same world whatever the hour: each instant follows from its row."""
    with pytest.MonkeyPatch.context() as patch:
        # PostgreSQL holds no NUL: test_engine shows what becomes of one.
        patch.setattr(world, "HOSTILE", world.HOSTILE.replace("\0", ""))
        world.build(connection)
    cancel = Wish(Action.CANCEL, Target(jobs.JobFilter(resource="events")), "because", "somebody")
    operations.begin(connection, cancel)
    commands.register(connection, "crawler-1", "x")
    commands.want(connection, "*", commands.Wanted.DRAIN)
    _log(connection)
    for table, key, columns in (
        ("job", "id", ("created_at", "started_at", "finished_at", "updated_at", "run_after")),
        ("job", "id", ("lease_expires_at",)),
        ("segment", "id", ("created_at",)),
        ("ledger", "area_id", ("completed_at", "updated_at")),
        ("area", "id", ("discovered_at", "seen_at")),
        ("area_path", "area_id", ("seen_from",)),
        ("area_access", "area_id", ("seen_at",)),
        ("account", "id", ("verified_at",)),
        ("attempt", "job_id", ("began_at", "ended_at")),
        ("operation", "id", ("created_at", "updated_at")),
        ("crawler", "LENGTH(name)", ("changed_at",)),
    ):
        for number, column in enumerate(columns):
            connection.exec_driver_sql(
                f"UPDATE {table} SET {column} = {key} * 1000 + ? WHERE {column} IS NOT NULL",
                (number,),
            )


def _log(connection: Connection) -> None:
    """Rows of the audit log, which nobody can change once they are there."""
    outcomes = ("200", "303", "403", "500", "1 -> 2", "refused: it is set elsewhere")
    for number in range(1, 121):
        connection.exec_driver_sql(
            "INSERT INTO audit (id, at, tier, client, level, action, target, outcome, mac)"
            " VALUES (?, ?, 'none', ?, 'none', ?, '/x', ?, 'm')",
            (
                number,
                number * 1000,
                ("user ann", "50% off")[number % 2],
                ("settings change", "POST /sign-out")[number % 3 == 0],
                outcomes[number % len(outcomes)],
            ),
        )


def _connected(database: Database) -> Iterator[Connection]:
    migrate(database)
    engine = open_engine(database, read_only=False)
    try:
        with engine.connect() as connection, connection.begin():
            _build(connection)
            yield connection
    finally:
        engine.dispose()


@pytest.fixture(scope="module")
def on_sqlite(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Connection]:
    yield from _connected(Path(tmp_path_factory.mktemp("pages")) / "labtrawl.sqlite")


@pytest.fixture(scope="module")
def on_postgresql() -> Iterator[Connection]:
    url = postgresql.server().fresh()
    yield from _connected(url)
    postgresql.server().drop(url)


@functools.cache
def _functions() -> dict[str, Callable[..., Any]]:
    """Every public function of the room that asks a database."""
    found: dict[str, Callable[..., Any]] = {}
    for module in pkgutil.iter_modules(pages.__path__):
        loaded = importlib.import_module(f"{pages.__name__}.{module.name}")
        for name, function in inspect.getmembers(loaded, inspect.isfunction):
            is_own = function.__module__ == loaded.__name__ and not name.startswith("_")
            if is_own and "connection" in inspect.signature(function).parameters:
                found[f"{module.name}.{name}"] = function
    return found


def test_every_page_query_is_asked_here() -> None:
    assert set(_functions()) == set(QUESTIONS) | BUILDERS


def _answer(connection: Connection, name: str, question: tuple[Any, ...]) -> Any:
    """What is answered or refused, without a trace: one savepoint each."""
    nested = connection.begin_nested()
    try:
        told = _functions()[name](connection, *question)
    except LabtrawlError as refused:
        told = refused.args
    nested.rollback()
    if name == "live.changed_rows":
        return sorted(map(dataclasses.astuple, told))
    return told


@pytest.mark.parametrize("name", QUESTIONS)
def test_page_query_answers_the_same_on_both_databases(
    on_sqlite: Connection, on_postgresql: Connection, name: str
) -> None:
    for question in QUESTIONS[name]:
        ours, theirs = (_answer(each, name, question) for each in (on_sqlite, on_postgresql))
        assert theirs == ours, question
        # Types too: a bool or a decimal equals its number.
        assert repr(theirs) == repr(ours), question


def _walk(turn: Callable[[Place[Any]], Page[Any]], key: Callable[[Any], Any]) -> list[Any]:
    """Turn to the last page and back to the first: both ways show the same rows."""
    place: Place[Any] = Place()
    shown: list[Any] = []
    while True:
        page = turn(place)
        shown += page.rows
        if not page.has_next:
            break
        place = Place(after=key(page.rows[-1]))
    back = list(page.rows)
    while page.has_previous:
        page = turn(Place(before=key(page.rows[0])))
        back = [*page.rows, *back]
    assert back == shown
    return shown


@pytest.fixture(params=["on_sqlite", "on_postgresql"])
def connection(request: pytest.FixtureRequest) -> Connection:
    found: Connection = request.getfixturevalue(request.param)
    return found


@pytest.mark.parametrize("size", [1, 7, 1000])
def test_pages_of_jobs_add_up_to_all_of_them_newest_first(
    connection: Connection, size: int
) -> None:
    wanted = jobs.JobFilter(resource="issues")
    shown = _walk(lambda at: jobs.list_jobs(connection, wanted, at, size), lambda row: row.id)
    expected = rows(connection, "SELECT id FROM job WHERE resource = 'issues' ORDER BY id DESC")
    assert [(row.id,) for row in shown] == expected
    assert jobs.count_jobs(connection, wanted) == jobs.Count(len(shown))


@pytest.mark.parametrize(
    ("order", "sql"),
    [
        ("newest", "1 = 1 ORDER BY id DESC"),
        ("changed", "1 = 1 ORDER BY change DESC, id DESC"),
        ("priority", "state IN ('queued', 'running', 'held') ORDER BY priority DESC, id"),
        ("duration", "finished_at IS NOT NULL AND started_at IS NOT NULL"
         " ORDER BY finished_at - started_at DESC, id DESC"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("few", [{}, {"resource": "issues"}])
def test_pages_in_any_order_add_up_forwards_and_backwards(
    connection: Connection, order: str, sql: str, few: dict[str, str]
) -> None:
    wanted = jobs.JobFilter(order=jobs.Order(order), **few)  # type: ignore[arg-type]
    only = "resource = 'issues' AND " if few else ""
    expected = [row[0] for row in rows(connection, f"SELECT id FROM job WHERE {only}{sql}")]
    there: list[int] = []
    back: list[int] = []
    place: Place[jobs.Key] = Place()
    while True:
        page = jobs.list_jobs(connection, wanted, place, 90)
        there += [row.id for row in page.rows]
        if page.next is None:
            break
        place = Place(after=page.next)
    while True:
        back = [row.id for row in page.rows] + back
        if page.previous is None:
            break
        page = jobs.list_jobs(connection, wanted, Place(before=page.previous), 90)
    assert there == expected
    assert back == expected


def test_page_that_would_look_too_far_says_so_and_goes_on(
    connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jobs, "LOOKED", 10)
    monkeypatch.setattr(walks, "AREAS", 3)
    wanted = jobs.JobFilter(area="kelp", resource="issues")
    expected = rows(
        connection,
        "SELECT id FROM job WHERE resource = 'issues' AND area_id IN"
        " (SELECT id FROM area WHERE full_path LIKE '%kelp%') ORDER BY id DESC",
    )
    found, cut = [], 0
    place: Place[jobs.Key] = Place()
    while True:
        page = jobs.list_jobs(connection, wanted, place, 2)
        found += [(row.id,) for row in page.rows]
        cut += page.is_cut
        if page.next is None:
            break
        place = Place(after=page.next)
    assert found == expected
    assert cut > 0


@pytest.mark.parametrize("part", ["kelp/", "KELP/L", "h/f", "d-n", "_", "%", "\\", "\\%"])
def test_part_of_a_path_means_what_it_says_in_any_case(connection: Connection, part: str) -> None:
    every = rows(
        connection, "SELECT j.id, a.full_path FROM job AS j JOIN area AS a ON a.id = j.area_id"
    )
    expected = {number for number, path in every if part.lower() in path.lower()}
    page = jobs.list_jobs(connection, jobs.JobFilter(area=part), Place(), walks.LOOKED)
    assert {row.id for row in page.rows} == expected


@pytest.mark.parametrize("size", [1, 7, 1000])
def test_pages_of_areas_add_up_to_the_tree(connection: Connection, size: int) -> None:
    shown = _walk(
        lambda at: areas.list_areas(connection, areas.AreaFilter(), at, size),
        lambda each: areas.AreaKey(each.row.full_path, each.row.id),
    )
    every = rows(connection, "SELECT full_path FROM area")
    assert [each.row.full_path for each in shown] == sorted(
        (path for (path,) in every), key=lambda path: path.replace("/", " ")
    )


@pytest.mark.parametrize("at_once", [2, 3, 200])
@pytest.mark.long
def test_walk_over_records_meets_each_segment_once_from_any_place_in_either_direction(
    connection: Connection, monkeypatch: pytest.MonkeyPatch, at_once: int
) -> None:
    monkeypatch.setattr(records, "AT_ONCE", at_once)
    reach = records.Reach(1)
    whole = list(records.walk(connection, reach, None, 0))
    listed = "SELECT 1 FROM ledger AS l WHERE l.area_id = s.area_id AND l.resource = s.resource"
    expected = f"SELECT id FROM segment AS s WHERE EXISTS ({listed}) ORDER BY area_id, resource, id"
    assert [(each.id,) for each in whole] == rows(connection, expected)
    for number in (0, 1, len(whole) // 2, len(whole) - 1):
        place = whole[number]
        after = records.walk(connection, reach, place.of.key, place.id)
        before = records.walk_back(connection, reach, place.of.key, place.id)
        assert list(after) == whole[number:]
        assert list(before) == whole[number::-1]
