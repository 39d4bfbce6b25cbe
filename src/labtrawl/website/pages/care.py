"""How everything is: each check with what it means and what to do."""

from fastapi import FastAPI

from labtrawl.website.answering import twins
from labtrawl.website.answering.desk import Desk
from labtrawl.website.answering.twins import Shown
from labtrawl.website.care.looking import HealthTold, health_of


def add(app: FastAPI, desk: Desk) -> None:
    """Add /health."""

    @twins.page(app, desk, "/health", HealthTold, "Each thing that has to be right, and what to do")
    async def show() -> Shown:
        return Shown("health.html", await health_of(desk.site))
