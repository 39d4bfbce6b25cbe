"""The API against its own description: what schemathesis makes of it, by the thousand.

Checked of each answer: no fault of ours, a status, a type and a shape that the description names,
no way in with wrong credentials, no method that is not there. Not checked: that all which fits the
description is accepted (a reason may not be blank, a job may be gone: 422 and 404 say so), and that
nothing else is (a blank field of a query is none at all).
"""

import asyncio
import re
import subprocess
import sys
import urllib.request
from collections.abc import Sequence
from pathlib import Path

import pytest
from sqlalchemy import Connection

from labtrawl.store import tokens
from labtrawl.store.tokens import TokenScope
from tests.integration.website import own, world
from tests.integration.website.house import house
from tests.integration.website.running import running_site

CHECKS = (
    "not_a_server_error,status_code_conformance,content_type_conformance,"
    "response_headers_conformance,response_schema_conformance,unsupported_method"
)
PAGES, MINE, DOORS = "^/api/v1/", "^/api/v1/me", "^/api/(internal|admin)"
AUTH = ",ignored_auth"
GENERATED = re.compile(r"(\d+) generated")
ENOUGH = 10_000


def fuzz(
    url: str, paths: str, each: int, headers: Sequence[str], cwd: Path, checks: str = CHECKS + AUTH
) -> int:
    """Send every operation the edge cases and `each` made-up requests; how many were sent."""
    named = [part for header in headers for part in ("--header", header)]
    run = subprocess.run(
        [
            *(sys.executable, "-m", "schemathesis.cli", "run", "openapi.json", "--url", url),
            *("--checks", checks, "--phases", "coverage,fuzzing", "--include-path-regex", paths),
            *("--max-examples", str(each), "--generation-database", "none", "--no-color"),
            *("--continue-on-failure", "--suppress-health-check", "all", *named),
        ],
        cwd=cwd,
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stdout[-8000:] + run.stderr[-2000:]
    found = GENERATED.search(run.stdout)
    assert found is not None, run.stdout
    return int(found[1])


def describe(url: str, header: str, folder: Path) -> None:
    """Keep the description where those can read it who may not ask for it."""
    name, value = header.split(": ")
    asked = urllib.request.Request(f"{url}/api/openapi.json", headers={name: value})
    with urllib.request.urlopen(asked) as reply:
        (folder / "openapi.json").write_bytes(reply.read())


def bearer(connection: Connection) -> str:
    """The header of a token that may do all."""
    wanted = frozenset({TokenScope.ADMIN, TokenScope.READ, TokenScope.CRAWLER})
    return f"Authorization: Bearer {tokens.create(connection, 'fuzz', wanted).text.reveal()}"


def fuzz_pages(folder: Path, each: int) -> int:
    """The twins of the pages, as an admin's program and as a participant."""
    with running_site(folder / "labtrawl.db") as site:
        site.around.data_dir.mkdir(exist_ok=True)
        planted = own.plant(site)
        site.write(lambda connection: world.build(connection, projects=4))
        admin = [site.write(bearer)]
        describe(site.url, admin[0], folder)
        # First: an admin ends sessions.
        person = [f"Cookie: {planted.cookies['A']}", "Sec-Fetch-Site: same-origin"]
        return fuzz(site.url, MINE, each, person, folder, CHECKS) + fuzz(
            site.url, PAGES, each, admin, folder
        )


async def fuzz_doors(folder: Path, each: int) -> int:
    """What crawlers and admins' programs use, with the real handlers behind it."""
    async with house(folder) as all_of_it:
        await all_of_it.site.plant(20)
        token = await all_of_it.site.store.write(bearer)
        crawler = all_of_it.client.by(bearer=token.rpartition(" ")[2])
        await crawler.json("POST", "/api/internal2/connect", {"id": "far-1"})
        await asyncio.to_thread(describe, all_of_it.client.url, token, folder)
        headers = [token, "X-Labtrawl-Client: far-1"]
        return await asyncio.to_thread(fuzz, all_of_it.client.url, DOORS, each, headers, folder)


@pytest.mark.proof
@pytest.mark.timeout(3600)
def test_ten_thousand_requests_to_the_twins_are_answered_as_described(tmp_path: Path) -> None:
    assert fuzz_pages(tmp_path, 120) >= ENOUGH


@pytest.mark.proof
@pytest.mark.timeout(3600)
async def test_many_requests_to_the_doors_are_answered_as_described(tmp_path: Path) -> None:
    assert await fuzz_doors(tmp_path, 120) >= ENOUGH // 4
