"""Statements that are written out go to the driver as they are; only `engine` enters here.

SQLAlchemy takes four fifths of the time of a short statement, to describe a result that nobody asks
about. What it compiled itself, and what somebody listens to, goes its way.
"""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple, cast

from sqlalchemy import Connection, CursorResult
from sqlalchemy.exc import DBAPIError, MultipleResultsFound, NoResultFound

Row = tuple[Any, ...]

# The execution option of an engine that has one.
WORDING = "labtrawl_wording"


class Wording(NamedTuple):
    """How a database words what is written otherwise here: statements, and errors (in place).

    Its engine has one listener for what SQLAlchemy compiled, which does the same.
    """

    statement: Callable[[str], str]
    error: Callable[[BaseException], object]


class Rows:
    """The answer to one statement, as plain tuples: as much of `CursorResult` as is used here."""

    __slots__ = ("_cursor",)

    def __init__(self, cursor: Any) -> None:
        self._cursor = cursor

    @property
    def rowcount(self) -> int:
        """How many rows a statement changed."""
        return int(self._cursor.rowcount)

    def __iter__(self) -> Iterator[Row]:
        return iter(self.all())

    def all(self) -> list[Row]:
        """Return all rows."""
        return cast("list[Row]", self._cursor.fetchall())

    def first(self) -> Row | None:
        """Return the first row, None where there is none."""
        row = self._cursor.fetchone()
        self._cursor.close()
        return cast("Row | None", row)

    def one(self) -> Row:
        """Return the only row; NoResultFound, MultipleResultsFound where there is another number."""
        rows = self.all()
        if not rows:
            raise NoResultFound("no row was found where there has to be one")
        if len(rows) > 1:
            raise MultipleResultsFound("several rows were found where there has to be one")
        return rows[0]

    def scalar(self) -> Any:
        """Return the first value of the first row, None where there is none."""
        row = self.first()
        return None if row is None else row[0]

    def scalar_one(self) -> Any:
        """Return the first value of the only row; errors as `one`."""
        return self.one()[0]

    def scalars(self) -> "Scalars":
        """Return the first value of each row."""
        return Scalars([row[0] for row in self.all()])


class Scalars(list[Any]):
    """A value of each row."""

    def all(self) -> list[Any]:
        """Return all of them."""
        return self


class Direct(Connection):
    """A connection of SQLAlchemy's whose raw statements go straight to the driver."""

    def exec_driver_sql(
        self, statement: str, parameters: Any = None, execution_options: Any = None
    ) -> CursorResult[Any]:
        """Do as `Connection` does, with its errors; outside of a transaction by its own means."""
        wording: Wording | None = self.get_execution_options().get(WORDING)
        is_begun = self.in_transaction() or statement.startswith("BEGIN")
        is_heard = len(self.dispatch.before_cursor_execute) > (wording is not None)
        if not is_begun or is_heard:
            return super().exec_driver_sql(statement, parameters, execution_options)
        driver = self.dialect.loaded_dbapi
        cursor = self.connection.cursor()
        try:
            worded = wording.statement(statement) if wording else statement
            if isinstance(parameters, list):
                cursor.executemany(worded, parameters)
            else:
                cursor.execute(worded, parameters or ())
        except driver.Error as error:
            if wording:
                wording.error(error)
            raise DBAPIError.instance(
                statement, parameters, error, driver.Error, hide_parameters=True
            ) from error
        return cast("CursorResult[Any]", Rows(cursor))
