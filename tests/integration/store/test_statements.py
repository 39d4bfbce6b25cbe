"""Every statement that the room spells out is understood by both databases, whoever runs it."""

import ast
import importlib
import pkgutil
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy.exc import DBAPIError

from labtrawl import store
from labtrawl.store.engine import Connection, Database, open_engine
from labtrawl.store.migrate import migrate
from labtrawl.store.postgresql import translate

# What asks about the database itself, in words of its own.
LEFT_OUT = {"labtrawl.store.sqlite", "labtrawl.store.postgresql"}
# These have no plan; each write runs them.
OF_TRANSACTIONS = ("SAVEPOINT", "RELEASE", "ROLLBACK")


def statements() -> Iterator[tuple[str, str]]:
    """(place, text) of each statement that is written out; what is put together is run elsewhere."""
    for module in pkgutil.iter_modules(store.__path__, f"{store.__name__}."):
        if module.ispkg or module.name in LEFT_OUT:
            continue
        loaded = importlib.import_module(module.name)
        tree = ast.parse(Path(str(loaded.__file__)).read_text())
        for node in ast.walk(tree):
            if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
                continue
            if node.func.attr == "exec_driver_sql":
                try:
                    text = eval(compile(ast.Expression(node.args[0]), "", "eval"), vars(loaded))
                except NameError:
                    continue
                if not text.startswith(OF_TRANSACTIONS):
                    yield f"{module.name}:{node.lineno}", text


@pytest.fixture
def connection(database: Database) -> Iterator[Connection]:
    migrate(database)
    engine = open_engine(database, read_only=False)
    with engine.connect() as opened, opened.begin():
        yield opened
    engine.dispose()


def _understand(connection: Connection, text: str) -> None:
    """Let the database work out a plan, without running anything."""
    if connection.dialect.name == "sqlite":
        connection.exec_driver_sql(f"EXPLAIN {text}", (None,) * text.count("?")).all()
        return
    numbers = iter(range(1, 100))
    theirs = re.sub("%s", lambda _: f"${next(numbers)}", translate(text)).replace("%%", "%")
    connection.exec_driver_sql(f"PREPARE asked AS {theirs}")
    connection.exec_driver_sql("DEALLOCATE asked")


def test_every_statement_is_understood(connection: Connection) -> None:
    refused, asked = {}, 0
    for place, text in statements():
        asked += 1
        nested = connection.begin_nested()
        try:
            _understand(connection, text)
        except DBAPIError as error:
            refused[place] = str(error).splitlines()[0]
        nested.rollback()
    assert refused == {}
    assert asked > 90
