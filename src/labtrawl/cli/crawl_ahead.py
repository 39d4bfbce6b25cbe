"""What a first crawl costs at least: asked and reckoned before anything is written."""

from labtrawl.cli.crawl_place import Target, instance_of
from labtrawl.cli.crawl_wish import Wish
from labtrawl.cli.forecast import Choice, Forecast, Pace, Told, reckon
from labtrawl.cli.forecast_ask import Asking, Scope
from labtrawl.cli.origins import agent_of, http_to
from labtrawl.cli.scope import included
from labtrawl.config import Settings
from labtrawl.domain.credential import Secret
from labtrawl.domain.visit import Schedule
from labtrawl.gitlab.catalog import version_of
from labtrawl.gitlab.graphql_plans import Edition, edition_of
from labtrawl.gitlab.probe import Scope as Membership
from labtrawl.gitlab.probe import measure_scope
from labtrawl.gitlab.wanted import is_wanted
from labtrawl.http import Http, Limits, open_http

# What is asked at once.
QUESTIONS = 5


async def look_ahead(
    wish: Wish, resources: tuple[str, ...], target: Target, token: Secret
) -> Forecast | None:
    """Forecast the crawl of a target; None where GitLab does not tell what is there."""
    named = (target.path,) if target.path else ()
    since = wish.since.isoformat() if wish.since else ""
    scope = Scope(not named, (*named, *wish.include), wish.exclude, since)
    instance = instance_of(target.instance_url, wish.ca_file)
    limits = Limits(connections=QUESTIONS)
    async with open_http(http_to(instance), limits, agent_of(wish.contact)) as http:
        told = await Asking(http, token, scope).told()
    if told is None:
        return None
    edition = None if wish.rest_only else _edition(target.version)
    return reckon(told, _choice(scope, resources, edition), Pace(told.limit))


async def look_ahead_of(
    settings: Settings, version: str, http: Http, token: Secret
) -> tuple[Membership, Forecast | None]:
    """Say what an account is a member of, and forecast what settings would collect with its token.

    The second is None as that of `look_ahead`. Raises as `measure_scope`.
    """
    wanted, budget = settings.scope, settings.budget
    scope = Scope(members=True, paths=included(wanted.include), exclude=wanted.exclude)
    told = await Asking(http, token, scope).told()
    if told is None:
        return await measure_scope(http, token), None
    edition = _edition(version) if settings.crawler.graphql == "auto" else None
    pace = Pace(told.limit, budget.reserved_share, budget.requests_per_minute)
    forecast = reckon(told, _choice(scope, settings.schedule.resources, edition), pace)
    return _membership(told) or await measure_scope(http, token), forecast


def _membership(told: Told) -> Membership | None:
    """Return how many there are; None where GitLab did not tell, which more pages may."""
    groups, projects = told.members
    is_told = groups.is_exact and projects.is_exact
    return Membership(groups.total, projects.total) if is_told else None


def _edition(version: str) -> Edition:
    return edition_of(version, version_of(version))


def _choice(scope: Scope, resources: tuple[str, ...], edition: Edition | None) -> Choice:
    schedule = Schedule(resources=resources or ("*",))
    return Choice(
        lambda resource: is_wanted(schedule, resource), scope.exclude, edition, bool(scope.since)
    )
