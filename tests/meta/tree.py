"""The files of this checkout, as the meta tests read them."""

import ast
import gc
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
PACKAGE = ROOT / "src" / "labtrawl"
NOT_OURS = {"data.private", "dist", "__pycache__"}


@cache
def tracked_files() -> tuple[Path, ...]:
    """Every file that git has or would take; without a git checkout, every file that is there."""
    if (ROOT / ".git").exists():
        command = ["git", "-c", f"safe.directory={ROOT}", "ls-files", "-z", "--cached", "--others"]
        listed = subprocess.run(
            [*command, "--exclude-standard"], cwd=ROOT, capture_output=True, text=True, check=True
        ).stdout
        paths = [ROOT / name for name in listed.split("\0") if name]
    else:
        paths = [path for path in ROOT.rglob("*") if is_ours(path.relative_to(ROOT))]
    return tuple(sorted(path for path in paths if path.is_file()))


def is_ours(name: Path) -> bool:
    """Nothing that the tools keep in hidden folders, nothing that labtrawl makes."""
    hidden = {part for part in name.parts[:-1] if part.startswith(".")} - {".ci"}
    return not hidden and not NOT_OURS & set(name.parts)


def text_files() -> Iterator[tuple[str, str]]:
    """(name, text) of every tracked file that is text."""
    for path in tracked_files():
        try:
            yield path.relative_to(ROOT).as_posix(), path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue


def names(*folders: str) -> Iterator[str]:
    """Every Python file under `folders` of the checkout."""
    wanted = tuple(f"{folder}/" for folder in folders)
    for path in tracked_files():
        name = path.relative_to(ROOT).as_posix()
        if name.endswith(".py") and name.startswith(wanted):
            yield name


def modules(*folders: str) -> Iterator[tuple[str, ast.Module]]:
    """(name, syntax tree) of every Python file under `folders` of the checkout."""
    return ((name, parsed(name)) for name in names(*folders))


@cache
def parsed(name: str) -> ast.Module:
    """The syntax tree of a file, kept until `tests/meta/conftest.py` lets all of them go.

    Without the garbage collector: Python before 3.11.8 counts the depth of a tree for the whole
    process, so another thread that a collection lets in makes `ast.parse` a SystemError
    (https://github.com/python/cpython/issues/106905); and the collections take three quarters of
    the time.
    """
    text = (ROOT / name).read_text(encoding="utf-8")
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        return ast.parse(text)
    finally:
        if was_enabled:
            gc.enable()
