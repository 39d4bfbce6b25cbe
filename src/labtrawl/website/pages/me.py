"""A participant's own pages: what is collected in their name, their areas, and which of them are."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

import msgspec
from fastapi import FastAPI, Request
from pydantic import Field

from labtrawl.domain.eta import Told
from labtrawl.domain.visit import DISCOVERY
from labtrawl.store import consents
from labtrawl.store.consents import Consent
from labtrawl.store.engine import Connection
from labtrawl.store.gaps import NOBODY_KNOWS
from labtrawl.store.pages.mine import (
    Figures,
    MyAccount,
    MyArea,
    MyLine,
    MyPlace,
    MySum,
    my_account,
    my_place,
    my_sum,
)
from labtrawl.website.answering import twins
from labtrawl.website.answering.desk import Desk
from labtrawl.website.answering.forest import Forest, Row
from labtrawl.website.answering.mine import (
    Mine,
    TreeRow,
    Trouble,
    account_of,
    ago,
    gap_words,
    hold_words,
    troubles,
)
from labtrawl.website.answering.twins import Done, Shown
from labtrawl.website.door.callers import visitor_of
from labtrawl.website.door.trail import note_detail
from labtrawl.website.parts.addresses import live_page_address
from labtrawl.website.parts.asking import Id, Ids, MaybeId, ids_of
from labtrawl.website.parts.words import in_order

DAY_MS = 86_400_000
SOON_DAYS = 7
Step = Literal["", "consent", "sign_in"]


@dataclass(frozen=True, slots=True)
class Standing:
    """How an account stands: itself, the consent that it rests on, what there is to do.

    `consent` is the newest, held or ended; None where there is none, as in a team. `problem` keeps
    it from being read, `step` is what its owner can do about that, "" for nothing.
    """

    account: MyAccount
    consent: Consent | None
    newest_version: int | None
    problem: str
    step: Step
    notice: str


@dataclass(frozen=True, slots=True)
class MeTold:
    """A participant's first page. Without an account nothing is collected, and all else is none."""

    now: int
    standing: Standing | None = None
    stored: MySum | None = None
    whole: Figures | None = None
    areas: int = 0
    ends: Told | None = None
    ago: str = ""
    rows: Sequence[TreeRow] = ()
    more_after: int | None = None
    troubles: Sequence[Trouble] = ()


@dataclass(frozen=True, slots=True)
class MyListTold:
    """One list of an area, in words: what it is doing, and why there is less."""

    line: MyLine
    state: str
    why: str
    advice: str


@dataclass(frozen=True, slots=True)
class MyAreaTold:
    """One of a participant's areas, with what is below it."""

    now: int
    area: MyArea
    web_url: str
    instance_name: str
    discovered_at: int
    lists: Sequence[MyListTold]
    whole: Figures
    ends: Told
    ago: str
    rows: Sequence[TreeRow]
    more_after: int | None
    is_study: bool


class Choice(msgspec.Struct, forbid_unknown_fields=True):
    """What a participant says of an area: collect it, exclude it, or neither."""

    wanted: Literal["yes", "no", "as above"]


@dataclass(frozen=True, slots=True)
class Chosen:
    """What was said, and how many jobs were stopped by it."""

    wanted: bool | None
    stopped: int


WANTED = {"yes": True, "no": False, "as above": None}
Opened = Annotated[Ids, Field(max_length=2000)]


def add(app: FastAPI, desk: Desk) -> None:
    """Add /me, /me/areas/{area_id} and its choice."""
    mine = Mine(desk)
    _add_home(app, desk, mine)
    _add_area(app, desk, mine)
    _add_choice(app, desk, mine)


def _add_home(app: FastAPI, desk: Desk, mine: Mine) -> None:
    @twins.page(app, desk, "/me", MeTold, "What is collected in your name, and your areas")
    async def home(request: Request, opened: Opened = "", after: MaybeId = None) -> Shown:
        account_id = visitor_of(request).account_id
        live = live_page_address(desk.hub.commits)
        values = {"opened": ids_of(opened), "after": after, "is_study": desk.site.mode == "study"}
        if account_id is None:
            told = MeTold(desk.site.clock.now_ms())
        else:
            told = await _home(desk, mine, account_id, ids_of(opened), after)
        return Shown("me.html", told, live=live, values=values)


def _add_area(app: FastAPI, desk: Desk, mine: Mine) -> None:
    @twins.page(app, desk, "/me/areas/{area_id}", MyAreaTold, "One of your areas, list by list")
    async def one(
        request: Request, area_id: Id, opened: Opened = "", after: MaybeId = None
    ) -> Shown:
        account_id, live = account_of(request), live_page_address(desk.hub.commits)
        place = await desk.site.store.read(lambda c: my_place(c, account_id, area_id))
        forest = await mine.forest(account_id)
        if area_id not in forest.nodes:  # found since the last look
            mine.forget(account_id)
            forest = await mine.forest(account_id)
        branch = forest.rows(forest.nodes[area_id].children, frozenset(ids_of(opened)), after)
        told = await _area(desk, mine, place, forest, branch)
        values = {"opened": ids_of(opened), "after": after, "crumbs": forest.above(area_id)}
        return Shown("me_area.html", told, live=live, values=values)


