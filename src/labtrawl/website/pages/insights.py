"""Insights: four charts from the collected records, the SQL behind each, and its table as Parquet."""

from collections.abc import Sequence

import msgspec
from fastapi import FastAPI
from starlette.exceptions import HTTPException
from starlette.responses import FileResponse

from labtrawl.dataset.insights import INSIGHTS, Insight, Table
from labtrawl.website.answering import twins
from labtrawl.website.answering.desk import Desk
from labtrawl.website.answering.twins import Shown
from labtrawl.website.figures.charts import Chart, Series
from labtrawl.website.figures.reckoning import Reckoned


class InsightTold(msgspec.Struct, frozen=True):
    """An answer: the chart, what it means, the SQL that `labtrawl dataset query` takes, its file."""

    chart: Chart
    sql: str
    parquet: str


class InsightsSeen(msgspec.Struct, frozen=True):
    """The answers, made `made_at` (ms) out of `records_read`; `records` are there by now."""

    records: int
    records_read: int
    made_at: int | None
    made_in_seconds: float | None
    is_current: bool
    is_being_made: bool
    failure: str
    insights: Sequence[InsightTold]


def add(app: FastAPI, desk: Desk) -> None:
    """Add /insights and the files behind it."""
    reckoning = desk.figures.reckoning

    @twins.page(app, desk, "/insights", InsightsSeen, "Charts from the collected records")
    async def show() -> Shown:
        return Shown("insights.html", seen(await reckoning.look()))

    @app.get("/insights/{insight}/parquet")
    async def download(insight: str) -> FileResponse:
        is_known = insight in {each.id for each in INSIGHTS}
        path = reckoning.parquet(insight) if is_known else None
        if path is None:
            raise HTTPException(404)
        return FileResponse(
            path,
            media_type="application/vnd.apache.parquet",
            filename=f"labtrawl-{insight}.parquet",
        )


def seen(reckoned: Reckoned) -> InsightsSeen:
    """Return what the page shows."""
    answers = reckoned.answers
    return InsightsSeen(
        records=reckoned.records,
        records_read=answers.records if answers else 0,
        made_at=answers.at if answers else None,
        made_in_seconds=answers.seconds if answers else None,
        is_current=reckoned.is_current,
        is_being_made=reckoned.is_being_made,
        failure=reckoned.failure,
        insights=[
            _told(each, answers.tables[each.id])
            for each in INSIGHTS
            if answers and each.id in answers.tables
        ],
    )


def _told(insight: Insight, table: Table) -> InsightTold:
    columns = {name: [row[place] for row in table.rows] for place, name in enumerate(table.columns)}
    drawn, beside = (
        [Series(title, columns[name]) for name, title in names.items()]
        for names in (insight.lines, insight.beside)
    )
    chart = Chart(
        insight.id, insight.title, insight.unit, table.weeks, drawn, insight.meaning, beside
    )
    return InsightTold(chart, insight.sql, f"/insights/{insight.id}/parquet")
