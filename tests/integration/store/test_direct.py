"""Raw statements go past SQLAlchemy and answer as its own connection does, on both databases."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from sqlalchemy.exc import IntegrityError, MultipleResultsFound, NoResultFound, OperationalError

from labtrawl.store.direct import Direct
from labtrawl.store.engine import Connection, Database, open_engine
from labtrawl.store.migrate import migrate
from tests.integration.store.table import insert, names, store

Ask = Callable[[Connection], Any]
NAMES = "SELECT name, id FROM instance ORDER BY id"
ADD = "INSERT INTO instance (name, url, added_at) VALUES (?, 'u', 0)"
RENAME = "UPDATE instance SET name = ? WHERE name = ?"


@pytest.fixture
def pair(database: Database) -> Iterator[Callable[[Ask], tuple[Any, Any]]]:
    """Ask both kinds of connection the same, each in a transaction that is undone."""
    migrate(database)
    engine = open_engine(database, read_only=False)

    def asked(kind: type[Connection], ask: Ask) -> Any:
        with kind(engine) as connection, connection.begin() as begun:
            insert(connection, "a")
            insert(connection, "b")
            try:
                return ask(connection)
            except Exception as error:  # noqa: BLE001 - which one it is, is the answer
                return type(error)
            finally:
                begun.rollback()

    yield lambda ask: (asked(Direct, ask), asked(Connection, ask))
    engine.dispose()


@pytest.mark.parametrize(
    ("ask", "answer"),
    [
        (lambda c: [row[0] for row in c.exec_driver_sql(NAMES).all()], ["a", "b"]),
        (lambda c: [row[0] for row in c.exec_driver_sql(NAMES)], ["a", "b"]),
        (lambda c: c.exec_driver_sql(NAMES).first()[0], "a"),
        (lambda c: c.exec_driver_sql(f"SELECT id FROM ({NAMES}) AS x WHERE id < 0").first(), None),
        (lambda c: c.exec_driver_sql(NAMES).scalar(), "a"),
        (lambda c: c.exec_driver_sql("SELECT 1 WHERE 1 = 2").scalar(), None),
        (lambda c: list(c.exec_driver_sql(NAMES).scalars()), ["a", "b"]),
        (lambda c: c.exec_driver_sql(NAMES).scalars().all(), ["a", "b"]),
        (lambda c: c.exec_driver_sql("SELECT COUNT(*) FROM instance").scalar_one(), 2),
        (lambda c: tuple(c.exec_driver_sql("SELECT ?, ?", (1, 2)).one()), (1, 2)),
        (lambda c: c.exec_driver_sql(NAMES).one(), MultipleResultsFound),
        (lambda c: c.exec_driver_sql("SELECT 1 WHERE 1 = 2").one(), NoResultFound),
        (lambda c: c.exec_driver_sql(RENAME, ("c", "a")).rowcount, 1),
        (lambda c: c.exec_driver_sql(RENAME, ("c", "nobody")).rowcount, 0),
        (lambda c: c.exec_driver_sql(ADD, [("c",), ("d",)]).rowcount, 2),
        (lambda c: c.exec_driver_sql(f"{ADD} RETURNING name", ("c",)).first()[0], "c"),
        (lambda c: c.exec_driver_sql(ADD, ("a",)), IntegrityError),
    ],
)
def test_direct_connection_answers_as_sqlalchemy(
    pair: Callable[[Ask], tuple[Any, Any]], ask: Ask, answer: Any
) -> None:
    assert pair(ask) == (answer, answer)


async def test_statement_that_failed_leaves_a_writer_that_goes_on(database: Database) -> None:
    """What breaks a whole group takes its connection along, and the next group has another one."""

    def breaks_all(connection: Connection) -> None:
        insert(connection, "half")
        raise OperationalError("COMMIT", None, RuntimeError("the database went away"))

    async with store(database) as db:
        await db.write(lambda c: insert(c, "first"))
        with pytest.raises(Exception, match="the database refused"):
            await db.write(breaks_all)
        await db.write(lambda c: insert(c, "last"))
        assert await db.read(names) == ["first", "last"]
