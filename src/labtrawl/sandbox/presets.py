"""Worlds by name, as a user asks for them.

Entered by the command line and ``python -m labtrawl.sandbox``.
"""

from collections.abc import Sequence
from pathlib import Path

from labtrawl.sandbox.model import World
from labtrawl.sandbox.plan import PRESETS, UnknownWorld, plan_for
from labtrawl.sandbox.world import generate

__all__ = ["PRESETS", "UnknownWorld", "build_world"]


def build_world(
    preset: str = "default",
    seed: int = 1,
    sizes: dict[str, int] | None = None,
    imports: Sequence[Path] = (),
) -> World:
    """The world of a preset with other sizes. Raises UnknownWorld with one clear sentence."""
    return generate(plan_for(preset, seed, sizes or {}))
