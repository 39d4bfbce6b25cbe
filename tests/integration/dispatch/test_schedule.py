"""The settings of the schedule, and the turn of the website's care that opens what is due."""

from dataclasses import replace
from datetime import datetime
from pathlib import Path

import pytest

from labtrawl.clock import system_clock
from labtrawl.config import Timetable
from labtrawl.dataset.disk import LocalDisk
from labtrawl.dispatch.leasing import Leasing
from labtrawl.dispatch.timetable import next_instant, schedule_of
from labtrawl.domain.visit import Schedule
from tests.integration.dispatch.visits import HOUR, SCHEDULE, Site, project, wish
from tests.integration.store.table import RETRY, store


def test_schedule_is_that_of_the_settings() -> None:
    told = Timetable(
        every_hours=0.5, most_hours=12, sweep_hours=24, discover_hours=2, resources=("!events",)
    )
    assert schedule_of(told) == Schedule(
        every=HOUR // 2,
        sweep_every=24 * HOUR,
        discover_every=2 * HOUR,
        most=12 * HOUR,
        resources=("!events",),
        share=0.1,
    )
    assert not schedule_of(Timetable(every_hours=0)).is_on
    assert schedule_of(Timetable(every_hours=0, cron="0 3 * * *")).is_on


def test_cron_goes_by_the_local_time() -> None:
    def at(text: str) -> int:
        return int(datetime.fromisoformat(text).timestamp() * 1000)

    assert next_instant("30 2 * * *", at("2026-03-04T01:00")) == at("2026-03-04T02:30")
    assert next_instant("30 2 * * *", at("2026-03-04T02:30")) == at("2026-03-05T02:30")
    assert next_instant("0 0 * * mon", at("2026-03-04T12:00")) == at("2026-03-09T00:00")
    schedule = schedule_of(Timetable(every_hours=0, cron="30 2 * * *"))
    assert schedule.cron is not None
    assert schedule.cron(at("2026-03-04T01:00")) == at("2026-03-04T02:30")


@pytest.mark.parametrize("is_on", [True, False])
async def test_care_opens_what_is_due_only_where_there_is_a_schedule(
    tmp_path: Path, is_on: bool
) -> None:
    async with store(tmp_path) as db:
        site = Site(db)
        await site.begin()
        found = await site.claim("discovery")
        await site.discover(found, project())
        await site.propose(found, *(wish(name) for name in ("issues", "milestones")))
        await site.complete(found)
        await site.visit("issues")
        await site.visit("milestones")
        care = Leasing(db, RETRY, system_clock(), LocalDisk(), tmp_path, lambda: 1 << 40)
        care = replace(care, schedule=SCHEDULE if is_on else Schedule())
        await care.tick()
        assert {state for state, _ in (await site.jobs()).values()} == {"completed"}
        await site.pass_time(7)
        await care.tick()
        state = "queued" if is_on else "completed"
        assert {told for told, _ in (await site.jobs()).values()} == {state}
