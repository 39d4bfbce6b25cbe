"""The import contracts are alive: a house with one wrong import planted in it is refused."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOMS = (
    *("cli", "website", "dispatch", "crawler", "supervisor", "store", "gitlab", "dataset"),
    *("protocol", "http", "logs", "config", "domain", "clock", "errors", "sandbox"),
)
PARTS = (
    *("serve", "app", "pages", "api", "answering", "door", "live", "care", "figures"),
    *("operations", "parts", "given", "access"),
)
# What the real rooms do and may do: the contracts must see these packages and let them pass.
ALLOWED = {
    "cli": "import uvicorn\nimport labtrawl.sandbox\nimport labtrawl.store",
    "website": "import fastapi\nimport starlette\nimport jinja2\nimport labtrawl.store",
    "store": "import sqlalchemy\nimport alembic\nimport sqlite3\nimport pysqlite3\nimport psycopg",
    "http": "import pyreqwest",
    "sandbox": "import uvicorn\nimport graphql",
    "dataset": "import duckdb",
    "supervisor": "import msgspec\nimport labtrawl.http",
    "crawler": "import labtrawl.protocol\nimport labtrawl.gitlab\nimport labtrawl.dataset",
}


@pytest.fixture
def house(tmp_path: Path, repository: Path) -> Path:
    """A house of empty rooms that import only what they may."""
    package = tmp_path / "labtrawl"
    for room in (*ROOMS, *(f"website/{part}" for part in PARTS)):
        (package / room).mkdir(parents=True)
        (package / room / "__init__.py").write_text(ALLOWED.get(room, "") + "\n")
    for name in ("__init__.py", "__main__.py"):
        (package / name).touch()
    shutil.copy(repository / "pyproject.toml", tmp_path)
    return tmp_path


def broken_contracts(house: Path) -> list[str]:
    """The names of the contracts that import-linter finds broken, as it prints them."""
    linter = Path(sys.executable).parent / "lint-imports"
    done = subprocess.run(
        [str(linter), "--no-cache"],
        cwd=house,
        env={**os.environ, "PYTHONPATH": str(house), "COLUMNS": "300"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert "Contracts: " in done.stdout, done.stdout + done.stderr
    return [
        line.removesuffix(" BROKEN")
        for line in done.stdout.splitlines()
        if line.endswith(" BROKEN")
    ]


@pytest.mark.seed("S2.85")
def test_house_without_a_wrong_import_keeps_every_contract(house: Path) -> None:
    assert broken_contracts(house) == []


@pytest.mark.parametrize(
    ("room", "planted", "contract"),
    [
        ("domain", "labtrawl.config", "Floors"),
        ("store", "labtrawl.protocol", "Floors"),
        ("dispatch", "labtrawl.website", "Floors"),
        ("dispatch", "sqlalchemy", "Only store speaks to the database"),
        ("website", "sqlite3", "Only store speaks to the database"),
        ("dispatch", "fastapi", "Only website knows the web framework"),
        ("sandbox", "jinja2", "Only website knows the web framework"),
        ("crawler", "uvicorn", "Only the programs that serve start a server"),
        ("gitlab", "pyreqwest", "Only http goes out"),
        ("store", "duckdb", "Only dataset makes tables"),
        ("gitlab", "graphql", "Only the sandbox executes GraphQL"),
        ("crawler", "labtrawl.store", "The crawler reaches neither"),
        ("supervisor", "labtrawl.protocol", "The supervisor imports only"),
        ("website", "labtrawl.sandbox", "Only the cli imports the sandbox"),
        ("website/parts", "labtrawl.website.door", "Inside the website"),
        ("website/pages", "labtrawl.website.api", "Inside the website"),
        ("sandbox", "labtrawl.domain", "The sandbox imports nothing of the house"),
    ],
)
def test_house_with_a_wrong_import_is_refused(
    house: Path, room: str, planted: str, contract: str
) -> None:
    with (house / "labtrawl" / room / "__init__.py").open("a") as module:
        module.write(f"import {planted}\n")
    assert [name for name in broken_contracts(house) if name.startswith(contract)] != []


def test_house_with_a_room_that_no_floor_names_is_refused(house: Path) -> None:
    (house / "labtrawl" / "attic").mkdir()
    (house / "labtrawl" / "attic" / "__init__.py").touch()
    assert [name for name in broken_contracts(house) if name.startswith("Floors")] != []
