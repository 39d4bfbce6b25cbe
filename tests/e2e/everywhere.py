"""Every page of the site, each once for those who may open it: what holds for all pages goes there."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urlencode

from playwright.sync_api import BrowserContext
from sqlalchemy import Connection

from labtrawl.store.sessions import Role, create_session
from labtrawl.website.access import API, AUDIENCE, Who
from tests.integration.website import world
from tests.integration.website.own import Own, plant
from tests.integration.website.running import RunningSite

ADMIN, PARTICIPANT, NOBODY = "admin", "participant", "nobody"

# What answers with no page: files, streams, what programs ask, the way back from a GitLab.
NO_PAGES = frozenset(
    {
        "/livez",
        "/readyz",
        "/static/{name:path}",
        "/live",
        "/streams",
        "/crawlers/live",
        "/supervisor/live",
        "/logs/live",
        "/logs/download",
        "/audit/download",
        "/insights/{insight}/parquet",
        "/sign-in/gitlab/{place}/answer",
    }
)
# Few jobs: the others stay as they failed.
OPERATION = {"action": "retry", "because": "to see", "all": "true", "resource": "milestones"}
# Words in braces are filled in by `address`; what has none is the same as its route.
# Few rows of each look: axe takes its time for each cell.
PLACES: Mapping[str, str] = {
    "/jobs": "/jobs?area=lighthouse/apps",
    "/coverage": "/coverage?path=lighthouse/apps",
    "/jobs/{job_id}": "/jobs/{failed}",
    "/areas/{area_id}": "/areas/{area}",
    "/operations/{operation_id}": "/operations/{operation}",
    "/operations/new": "/operations/new?action=retry&state=failed",
    "/areas/{area_id}/records": "/areas/{area}/records?resource=issues&text=Title+9",
    "/areas/{area_id}/records/{place}": "/areas/{area}/records/{place}",
    "/me/areas/{area_id}": "/me/areas/{area}",
    "/me/records": "/me/records?area={area}&resource=issues&text=Title+9",
    "/me/records/{place}": "/me/records/{place}",
}

# What a page without content is asked with, where it must be asked with something.
NO_JOB = "/operations/new?action=retry&state=failed"


def routes() -> dict[str, frozenset[Who]]:
    """Every route that is a page, and who may open it."""
    return {
        path: who
        for (method, path), who in AUDIENCE.items()
        if method == "GET" and not path.startswith(API) and path not in NO_PAGES
    }


def pages() -> list[tuple[str, str]]:
    """(who, route) of every page; a page of participants is theirs alone here."""
    found = []
    for path, who in sorted(routes().items()):
        if Who.EVERYBODY in who:
            found.append((NOBODY, path))
        elif path == "/me" or path.startswith("/me/"):
            found.append((PARTICIPANT, path))
        else:
            found.append((ADMIN, path))
    return found


@dataclass(frozen=True)
class Everywhere:
    """A site with something on every page, and who looks at it."""

    own: Own
    cookies: Mapping[str, str]
    values: Mapping[str, object]
    places: Mapping[str, str] = field(default_factory=lambda: PLACES)

    def address(self, route: str) -> str:
        """Where a page is that shows something."""
        path = self.places.get(route, route)
        return self.own.site.url + path.format_map(dict(self.values))

    def sign_in(self, context: BrowserContext, who: str) -> None:
        """Let a browser be somebody's."""
        if cookie := self.cookies[who]:
            name, value = cookie.split("=", 1)
            context.add_cookies([{"name": name, "value": value, "url": self.own.site.url}])


def populated(site: RunningSite) -> Everywhere:
    """Put something on every page: two participants, a crawl in all states, an operation."""
    site.around.data_dir.mkdir(exist_ok=True)
    own = plant(site)
    site.write(lambda connection: world.build(connection, projects=8))
    wanted = urlencode(OPERATION)
    form = {"Content_Type": "application/x-www-form-urlencoded"}
    status, headers, body = own.ask("O", "POST", "/operations", wanted, **form)
    assert status == 303, body
    rows = own.told("A", f"/me/records?area={own.areas['shared']}&resource=issues")["rows"]
    values = {
        "failed": site.write(lambda c: last_job(c, "failed")),
        "area": own.areas["shared"],
        "operation": headers["location"].rpartition("/")[2],
        "place": rows[0]["place"],
    }
    cookies = {ADMIN: site.cookie(), PARTICIPANT: own.cookies["A"], NOBODY: ""}
    return Everywhere(own, cookies, values)


def bare(site: RunningSite) -> Everywhere:
    """Put nothing on any page: the first minute of a site, and a participant who was just let in."""
    site.around.crawlers = ()
    newcomer = site.write(lambda c: create_session(c, Role.PARTICIPANT, world.participant(c, 101)))
    name = site.cookie().partition("=")[0]
    cookies = {ADMIN: site.cookie(), PARTICIPANT: f"{name}={newcomer}", NOBODY: ""}
    return Everywhere(Own(site, {}, cookies, {}), cookies, {}, {"/operations/new": NO_JOB})


def last_job(connection: Connection, state: str) -> int:
    """The newest job of a state."""
    query = "SELECT MAX(id) FROM job WHERE state = ?"
    return int(connection.exec_driver_sql(query, (state,)).scalar_one())
