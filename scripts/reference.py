"""Writes the reference pages that come from the code: settings, cli, resources, seeds and tables.

scripts/reference.py writes them; --check writes nothing and fails when one is out of date.
"""

import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

import click
import resources
import seeds

from labtrawl.cli.main import labtrawl
from labtrawl.config import SETTINGS, TABLES, Setting
from labtrawl.dataset import tables
from labtrawl.dataset.tables_shape import Column

REFERENCE = Path(__file__).resolve().parent.parent / "docs" / "reference"
MADE = "<!-- Made by `make docs` from the code. Do not edit. -->"
WIDTH = 88


def settings_page() -> str:
    """Each setting with its type, default, unit, environment names and reason."""
    parts = [
        "# Settings",
        MADE,
        "A setting comes from its default, then `labtrawl.toml`, then the environment, then a flag; "
        "the later one wins. An unknown name is an error that names the nearest known one. "
        "A dot is a table in the file: `website.port` is `port` under `[website]`.",
        table(SETTINGS),
    ]
    for name, rows in TABLES.items():
        parts += [
            f"## {name.capitalize()}",
            f"Each `[[{name}]]` in the file is one of them. Neither environment nor flags reach "
            "these; `labtrawl init` writes them.",
            table(rows),
        ]
    return "\n\n".join(parts) + "\n"


def table(settings: Iterable[Setting]) -> str:
    """A Markdown table with a row for each setting."""
    lines = [
        "| setting | expects | default | environment | why |",
        "| --- | --- | --- | --- | --- |",
    ]
    return "\n".join([*lines, *(row(setting) for setting in settings)])


def row(setting: Setting) -> str:
    """One setting as a row; a bar inside a text would end its cell."""
    unit = f" ({setting.unit})" if setting.unit else ""
    environment = ", ".join(f"`{name}`" for name in setting.environment)
    cells = [f"`{setting.name}`", setting.expects + unit, f"`{setting.default}`", environment]
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in [*cells, setting.reason]) + " |"


def cli_page() -> str:
    """The help of every command, as the command prints it."""
    parts = [
        "# The `labtrawl` command",
        MADE,
        "In this folder it is `.venv/bin/labtrawl`; `make demo ARGS=…` runs `labtrawl demo …`.",
    ]
    for path, text in commands(labtrawl, "labtrawl", None):
        parts += [f"## {path}", f"```text\n{text}\n```"]
    return "\n\n".join(parts) + "\n"


def commands(
    command: click.Command, path: str, parent: click.Context | None
) -> Iterator[tuple[str, str]]:
    """("labtrawl dataset ls", its help) for a command and all below it that are shown."""
    name = path.rsplit(" ", 1)[-1]
    context = click.Context(command, parent=parent, info_name=name, terminal_width=WIDTH)
    yield path, "\n".join(line.rstrip() for line in command.get_help(context).splitlines())
    if isinstance(command, click.Group):
        for below in command.list_commands(context):
            found = command.get_command(context, below)
            if found is not None and not found.hidden:
                yield from commands(found, f"{path} {below}", context)


def tables_page() -> str:
    """Each table of an export with its columns, their types and where they come from."""
    parts = [
        "# Tables",
        MADE,
        "What `labtrawl dataset export` writes and `labtrawl dataset query` asks; "
        "[how to analyse a dataset](../how-to/analyse.md) uses them. This is version "
        f"{tables.SCHEMA_VERSION} of the schema; `{tables.META}` in each export names its version, "
        "the GitLabs with their addresses, the policy, the mode and the recorded reason (`basis`), "
        "when and by which labtrawl it was made, how many rows each table has, and how many values had another type than their column.",
        "A table holds the newest state of each object; an object that is gone keeps the values "
        f"that it had last. `<table>{tables.HISTORY}` holds every version of it, a reading that "
        "missed it included. A value of another type than its column is NULL; `body` keeps it. "
        "Texts in CSV that a spreadsheet would take for a formula have a `'` before them: where a "
        "cell begins with `'`s and then `=`, `+`, `-`, `@` (their full-width forms too), a tab, a "
        "line break or a null character, take one `'` away to have the text.",
        "## Columns that all tables begin with",
        columns_table(tables.NEWEST_COLUMNS),
        f"Then the table's own columns, and last `{tables.BODY}` (JSON): {tables.BODY_MEANING}. "
        f"In `<table>{tables.HISTORY}` they are:",
        columns_table(tables.HISTORY_COLUMNS),
    ]
    for each in tables.TABLES:
        parts += [f"## `{each.name}`", each.meaning]
        if each.resources:
            made_of = ", ".join(f"`{name}`" for name in each.resources)
            parts.append(f"From {made_of}; `id` is {each.id_type.value}.")
        if each.columns:
            parts.append(columns_table(each.columns))
    return "\n\n".join(parts) + "\n"


def columns_table(columns: Iterable[Column]) -> str:
    """A Markdown table with a row for each column of a table."""
    lines = ["| column | type | in the body | meaning |", "| --- | --- | --- | --- |"]
    for column in columns:
        unit = f" ({column.unit})" if column.unit else ""
        path = f"`{column.path}`" if column.path else ""
        lines.append(f"| `{column.name}` | {column.type.value} | {path} | {column.meaning}{unit} |")
    return "\n".join(lines)


def main() -> int:
    """Write the pages, or with --check say which are out of date."""
    try:
        pages = {
            "settings.md": settings_page(),
            "cli.md": cli_page(),
            "resources.md": resources.page(),
            "seeds.md": seeds.page(),
            "tables.md": tables_page(),
        }
    except ValueError as error:
        print(error, file=sys.stderr)
        return 1
    changed = [
        name
        for name, text in pages.items()
        if not (REFERENCE / name).is_file() or (REFERENCE / name).read_text() != text
    ]
    if "--check" in sys.argv[1:]:
        for name in changed:
            print(f"docs/reference/{name} is out of date: run make docs", file=sys.stderr)
        return 1 if changed else 0
    for name in changed:
        (REFERENCE / name).write_text(pages[name])
        print(f"written: docs/reference/{name}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
