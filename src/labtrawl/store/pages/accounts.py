"""The accounts as a list: what is known of each and of its credential, and never the credential."""

from dataclasses import dataclass

from sqlalchemy import Connection, Select, case, func, select

from labtrawl.store.pages.keyset import Page, Place, cut
from labtrawl.store.schema import account, area_access, instance, job

PAGE = 50
# Jobs that wait for a token are counted up to here.
COUNTED = 10_000


@dataclass(frozen=True, slots=True)
class AccountRow:
    """One account; instants in ms."""

    id: int
    instance_name: str
    instance_url: str
    gitlab_version: str
    gitlab_user_id: int
    username: str
    scopes: str
    state: str
    has_token: bool
    renews_itself: bool
    mode: str
    has_consent: bool
    verified_at: int
    expires_at: int | None
    renew_at: int | None
    renewal_refused_at: int | None
    disabled_at: int | None
    areas: int
    running_jobs: int


def _rows() -> Select[tuple[object, ...]]:
    """The query of all of them; counts are of indexes, an account at a time."""
    seen = select(func.count()).where(area_access.c.account_id == account.c.id).scalar_subquery()
    running = (
        select(func.count())
        .where(job.c.state == "running", job.c.account_id == account.c.id)
        .scalar_subquery()
    )
    return select(
        account.c.id,
        instance.c.name,
        instance.c.url,
        instance.c.version,
        account.c.gitlab_user_id,
        account.c.username,
        account.c.scopes,
        account.c.state,
        case((account.c.token != "", 1), else_=0),
        case((account.c.refresh_token != "", 1), else_=0),
        account.c.mode,
        case((account.c.consent_id.is_not(None), 1), else_=0),
        account.c.verified_at,
        account.c.expires_at,
        account.c.renew_at,
        account.c.renewal_refused_at,
        account.c.disabled_at,
        seen,
        running,
    ).select_from(account.join(instance, instance.c.id == account.c.instance_id))


def list_accounts(connection: Connection, place: Place[int]) -> Page[AccountRow]:
    """Return a page of the accounts, in the order in which they came."""
    query = _rows().limit(PAGE + 1)
    if place.before is not None:
        query = query.where(account.c.id < place.before).order_by(account.c.id.desc())
    else:
        query = query.where(account.c.id > (place.after or 0)).order_by(account.c.id)
    rows = [_row(*found) for found in connection.execute(query).all()]
    return cut(rows, place, PAGE)


def _row(*found: object) -> AccountRow:
    values = list(found)
    for place in (8, 9, 11):
        values[place] = bool(values[place])
    return AccountRow(*values)  # type: ignore[arg-type] # in the order of the query


def waiting_jobs(connection: Connection) -> int:
    """Count the jobs that wait for a token, up to `COUNTED`."""
    held = (
        select(job.c.id)
        .where(job.c.state == "held", job.c.hold_reason == "credential")
        .limit(COUNTED)
        .subquery()
    )
    return connection.execute(select(func.count()).select_from(held)).scalar_one()
