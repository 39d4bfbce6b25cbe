"""The accounts that GitLab is read with: their state, limits and end; checked, switched, removed."""

from datetime import UTC, datetime
from typing import Literal
from urllib.parse import urlencode

import msgspec
from fastapi import FastAPI, Request

from labtrawl.domain.consent import Mode
from labtrawl.domain.job import HoldReason
from labtrawl.errors import BadMessage, ConfigError, Conflict, GitLabError, Missing
from labtrawl.store import accounts, choices, connections, jobs
from labtrawl.store.commands import Worked
from labtrawl.store.engine import Connection
from labtrawl.store.pages.accounts import AccountRow, list_accounts, waiting_jobs
from labtrawl.store.pages.keyset import Page, Place
from labtrawl.website.answering import twins
from labtrawl.website.answering.desk import Desk
from labtrawl.website.answering.twins import Done, Shown
from labtrawl.website.care.checks_gitlab import days_left, threshold
from labtrawl.website.door.trail import note_detail
from labtrawl.website.given.keeping import BudgetTold
from labtrawl.website.parts.addresses import Pager
from labtrawl.website.parts.asking import Id, MaybeId
from labtrawl.website.parts.reasons import LONGEST_REASON, reason_of

State = Literal["works", "off", "removed", "consent", "refused"]
Did = Literal["verified", "refused", "on", "still_off", "off", "removed", "named"]


class AccountTold(msgspec.Struct, frozen=True, kw_only=True):
    """One account. Nothing here is secret; instants are UTC."""

    id: int
    instance: str
    instance_url: str
    gitlab_version: str
    gitlab_user_id: int
    username: str
    scopes: tuple[str, ...]
    state: State
    renews_itself: bool
    verified_at: datetime
    expires_at: datetime | None
    days_left: int | None
    """Whole days until a credential ends that nobody renews; None where it renews itself."""
    warns: bool
    renewed_from: datetime | None
    refused_since: datetime | None
    """Since when GitLab refuses to renew it; it is tried again."""
    is_in_settings: bool
    areas: int
    running_jobs: int
    budgets: tuple[BudgetTold, ...]


class AccountsTold(msgspec.Struct, frozen=True, kw_only=True):
    """A page of accounts; `problems` is what is wrong with accounts, a sentence each."""

    accounts: tuple[AccountTold, ...]
    problems: tuple[str, ...]
    waiting_jobs: int
    pages: Pager


class SwitchWanted(msgspec.Struct, frozen=True):
    """Whether an account may be used, and why."""

    to: Literal["on", "off"]
    because: str


class RemovalWanted(msgspec.Struct, frozen=True):
    """Why a credential is removed; `username` is typed to confirm."""

    username: str
    because: str


class AccountDone(msgspec.Struct, frozen=True):
    """What came of it, one sentence; and whether its GitLab accepted it.

    `accepted` is of the account's credential, or of its end where that was removed; None where its
    GitLab was not asked. An account that is to be switched on and is not accepted stays off.
    """

    outcome: str
    accepted: bool | None


def add(app: FastAPI, desk: Desk) -> None:
    """Add /accounts, and what admins do with one."""

    @twins.page(app, desk, "/accounts", AccountsTold, "The accounts that GitLab is read with")
    async def show(
        after: MaybeId = None,
        before: MaybeId = None,
        did: Did | Literal[""] = "",
        account: MaybeId = None,
    ) -> Shown:
        told = await _read(desk, Place(after, before))
        about = next((each for each in told.accounts if each.id == account), None)
        values = {"did": did if about else "", "about": about, "longest_reason": LONGEST_REASON}
        return Shown("accounts.html", told, values=values)

    _add_actions(app, desk)
    _add_removal(app, desk)


def _add_actions(app: FastAPI, desk: Desk) -> None:
    @twins.action(
        app, "/accounts/{account_id}/verify", None, AccountDone, "Ask an account's GitLab now"
    )
    async def verify(account_id: Id, request: Request) -> Done:
        told = await _verified(desk, account_id)
        note_detail(request, told.outcome)
        return _done(account_id, "verified" if told.accepted else "refused", told)

    @twins.action(
        app,
        "/accounts/{account_id}/switch",
        SwitchWanted,
        AccountDone,
        "Let an account be used, or not",
    )
    async def switch(account_id: Id, request: Request, wanted: SwitchWanted) -> Done:
        because = reason_of(wanted.because)
        note_detail(request, f"{wanted.to}:", because)
        if wanted.to == "off":
            return _done(account_id, "off", await _switched_off(desk, account_id))
        told = await _switched_on(desk, account_id)
        if not told.accepted:
            note_detail(request, f"on, but it stays off: {told.outcome}; because:", because)
        return _done(account_id, "on" if told.accepted else "still_off", told)


def _add_removal(app: FastAPI, desk: Desk) -> None:
    @twins.action(
        app,
        "/accounts/{account_id}/remove",
        RemovalWanted,
        AccountDone,
        "Erase an account's credential and end it at its GitLab",
    )
    async def remove(account_id: Id, request: Request, wanted: RemovalWanted) -> Done:
        because = reason_of(wanted.because)
        note_detail(request, because)
        await _check_name(desk, account_id, wanted.username)
        told = await _removed(desk, account_id)
        if left := await desk.site.accounts.erase(account_id):
            note_detail(request, because, "but", left)
            told = AccountDone(f"{told.outcome}; {left}", told.accepted)
        return _done(account_id, "named" if left else "removed", told)


