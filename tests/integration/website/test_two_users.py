"""F7: what belongs to one participant is not there for another, whatever the number in the address.

The addresses come from the table of routes: one that names something of a participant and is not
tried here fails the test.
"""

import json
import re
from collections.abc import Iterator, Mapping
from urllib.parse import urlencode

import pytest
from sqlalchemy import Connection

from labtrawl.website.access import AUDIENCE, WEBSOCKET, Who
from tests.integration.website.own import Own, plant
from tests.integration.website.running import running_site
from tests.integration.website.test_who import everything

# What an action takes, where it takes anything.
BODIES = {"/me/areas/{area_id}/choice": {"wanted": "no"}}
# How each place in an address of participants is filled with what is A's.
PLACES = ("area_id", "place", "session_id")
# What anybody may name: it is no participant's.
PUBLIC_PLACES = frozenset({"/sign-in/gitlab/{place}", "/sign-in/gitlab/{place}/answer"})


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Own]:
    with running_site(tmp_path_factory.mktemp("two") / "labtrawl.db") as site:
        yield plant(site)


def of_participants() -> list[tuple[str, str]]:
    """Every route for participants whose address names something."""
    return sorted(
        (method, path)
        for (method, path), who in AUDIENCE.items()
        if Who.PARTICIPANT in who
        and Who.EVERYBODY not in who
        and "{" in path
        and method != WEBSOCKET
        and path not in PUBLIC_PLACES
    )


@pytest.fixture(scope="module")
def things(own: Own) -> Mapping[str, object]:
    """What is A's alone, by the name of its place in an address."""
    rows = own.told("A", f"/me/records?area={own.areas['own']}&resource=issues")["rows"]
    query = "SELECT s.id FROM session s JOIN person p ON p.id = s.person_id WHERE p.gitlab_user_id = 101"
    session = own.site.write(lambda c: c.exec_driver_sql(query).scalars().all()[0])
    return {"area_id": own.areas["own"], "place": rows[0]["place"], "session_id": session}


def test_every_place_in_an_address_of_participants_is_tried() -> None:
    named = {name for _, path in of_participants() for name in re.findall(r"\{(\w+)", path)}
    assert named == set(PLACES)


def state(connection: Connection) -> tuple[object, ...]:
    """All that is stored, and which sessions go on."""
    going = "SELECT id FROM session WHERE revoked_at IS NULL"
    return everything(connection), connection.exec_driver_sql(going).scalars().all()


@pytest.mark.parametrize(("method", "path"), of_participants())
def test_what_is_of_another_participant_is_not_there(
    own: Own, things: Mapping[str, object], method: str, path: str
) -> None:
    address = path.format_map(dict(things))
    fields = BODIES.get(path.removeprefix("/api/v1"), {}) if method == "POST" else {}
    as_json = path.startswith("/api/")
    body = (json.dumps(fields) if as_json else urlencode(fields)) if method == "POST" else ""
    kind = "application/json" if as_json else "application/x-www-form-urlencoded"
    before = own.site.write(state)
    found = {who: own.ask(who, method, address, body, Content_Type=kind)[0] for who in ("B", "N")}
    assert found == {"B": 404, "N": 404}
    assert own.site.write(state) == before
    if method == "GET":
        assert own.status("A", method, address) == 200
