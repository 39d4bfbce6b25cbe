"""Answers the questions of `insights` over a whole dataset, in a process of its own.

The website starts it (`python -m labtrawl.dataset.reckon`), for reading every record would keep its
other work waiting. It takes an `Order` as one line of JSON on stdin, and ends when stdin does.
"""

import os
import sys
import threading
import time
from datetime import UTC, date, datetime
from pathlib import Path

import duckdb
import msgspec

from labtrawl.dataset.export import Plan, our_words, write_tables
from labtrawl.dataset.export_staging import literal
from labtrawl.dataset.insights import (
    ANSWERS,
    INSIGHTS,
    TABLES,
    Answers,
    Insight,
    Order,
    Table,
)
from labtrawl.dataset.query import MEMORY_LIMIT
from labtrawl.dataset.scratch import scratch
from labtrawl.errors import LabtrawlError

PREFIX = "reckoning-"
# It gives way to everything else.
NICENESS = 15


def reckon(order: Order) -> None:
    """Write the answers, and each as a Parquet file. Raises LabtrawlError, OSError."""
    began, out = time.monotonic(), Path(order.out)
    out.parent.mkdir(parents=True, exist_ok=True)
    with scratch(out.parent, PREFIX) as folder, our_words():
        draft, work = folder / "answers", folder / "work"
        draft.mkdir()
        work.mkdir()
        plan = Plan(Path(order.root), order.parts, TABLES, {}, {})
        write_tables(plan, "duckdb", folder / "tables", work, lambda _records: None)
        with duckdb.connect(str(folder / "tables"), read_only=True) as connection:
            connection.execute(f"SET memory_limit = '{MEMORY_LIMIT}'; SET TimeZone = 'UTC'")
            tables = {each.id: _answered(connection, each, draft) for each in INSIGHTS}
        answers = Answers(
            at=int(datetime.now(UTC).timestamp() * 1000),
            seconds=round(time.monotonic() - began, 2),
            records=plan.records(),
            tables=tables,
        )
        (draft / ANSWERS).write_bytes(msgspec.json.encode(answers))
        draft.rename(out)


def _answered(connection: duckdb.DuckDBPyConnection, insight: Insight, folder: Path) -> Table:
    file = literal(folder / f"{insight.id}.parquet")
    connection.execute(f"COPY ({insight.sql}) TO {file} (FORMAT parquet)")
    rows = connection.execute(f"SELECT * FROM {file}").fetchall()  # noqa: S608 - a quoted path
    return Table(
        columns=(*insight.lines, *insight.beside),
        weeks=[_instant(row[0]) for row in rows],
        rows=[[None if value is None else float(value) for value in row[1:]] for row in rows],
    )


def _instant(week: date) -> int:
    return int(datetime(week.year, week.month, week.day, tzinfo=UTC).timestamp() * 1000)


def _end_with(stream: int) -> None:
    """End when whoever ordered is gone: nobody would take the answers."""
    while os.read(stream, 4096):
        pass
    os._exit(1)


def _do() -> int:
    """Do as the module says; 1, and stderr says why, where it could not be done."""
    os.nice(NICENESS)
    order = msgspec.json.decode(sys.stdin.buffer.readline(), type=Order)
    threading.Thread(target=_end_with, args=(sys.stdin.fileno(),), daemon=True).start()
    try:
        reckon(order)
    except (LabtrawlError, OSError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


def main() -> None:
    """Do as the module says and end at once: a thread still reads, and DuckDB would complain of it."""
    code = _do()
    sys.stderr.flush()
    os._exit(code)


if __name__ == "__main__":
    main()
