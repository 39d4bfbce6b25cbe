"""Consent: the text that everybody may read, a participant's answer to it, and who writes it."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Annotated, Literal

import msgspec
from fastapi import FastAPI, Request
from pydantic import Field

from labtrawl.domain.consent import (
    BODY_CHARACTERS,
    EVERYTHING,
    TITLE_CHARACTERS,
    Areas,
    Wording,
    end_of_day,
    problem_of_text,
)
from labtrawl.errors import BadMessage
from labtrawl.gitlab import catalog
from labtrawl.store import consents
from labtrawl.store.consents import Asked, Consent, Given, Text, Withheld
from labtrawl.store.engine import Connection
from labtrawl.website.answering import twins
from labtrawl.website.answering.desk import Desk
from labtrawl.website.answering.mine import account_of
from labtrawl.website.answering.twins import Done, Shown
from labtrawl.website.door.callers import visitor_of
from labtrawl.website.door.trail import note_detail
from labtrawl.website.parts.asking import LARGEST, Blank
from labtrawl.website.parts.words import in_order

MOST_FIELDS = 500
Version = Annotated[Annotated[int, Field(ge=1, le=LARGEST)] | None, Blank]
NAMES = frozenset(one.name for one in catalog.RESOURCES if one.kind)
# What tells of changes in a list holds nothing of its own, and is asked for with it.
WATCHES = {one.watches: one.name for one in catalog.RESOURCES if one.watches}


@dataclass(frozen=True, slots=True)
class TextTold:
    """A published text, and whether it is the one that holds; none where nothing is asked."""

    text: Text | None = None
    is_newest: bool = False
    versions: int = 0


@dataclass(frozen=True, slots=True)
class MyConsentTold:
    """What is asked of a participant, what they answered, and what they answered before.

    `has_account` is False for who has no account whose data could be collected.
    """

    has_account: bool
    text: Text | None
    consent: Consent | None
    history: Sequence[Consent]


@dataclass(frozen=True, slots=True)
class ConsentsTold:
    """The texts of a study, how many agreed, and the fields that nobody allowed."""

    mode: str
    texts: Sequence[Text]
    asked: Asked
    withheld: Sequence[Withheld]


class Agreement(msgspec.Struct, forbid_unknown_fields=True):
    """What somebody agrees to; `until` is the last day, `agreed` says that they mean it."""

    version: int
    areas: Areas
    until: str
    agreed: Literal["yes"]


class Withdrawal(msgspec.Struct, forbid_unknown_fields=True):
    """That somebody wants no more to be collected, and means it."""

    sure: Literal["yes"]


class Draft(msgspec.Struct, forbid_unknown_fields=True):
    """A new version of the text; `until` is the last day of the study."""

    title: str
    body: str
    until: str
    sure: Literal["yes"]
    resources: list[str] = []


@dataclass(frozen=True, slots=True)
class Answered:
    """Whether a consent holds now, and how many jobs were stopped."""

    holds: bool
    stopped: int


@dataclass(frozen=True, slots=True)
class Published:
    """The new version, and how many jobs were stopped."""

    version: int
    stopped: int


def add(app: FastAPI, desk: Desk) -> None:
    """Add /consent-text, /me/consent with agreement and withdrawal, and /consents."""
    _add_text(app, desk)
    _add_mine(app, desk)
    _add_all(app, desk)


def _add_text(app: FastAPI, desk: Desk) -> None:
    @twins.page(app, desk, "/consent-text", TextTold, "What participants are asked to agree to")
    async def text(version: Version = None) -> Shown:
        return Shown("consent_text.html", await desk.site.store.read(lambda c: _text(c, version)))


def _text(connection: Connection, version: int | None) -> TextTold:
    newest = consents.newest_text(connection)
    if newest is None:
        return TextTold()
    found = newest if version is None else consents.text_of(connection, version)
    return TextTold(found, found.version == newest.version, newest.version)


def _add_mine(app: FastAPI, desk: Desk) -> None:
    @twins.page(app, desk, "/me/consent", MyConsentTold, "What you agreed to")
    async def mine(request: Request) -> Shown:
        account_id = visitor_of(request).account_id
        told = await desk.site.store.read(lambda c: _mine(c, account_id))
        values = {"is_study": desk.site.mode == "study", "last_day": _last_day(told)}
        return Shown("me_consent.html", told, values=values)

    @twins.action(app, "/me/consent/agree", Agreement, Answered, "Agree to the newest text")
    async def agree(request: Request, wanted: Agreement) -> Done:
        account_id = account_of(request)
        until, by = _last_instant(wanted.until), visitor_of(request).client
        given = Given(wanted.version, wanted.areas, until, by)
        stopped = await desk.site.store.write(lambda c: consents.give(c, account_id, given))
        desk.tell_stopped(stopped)
        told = (f"version {wanted.version}, {wanted.areas} areas,", f"until {wanted.until}")
        note_detail(request, f"account {account_id}:", *told)
        return Done("/me/consent", Answered(True, len(stopped)))

    @twins.action(app, "/me/consent/withdraw", Withdrawal, Answered, "Withdraw your consent")
    async def withdraw(request: Request, wanted: Withdrawal) -> Done:
        assert wanted.sure
        account_id = account_of(request)
        stopped = await desk.site.store.write(lambda c: consents.withdraw(c, account_id))
        desk.tell_stopped(stopped)
        note_detail(request, f"account {account_id}: withdrawn, {len(stopped)} jobs stopped")
        return Done("/me/consent", Answered(False, len(stopped)))


def _mine(connection: Connection, account_id: int | None) -> MyConsentTold:
    text = consents.newest_text(connection)
    if account_id is None:
        return MyConsentTold(False, text, None, ())
    past = consents.history(connection, account_id)
    holds = next((one for one in past if one.holds), None)
    return MyConsentTold(True, text, holds, past)


def _last_day(told: MyConsentTold) -> str:
    """Return the day that the form proposes: that of the consent that holds, or of the text."""
    chosen = told.consent or told.text
    return "" if chosen is None else _day(chosen.until)


def _day(until: int) -> str:
    return datetime.fromtimestamp(until / 1000, UTC).date().isoformat()


def _last_instant(text: str) -> int:
    """Return the end (ms, UTC) of a day like 2027-03-31; BadMessage for what is none."""
    try:
        return end_of_day(date.fromisoformat(text.strip()))
    except (ValueError, OverflowError):
        raise BadMessage("write the last day as year-month-day, like 2027-03-31") from None


def _add_all(app: FastAPI, desk: Desk) -> None:
    @twins.page(app, desk, "/consents", ConsentsTold, "The consent texts of the study")
    async def every() -> Shown:
        told = await desk.site.store.read(lambda c: _all(c, desk.site.mode))
        values = {
            "names": in_order(set(NAMES)),
            "chosen": told.texts[0].resources if told.texts else (EVERYTHING,),
            "everything": EVERYTHING,
            "longest": (TITLE_CHARACTERS, BODY_CHARACTERS),
            "last_day": _day(told.texts[0].until) if told.texts else "",
        }
        return Shown("consents.html", told, values=values)

    @twins.action(app, "/consents", Draft, Published, "Publish a new version of the text")
    async def publish(request: Request, wanted: Draft) -> Done:
        new = _checked(wanted, desk.site.clock.now_ms())
        by = visitor_of(request).client
        version, stopped = await desk.site.store.write(lambda c: consents.publish(c, new, by))
        desk.tell_stopped(stopped)
        note_detail(request, f"version {version}, {len(stopped)} jobs stopped")
        return Done("/consents", Published(version, len(stopped)))


def _all(connection: Connection, mode: str) -> ConsentsTold:
    return ConsentsTold(
        mode,
        consents.texts(connection),
        consents.asked(connection),
        consents.all_withheld(connection, MOST_FIELDS),
    )


def _checked(draft: Draft, now: int) -> Wording:
    """Return the text as it is published; BadMessage, a sentence, where it cannot be."""
    body = draft.body.replace("\r\n", "\n").strip()
    wanted = tuple(draft.resources)
    new = Wording(draft.title.strip(), body, wanted, _last_instant(draft.until))
    if problem := problem_of_text(new, now, NAMES):
        raise BadMessage(problem)
    watches = tuple(WATCHES[name] for name in wanted if name in WATCHES)
    return Wording(new.title, new.body, (*wanted, *watches), new.until)
