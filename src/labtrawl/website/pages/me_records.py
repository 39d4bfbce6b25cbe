"""The records as researchers see them: a participant's own, and for operators those of an area."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Literal
from urllib.parse import urlencode

import msgspec
from fastapi import FastAPI, Query, Request
from fastapi import Path as InPath
from pydantic import BaseModel, BeforeValidator, Field

from labtrawl import logs
from labtrawl.errors import CorruptSegment, Missing
from labtrawl.gitlab import catalog
from labtrawl.store.pages.records import Reach
from labtrawl.website.answering import twins
from labtrawl.website.answering.browsing import (
    PLACE,
    Browsing,
    Place,
    RecordRow,
    RecordsTold,
    Wanted,
    pretty,
)
from labtrawl.website.answering.desk import Desk
from labtrawl.website.answering.mine import account_of
from labtrawl.website.answering.twins import Shown
from labtrawl.website.door.callers import visitor_of
from labtrawl.website.parts.asking import Blank, Id, MaybeId, Word
from labtrawl.website.parts.words import in_order

log = logs.get("website")

# Nobody: an account that there is none of.
NOBODY = -1
STATES: Mapping[str, str] = {
    "present": "Present",
    "gone": "Gone from GitLab",
    "forbidden": "No longer to be seen",
    "unknown": "Missed, nobody knows why",
}
# For who is collected from: the log says which files, and what is wrong with them.
ASK = "please tell those who run this; the page About says how"
LEFT_OUT = f"Some of your records are stored and cannot be read now, so they are left out: {ASK}."
NOT_NOW = f"This record is stored and cannot be read now: {ASK}."
KINDS: Mapping[str, str] = {one.name: one.kind for one in catalog.RESOURCES}


def _stripped(value: object) -> object:
    return value.strip() if isinstance(value, str) else value


At = Annotated[Annotated[str, Field(pattern=f"^{PLACE}$")] | None, Blank]
OnePlace = Annotated[str, InPath(pattern=f"^{PLACE}$")]
Text = Annotated[str, BeforeValidator(_stripped), Field(max_length=200)]


class Asked(BaseModel):
    """Which records: a filter, and the place where a page begins (`since`) or ends (`until`)."""

    resource: Word = ""
    kind: Word = ""
    state: Literal["", "present", "gone", "forbidden", "unknown"] = ""
    text: Text = ""
    versions: Literal["", "newest", "all"] = ""
    since: At = None
    until: At = None


class AskedOfMine(Asked):
    """The same, of all areas of an account or of one."""

    area: MaybeId = None


@dataclass(frozen=True, slots=True)
class RecordTold:
    """One record: the line as it stands, and where."""

    row: RecordRow
    line: msgspec.Raw


def add(app: FastAPI, desk: Desk) -> None:
    """Add /me/records and /areas/{area_id}/records, and one record of each."""
    browsing = Browsing(desk.site)

    @twins.page(app, desk, "/me/records", RecordsTold, "The records collected in your name")
    async def mine(request: Request, asked: Annotated[AskedOfMine, Query()]) -> Shown:
        account_id = visitor_of(request).account_id
        who = NOBODY if account_id is None else account_id
        return await _page(browsing, Reach(who, asked.area, asked.resource), asked)

    @twins.page(app, desk, "/me/records/{place}", RecordTold, "One record collected in your name")
    async def my_record(request: Request, place: OnePlace) -> Shown:
        return await _one(browsing, Reach(account_of(request)), place)

    @twins.page(
        app, desk, "/areas/{area_id}/records", RecordsTold, "The records collected of an area"
    )
    async def of_area(area_id: Id, asked: Annotated[Asked, Query()]) -> Shown:
        return await _page(browsing, Reach(None, area_id, asked.resource), asked)

    @twins.page(app, desk, "/areas/{area_id}/records/{place}", RecordTold, "One record of an area")
    async def area_record(area_id: Id, place: OnePlace) -> Shown:
        return await _one(browsing, Reach(None, area_id), place)


async def _page(browsing: Browsing, reach: Reach, asked: Asked) -> Shown:
    wanted = Wanted(
        reach.area_id, asked.resource, asked.kind, asked.state, asked.text, asked.versions
    )
    since, until = (Place.read(each) if each else None for each in (asked.since, asked.until))
    told = _plain(reach, await browsing.page(reach, wanted, since, until))
    known = {each.resource for each in told.stored} | ({wanted.resource} - {""})
    kinds = {KINDS[name] for name in known if name in KINDS} | ({wanted.kind} - {""})
    home = _home(reach)
    values = {
        "reach": reach,
        "wanted": wanted,
        "home": home,
        "resources": in_order(known),
        "lines": {each.resource: each.lines for each in told.stored},
        "kinds": sorted(kinds),
        "states": STATES,
        "first": _address(home, reach, wanted),
        "previous": _address(home, reach, wanted, "until", told.previous),
        "next": _address(home, reach, wanted, "since", told.next),
    }
    return Shown("records.html", told, values=values)


def _plain(reach: Reach, told: RecordsTold) -> RecordsTold:
    """Tell who is collected from in one sentence that files cannot be read, and the log which."""
    if reach.account_id is None or not told.problems:
        return told
    _note(reach, told.problems)
    return replace(told, problems=[LEFT_OUT])


def _note(reach: Reach, problems: Sequence[str]) -> None:
    files, first = len(problems), problems[0]
    log.error("records_unreadable", account=reach.account_id, files=files, first=first)


def _home(reach: Reach) -> str:
    return "/me/records" if reach.account_id is not None else f"/areas/{reach.area_id}/records"


def _address(
    home: str, reach: Reach, wanted: Wanted, name: str = "", place: str | None = ""
) -> str | None:
    """Return the address of a page around this one; None where there is none."""
    if place is None:
        return None
    query: dict[str, object] = {
        "area": wanted.area if reach.account_id is not None else None,
        "resource": wanted.resource,
        "kind": wanted.kind,
        "state": wanted.state,
        "text": wanted.text,
        "versions": wanted.versions,
        name: place,
    }
    given = {key: value for key, value in query.items() if key and value not in {None, ""}}
    return f"{home}?{urlencode(given)}" if given else home


async def _one(browsing: Browsing, reach: Reach, place: str) -> Shown:
    try:
        row, line = await browsing.one(reach, Place.read(place))
    except Missing as error:
        why = error.__cause__
        if reach.account_id is None or not isinstance(why, CorruptSegment):
            raise
        _note(reach, [str(why)])
        raise Missing(NOT_NOW) from why
    values = {
        "reach": reach,
        "home": _home(reach),
        "states": STATES,
        "body": pretty(row.record.body),
        "stored": pretty(line),
    }
    return Shown("record.html", RecordTold(row, msgspec.Raw(line)), values=values)
