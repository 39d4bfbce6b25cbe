"""How long a look-up takes tells nothing of a token: it is found by its hash."""

import ast
import re
import time
from pathlib import Path
from statistics import fmean, variance

import pytest

from labtrawl.store import tokens
from labtrawl.store.engine import Connection
from labtrawl.store.tokens import TokenScope
from tests.integration.store.table import store

SECRET = re.compile(r"token|secret|mac|hash|proof|bearer|cookie", re.IGNORECASE)
GUARDS = ("store/tokens.py", "store/audit.py", "website/callers.py", "protocol/proof.py")


def test_secrets_are_never_compared_by_equality(repository: Path) -> None:
    found = [
        f"{name}:{node.lineno}"
        for name in GUARDS
        for node in ast.walk(ast.parse((repository / "src" / "labtrawl" / name).read_text()))
        if isinstance(node, ast.Compare)
        and isinstance(node.ops[0], ast.Eq | ast.NotEq)
        and not isinstance(node.comparators[0], ast.Constant)
        and SECRET.search(ast.unparse(node))
    ]
    assert found == []


def durations(connection: Connection, text: str, count: int) -> list[float]:
    taken = []
    for _ in range(count):
        began = time.perf_counter()
        tokens.find(connection, text)
        taken.append(time.perf_counter() - began)
    return taken


def welch(first: list[float], second: list[float]) -> float:
    """Welch's t of two samples, without the slowest twentieth: those are the machine's."""
    kept = [sorted(each)[: len(each) * 19 // 20] for each in (first, second)]
    spread = sum(variance(each) / len(each) for each in kept)
    return float((fmean(kept[0]) - fmean(kept[1])) / spread**0.5)


@pytest.mark.proof
async def test_near_miss_takes_as_long_as_a_far_one(tmp_path: Path) -> None:
    def measure(connection: Connection) -> float:
        scopes = frozenset({TokenScope.CRAWLER})
        text = tokens.create(connection, "far", scopes).text.reveal()
        near, far = text[:-1] + "~", "~" * len(text)
        taken: tuple[list[float], list[float]] = ([], [])
        for _ in range(500):  # in turns: a machine that becomes slower is slower for both
            taken[0].extend(durations(connection, near, 100))
            taken[1].extend(durations(connection, far, 100))
        return welch(*taken)

    async with store(tmp_path / "labtrawl.sqlite") as opened:
        assert abs(await opened.write(measure)) < 10
