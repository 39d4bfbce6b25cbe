"""Every address with every method that it does not have, as everybody: none of them is let in."""

import asyncio
from collections.abc import Mapping

import pytest

from tests.integration.website import world
from tests.integration.website.conftest import Client
from tests.integration.website.test_head import PATHS as HEADED
from tests.integration.website.test_who import TABLE, WHO, everybody, everything, filled

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE")
# Who may not come at all learns nothing of methods; who may is told that this is none.
REFUSED = {"ne": 401, "AB": 403, "oacdrs": 405}


def missing() -> list[tuple[str, str]]:
    """Every (method, path) of which the path alone is there."""
    paths = sorted({path for method, path in TABLE if method != "WEBSOCKET"})
    there = {*TABLE, *(("HEAD", path) for path in HEADED)}
    return [(each, path) for path in paths for each in METHODS if (each, path) not in there]


async def status(client: Client, method: str, path: str) -> int:
    headers = {"Origin": client.url, "Content-Type": "application/json"}
    return await client.status(method, filled(path), headers)


async def refusals(known: Mapping[str, Client], at_once: int) -> dict[str, set[int]]:
    """The statuses that each got; each method is tried by the next `at_once` of them."""
    found: dict[str, set[int]] = {who: set() for who in WHO}
    for number, pair in enumerate(missing()):
        those = [WHO[(number * at_once + each) % len(WHO)] for each in range(at_once)]
        codes = await asyncio.gather(*(status(known[who], *pair) for who in those))
        for who, code in zip(those, codes, strict=True):
            found[who].add(code)
    return found


@pytest.mark.parametrize("at_once", [1, pytest.param(len(WHO), marks=pytest.mark.proof)])
async def test_method_that_an_address_does_not_have_is_refused(
    stranger: Client, at_once: int
) -> None:
    await stranger.write(world.one_job)
    known = await everybody(stranger)
    before = await stranger.store.read(everything)
    assert len(missing()) > 900
    found = await refusals(known, at_once)
    assert found == {who: {code} for those, code in REFUSED.items() for who in those}
    assert await stranger.store.read(everything) == before
