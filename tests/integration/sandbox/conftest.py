"""A small world with all of the default world's special cases, made once for all tests."""

import pytest

from labtrawl.sandbox import World, build_world

SIZES = {
    "issues": 150,
    "merge_requests": 70,
    "notes": 300,
    "commits": 300,
    "pipelines": 120,
    "ci_jobs": 240,
    "events": 200,
}


@pytest.fixture(scope="session")
def world() -> World:
    return build_world("default", 5, SIZES)
