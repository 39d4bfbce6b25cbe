"""`labtrawl dataset`: what was collected. It only reads: the manifest's rows, then the files.

It may run beside a crawl: the rows are one snapshot, and a committed segment never changes.
"""

import asyncio
import json
import os
import sys
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import click

from labtrawl.cli.lazy import Commands, Row
from labtrawl.cli.options import settings_options
from labtrawl.config import Settings
from labtrawl.errors import ConfigError, StoreError

if TYPE_CHECKING:
    from labtrawl.store.engine import Connection
    from labtrawl.store.manifest import SegmentRow

Found = TypeVar("Found")


@dataclass(frozen=True, slots=True)
class Sum:
    """One line of `ls`; `area` is empty where all areas are summed up, bytes are on the disk."""

    area: str
    resource: str
    areas: int
    segments: int
    records: int
    bytes: int


# The first line keeps click from filling the lines up.
_EXAMPLES = """\b
Examples:
  labtrawl dataset ls --areas
  labtrawl dataset cat --resource issues --bodies | head
  labtrawl dataset cat --area group/project --history > versions.jsonl
  labtrawl dataset verify
  labtrawl dataset export parquet --out tables
  labtrawl dataset query "SELECT state, count(*) FROM issues GROUP BY state"
"""


_MORE = {
    "export": Row(
        "labtrawl.cli.dataset_export:export_tables",
        "Write typed tables: Parquet, DuckDB, CSV, JSONL.",
    ),
    "query": Row("labtrawl.cli.dataset_query:query", "Ask the typed tables a question in SQL."),
    "compact": Row("labtrawl.cli.compact:compact", "Make few large files of many small ones."),
}


@click.group(cls=Commands, rows=_MORE, epilog=_EXAMPLES)
def dataset() -> None:
    """Look at what was collected; nothing here changes what it says."""


