"""How everything is: each check with what it means and what to do."""

from datetime import UTC, datetime

import msgspec
from fastapi import FastAPI

from labtrawl.website import twins
from labtrawl.website.checks import judge
from labtrawl.website.desk import Desk
from labtrawl.website.looking import look
from labtrawl.website.twins import Shown
from labtrawl.website.verdicts import Check, State, worst


class HealthTold(msgspec.Struct, frozen=True, kw_only=True):
    """Every check, and the worst of them; `looked_at` is an instant in UTC."""

    state: State
    looked_at: datetime
    checks: list[Check]

    @property
    def bad(self) -> list[Check]:
        """Those that somebody must act on, then those to look at."""
        return [each for each in self.checks if each.state is State.BAD]

    @property
    def warned(self) -> list[Check]:
        """Those to look at when there is time."""
        return [each for each in self.checks if each.state is State.WARN]

    @property
    def fine(self) -> list[Check]:
        """All others."""
        return [each for each in self.checks if each.state is State.OK]


def add(app: FastAPI, desk: Desk) -> None:
    """Add /health."""

    @twins.page(app, desk, "/health", HealthTold, "Each thing that has to be right, and what to do")
    async def show() -> Shown:
        return Shown("health.html", await health_of(desk))


async def health_of(desk: Desk) -> HealthTold:
    """Look at everything that has to be right."""
    facts = await look(desk.site)
    checks = judge(facts)
    looked_at = datetime.fromtimestamp(facts.now / 1000, UTC)
    return HealthTold(state=worst(checks), looked_at=looked_at, checks=checks)
