"""`labtrawl dataset export`: typed tables, rebuilt from the segments without a request."""

import contextlib
import datetime as dt
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import click

from labtrawl import __version__
from labtrawl.cli.dataset import addresses_of, manifest_of, reasons_of, root_of, select
from labtrawl.cli.options import settings_options
from labtrawl.cli.places import PLACE
from labtrawl.config import Settings

if TYPE_CHECKING:
    from labtrawl.dataset.export import Plan, Report
    from labtrawl.store.manifest import SegmentRow

_FORMS = ("parquet", "duckdb", "csv", "jsonl")


@click.command("export")
@settings_options
@click.argument("form", type=click.Choice(_FORMS), metavar="FORMAT")
@click.option(
    "--out",
    type=PLACE,
    required=True,
    help="Where to: a folder that it makes; for duckdb a file.",
)
@click.option("--resource", "resources", multiple=True, help="Only this resource; may be repeated.")
@click.option("--area", help="Only the area with this path and those below it.")
@click.option("--no-history", is_flag=True, help="Only the newest state of each object.")
@click.option("--force", is_flag=True, help="Replace an earlier export at --out.")
def export_tables(
    settings: Settings,
    form: str,
    out: Path,
    resources: tuple[str, ...],
    area: str | None,
    no_history: bool,
    force: bool,
) -> None:
    """Write the dataset as parquet, duckdb, csv or jsonl.

    \b
    labtrawl dataset export parquet --out tables
    labtrawl dataset export duckdb --out lab.duckdb --no-history
    labtrawl dataset export csv --out issues --resource issues --area group/project

    A table for each kind of object with its newest state, and one with its history. jsonl writes
    the records as they were collected, a file for each resource.
    """  # noqa: D301 - click reads \b
    rows = _chosen(settings, resources, area)
    report = (_lines if form == "jsonl" else _tables)(
        settings,
        rows,
        form,
        out.absolute(),
        history=not no_history,
        force=force,
        of_some=bool(resources),
    )
    _tell(out, report)


def _chosen(settings: Settings, resources: tuple[str, ...], area: str | None) -> list["SegmentRow"]:
    rows = select(manifest_of(settings), None, area)
    return (
        [row for each in dict.fromkeys(resources) for row in select(rows, each, None)]
        if resources
        else rows
    )


def stamps(settings: Settings) -> dict[str, str]:
    """Return what an export says of itself: who made it and when, and why the data were collected."""
    now = dt.datetime.now(dt.UTC)
    made = {"labtrawl": __version__, "exported_at": now.isoformat(timespec="seconds")}
    return made | reasons_of(settings)


def plan(settings: Settings, rows: list["SegmentRow"], names: frozenset[str]) -> "Plan":
    """Return the plan for these tables of a data folder."""
    from labtrawl.dataset.export import Plan

    return Plan(root_of(settings), rows, names, addresses_of(settings), stamps(settings))


def _tables(
    settings: Settings,
    rows: list["SegmentRow"],
    form: str,
    out: Path,
    *,
    history: bool,
    force: bool,
    of_some: bool,
) -> "Report":
    from labtrawl.dataset.export import all_names, export
    from labtrawl.dataset.tables import TABLES, tables_of

    chosen = tables_of(frozenset(row.resource for row in rows)) if of_some else TABLES
    wanted = plan(settings, rows, all_names(chosen, history=history))
    with bar(wanted.records()) as told:
        return export(wanted, form, out, force=force, told=told)


def _lines(
    settings: Settings,
    rows: list["SegmentRow"],
    form: str,
    out: Path,
    *,
    history: bool,
    force: bool,
    of_some: bool,
) -> "Report":
    del form, of_some
    from labtrawl.dataset.export_lines import export_lines, readings

    with bar(readings(history=history) * sum(row.records for row in rows)) as told:
        return export_lines(
            root_of(settings),
            rows,
            out,
            history=history,
            force=force,
            instances=addresses_of(settings),
            stamps=stamps(settings),
            told=told,
        )


@contextlib.contextmanager
def bar(records: int) -> Iterator[Callable[[int], None]]:
    """Show on a terminal how far the reading is; yield what is to be told of each step."""
    if not sys.stderr.isatty():
        yield lambda _count: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("reading"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("reading", total=records)
        yield lambda count: progress.advance(task, count)


def _tell(out: Path, report: "Report") -> None:
    filled = [count for count in report.records.values() if count]
    click.echo(f"written: {out} ({sum(filled):,} rows in {len(filled)} tables)")
    tell_wrong(report.wrong)


def tell_wrong(wrong: Mapping[str, int]) -> None:
    """Say on stderr which values had another type than their column."""
    for column, count in wrong.items():
        click.echo(
            f"labtrawl: {count:,} of {column} had another type and are NULL; `body` keeps them",
            err=True,
        )
