"""Statistics: what the crawl cost and brought over an hour, a day, a week."""

from typing import Any

import msgspec
from fastapi import FastAPI

from labtrawl.website.answering import twins
from labtrawl.website.answering.desk import Desk
from labtrawl.website.answering.twins import Shown
from labtrawl.website.figures.charts import OverTime, Span

# How an instant is written in the tables of a span.
FORMS = {Span.HOUR: "%H:%M", Span.DAY: "%d %b, %H:%M", Span.WEEK: "%d %b, %H:%M"}


class StatisticsSeen(msgspec.Struct, frozen=True):
    """A span, and the communication since the start of the website, by section."""

    over_time: OverTime
    since_start: dict[str, Any]
    jobs: dict[str, int]


def add(app: FastAPI, desk: Desk) -> None:
    """Add /statistics."""

    @twins.page(app, desk, "/statistics", StatisticsSeen, "What the crawl cost, over time")
    async def show(span: Span = Span.HOUR) -> Shown:
        totals = await desk.figures.totals()
        told = StatisticsSeen(
            over_time=await desk.figures.timelines.over(span),
            since_start=await desk.site.crawling.statistics(),
            jobs=dict(totals.jobs),
        )
        values = {"spans": list(Span), "form": FORMS[span], "rows": rows_of(told.since_start)}
        return Shown("statistics.html", told, values=values)


def rows_of(sections: dict[str, Any]) -> list[tuple[str, str, str]]:
    """Return section, name and figure of all that was counted, for a table."""
    found = []
    for section, figures in sections.items():
        for name, value in figures.items():
            if isinstance(value, dict):
                found += [(section, f"{name}: {key}", str(each)) for key, each in value.items()]
            else:
                found.append((section, name, str(value)))
    return found
