"""The demo's last words, and whether it may write its summary: what a person does and types."""

import os
import shlex
import shutil
import sys
from pathlib import Path

from labtrawl.dataset.layout import dataset_root
from labtrawl.errors import ConfigError


def last_words(data_dir: Path, site: str | None, *, is_good: bool) -> list[tuple[str, str]]:
    """Return (label, sentence): where the data lie and what can be done with them.

    `site` is the website's address where it stays up.
    """
    command = command_name(sys.argv[0])
    place = shlex.quote(near(data_dir))
    told = [
        ("dataset", near(dataset_root(data_dir))),
        ("look", f"{command} dataset ls --data-dir {place}"),
        ("your own", f"{command} init   connects a GitLab of yours"),
    ]
    if not is_good:
        told.append(("repair", "the site's Jobs page says why a job failed, and tries it again"))
    if site is not None:
        told.append(("", f"The site stays up at {site}; Ctrl+C stops everything."))
    return told


def count_of(number: int, noun: str) -> str:
    """Say a count: "1 group", "60 projects"."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def command_name(called: str) -> str:
    """Return how a person calls labtrawl from the folder they are in."""
    path = Path(called)
    if path.name != "labtrawl":
        return "python -m labtrawl"
    found = shutil.which("labtrawl")
    if found is not None and Path(found) == path.absolute():
        return "labtrawl"
    return shlex.quote(near(path))


def near(path: Path) -> str:
    """Return a path as seen from the working folder, whole where it lies elsewhere."""
    whole, here = path.absolute(), Path.cwd()
    return str(whole.relative_to(here) if whole.is_relative_to(here) else whole)


def check_place(file: Path | None) -> None:
    """Refuse a summary's file that could not be written, before the crawl and not after it."""
    if file is None:
        return
    if not file.parent.is_dir():
        raise ConfigError(f"--summary {file}: there is no folder {file.parent}; make it first")
    if file.is_dir() or not os.access(file if file.exists() else file.parent, os.W_OK):
        raise ConfigError(f"--summary {file} cannot be written; name another file")
