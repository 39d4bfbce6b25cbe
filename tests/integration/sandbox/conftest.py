"""A small world with all of the default world's special cases, made once for all tests."""

import pytest

from labtrawl.sandbox import World, build_world, truth
from labtrawl.sandbox.model import Project

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


@pytest.fixture(scope="session")
def readable(world: World) -> list[Project]:
    """Projects of the main account's scope without a gap."""
    found = truth(world)
    gaps = {area for kind, area, _ in found.gaps() if kind == "project"}
    seen = {cell.area_id for cell in found.cells if cell.area_kind == "project"}
    return [project for project in world.projects if project.id in seen - gaps]
