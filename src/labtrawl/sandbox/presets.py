"""Worlds by name, as a user asks for them.

Entered by the command line and ``python -m labtrawl.sandbox``.
"""

from collections.abc import Sequence
from pathlib import Path

from labtrawl.sandbox.imports import NotAnExport, import_trees
from labtrawl.sandbox.model import World
from labtrawl.sandbox.plan import PRESETS, UnknownWorld, plan_for
from labtrawl.sandbox.world import generate

__all__ = ["PRESETS", "NotAnExport", "UnknownWorld", "build_world"]


def build_world(
    preset: str = "default",
    seed: int = 1,
    sizes: dict[str, int] | None = None,
    imports: Sequence[Path] = (),
) -> World:
    """The world of a preset with other sizes, or of export trees (`imports`) and of nothing else.

    Raises UnknownWorld or NotAnExport with one clear sentence.
    """
    if imports:
        return import_trees(imports, seed)
    return generate(plan_for(preset, seed, sizes or {}))
