"""Instants of the look-alike: milliseconds since 1970 inside, GitLab's own text outside.

Open to every part of the sandbox. Texts have a fixed width and end in ``Z``, so that comparing the
texts compares the instants: filters never parse a row's date again.
"""

from datetime import UTC, date, datetime, timedelta
from functools import lru_cache

DAY_MS = 86_400_000
HOUR_MS = 3_600_000
_EPOCH = date(1970, 1, 1)


@lru_cache(maxsize=8192)
def _day_text(day: int) -> str:
    return (_EPOCH + timedelta(days=day)).isoformat()


def instant_text(ms: int) -> str:
    """The instant as GitLab writes it, for example ``2026-11-20T18:00:00.000Z``."""
    day, rest = divmod(ms, DAY_MS)
    seconds, millis = divmod(rest, 1000)
    minutes, second = divmod(seconds, 60)
    hour, minute = divmod(minutes, 60)
    return f"{_day_text(day)}T{hour:02d}:{minute:02d}:{second:02d}.{millis:03d}Z"


def date_text(ms: int) -> str:
    """The UTC day of the instant, for example ``2026-11-20``."""
    return _day_text(ms // DAY_MS)


def instant_ms(text: str) -> int:
    """Milliseconds of an ISO 8601 text (a date alone means its start, no zone means UTC).

    Raises ValueError for anything else.
    """
    moment = datetime.fromisoformat(text.strip().replace(" UTC", "+00:00").replace(" ", "T", 1))
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return round(moment.timestamp() * 1000)


def normal_text(text: str) -> str:
    """Any ISO 8601 text as `instant_text` writes it. Raises ValueError for anything else."""
    return instant_text(instant_ms(text))
