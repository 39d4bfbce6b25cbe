"""All doors of the API."""

from fastapi import FastAPI

from labtrawl.website.answering.desk import Desk
from labtrawl.website.api import (
    connect,
    crawler,
    health,
    jobs,
    openapi,
    progress,
    refresh,
    statistics,
    tasks,
    watching,
)


def add(app: FastAPI, desk: Desk) -> None:
    """Add everything below /api; LookupError for a door that is not described."""
    for part in (jobs, refresh, connect, tasks, progress, watching, crawler, statistics, health):
        part.add(app, desk)
    openapi.add(app)
    openapi.check(app)
