"""Samples of what happened: minutes for 48 hours, hours for 90 days, days for ever.

For the website, which writes one a minute. Instants are milliseconds since the epoch, by its clock.
"""

from collections.abc import Sequence

import msgspec
from sqlalchemy import Connection, delete, exists, func, insert, select

from labtrawl.domain.sample import KEPT_MS, MADE_OF, Figures, Grain, Sample, fold
from labtrawl.store.schema_samples import sample

_ENCODER = msgspec.json.Encoder()
_DECODER = msgspec.json.Decoder(Figures)


def write(connection: Connection, at: int, figures: Figures) -> None:
    """Write what happened in the minute that began `at`, beside what is written of it already.

    Where the clock was set back its hour, or its day, may be made already: that gets it as well.
    """
    _add(connection, Grain.MINUTE, at, figures)
    for longer in MADE_OF:
        if read(connection, longer, begin := at - at % longer.length_ms, begin + 1):
            _add(connection, longer, begin, figures)
        _make(connection, longer, at)
    for grain, kept in KEPT_MS.items():
        connection.execute(
            delete(sample).where(sample.c.grain == grain.value, sample.c.at < at - kept)
        )


def _add(connection: Connection, grain: Grain, at: int, figures: Figures) -> None:
    before = read(connection, grain, at, at + 1)
    _put(connection, grain, at, fold([*(one.figures for one in before), figures]))


def _put(connection: Connection, grain: Grain, at: int, figures: Figures) -> None:
    connection.execute(delete(sample).where(sample.c.grain == grain.value, sample.c.at == at))
    text = _ENCODER.encode(figures).decode()
    connection.execute(insert(sample).values(grain=grain.value, at=at, figures=text))


def _make(connection: Connection, grain: Grain, now: int) -> None:
    """Make the samples of the whiles that have ended and are not made yet, of their parts.

    However far ahead the newest is: the clock may have been, for a while.
    """
    length, part, whole = grain.length_ms, MADE_OF[grain], sample.alias()
    is_made = exists().where(
        whole.c.grain == grain.value, whole.c.at == sample.c.at - sample.c.at % length
    )
    first = select(func.min(sample.c.at)).where(
        sample.c.grain == part.value, sample.c.at < now - now % length, ~is_made
    )
    while (found := connection.execute(first).scalar()) is not None:
        at = found - found % length
        parts = read(connection, part, at, at + length)
        _put(connection, grain, at, fold(one.figures for one in parts))


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
