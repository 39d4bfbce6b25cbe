"""The documents: links lead somewhere, and each command that they name exists."""

import re
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from labtrawl.cli.main import labtrawl
from tests.meta.tree import ROOT, tracked_files

LINK = re.compile(r"(?<!!)\[[^\]]+\]\(([^)\s]+)\)")
IMAGE = re.compile(r"!\[[^\]]*\]\(([^)\s]+)\)")
MAKE = re.compile(r"(?:^|`|\$ |&& )make ([a-z][a-z-]*)", re.MULTILINE)
LABTRAWL = re.compile(r"(?:^ {4}|`)(?:\.venv/bin/)?labtrawl((?: [a-z]+)+)", re.MULTILINE)
HEADING = re.compile(r"^#+ +(.+?) *$", re.MULTILINE)


def documents() -> list[Path]:
    return [path for path in tracked_files() if path.suffix == ".md"]


def slugs(document: Path) -> set[str]:
    """The anchors that a code host makes of the headings."""
    headings = HEADING.findall(document.read_text())
    plain = [re.sub(r"[^\w\- ]", "", heading.lower()) for heading in headings]
    return {heading.replace(" ", "-") for heading in plain}


def broken_links(document: Path) -> Iterator[str]:
    text = document.read_text()
    for target in [*LINK.findall(text), *IMAGE.findall(text)]:
        if target.startswith(("http://", "https://", "mailto:")):
            continue
        file, _, anchor = target.partition("#")
        path = (document.parent / file).resolve() if file else document
        if not path.exists() or (anchor and anchor not in slugs(path)):
            yield f"{document.relative_to(ROOT)}: {target}"


def test_links_between_documents_resolve() -> None:
    assert [link for document in documents() for link in broken_links(document)] == []


def test_make_targets_in_documents_exist() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = {
        (document.name, target)
        for document in documents()
        for target in MAKE.findall(document.read_text())
    }
    assert [(file, target) for file, target in named if target not in targets] == []


def is_command(words: list[str]) -> bool:
    """Whether labtrawl has this command; a word after a command that is no group is an argument."""
    found: click.Command | None = labtrawl
    for word in words:
        if not isinstance(found, click.Group):
            return True
        found = found.get_command(click.Context(found), word)
    return found is not None


def test_labtrawl_commands_in_documents_exist() -> None:
    named = {
        (document.name, command)
        for document in documents()
        for command in LABTRAWL.findall(document.read_text())
    }
    assert [(file, command) for file, command in named if not is_command(command.split())] == []


def test_how_to_with_commands_says_where_labtrawl_is() -> None:
    silent = [
        page.name
        for page in (ROOT / "docs" / "how-to").glob("*.md")
        if re.search(r"^ {4,}labtrawl ", page.read_text(), re.MULTILINE)
        and ".venv/bin/labtrawl" not in page.read_text()
    ]
    assert silent == []


def test_scripts_that_make_runs_exist() -> None:
    named = set(re.findall(r"scripts/[a-z_]+\.(?:sh|py)", (ROOT / "Makefile").read_text()))
    assert [name for name in named if not (ROOT / name).is_file()] == []


@pytest.mark.seed("S2.116")
def test_every_document_is_reachable_from_the_readme() -> None:
    reached, waiting = set[Path](), [ROOT / "README.md"]
    while waiting:
        document = waiting.pop()
        if document in reached or document.suffix != ".md" or not document.is_file():
            continue
        reached.add(document)
        targets = [target.partition("#")[0] for target in LINK.findall(document.read_text())]
        waiting += [(document.parent / target).resolve() for target in targets if target]
    assert [path.relative_to(ROOT) for path in documents() if path not in reached] == []
