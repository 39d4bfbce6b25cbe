"""From the settings of the schedule to the schedule: hours to milliseconds, cron to instants."""

from datetime import UTC, datetime, timedelta, tzinfo

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
    """Return the instant (ms) after `now` at which a cron expression is due, by the local time.

    A time that the clocks skip is due after the gap, one that comes twice the first time; what is
    due every hour, or every few minutes, is due in both.
    """
    due = CronSim(cron, datetime.fromtimestamp(now / 1000, _Local()))
    instants = (int(each.timestamp() * 1000) for each in due)
    # In the hour that comes again, the next one by the clock may be that of the hour before.
    return next(instant for instant in instants if instant > now)


class _Local(tzinfo):
    """The machine's time zone, with its changes: `astimezone()` alone keeps the offset of one day."""

    def utcoffset(self, at: datetime | None) -> timedelta | None:
        return None if at is None else at.replace(tzinfo=None).astimezone().utcoffset()

    def dst(self, at: datetime | None) -> timedelta | None:  # noqa: ARG002 - part of the offset
        return None

    def tzname(self, at: datetime | None) -> str | None:
        return None if at is None else at.replace(tzinfo=None).astimezone().tzname()

    def fromutc(self, at: datetime) -> datetime:
        return datetime.fromtimestamp(at.replace(tzinfo=UTC).timestamp()).replace(tzinfo=self)  # noqa: DTZ006
