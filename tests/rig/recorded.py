"""Looks at a real crawl, kept in a file, to be forecast again by whatever the model is by then.

A recording is what the website's database showed of a crawl of the look-alike at each look, and how
the crawl went on: numbers and names of resources only, the instants moved to a common begin.
"""

import lzma
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec

from labtrawl.domain.eta import Counted, Part
from labtrawl.store.pages.outlook import Outlook
from labtrawl.website.figures.forecasts import forecast_of
from tests.rig.foretold import WHOLE, Foretold, Look

FOLDER = Path(__file__).parent.parent / "data" / "crawls"
FREE = FOLDER.with_name("crawls_without_limit")


class Ended(msgspec.Struct, frozen=True):
    """How each area ended: instant (ms) and requests, with those of the whole under `WHOLE`."""

    ends: dict[int, int]
    totals: dict[int, int]


class Shown(msgspec.Struct, frozen=True):
    """What the database showed at an instant, with the requests and open jobs of each area."""

    outlook: Outlook
    done: dict[int, int]
    parts: dict[int, Part]


def write(path: Path, ended: Ended, shown: Sequence[Shown]) -> None:
    """Keep a crawl."""
    lines = b"\n".join(map(msgspec.json.encode, [ended, *shown]))
    path.write_bytes(lzma.compress(lines, preset=9))


def read(path: Path) -> tuple[Ended, Iterator[Shown]]:
    """Return a crawl that was kept."""
    first, *rest = lzma.decompress(path.read_bytes()).splitlines()
    looks = msgspec.json.Decoder(Shown)
    return msgspec.json.decode(first, type=Ended), map(looks.decode, rest)


def foretell_again(path: Path) -> Foretold:
    """Forecast a crawl that was kept, look by look, as the website does it."""
    ended, shown = read(path)
    found, counted, since = Foretold(ends=ended.ends, totals=ended.totals), Counted(), 0
    for one in shown:
        now, done = one.outlook.now, one.done[WHOLE]
        since = since or now
        forecast = forecast_of(one.outlook, done, since, recent=counted.recent(now, done))
        found.looks.append(Look(now, WHOLE, done, forecast.whole()))
        found.looks += [
            Look(now, area, one.done.get(area, 0), forecast.part(part))
            for area, part in one.parts.items()
        ]
    return found
