"""The files of this checkout, as the meta tests read them."""

import ast
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


@cache
def modules(*folders: str) -> tuple[tuple[str, ast.Module], ...]:
    """(name, syntax tree) of every Python file under `folders` of the checkout."""
    wanted = tuple(f"{folder}/" for folder in folders)
    return tuple(
        (name, ast.parse(text))
        for name, text in text_files()
        if name.endswith(".py") and name.startswith(wanted)
    )
