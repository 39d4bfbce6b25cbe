"""Makes docs/reference/seeds.md: the statements of the seed documents, and the tests that show them.

The statements stand in docs/reference/seeds.toml. A test names those that it shows, above itself:
`@pytest.mark.seed("S1.4")`. The tests are read, not run.
"""

import ast
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TITLES = {"S1": "The supervisor", "S2": "Direct communication"}
NO_TEST = "not shown by a test yet"
NO_PLACE = "not met yet"
MARKER = "pytest.mark.seed"
HEAD = """\
# What the seeds ask for

<!-- Made by `make docs` from seeds.toml and the markers of the tests. Do not edit. -->

labtrawl grew from two documents: one on the supervisor, one on direct communication. Each of their
statements stands here with the files below `src/labtrawl` that meet it and the tests that show it.
{shown} of {all} are shown by a test.
"""


@dataclass(frozen=True, slots=True)
class Statement:
    """One statement of a seed."""

    id: str
    says: str
    where: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Section:
    """The statements of one part of a seed."""

    seed: str
    title: str
    statements: tuple[Statement, ...]


@dataclass(frozen=True, slots=True)
class Test:
    """One test function."""

    file: str
    name: str


def sections(root: Path) -> list[Section]:
    """Return all statements, in the order of the seeds; ValueError for what cannot be right."""
    document = tomllib.loads((root / "docs" / "reference" / "seeds.toml").read_text())
    found = [
        Section(
            each["seed"],
            each["title"],
            tuple(Statement(one["id"], one["says"], tuple(one["where"])) for one in rows),
        )
        for each in document["sections"]
        for rows in [each["statements"]]
    ]
    _check_numbers(found)
    _check_places(found, root)
    return found


def _check_numbers(found: list[Section]) -> None:
    for seed in TITLES:
        ids = [one.id for each in found if each.seed == seed for one in each.statements]
        if ids != [f"{seed}.{number}" for number in range(1, len(ids) + 1)]:
            raise ValueError(f"seeds.toml: the ids of {seed} do not count from {seed}.1 on")


def _check_places(found: list[Section], root: Path) -> None:
    for one in (one for each in found for one in each.statements):
        for place in one.where:
            if not (root / "src" / "labtrawl" / place).exists():
                raise ValueError(
                    f"seeds.toml: {one.id} names src/labtrawl/{place}, which is not there"
                )


def marked(root: Path) -> dict[str, list[Test]]:
    """Return the tests that name each statement; ValueError for a marker that cannot be read."""
    shown: dict[str, list[Test]] = {}
    for path in sorted((root / "tests").rglob("test_*.py")):
        text = path.read_text()
        if MARKER not in text:
            continue
        file = path.relative_to(root).as_posix()
        tree = ast.parse(text)
        above = list(_above_tests(tree))
        if len(above) != sum(1 for _ in _calls(tree)):
            raise ValueError(f"{file}: a seed marker stands elsewhere than above a test")
        for name, call in above:
            for one in _ids(call, file):
                shown.setdefault(one, []).append(Test(file, name))
    return shown


def _above_tests(tree: ast.Module) -> Iterator[tuple[str, ast.Call]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and _is_test(node.name):
            for decorator in node.decorator_list:
                yield from ((node.name, call) for call in _calls(decorator))


def _is_test(name: str) -> bool:
    return name.startswith("test_")


def _calls(tree: ast.AST) -> Iterator[ast.Call]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and ast.unparse(node.func) == MARKER:
            yield node


def _ids(call: ast.Call, file: str) -> list[str]:
    given = [each.value if isinstance(each, ast.Constant) else None for each in call.args]
    names = [each for each in given if isinstance(each, str)]
    if not names or len(names) != len(call.args) or call.keywords:
        raise ValueError(f"{file}: a seed marker takes ids in quotes, as in seed('S1.4')")
    return names


def page(root: Path = ROOT) -> str:
    """Return the page; ValueError for an unknown id, a place that is not there, a wrong marker."""
    found, shown = sections(root), marked(root)
    known = [one.id for each in found for one in each.statements]
    for name in shown.keys() - set(known):
        raise ValueError(f"{shown[name][0].file}: seeds.toml has no statement {name}")
    parts = [HEAD.format(shown=len(shown), all=len(known))]
    for seed, title in TITLES.items():
        parts.append(f"## {title}\n")
        parts += [
            f"### {title}: {each.title}\n\n{_table(each, shown)}\n"
            for each in found
            if each.seed == seed
        ]
    return "\n".join(parts)


def _table(section: Section, shown: Mapping[str, list[Test]]) -> str:
    lines = ["| | statement | where | shown by |", "| --- | --- | --- | --- |"]
    for one in section.statements:
        where = ", ".join(f"`{place}`" for place in one.where) or NO_PLACE
        tests = "<br>".join(f"[{each.name}](../../{each.file})" for each in shown.get(one.id, []))
        lines.append(f"| {one.id} | {one.says} | {where} | {tests or NO_TEST} |")
    return "\n".join(lines)