def _done(account_id: int, did: Did, told: AccountDone) -> Done:
    query = urlencode({"did": did, "account": account_id})
    # Back to the page of the list that has it.
    before = f"&after={account_id - 1}" if account_id > 1 else ""
    return Done(f"/accounts?{query}{before}", told)


async def _verified(desk: Desk, account_id: int) -> AccountDone:
    """Return whether its GitLab accepts an account, and what it said; Missing for no account."""
    await _row_of(desk, account_id)
    try:
        return AccountDone(await desk.site.accounts.verify(account_id), accepted=True)
    except (GitLabError, ConfigError, Conflict) as error:
        return AccountDone(str(error), accepted=False)


async def _switched_on(desk: Desk, account_id: int) -> AccountDone:
    """Ask the account's GitLab; what that does not accept stays off."""
    told = await _verified(desk, account_id)

    def change(connection: Connection) -> None:
        accounts.switch(connection, account_id, is_on=True)
        jobs.resume(connection, HoldReason.CREDENTIAL, account_id)
        jobs.hold_unseen(connection)

    if told.accepted:
        await desk.site.store.write(change)
    return told


async def _switched_off(desk: Desk, account_id: int) -> AccountDone:
    def change(connection: Connection) -> list[Worked]:
        stopped = choices.stop(connection, account_id)
        accounts.switch(connection, account_id, is_on=False)
        jobs.hold_unseen(connection)
        return stopped

    stopped = await desk.site.store.write(change)
    desk.tell_stopped(stopped)
    jobs_told = f"{len(stopped)} job{'' if len(stopped) == 1 else 's'}"
    outcome = f"nobody uses it any more; taken from crawlers: {jobs_told}"
    return AccountDone(outcome, accepted=None)


async def _removed(desk: Desk, account_id: int) -> AccountDone:
    site = desk.site
    if site.entrance is None:
        stopped = await site.store.write(lambda c: connections.disconnect(c, account_id))
        desk.tell_stopped(stopped or ())
        return AccountDone("erased here; end it at its GitLab as well", accepted=None)
    if await site.entrance.disconnect(account_id, desk.tell_stopped):
        return AccountDone("erased here, and ended at its GitLab", accepted=True)
    outcome = "erased here; its GitLab did not confirm that it ended it: do that there"
    return AccountDone(outcome, accepted=False)


async def _row_of(desk: Desk, account_id: int) -> AccountRow:
    """Return an account; Missing where there is none."""
    page = await desk.site.store.read(lambda c: list_accounts(c, Place(after=account_id - 1)))
    for row in page.rows:
        if row.id == account_id:
            return row
    raise Missing(f"there is no account {account_id}")


async def _check_name(desk: Desk, account_id: int, username: str) -> None:
    row = await _row_of(desk, account_id)
    if username.strip().removeprefix("@") != row.username:
        raise BadMessage("type the account's name to confirm; nothing was removed")


async def _read(desk: Desk, place: Place[int]) -> AccountsTold:
    page, waiting = await desk.site.store.read(
        lambda connection: (list_accounts(connection, place), waiting_jobs(connection))
    )
    return AccountsTold(
        accounts=tuple(_told(desk, row) for row in page.rows),
        problems=tuple(desk.site.problems()),
        waiting_jobs=waiting,
        pages=_pager(page),
    )


def _pager(page: Page[AccountRow]) -> Pager:
    first, last = (page.rows[0].id, page.rows[-1].id) if page.rows else (0, 0)
    return Pager(
        "/accounts",
        f"/accounts?before={first}" if page.has_previous else None,
        f"/accounts?after={last}" if page.has_next else None,
    )


def _told(desk: Desk, row: AccountRow) -> AccountTold:
    now = desk.site.clock.now_ms()
    ends = None if row.renews_itself or not row.has_token else row.expires_at
    return AccountTold(
        id=row.id,
        instance=row.instance_name,
        instance_url=row.instance_url,
        gitlab_version=row.gitlab_version,
        gitlab_user_id=row.gitlab_user_id,
        username=row.username,
        scopes=tuple(row.scopes.split()),
        state=_state(row),
        renews_itself=row.renews_itself,
        verified_at=_instant(row.verified_at) or desk.site.clock.now(),
        expires_at=_instant(row.expires_at) if row.has_token else None,
        days_left=None if ends is None else days_left(ends, now),
        warns=ends is not None and threshold(ends, now) is not None,
        renewed_from=_instant(row.renew_at),
        refused_since=_instant(row.renewal_refused_at),
        is_in_settings=desk.site.accounts.is_in_settings(row.instance_name, row.gitlab_user_id),
        areas=row.areas,
        running_jobs=row.running_jobs,
        budgets=tuple(desk.site.accounts.budgets(row.id)),
    )


def _state(row: AccountRow) -> State:
    if not row.has_token:
        return "removed"
    if row.disabled_at is not None:
        return "off"
    if row.state == "active":
        return "works"
    return "consent" if row.mode == Mode.STUDY and not row.has_consent else "refused"


def _instant(ms: int | None) -> datetime | None:
    return None if ms is None else datetime.fromtimestamp(ms / 1000, UTC)
