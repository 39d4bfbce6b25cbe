"""When things will be done, reckoned from one look at the crawl: for the site and for `crawl`.

It imports little: a crawl of a few seconds has no time for the rest of the website.
"""

from collections.abc import Mapping

from labtrawl.domain import eta
from labtrawl.domain.eta import Crawl, Forecast, Told
from labtrawl.gitlab import catalog
from labtrawl.gitlab.graphql_plans import NAMES
from labtrawl.store.engine import Connection
from labtrawl.store.pages import outlook

# A look may cost a twentieth of one core at most.
SHARE = 20
# The part of a limit that is kept for people, where no setting says (`budget.reserved_share`).
RESERVED = 0.2
PARENTS: Mapping[str, str] = {one.name: one.parent for one in catalog.RESOURCES if one.parent}
# Those of them that GraphQL does not read in blocks.
COSTLY = frozenset(PARENTS) - frozenset(NAMES)


def forecast_of(
    look: outlook.Outlook,
    done: float,
    since: int,
    rests: eta.Rests = int,
    recent: float | None = None,
    reserved: float = RESERVED,
) -> Forecast:
    """Reckon from one look at the crawl, of which `done` requests are done.

    It goes on since the instant `since`: how fast it went before, and how long it stood, tells nothing.
    `reserved` is the part of the limit that nobody is granted.
    """
    limit = None if look.limit is None else max(1, round(look.limit * (1 - reserved)))
    return Forecast(
        Crawl(
            now=look.now,
            seen=look.seen,
            running=look.running,
            queued=look.queued,
            done=done,
            nested=frozenset(PARENTS),
            costly=COSTLY,
            limit=limit,
            not_before=look.not_before,
            known_from=max(look.oldest, since),
            is_discovering=look.is_discovering,
            recent=recent,
            with_rests=rests,
        )
    )


def look_whole(
    connection: Connection,
    now: int,
    since: int,
    counted: eta.Counted,
    reserved: float = RESERVED,
) -> Told:
    """Say when all that is open now will be done; it goes on since `since`.

    `counted` knows the looks before, `reserved` is the part of the limit that nobody is granted.
    """
    look, done = outlook.outlook(connection, PARENTS, now), outlook.requests_done(connection)
    recent = counted.recent(now, done)
    return forecast_of(look, done, since, recent=recent, reserved=reserved).whole()
