"""Answers `request_budget`: reads what a crawler wants and saw, and keeps what was learned."""

import math

import msgspec

from labtrawl import logs
from labtrawl.dispatch.budget import Budget, Key, Wanted
from labtrawl.dispatch.curve import LONGEST_WAIT_MS
from labtrawl.dispatch.desk import Desk
from labtrawl.dispatch.handout import task_number
from labtrawl.dispatch.pot_records import Grant, Learned, Sight
from labtrawl.errors import BadMessage, Missing, StoreError
from labtrawl.gitlab.limits import CLASSES, REST
from labtrawl.protocol import messages as wire
from labtrawl.protocol.exchange import Caller, Reply
from labtrawl.store import budgets, care
from labtrawl.store.engine import Store

log = logs.get("backend.budget")

# A crawler has no more accounts than jobs, and `crawler.jobs` ends there; each in every class.
MOST_WANTS = 256 * len(CLASSES)


async def restore(budget: Budget, store: Store) -> None:
    """Take over what an earlier process of the website learned.

    No wait is longer than the longest: its clock was ahead then, and was set back.
    """
    rows, now = await store.read(lambda c: (budgets.load(c), care.now_ms(c)))
    last = now + LONGEST_WAIT_MS
    budget.restore(
        {
            (account, class_): Learned(limit, wait if wait <= last else 0)
            for account, class_, limit, wait in rows
        }
    )


async def request_budget(desk: Desk, caller: Caller, envelope: wire.Envelope) -> Reply:
    """Grant requests to the caller, by what it and all others saw of GitLab's limits."""
    asked = msgspec.json.decode(envelope.payload, type=wire.RequestBudget)
    if max(len(asked.want), len(asked.seen)) > MOST_WANTS:
        raise BadMessage(f"a request for budget names at most {MOST_WANTS} accounts")
    wanted = [
        Wanted(_key(one.account_id, one.class_), one.requests, one.spent) for one in asked.want
    ]
    random = desk.jitter()
    seen = [(_key(one.account_id, one.class_), _sight(one, random)) for one in asked.seen]
    await _check_accounts(desk, {one.key[0] for one in wanted} | {key[0] for key, _ in seen})
    now = desk.clock.now_ms()
    grants = desk.budget.ask(caller.name, envelope.id or "", wanted, seen, now)
    await _keep(desk)
    granted = [_granted(one, grant) for one, grant in zip(asked.want, grants, strict=True)]
    answer = wire.BudgetGranted(grants=granted, server_time=now)
    return Reply("jobResponse", "budget_granted", answer)


def _key(account_id: str, class_: str) -> Key:
    """A class that only a newer crawler knows shares the budget of all the rest."""
    return task_number(account_id), class_ if class_ in CLASSES else REST


def _sight(seen: wire.BudgetSeen, random: float) -> Sight:
    wait = seen.retry_after_seconds
    # Cut here: an endless wait is a number in JSON (1e999), and none in milliseconds.
    wait_ms = None if wait is None else math.ceil(min(wait, LONGEST_WAIT_MS / 1000) * 1000)
    return Sight(seen.limit, seen.remaining, seen.reset_at, wait_ms, seen.refused, random)


async def _check_accounts(desk: Desk, account_ids: set[int]) -> None:
    """Nothing is learned, or kept, for an account that there is not."""
    for account_id in account_ids:
        if not desk.quiet.knows(account_id):
            url = await desk.store.read(
                lambda c, number=account_id: budgets.instance_of(c, number)  # type: ignore[misc]
            )
            if url is None:
                raise Missing(f"there is no account {account_id}")
            desk.quiet.know(account_id, url)


async def _keep(desk: Desk) -> None:
    """Write down what is new. What cannot be written holds nobody up: it can be learned again."""
    changes = desk.budget.changes()
    if not changes:
        return
    rows = [
        (account, class_, learned.limit_per_minute, learned.not_before)
        for (account, class_), learned in changes.items()
    ]
    for account, class_, limit, not_before in rows:
        log.info("limit_learned", account=account, kind=class_, limit=limit, until=not_before)
    try:
        await desk.store.write(lambda c: budgets.keep(c, rows))
    except StoreError as error:
        log.error("budget_not_kept", error=str(error), then="it is written with the next change")
    else:
        desk.budget.keep(changes)


def _granted(wanted: wire.BudgetWanted, grant: Grant) -> wire.BudgetGrant:
    return wire.BudgetGrant(
        account_id=wanted.account_id,
        class_=wanted.class_,
        requests=grant.requests,
        not_before=grant.not_before,
        expires_at=grant.expires_at,
        reason=grant.reason,
    )
