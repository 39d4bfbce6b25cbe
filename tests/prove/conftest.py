"""What the proofs by killing share: the look-alike, and the seed of this run."""

import os
import secrets
from collections.abc import Iterator

import pytest

from tests.prove.lookalike import GitLab, gitlab

# Slow enough that a crawl lasts for several kills, with eight jobs at once.
LATENCY_MS = 120.0


@pytest.fixture(scope="module")
def slow_gitlab() -> Iterator[GitLab]:
    """A GitLab that takes its time: a crawl of it can be hit in many places."""
    with gitlab(LATENCY_MS) as served:
        yield served


@pytest.fixture(scope="module")
def quick_gitlab() -> Iterator[GitLab]:
    """A GitLab that answers at once."""
    with gitlab(0.0) as served:
        yield served


@pytest.fixture
def prove_seed() -> int:
    """The seed of this run; LABTRAWL_PROVE_SEED repeats one."""
    return _SEED


# Read when the tests are collected: their fixtures hide our variables from what they start.
_SEED = int(os.environ.get("LABTRAWL_PROVE_SEED") or secrets.randbits(32))
