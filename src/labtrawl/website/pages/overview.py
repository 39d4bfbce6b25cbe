"""The overview: where the whole stands, at one look, and how the last hour went."""

from collections.abc import Sequence
from dataclasses import dataclass

from fastapi import FastAPI

from labtrawl.website.answering import twins
from labtrawl.website.answering.desk import Desk
from labtrawl.website.answering.twins import Shown
from labtrawl.website.figures.charts import Chart, Span
from labtrawl.website.figures.sums import Overview
from labtrawl.website.parts.addresses import live_overview_address

# Those of the statistics that say whether it goes well.
CHARTS = ("requests", "records", "jobs", "disk")


@dataclass(frozen=True, slots=True)
class OverviewSeen:
    """All that the overview shows; the charts are of the last hour."""

    overview: Overview
    charts: Sequence[Chart]


def add(app: FastAPI, desk: Desk) -> None:
    """Add /."""

    @twins.page(app, desk, "/", OverviewSeen, "Where the whole stands, and how the last hour went")
    async def show() -> Shown:
        figures = await desk.figures.overview()
        over = await desk.figures.timelines.over(Span.HOUR)
        charts = [each for each in over.charts if each.id in CHARTS]
        live = live_overview_address(figures.now.change)
        return Shown("overview.html", OverviewSeen(figures, charts), live)
