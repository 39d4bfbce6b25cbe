"""A GitLab look-alike for the demo, tests and benchmarks: generated or imported worlds over HTTP.

Stands beside the house: imports nothing of it, and only the command line and tests enter, by the
names below.
"""

from labtrawl.sandbox.changes import (
    Add,
    Churn,
    Edit,
    Grant,
    Move,
    Planned,
    Remove,
    Unfit,
    encode_changes,
)
from labtrawl.sandbox.faults import Fault
from labtrawl.sandbox.imports import NotAnExport, import_trees
from labtrawl.sandbox.model import Account, World
from labtrawl.sandbox.oauth import Application
from labtrawl.sandbox.options import Options
from labtrawl.sandbox.plan import UnknownWorld, WorldPlan
from labtrawl.sandbox.presets import PRESETS, build_world
from labtrawl.sandbox.serve import Server, running, serve
from labtrawl.sandbox.truth import Truth, truth
from labtrawl.sandbox.truth_text import format_truth
from labtrawl.sandbox.world import generate

__all__ = [
    "PRESETS",
    "Account",
    "Add",
    "Application",
    "Churn",
    "Edit",
    "Fault",
    "Grant",
    "Move",
    "NotAnExport",
    "Options",
    "Planned",
    "Remove",
    "Server",
    "Truth",
    "Unfit",
    "UnknownWorld",
    "World",
    "WorldPlan",
    "build_world",
    "encode_changes",
    "format_truth",
    "generate",
    "import_trees",
    "running",
    "serve",
    "truth",
]
