"""`labtrawl dataset query`: a question in SQL to the typed tables, and nothing but these."""

import csv
import itertools
import json
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
    from labtrawl.dataset.query import Answer

# What a screen and a person take in; the other formats give all.
_SHOWN = 200


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

    The tables are those of `labtrawl dataset export`; the ones that are named are made first, so a
    large dataset is better exported once. The SQL reaches no file and no network.
    """  # noqa: D301 - click reads \b
    from labtrawl.dataset.export import write_tables
    from labtrawl.dataset.query import ask, named_tables, obeying, open_locked
    from labtrawl.dataset.scratch import scratch

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
    from rich.table import Table
    from rich.text import Text

    from labtrawl.logs import escape

    table = Table()
    for name, text in zip(answer.columns, answer.is_text, strict=True):
        table.add_column(Text(escape(name)), justify="left" if text else "right", overflow="fold")
    for row in itertools.islice(answer.rows, _SHOWN):
        table.add_row(*(Text("" if cell is None else escape(cell)) for cell in row))
    # Into a pipe nothing is wrapped: there is no width to fit.
    Console(highlight=False, width=None if sys.stdout.isatty() else 10_000).print(table)
    if next(answer.rows, None) is not None:
        click.echo(
            f"labtrawl: only {_SHOWN} rows are shown; --format csv or json gives all", err=True
        )
