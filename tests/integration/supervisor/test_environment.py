"""GitLab credentials as variables: only where the setting says so, only in crawlers, with a warning."""

import io
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from labtrawl import logs
from labtrawl.config import Logs
from labtrawl.supervisor.authentication import (
    CredentialsUpdated,
    CredentialsWithdrawn,
    GitLabAccess,
)
from labtrawl.supervisor.states import CredentialStatus, State
from labtrawl.supervisor.supervisor import SAFER, WAITING_FOR_A_TOKEN
from tests.integration.supervisor.conftest import Stage, Staged, crawler, program, talker

TOKEN = "canary-0123456789-token"
URL = "https://gitlab.example.org"
VARIABLES = {"GITLAB_TOKEN": TOKEN, "GITLAB_URL": URL}
HANDED = {"type": "credentials", "verifiedAt": "a", "gitlab": {"token": TOKEN, "url": URL}}
ANCESTORS_FORM = {"type": "auth", "credentials": {"token": TOKEN, "clientSecret": "canary-secret"}}
KEPT = {"type": "credentials", "verifiedAt": "a"}


@pytest.fixture
def logged() -> Iterator[io.StringIO]:
    stream = io.StringIO()
    logs.set_up(Logs(format="json"), stream)
    yield stream
    logs.set_up()


def variables(stage: Stage, name: str) -> list[object]:
    return [note["variables"] for note in stage.notes(name) if note["event"] == "begin"]


@pytest.mark.seed("S1.14")
async def test_crawler_gets_the_credentials_as_variables_and_the_log_warns(
    folder: Path, staged: Staged, logged: io.StringIO
) -> None:
    other = program(folder, "other", "good")
    async with staged(
        [talker(folder, HANDED), crawler(folder), other], in_environment=True
    ) as stage:
        await stage.ready("crawler-1")
        await stage.ready("other")
        await stage.supervisor.restart("other")
        whole = stage.supervisor.whole_status()
        told = variables(stage, "crawler-1"), variables(stage, "other")
        assert told == ([VARIABLES], [{}, {}])
    assert whole.credentials == CredentialStatus(present=True, verified_at="a", in_environment=True)
    events = [json.loads(line) for line in logged.getvalue().splitlines()]
    warnings = [each for each in events if each["event"] == "credentials_in_environment"]
    assert [(each["level"], each["advice"]) for each in warnings] == [("warning", SAFER)]
    assert "canary" not in logged.getvalue() + str(whole)


@pytest.mark.seed("S1.16")
@pytest.mark.parametrize("said", [HANDED, ANCESTORS_FORM], ids=["ours", "ancestors"])
async def test_token_that_comes_where_the_setting_does_not_ask_for_it_goes_nowhere(
    folder: Path, staged: Staged, said: object
) -> None:
    async with staged([talker(folder, said), crawler(folder)]) as stage:
        await stage.ready("crawler-1")
        assert variables(stage, "crawler-1") == [{}]
        assert stage.supervisor._handover is None
        assert not stage.supervisor.whole_status().credentials.in_environment


async def test_form_of_the_ancestors_gives_the_token_and_never_the_client_secret(
    folder: Path, staged: Staged
) -> None:
    async with staged([talker(folder, ANCESTORS_FORM), crawler(folder)], in_environment=True) as s:
        await s.ready("crawler-1")
        assert variables(s, "crawler-1") == [{"GITLAB_TOKEN": TOKEN}]


async def test_crawler_waits_while_the_website_keeps_its_tokens_to_itself(
    folder: Path, staged: Staged
) -> None:
    async with staged([talker(folder, KEPT), crawler(folder)], in_environment=True) as stage:
        status = await stage.supervisor.wait_for(
            "crawler-1", lambda each: each.reason == WAITING_FOR_A_TOKEN
        )
    assert (status.state, status.starts) == (State.PENDING, 0)


async def test_other_credentials_restart_crawlers_the_same_do_not(
    folder: Path, staged: Staged
) -> None:
    async with staged([talker(folder, HANDED), crawler(folder)], in_environment=True) as stage:
        first = await stage.ready("crawler-1")
        for access in (GitLabAccess(token=TOKEN, url=URL), None):
            stage.supervisor._hear(CredentialsUpdated(verified_at="b", gitlab=access))
            assert stage.supervisor.status()[1] == first
        renewed = GitLabAccess(token="canary-another-token", url=URL)
        stage.supervisor._hear(CredentialsUpdated(verified_at="c", gitlab=renewed))
        second = await stage.ready("crawler-1", starts=2)
        assert second.crashes == 0
        assert variables(stage, "crawler-1") == [
            VARIABLES,
            {"GITLAB_TOKEN": "canary-another-token", "GITLAB_URL": URL},
        ]
        stage.supervisor._hear(CredentialsWithdrawn())
        assert stage.supervisor._handover is None


def test_announcements_with_a_token_do_not_show_it() -> None:
    access = GitLabAccess(token=TOKEN, url=URL)
    assert "canary" not in repr(CredentialsUpdated(verified_at="a", gitlab=access))
