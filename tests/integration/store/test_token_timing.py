"""How long a look-up takes tells nothing of a token: it is found by its hash."""

import ast
import re
import time
from pathlib import Path
from statistics import fmean, stdev

import pytest

from labtrawl.store import tokens
from labtrawl.store.engine import Connection
from labtrawl.store.tokens import TokenScope
from tests.integration.store.table import store

SECRET = re.compile(
    r"token|secret|mac\b|hash|digest|sha256|proof|bearer|cookie|nonce|challenge|verifier|password",
    re.IGNORECASE,
)
# What a caller cannot choose, or no secret at all: each of them with why.
HARMLESS = {
    "wish.token_file != Path('-')": "the name of a file",
    "running.token != refused": "both are the crawler's own",
    "kept.token_mark == mark_of(token)": "who runs the command gave the token and has the file",
    "new != (pair.token, pair.refresh_token)": "both are the database's",
    "hashlib.file_digest(file, 'sha256').hexdigest() != row.sha256": "of a file, which is no secret",
}


def comparisons(source: str) -> list[str]:
    """What a program compares by == or != that is named like a secret."""
    return [
        told
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Compare)
        and isinstance(node.ops[0], ast.Eq | ast.NotEq)
        and not isinstance(node.comparators[0], ast.Constant)
        and SECRET.search(told := ast.unparse(node))
    ]


def test_secrets_are_never_compared_by_equality(repository: Path) -> None:
    """F24; the sandbox is no part of what protects anybody."""
    rooms = repository / "src" / "labtrawl"
    found = {
        told
        for path in rooms.rglob("*.py")
        if path.relative_to(rooms).parts[0] != "sandbox"
        for told in comparisons(path.read_text())
    }
    assert found == set(HARMLESS)
    assert comparisons("if given.token == known: pass") == ["given.token == known"]


def typical(connection: Connection, text: str) -> float:
    """Seconds of a look-up, of a hundred without the slowest twentieth: those are the machine's."""
    taken = []
    for _ in range(100):
        began = time.perf_counter()
        tokens.find(connection, text)
        taken.append(time.perf_counter() - began)
    return fmean(sorted(taken)[:95])


@pytest.mark.proof
async def test_near_miss_takes_as_long_as_a_far_one(tmp_path: Path) -> None:
    """Student's t of what one takes longer, in pairs: a machine that changes its speed tells nothing."""

    def measure(connection: Connection) -> float:
        scopes = frozenset({TokenScope.CRAWLER})
        text = tokens.create(connection, "far", scopes).text.reveal()
        near, far = text[:-1] + "~", "~" * len(text)
        longer = []
        for _ in range(500):  # either comes first as often as the other
            longer.append(typical(connection, near) - typical(connection, far))
            longer.append(-typical(connection, far) + typical(connection, near))
        return float(fmean(longer) / (stdev(longer) / len(longer) ** 0.5))

    async with store(tmp_path / "labtrawl.sqlite") as opened:
        assert abs(await opened.write(measure)) < 10
