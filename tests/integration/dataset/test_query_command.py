"""Questions in SQL: what they answer, what they may not reach, and how they end."""

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import termios
from pathlib import Path

import duckdb
import pytest

from labtrawl.dataset.query import named_tables, open_locked
from labtrawl.errors import ConfigError
from tests.integration.dataset.exported import Line, Ran, collected, labtrawl

ISSUES = [
    {"id": 1, "title": "=1+1", "state": "opened", "labels": ["a"], "weight": 3},
    {"id": 2, "title": "\x1b[31mred\nline", "state": "closed", "labels": [], "weight": None},
]


@pytest.fixture
async def data_dir(tmp_path: Path) -> Path:
    return await collected(
        tmp_path,
        [Line("issues", each["id"], each) for each in ISSUES],  # type: ignore[arg-type]
    )


def test_query_as_json_gives_an_object_a_line(data_dir: Path) -> None:
    sql = "SELECT id, title, labels, weight, fetched_at, id FROM issues ORDER BY id"
    assert labtrawl("query", sql, "--format", "json", "--data-dir", data_dir) == Ran(
        0,
        '{"id":1,"title":"=1+1","labels":["a"],"weight":3,"fetched_at":"2026-03-01 00:00:00+00","id":1}\n'
        '{"id":2,"title":"\\u001B[31mred\\nline","labels":[],"weight":null,'
        '"fetched_at":"2026-03-01 00:00:00+00","id":2}\n',
        "",
    )


def test_query_as_csv_has_no_formula(data_dir: Path) -> None:
    sql = "SELECT title, -weight AS w FROM issues_history WHERE id = 1;"
    assert labtrawl("query", sql, "--format", "csv", "--data-dir", data_dir) == Ran(
        0, "title,w\n'=1+1,-3\n", ""
    )


def test_query_as_table_steers_no_terminal(data_dir: Path) -> None:
    ran = labtrawl("query", "SELECT id, title FROM issues ORDER BY id", "--data-dir", data_dir)
    assert (ran.code, ran.err, "\x1b" in ran.out) == (0, "", False)
    cells = [line.strip("│").split("│") for line in ran.out.splitlines() if line.startswith("│")]
    assert [[cell.strip() for cell in row] for row in cells] == [
        ["1", "=1+1"],
        ["2", "\\x1b[31mred\\nline"],
    ]


@pytest.mark.parametrize("sql", ["SHOW TABLES", " show all tables; "])
def test_tables_are_listed_though_none_is_made_yet(data_dir: Path, sql: str) -> None:
    ran = labtrawl("query", sql, "--format", "csv", "--data-dir", data_dir)
    lines = [line.split(",")[:2] for line in ran.out.splitlines()]
    assert (ran.code, lines[0]) == (0, ["name", "history"])
    assert ["issues", "issues_history"] in lines
    as_json = labtrawl("query", sql, "--format", "json", "--data-dir", data_dir)
    assert [json.loads(line)["name"] for line in as_json.out.splitlines()] == [
        name for name, _ in lines[1:]
    ]


COMMAND = (sys.executable, "-m", "labtrawl", "dataset", "query")


def on_a_terminal(data_dir: Path, columns: int, sql: str) -> list[str]:
    """What a query shows on a terminal so wide, without its colours."""
    ours, theirs = os.openpty()
    termios.tcsetwinsize(theirs, (24, columns))
    said = b""
    with subprocess.Popen(
        [*COMMAND, sql, "--data-dir", str(data_dir)], stdout=theirs, stderr=subprocess.PIPE
    ) as asked:
        os.close(theirs)
        with contextlib.suppress(OSError):  # how Linux says that nobody writes there any more
            while more := os.read(ours, 65536):
                said += more
        assert asked.wait() == 0
    os.close(ours)
    return re.sub(r"\x1b\[[0-9;]*m", "", said.decode()).splitlines()


def test_row_that_is_too_wide_for_the_terminal_has_a_line_for_each_cell(data_dir: Path) -> None:
    wide = on_a_terminal(data_dir, 80, "SELECT * FROM issues ORDER BY id")
    assert wide[0] == "row 1"
    assert "  title                  =1+1" in wide
    assert "  title                  \\x1b[31mred\\nline" in wide
    assert wide.count("  weight") + wide.count("  weight                 3") == 2
    narrow = on_a_terminal(data_dir, 80, "SELECT id, title FROM issues ORDER BY id")
    assert [line.strip("│ ") for line in narrow if line.startswith("│")] == [
        "1 │ =1+1",
        "2 │ \\x1b[31mred\\nline",
    ]