@dataset.command("ls")
@settings_options
@click.option("--areas", is_flag=True, help="One line for each area and resource.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
def list_resources(settings: Settings, areas: bool, as_json: bool) -> None:
    """Count records, segments and bytes by resource.

    \b
    labtrawl dataset ls
    labtrawl dataset ls --areas --json

    Records are counted as committed: a record that was read again counts again.
    """  # noqa: D301 - click reads \b
    rows = manifest_of(settings)
    sums = sum_up(rows, by_area=areas)
    if as_json:
        write_out(json.dumps(asdict(each)).encode() + b"\n" for each in sums)
    else:
        lines = table([*sums, total("", "all", rows)], by_area=areas)
        write_out(line.encode() + b"\n" for line in lines)


@dataset.command("cat")
@settings_options
@click.option("--resource", help="Only this resource (issues, commits, …).")
@click.option("--area", help="Only the area with this path and those below it.")
@click.option(
    "--newest/--history",
    default=True,
    help="The newest state of each object (default), or each version of it, once.",
)
@click.option("--bodies", is_flag=True, help="Only GitLab's own objects, without our envelope.")
def print_records(
    settings: Settings, resource: str | None, area: str | None, newest: bool, bodies: bool
) -> None:
    """Write records as JSON Lines.

    \b
    labtrawl dataset cat --resource issues --bodies > issues.jsonl
    labtrawl dataset cat --area group/project --history
    """  # noqa: D301 - click reads \b
    import msgspec

    from labtrawl.dataset import reader

    chosen = select(manifest_of(settings), resource, area)
    read = reader.newest if newest else reader.read
    records = read(root_of(settings), chosen)
    if bodies:
        write_out(bytes(record.body) + b"\n" for record in records)
    else:
        encoder = msgspec.json.Encoder()
        write_out(encoder.encode(record) + b"\n" for record in records)


@dataset.command("users")
@settings_options
def print_users(settings: Settings) -> None:
    """Write the users seen in the records, each once, as JSON Lines.

    \b
    labtrawl dataset users > users.jsonl
    """  # noqa: D301 - click reads \b
    from labtrawl.dataset.users import users_seen

    seen = users_seen(root_of(settings), manifest_of(settings))
    write_out(json.dumps(asdict(user), ensure_ascii=False).encode() + b"\n" for user in seen)


@dataset.command("verify")
@settings_options
def verify_files(settings: Settings) -> None:
    """Compare every committed segment with the manifest; exit 1 for a fault.

    \b
    labtrawl dataset verify
    """  # noqa: D301 - click reads \b
    from labtrawl.dataset.verify import verify

    found = verify(root_of(settings), manifest_of(settings))
    for fault in (*found.corrupt, *(f"{name} is missing" for name in found.missing)):
        click.echo(fault)
    size = readable_bytes(found.bytes)
    click.echo(
        f"whole: {_count(found.segments, 'segment')}, {_count(found.records, 'record')}, {size}"
    )
    if found.strays:
        strays = _count(len(found.strays), "file")
        click.echo(f"not committed: {strays} (being written now, or removed at the next start)")
    if not found.whole:
        click.echo(f"damaged: {_count(len(found.corrupt) + len(found.missing), 'segment')}")
        sys.exit(1)


def sum_up(rows: Iterable["SegmentRow"], *, by_area: bool) -> list[Sum]:
    """Sum rows up by resource, or by area and resource, in alphabetical order."""
    groups: dict[tuple[str, str], list[SegmentRow]] = defaultdict(list)
    for row in rows:
        groups[row.full_path if by_area else "", row.resource].append(row)
    return [total(area, resource, group) for (area, resource), group in sorted(groups.items())]


def total(area: str, resource: str, rows: Sequence["SegmentRow"]) -> Sum:
    """Sum all of `rows` up under the names given."""
    return Sum(
        area,
        resource,
        len({(row.instance_id, row.area_kind, row.gitlab_id) for row in rows}),
        len(rows),
        sum(row.records for row in rows),
        sum(row.length for row in rows),
    )


def select(
    rows: Sequence["SegmentRow"], resource: str | None, area: str | None
) -> list["SegmentRow"]:
    """Choose rows; ConfigError names what there is where a choice fits nothing."""
    resources = sorted({row.resource for row in rows})
    if resource is not None and resource not in resources:
        there = ", ".join(resources) or "nothing yet"
        raise ConfigError(f"nothing of {resource!r} was collected; there is: {there}")
    below = None if area is None else area.strip("/") + "/"
    chosen = [row for row in rows if below is None or f"{row.full_path}/".startswith(below)]
    if area is not None and not chosen:
        raise ConfigError(
            f"nothing of the area {area!r} was collected; `labtrawl dataset ls --areas` lists them"
        )
    return [row for row in chosen if resource in (None, row.resource)]


def table(sums: Sequence[Sum], *, by_area: bool) -> list[str]:
    """Lay sums out in columns under a head, numbers to the right."""
    cells = [("area", "resource", "areas", "segments", "records", "bytes"), *map(_cells, sums)]
    texts = 2
    if not by_area:
        cells, texts = [row[1:] for row in cells], 1
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return [
        "  ".join(
            cell.ljust(width) if place < texts else cell.rjust(width)
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in cells
    ]


def _cells(each: Sum) -> tuple[str, ...]:
    counts = (f"{count:,}" for count in (each.areas, each.segments, each.records))
    return (each.area, each.resource, *counts, readable_bytes(each.bytes))


def readable_bytes(count: int) -> str:
    """Say a size in the largest unit that keeps it above one; 1 kB is 1,000 bytes."""
    size, units = float(count), ("B", "kB", "MB", "GB", "TB")
    for unit in units:
        if size < 1000 or unit == units[-1]:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1000
    raise AssertionError("the last unit takes everything")


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def manifest_of(settings: Settings) -> list["SegmentRow"]:
    """Return the committed segments. ConfigError where the data folder holds no database yet."""
    from labtrawl.store.manifest import segments

    return list(_read(settings, segments))


def addresses_of(settings: Settings) -> dict[int, str]:
    """Return the GitLabs' addresses by instance id; ConfigError as `manifest_of`."""
    from labtrawl.store.manifest import addresses

    return _read(settings, addresses)


def reasons_of(settings: Settings) -> dict[str, str]:
    """Return the mode, and the recorded reason to collect; nothing of a folder never started."""
    from labtrawl.store.mode import pinned

    try:
        found = _read(settings, pinned)
    except StoreError:
        return {}  # of an earlier version, before there were modes
    return {} if found is None else {"mode": str(found.mode), "basis": found.basis}


def _read(settings: Settings, question: "Callable[[Connection], Found]") -> Found:
    from labtrawl.cli.audited import folders_here
    from labtrawl.cli.database_file import check_is_database, readable
    from labtrawl.store.engine import database_path, open_store

    path = database_path(settings.data_dir)
    check_is_database(path)
    if not (path.is_file() and path.stat().st_size):
        raise ConfigError(
            f"{settings.data_dir} holds no dataset yet; `labtrawl crawl`, `labtrawl start` or `make"
            f" demo` fills one, --data-dir names another folder{folders_here()}"
        )

    async def read(place: Path) -> Found:
        async with open_store(place) as store:
            return await store.read(question)

    with readable(path) as place:
        return asyncio.run(read(place))


def root_of(settings: Settings) -> Path:
    """Return the folder that the segments lie in."""
    from labtrawl.dataset.layout import dataset_root

    return dataset_root(settings.data_dir)


def write_out(lines: Iterator[bytes]) -> None:
    """Write lines to the output until its reader has enough (`| head`), which is no failure."""
    output = sys.stdout.buffer
    try:
        for line in lines:
            output.write(line)
        output.flush()
    except BrokenPipeError:
        # What is still buffered would fail once more at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
