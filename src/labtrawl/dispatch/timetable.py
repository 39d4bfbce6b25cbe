"""From the settings of the schedule to the schedule: hours to milliseconds, cron to instants."""

from datetime import datetime

from cronsim import CronSim

from labtrawl.config import Timetable
from labtrawl.domain.visit import Schedule

HOUR_MS = 3_600_000


def schedule_of(settings: Timetable) -> Schedule:
    """Return the schedule that the settings describe; they were checked before."""
    every = round(settings.every_hours * HOUR_MS) or None
    return Schedule(
        every=every,
        cron=(lambda now: next_instant(settings.cron, now)) if settings.cron else None,
        sweep_every=round(settings.sweep_hours * HOUR_MS),
        discover_every=round(settings.discover_hours * HOUR_MS),
        most=round(settings.most_hours * HOUR_MS),
        resources=settings.resources or ("*",),
        share=0.0 if settings.cron else settings.share,
    )


def next_instant(cron: str, now: int) -> int:
    """Return the instant (ms) after `now` at which a cron expression is due, by the local time."""
    local = datetime.fromtimestamp(now / 1000).astimezone()
    return int(next(CronSim(cron, local)).timestamp() * 1000)
