"""Quiet hours: times of the day in which a GitLab is left alone. Pure; texts in, instants out."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

REASON = "quiet hours"
"""How the words begin with which a waiting job says so."""

_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_FORM = re.compile(
    r"(?:(?P<days>[A-Za-z+-]+) )?(?P<begin>[0-9]{2}:[0-9]{2})-(?P<end>[0-9]{2}:[0-9]{2}) (?P<zone>[\w+/-]+)"
)
_MIDNIGHT = "24:00"
# A rest that lasts on for longer is told anew when this is over.
_AHEAD_DAYS = 8


@dataclass(frozen=True, slots=True)
class Window:
    """Some hours on some days of the week, by the clock of a time zone; an early end is next day's."""

    days: frozenset[int]
    begin: time
    end: time
    zone: ZoneInfo

    def around(self, now: datetime) -> Iterator[tuple[datetime, datetime]]:
        """Yield begin and end (UTC) of those from yesterday's on, for some days ahead."""
        today = now.astimezone(self.zone).date()
        for number in range(-1, _AHEAD_DAYS):
            day = today + timedelta(days=number)
            if day.weekday() in self.days:
                last = day if self.end > self.begin else day + timedelta(days=1)
                yield min(self._instants(day, self.begin)), max(self._instants(last, self.end))

    def _instants(self, day: date, at: time) -> list[datetime]:
        """Both readings of a time that a change of the clock makes double, or leaves out."""
        local = datetime.combine(day, at, self.zone)
        return [local.replace(fold=fold).astimezone(UTC) for fold in (0, 1)]


@dataclass(frozen=True, slots=True)
class QuietTime:
    """A time in which nothing is sent, and the zone by whose clock it ends."""

    begins_at: datetime
    ends_at: datetime
    zone: ZoneInfo

    @property
    def reason(self) -> str:
        """Say it in words."""
        return f"{REASON} until {self.ends_at.astimezone(self.zone):%Y-%m-%d %H:%M} {self.zone}"


def parse_window(text: str) -> Window:
    """Read `[DAYS ]HH:MM-HH:MM ZONE`, like `Mon-Fri 08:00-18:00 Europe/Stockholm`.

    ValueError with a sentence for anything else.
    """
    found = _FORM.fullmatch(text.strip())
    if found is None:
        raise ValueError(
            f"{text!r} is no time like 08:00-18:00 Europe/Stockholm or Mon-Fri 08:00-18:00 UTC"
        )
    if found["begin"] == found["end"]:
        raise ValueError(f"{text!r} begins when it ends; the whole day is 00:00-24:00")
    begin, end = _time(found["begin"]), _time(found["end"])
    return Window(_days(found["days"]), begin, end, _zone(found["zone"]))


def next_quiet(windows: Sequence[Window], now: datetime) -> QuietTime | None:
    """Return the quiet time that `now` is in, else the next one; those that touch are one."""
    found = sorted(
        (begin, end, str(window.zone), window.zone)
        for window in windows
        for begin, end in window.around(now)
    )
    current: QuietTime | None = None
    for begin, end, _, zone in found:
        if current is None or current.ends_at <= now:
            current = QuietTime(begin, end, zone)
        elif begin <= current.ends_at < end:
            current = QuietTime(current.begins_at, end, zone)
        elif begin > current.ends_at:
            break
    return current if current and current.ends_at > now else None


def _time(text: str) -> time:
    try:
        return time(0) if text == _MIDNIGHT else time.fromisoformat(text)
    except ValueError:
        raise ValueError(f"{text} is no time of the day") from None


def _days(text: str | None) -> frozenset[int]:
    days: set[int] = set()
    for part in (text or "Mon-Sun").split("+"):
        first, _, last = part.partition("-")
        if first not in _DAYS or (last or first) not in _DAYS:
            raise ValueError(f"{part!r} is no day of the week; they are {', '.join(_DAYS)}")
        begin, count = _DAYS.index(first), _DAYS.index(last or first) - _DAYS.index(first)
        days |= {(begin + step) % 7 for step in range(count % 7 + 1)}
    return frozenset(days)


def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (OSError, ValueError, KeyError):
        raise ValueError(
            f"{name!r} is no time zone that this machine knows, like Europe/Stockholm or UTC"
        ) from None
