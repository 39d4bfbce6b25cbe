"""`labtrawl dataset query`: a question in SQL to the typed tables, and nothing but these."""

import csv
import itertools
import json
import re
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from labtrawl.cli.dataset import manifest_of, write_out
from labtrawl.cli.dataset_export import bar, plan, tell_wrong
from labtrawl.cli.options import settings_options
from labtrawl.config import Settings

if TYPE_CHECKING:
    from rich.console import Console

    from labtrawl.dataset.query import Answer

_SHOW_TABLES = re.compile(r"\s*show\s+(all\s+)?tables\s*;?\s*", re.IGNORECASE)
# What a screen and a person take in; the other formats give all.
_SHOWN = 200
# A column narrower than this cannot be read, and a longer cell is a text of its own.
_READABLE = 16
_LONGEST = 300
# The line beside a column, and a space on both of its sides.
_FRAME = 3


@click.command("query")
@settings_options
@click.argument("sql")
@click.option(
    "--format",
    "form",
    type=click.Choice(("table", "csv", "json")),
    default="table",
    help=f"A table of at most {_SHOWN} rows (default), CSV, or one JSON object a line.",
)
def query(settings: Settings, sql: str, form: str) -> None:
    """Answer one SELECT in DuckDB's SQL.

    \b
    labtrawl dataset query "SELECT state, count(*) FROM issues GROUP BY state"
    labtrawl dataset query "SELECT * FROM merge_requests_history" --format csv > versions.csv
    labtrawl dataset query "SHOW TABLES"
    labtrawl dataset query "DESCRIBE issues"

    The tables are those of `labtrawl dataset export`; the ones that are named are made first, so a
    large dataset is better exported once. The SQL reaches no file and no network.
    """  # noqa: D301 - click reads \b
    from labtrawl.dataset.export import write_tables
    from labtrawl.dataset.query import ask, named_tables, obeying, open_locked
    from labtrawl.dataset.scratch import scratch

    if _SHOW_TABLES.fullmatch(sql):
        _show(_tables(settings, as_json=form == "json"), form)
        return
    wanted = plan(settings, manifest_of(settings), named_tables(sql))
    with scratch(Path(tempfile.gettempdir()), "labtrawl-query-") as folder:
        work = Path(folder, "work")
        work.mkdir()
        with bar(wanted.records()) as told:
            report = write_tables(wanted, "duckdb", Path(folder, "tables"), work, told)
        tell_wrong(report.wrong)
        with (
            open_locked(Path(folder, "tables"), Path(folder, "spilled")) as connection,
            obeying(connection),
        ):
            _show(ask(connection, sql, as_json=form == "json"), form)


def _tables(settings: Settings, *, as_json: bool) -> "Answer":
    """List what can be asked: none of these tables is made before somebody names it."""
    from labtrawl.dataset.query import Answer
    from labtrawl.dataset.tables import HISTORY, tables_of

    filled = tables_of(frozenset(row.resource for row in manifest_of(settings)))
    told = ((each.name, each.name + HISTORY, each.meaning) for each in filled)
    rows = (tuple(map(json.dumps, row)) if as_json else row for row in told)
    return Answer(("name", "history", "meaning"), ("VARCHAR",) * 3, rows)


def _show(answer: "Answer", form: str) -> None:
    match form:
        case "json":
            write_out(_json_lines(answer))
        case "csv":
            write_out(_csv_lines(answer))
        case _:
            _show_table(answer)


def _json_lines(answer: "Answer") -> Iterator[bytes]:
    keys = [json.dumps(name, ensure_ascii=False) for name in answer.columns]
    for row in answer.rows:
        cells = (
            f"{key}:{'null' if cell is None else cell}" for key, cell in zip(keys, row, strict=True)
        )
        yield f"{{{','.join(cells)}}}\n".encode()


class _Line:
    """What csv writes to: it hands out what was written last."""

    text = ""

    def write(self, text: str) -> None:
        self.text = text


def _csv_lines(answer: "Answer") -> Iterator[bytes]:
    from labtrawl.dataset.formulas import harmless

    line = _Line()
    writer = csv.writer(line, lineterminator="\n")
    writer.writerow([harmless(name) for name in answer.columns])
    yield line.text.encode()
    for row in answer.rows:
        cells = zip(row, answer.is_text, strict=True)
        writer.writerow([harmless(cell) if cell and text else cell for cell, text in cells])
        yield line.text.encode()


def _show_table(answer: "Answer") -> None:
    from rich.console import Console

    from labtrawl.logs import escape

    names = [escape(name) for name in answer.columns]
    rows = [
        ["" if cell is None else escape(cell) for cell in row]
        for row in itertools.islice(answer.rows, _SHOWN)
    ]
    # Into a pipe nothing is wrapped: there is no width to fit.
    console = Console(highlight=False, width=None if sys.stdout.isatty() else 10_000)
    if _fits(names, rows, console.width):
        _show_grid(console, names, rows, answer.is_text)
    else:
        _show_one_by_one(console, names, rows)
    if next(answer.rows, None) is not None:
        click.echo(
            f"labtrawl: only {_SHOWN} rows are shown; --format csv or json gives all", err=True
        )


def _fits(names: list[str], rows: list[list[str]], width: int) -> bool:
    """Say whether every column of a grid could be read: as wide as it needs, or a few words."""
    widest = [max(map(len, column)) for column in zip(names, *rows, strict=True)]
    return sum(min(each, _READABLE) + _FRAME for each in widest) < width


def _show_grid(
    console: "Console", names: list[str], rows: list[list[str]], is_text: tuple[bool, ...]
) -> None:
    from rich.table import Table
    from rich.text import Text

    table = Table()
    for name, text in zip(names, is_text, strict=True):
        table.add_column(Text(name), justify="left" if text else "right", overflow="fold")
    for row in rows:
        table.add_row(*map(Text, row))
    console.print(table)


def _show_one_by_one(console: "Console", names: list[str], rows: list[list[str]]) -> None:
    """A line for each cell: what psql calls an expanded display."""
    from rich.text import Text

    widest = max(map(len, names))
    for number, row in enumerate(rows, 1):
        console.print(Text(f"row {number}", style="bold"))
        for name, cell in zip(names, row, strict=True):
            told = cell if len(cell) <= _LONGEST else f"{cell[:_LONGEST]}…"
            line = f"  {name.ljust(widest)}  {told}".rstrip()
            console.print(Text(line), soft_wrap=True)
    if not rows:
        console.print("no row")
