"""The limits of the house: sizes, names, docstrings. An exception stands here with its reason."""

import ast
import re
from collections.abc import Iterator

from tests.meta.tree import ROOT, modules, names, tracked_files

LONG_FUNCTION, LONGEST_FUNCTION, LONGEST_FILE = 30, 60, 400

# "file:function" -> why it is over 30 lines and better whole
FIELDS = "one object of GitLab, a line for each of its fields"
REASONS_FOR_LENGTH: dict[str, str] = {
    "src/labtrawl/cli/website.py:Wiring._site": "it hands a value over in each line",
    "src/labtrawl/sandbox/entities.py:group_body": FIELDS,
    "src/labtrawl/sandbox/entities_projects.py:project_body": FIELDS,
    "src/labtrawl/sandbox/entities_activity.py:job_body": FIELDS,
    "src/labtrawl/sandbox/entities_code.py:merge_request_body": FIELDS,
    "src/labtrawl/sandbox/entities_code.py:release_body": FIELDS,
    "src/labtrawl/sandbox/entities_planning.py:issue_body": FIELDS,
    "src/labtrawl/sandbox/estate.py:finished": FIELDS,
    "src/labtrawl/sandbox/graphql/nodes_items.py:_merge_request": FIELDS,
    "src/labtrawl/sandbox/history.py:_merge_request": FIELDS,
    "src/labtrawl/sandbox/imports/code.py:to_merge_request": FIELDS,
    "src/labtrawl/sandbox/imports/planning.py:to_issue": FIELDS,
    "src/labtrawl/sandbox/planning.py:_issue": FIELDS,
    "src/labtrawl/supervisor/supervisor.py:Supervisor.__init__": "a third is its signature",
}
# "file:function" -> what table it is: only a table may be over 60 lines
TABLES: dict[str, str] = {}

FORBIDDEN_WORDS = {
    *("helper", "helpers", "util", "utils", "common", "processor", "service", "data", "info"),
    *("enhanced", "simplified", "unified", "new", "v2", "manager"),
}
NAMES_OF_THE_SEEDS = {"DirectCommunicationManager", "src/labtrawl/dispatch/manager.py"}


def functions(folder: str) -> Iterator[tuple[str, int]]:
    """("file:qualified name", lines without the docstring) of every function."""
    for name, tree in modules(folder):
        for qualified, node in walk_functions(tree, ""):
            lines = (node.end_lineno or node.lineno) - node.lineno + 1
            yield f"{name}:{qualified}", lines - docstring_lines(node)


def walk_functions(
    node: ast.AST, prefix: str
) -> Iterator[tuple[str, ast.FunctionDef | ast.AsyncFunctionDef]]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef):
            yield prefix + child.name, child
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield from walk_functions(child, f"{prefix}{child.name}.")
        else:
            yield from walk_functions(child, prefix)


def docstring_lines(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    if ast.get_docstring(node) is None:
        return 0
    first = node.body[0]
    return (first.end_lineno or first.lineno) - first.lineno + 1


def words(name: str) -> set[str]:
    """The words of a CamelCase or snake_case name, in lower case."""
    return {word.lower() for word in re.findall(r"[A-Z]+\d*(?![a-z])|[A-Z]?[a-z]+\d*", name)}


def test_function_over_30_lines_has_a_reason() -> None:
    long = {name for name, lines in functions("src") if lines > LONG_FUNCTION}
    assert long == set(REASONS_FOR_LENGTH) | set(TABLES)


def test_function_over_60_lines_is_a_table() -> None:
    longest = {name for name, lines in functions("src") if lines > LONGEST_FUNCTION}
    assert longest - set(TABLES) == set()


def test_file_over_400_lines_is_refused() -> None:
    lengths = {
        path.relative_to(ROOT).as_posix(): len(path.read_text().splitlines())
        for path in tracked_files()
        if path.suffix in {".py", ".sh", ".css"} and "vendor" not in path.parts
    }
    assert {name: lines for name, lines in lengths.items() if lines > LONGEST_FILE} == {}


def test_class_and_module_names_use_no_empty_word() -> None:
    named = [
        (name, words(name.rsplit("/", 1)[-1].removesuffix(".py"))) for name in names("src", "tests")
    ]
    named += [
        (node.name, words(node.name))
        for _, tree in modules("src", "tests")
        for node in ast.walk(tree)
        if isinstance(node, ast.ClassDef)
    ]
    refused = {name for name, used in named if used & FORBIDDEN_WORDS}
    assert refused - NAMES_OF_THE_SEEDS == set()


def test_every_module_says_what_it_is_for() -> None:
    silent = [name for name, tree in modules("src", "tests") if not ast.get_docstring(tree)]
    assert [name for name in silent if not name.startswith("tests/") or "/test_" not in name] == []


def test_source_holds_nothing_unfinished() -> None:
    unfinished = re.compile(r"\b(TODO|FIXME|XXX|NotImplementedError)\b")
    found = [
        f"{name}: {match.group()}"
        for name in names("src")
        for match in unfinished.finditer((ROOT / name).read_text())
    ]
    assert found == []


def test_source_never_sleeps_in_the_thread() -> None:
    sleepers = [
        name
        for name, tree in modules("src")
        for node in ast.walk(tree)
        if (isinstance(node, ast.Attribute) and ast.unparse(node) == "time.sleep")
        or (
            isinstance(node, ast.ImportFrom)
            and node.module == "time"
            and any(alias.name == "sleep" for alias in node.names)
        )
    ]
    assert sleepers == []