def test_output_that_knows_ascii_alone_gets_escapes(data_dir: Path) -> None:
    asked = subprocess.run(
        [*COMMAND, "SELECT 'é'", "--data-dir", str(data_dir)],
        env={**os.environ, "PYTHONIOENCODING": "ascii"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert "| \\xe9 " in asked.stdout


def test_query_shows_a_screenful_and_says_so(data_dir: Path) -> None:
    ran = labtrawl("query", "SELECT * FROM range(500)", "--data-dir", data_dir)
    assert ran.err == "labtrawl: only 200 rows are shown; --format csv or json gives all\n"


@pytest.mark.parametrize(
    ("sql", "told"),
    [
        ("SELECT 1 FROM isues", "there is no table 'isues'; the nearest is 'issues' ("),
        (
            "SELECT titel FROM issues",
            'the query was refused: Referenced column "titel" not found in FROM clause; the nearest'
            ' is "title"\n',
        ),
        ("SELECT i.titel FROM issues i", 'the query was refused: Table "i" does not have a column'),
        ("SELEC 1", 'the query was refused: syntax error at or near "SELEC"'),
        ("SELECT 1; SELECT 2", "one query is answered at a time, and it only reads: SELECT …"),
        ("", "one query is answered at a time"),
        ("DROP TABLE issues", "one query is answered at a time"),
        ("SELECT CAST(title AS INTEGER) FROM issues", "the query was refused: Could not convert"),
    ],
)
def test_query_that_cannot_be_answered_is_refused_in_a_sentence(
    data_dir: Path, sql: str, told: str
) -> None:
    ran = labtrawl("query", sql, "--data-dir", data_dir)
    assert (ran.code, ran.out, ran.err.count("\n")) == (2, "", 1)
    assert ran.err.startswith(f"labtrawl: {told}")


REACHING_OUT = [
    "SELECT * FROM read_csv('/etc/passwd')",
    "SELECT * FROM '/etc/passwd'",
    "SELECT * FROM read_text('/etc/passwd')",
    "SELECT * FROM read_parquet('https://example.com/x.parquet')",
    "SELECT * FROM glob('/*')",
    "SELECT * FROM sniff_csv('/etc/passwd')",
    "SELECT * FROM query('FROM read_blob(''/etc/passwd'')')",
    "COPY issues TO '{tmp}/out.csv'",
    "ATTACH '{tmp}/other.duckdb'",
    "INSTALL httpfs",
    "LOAD httpfs",
    "SET enable_external_access = true",
    "EXPORT DATABASE '{tmp}/all'",
    "CREATE TABLE mine AS SELECT 1",
    "DELETE FROM issues",
]


@pytest.mark.parametrize("sql", REACHING_OUT)
def test_query_reaches_no_file_and_no_network(tmp_path: Path, sql: str) -> None:
    """The locked connection alone refuses it, and the command before that."""
    database = tmp_path / "t.duckdb"
    with duckdb.connect(str(database)) as connection:
        connection.execute("CREATE TABLE issues AS SELECT 1 AS id")
    before = sorted(tmp_path.iterdir())
    with open_locked(database, tmp_path / "spilled") as connection, pytest.raises(duckdb.Error):
        connection.execute(sql.format(tmp=tmp_path)).fetchall()
    assert sorted(tmp_path.iterdir()) == before
    if not sql.startswith("SELECT"):
        with pytest.raises(ConfigError, match="one query is answered at a time"):
            named_tables(sql)


def test_command_refuses_to_read_a_file(data_dir: Path) -> None:
    ran = labtrawl("query", "SELECT * FROM read_csv('/etc/passwd')", "--data-dir", data_dir)
    assert (ran.code, ran.out) == (2, "")
    assert ran.err.startswith('labtrawl: the query was refused: Cannot access file "/etc/passwd"')


@pytest.mark.parametrize(
    ("sql", "names"),
    [
        ("SELECT labels FROM issues", {"issues"}),
        (
            "WITH n AS (FROM Notes) SELECT * FROM n JOIN main.users_history u USING (id)",
            {"notes", "users_history"},
        ),
        ("DESCRIBE issues", {"issues"}),
        ("PIVOT issues ON state", {"issues"}),
        ("SELECT 1", set()),
    ],
)
def test_only_the_tables_that_are_named_are_made(sql: str, names: set[str]) -> None:
    assert named_tables(sql) == names


def test_ctrl_c_ends_a_long_query_and_leaves_nothing(data_dir: Path, tmp_path: Path) -> None:
    folder = tmp_path / "temporary"
    folder.mkdir()
    endless = "SELECT sum(hash(range)::DOUBLE) FROM range(1000000000000)"
    running = subprocess.Popen(
        [sys.executable, "-c", _OBEYING, "dataset", "query", endless, "--data-dir", str(data_dir)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={"TMPDIR": str(folder), "PATH": "/usr/bin:/bin", "HOME": str(tmp_path)},
    )
    assert running.stdout is not None
    assert running.stdout.readline() == "asking\n"
    running.send_signal(signal.SIGINT)
    _, err = running.communicate(timeout=60)
    assert (running.returncode, err) == (130, "\nlabtrawl: interrupted\n")
    assert list(folder.iterdir()) == []


# A program started in the background may ignore Ctrl-C: Python then does not hear it either.
_OBEYING = """
import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)
from labtrawl.cli.main import execute
from labtrawl.dataset import query
ask = query.ask
def told(*given, **more):
    print("asking", flush=True)
    return ask(*given, **more)
query.ask = told
sys.exit(execute(sys.argv[1:]))
"""
