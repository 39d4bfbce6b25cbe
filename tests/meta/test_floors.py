"""What import-linter's contracts cannot say about who imports what."""

import ast
import sys
import tomllib
from collections.abc import Iterator

from tests.meta.tree import ROOT, modules, names

LOW_FLOORS = {"clock", "errors", "domain", "config", "logs", "http"}


def imported(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module == "labtrawl":
            yield from (f"labtrawl.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module


def foreign_to_the_supervisor(name: str) -> bool:
    first, *rest = name.split(".")
    if first != "labtrawl":
        return first != "msgspec" and first not in sys.stdlib_module_names
    return bool(rest) and rest[0] not in LOW_FLOORS | {"supervisor", "__version__"}


def test_supervisor_imports_only_the_standard_library_msgspec_and_low_floors() -> None:
    found = {
        f"{file}: {name}"
        for file, tree in modules("src/labtrawl/supervisor")
        for name in imported(tree)
        if foreign_to_the_supervisor(name)
    }
    assert found == set()


def test_domain_imports_only_the_standard_library_and_floor_zero() -> None:
    allowed = sys.stdlib_module_names - {"asyncio", "time", "socket", "sqlite3"}
    found = {
        f"{file}: {name}"
        for file, tree in modules("src/labtrawl/domain")
        for name in imported(tree)
        if name.split(".")[0] not in allowed
        and not name.startswith(("labtrawl.domain", "labtrawl.errors", "labtrawl.clock"))
    }
    assert found == set()


def test_layers_name_every_room_of_the_package() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]
    floors = next(c for c in settings["contracts"] if c["type"] == "layers")
    named = {room.strip(" ()") for layer in floors["layers"] for room in layer.split("|")}
    rooms = {
        file.removeprefix("src/labtrawl/").split("/")[0].removesuffix(".py")
        for file in names("src/labtrawl")
    }
    assert rooms - {"__init__"} == (named | set(floors["exhaustive_ignores"]))
