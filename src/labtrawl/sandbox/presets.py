"""Worlds by name, as a user asks for them.

Entered by the command line and ``python -m labtrawl.sandbox``.
"""

from collections.abc import Sequence
from pathlib import Path

from labtrawl.sandbox.imports import NotAnExport, import_trees
from labtrawl.sandbox.large import PLANS, large_plan, large_world
from labtrawl.sandbox.model import World
from labtrawl.sandbox.plan import PRESETS as SMALL_PLANS
from labtrawl.sandbox.plan import UnknownWorld, plan_for
from labtrawl.sandbox.world import generate

__all__ = ["PRESETS", "NotAnExport", "UnknownWorld", "build_world"]

PRESETS = {**SMALL_PLANS, **PLANS}


def build_world(
    preset: str = "default",
    seed: int = 1,
    sizes: dict[str, int] | None = None,
    imports: Sequence[Path] = (),
) -> World:
    """The world of a preset with other sizes, or of export trees (`imports`) and of nothing else.

    A benchmark's world (`large`) may have a factor behind its name: ``w3@0.1``.
    Raises UnknownWorld or NotAnExport with one clear sentence.
    """
    if imports:
        return import_trees(imports, seed)
    name, _, factor = preset.partition("@")
    if name in PLANS:
        return large_world(large_plan(name, factor, seed, sizes or {}))
    if preset not in PRESETS:
        raise UnknownWorld(f"no such world: {preset}; there are: {', '.join(PRESETS)}")
    return generate(plan_for(preset, seed, sizes or {}))
