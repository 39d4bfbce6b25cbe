"""Samples of what happened: minutes for 48 hours, hours for 90 days, days for ever.

For the website, which writes one a minute. Instants are milliseconds since the epoch, by its clock.
"""

from collections.abc import Sequence

import msgspec
from sqlalchemy import Connection, delete, func, insert, select

from labtrawl.domain.sample import KEPT_MS, MADE_OF, Figures, Grain, Sample, fold
from labtrawl.store.schema_samples import sample

_ENCODER = msgspec.json.Encoder()
_DECODER = msgspec.json.Decoder(Figures)


def write(connection: Connection, at: int, figures: Figures) -> None:
    """Write what happened in the minute that began `at`, beside what is written of it already."""
    before = read(connection, Grain.MINUTE, at, at + 1)
    _put(connection, Grain.MINUTE, at, fold([*(one.figures for one in before), figures]))
    for longer in (Grain.HOUR, Grain.DAY):
        _make(connection, longer, at)
    for grain, kept in KEPT_MS.items():
        connection.execute(
            delete(sample).where(sample.c.grain == grain.value, sample.c.at < at - kept)
        )


def _put(connection: Connection, grain: Grain, at: int, figures: Figures) -> None:
    connection.execute(delete(sample).where(sample.c.grain == grain.value, sample.c.at == at))
    text = _ENCODER.encode(figures).decode()
    connection.execute(insert(sample).values(grain=grain.value, at=at, figures=text))


def _make(connection: Connection, grain: Grain, now: int) -> None:
    """Make the samples of the whiles that have ended, of what they are made of."""
    ended, part = now - now % grain.length_ms, MADE_OF[grain]
    begin = _next(connection, grain)
    first = select(func.min(sample.c.at)).where(sample.c.grain == part.value, sample.c.at >= begin)
    while (found := connection.execute(first).scalar()) is not None and found < ended:
        at = found - found % grain.length_ms
        parts = read(connection, part, at, at + grain.length_ms)
        _put(connection, grain, at, fold(one.figures for one in parts))
        begin = at + grain.length_ms
        first = select(func.min(sample.c.at)).where(
            sample.c.grain == part.value, sample.c.at >= begin
        )


def _next(connection: Connection, grain: Grain) -> int:
    """Return the end of the newest sample of this length, 0 where there is none."""
    newest = select(func.max(sample.c.at)).where(sample.c.grain == grain.value)
    found = connection.execute(newest).scalar()
    return 0 if found is None else int(found) + grain.length_ms


def read(connection: Connection, grain: Grain, since: int, until: int) -> Sequence[Sample]:
    """Return the samples of one length that began in [since, until), oldest first."""
    query = (
        select(sample.c.at, sample.c.figures)
        .where(sample.c.grain == grain.value, sample.c.at >= since, sample.c.at < until)
        .order_by(sample.c.at)
    )
    return [Sample(at, _DECODER.decode(text)) for at, text in connection.execute(query).all()]


def read_up_to_now(
    connection: Connection, grain: Grain, since: int, until: int
) -> Sequence[Sample]:
    """Do as `read`, with the shorter ones of the while that has not ended yet."""
    there = read(connection, grain, since, until)
    if grain not in MADE_OF:
        return there
    begin = there[-1].at + grain.length_ms if there else since
    return [*there, *read_up_to_now(connection, MADE_OF[grain], begin, until)]