def _add_choice(app: FastAPI, desk: Desk, mine: Mine) -> None:
    @twins.action(
        app, "/me/areas/{area_id}/choice", Choice, Chosen, "Let one of your areas be read or not"
    )
    async def choose(request: Request, area_id: Id, wanted: Choice) -> Done:
        account_id, said = account_of(request), WANTED[wanted.wanted]
        stopped = await desk.site.store.write(
            lambda connection: consents.choose(connection, account_id, area_id, said)
        )
        desk.tell_stopped(stopped)
        mine.forget(account_id)
        note_detail(request, f"area {area_id}: {wanted.wanted}, {len(stopped)} jobs stopped")
        return Done(f"/me/areas/{area_id}", Chosen(said, len(stopped)))


async def _home(
    desk: Desk, mine: Mine, account_id: int, opened: Sequence[int], after: int | None
) -> MeTold:
    now = desk.site.clock.now_ms()
    standing, stored = await desk.site.store.read(
        lambda c: (_standing(c, account_id, now), my_sum(c, account_id))
    )
    forest = await mine.forest(account_id)
    rows, more = forest.rows(forest.roots, frozenset(opened), after)
    return MeTold(
        now=now,
        standing=standing,
        stored=stored,
        whole=forest.whole,
        areas=len(forest.nodes),
        ends=await mine.ends(forest, forest.nodes),
        ago=ago(now, forest.whole.last_at),
        rows=await mine.lines(forest, rows),
        more_after=more,
        troubles=troubles(forest.whole),
    )


def _standing(connection: Connection, account_id: int, now: int) -> Standing:
    account = my_account(connection, account_id)
    history = consents.history(connection, account_id)
    text = consents.newest_text(connection)
    consent = history[0] if history else None
    is_agreed = consent is not None and consent.holds
    problem, step = _problem(account, text is not None, is_agreed, now)
    notice = "" if problem else _notice(account, now)
    return Standing(account, consent, text.version if text else None, problem, step, notice)


def _problem(account: MyAccount, is_asked: bool, is_agreed: bool, now: int) -> tuple[str, Step]:
    """Say what keeps an account from being read, and what its owner can do; "" for nothing."""
    unread = "so nothing is read with your account"
    if account.is_off:
        return f"Those who run this switched your account off, {unread}. Ask them why.", ""
    if not account.is_connected:
        return f"Your account is disconnected, {unread}. Sign in again to connect it.", "sign_in"
    if is_asked and not is_agreed:
        return "You have not agreed, so nothing is read with your account now.", "consent"
    if account.is_of_study and not is_asked:
        wait = "Come back later: you will be asked here whether you agree."
        return f"The study has not published its text yet, {unread}. {wait}", ""
    return _refused(account, now)


def _refused(account: MyAccount, now: int) -> tuple[str, Step]:
    """Say as `_problem` whether GitLab does not take an account any more that may be used."""
    unread = "so nothing is read with your account"
    if account.state != "active":
        return f"GitLab refuses your sign-in, {unread}. Sign in again.", "sign_in"
    if account.expires_at is not None and account.expires_at <= now and not account.is_renewed:
        return f"Your sign-in has ended, {unread}. Sign in again.", "sign_in"
    return "", ""


def _notice(account: MyAccount, now: int) -> str:
    """Say what will soon keep an account from being read; "" for nothing."""
    if account.expires_at is None or account.is_renewed:
        return ""
    days = (account.expires_at - now) // DAY_MS
    if days >= SOON_DAYS:
        return ""
    left = f"in {days} day{'' if days == 1 else 's'}" if days > 0 else "in less than a day"
    return f"Your sign-in ends {left}. Sign in again before, so that nothing stops."


async def _area(
    desk: Desk,
    mine: Mine,
    place: MyPlace,
    forest: Forest,
    branch: tuple[Sequence[Row], int | None],
) -> MyAreaTold:
    area, now = place.area, desk.site.clock.now_ms()
    lines = {each.resource: each for each in place.lines}
    whole = forest.nodes[area.id].whole
    rows, more_after = branch
    return MyAreaTold(
        now=now,
        area=area,
        web_url=place.web_url,
        instance_name=place.instance_name,
        discovered_at=place.discovered_at,
        lists=[_list(lines[name], area.is_read) for name in in_order(set(lines))],
        whole=whole,
        ends=await mine.ends(forest, forest.under(area.id)),
        ago=ago(now, whole.last_at),
        rows=await mine.lines(forest, rows),
        more_after=more_after,
        is_study=desk.site.mode == "study",
    )


def _list(line: MyLine, is_read: bool) -> MyListTold:
    reason = _reason(line) if is_read else None
    why, advice = gap_words(reason) if reason else ("", "")
    return MyListTold(line, _state(line, is_read), why, advice)


def _reason(line: MyLine) -> str | None:
    """Return the word that a list with less is told by; None where there is all."""
    if line.resource == DISCOVERY:
        return DISCOVERY
    return NOBODY_KNOWS if line.is_unexplained else line.reason


def _state(line: MyLine, is_read: bool) -> str:
    if not is_read:
        return "Not read any more"
    if line.job_state == "running":
        return "Is being read now"
    if line.job_state == "queued":
        return "Waits for its next try" if line.run_after is not None else "Waits for its turn"
    if line.job_state == "held":
        return hold_words(line.hold_reason)
    return _end(line)


def _end(line: MyLine) -> str:
    """Say how far a list came of which no job is open."""
    if line.resource == DISCOVERY:
        return "Did not come to its end"
    if line.completed_at is not None:
        return "Read to its end"
    return "Nothing to read" if line.reason else "Not planned yet"
