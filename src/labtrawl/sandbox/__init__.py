"""A GitLab look-alike for the demo, tests and benchmarks: generated or imported worlds over HTTP.

Stands beside the house: imports nothing of it, and only the command line and tests enter, by the
names below.
"""

from labtrawl.sandbox.faults import Fault
from labtrawl.sandbox.imports import NotAnExport, import_trees
from labtrawl.sandbox.model import Account, World
from labtrawl.sandbox.oauth import Application
from labtrawl.sandbox.options import Options
from labtrawl.sandbox.plan import PRESETS, UnknownWorld, WorldPlan
from labtrawl.sandbox.presets import build_world
from labtrawl.sandbox.serve import Server, running, serve
from labtrawl.sandbox.truth import Truth, truth
from labtrawl.sandbox.truth_text import format_truth
from labtrawl.sandbox.world import generate

__all__ = [
    "PRESETS",
    "Account",
    "Application",
    "Fault",
    "NotAnExport",
    "Options",
    "Server",
    "Truth",
    "UnknownWorld",
    "World",
    "WorldPlan",
    "build_world",
    "format_truth",
    "generate",
    "import_trees",
    "running",
    "serve",
    "truth",
]
