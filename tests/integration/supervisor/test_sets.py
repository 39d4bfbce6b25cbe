"""Several programs together: credentials, introductions, order of stopping, listeners."""

import asyncio
import os
import signal
import sys
from datetime import datetime
from pathlib import Path

import pytest

from labtrawl.errors import Conflict, Missing, PeerGone, ProtocolError
from labtrawl.supervisor.authentication import (
    Credentials,
    CredentialsUpdated,
    CredentialsWithdrawn,
    announce_credentials,
)
from labtrawl.supervisor.states import CredentialStatus, State
from labtrawl.supervisor.supervisor import WAITING_FOR_CREDENTIALS
from tests.integration.supervisor.conftest import (
    CHILDREN,
    Stage,
    Staged,
    crawler,
    program,
    talker,
    website,
)


@pytest.mark.seed("S1.13")
async def test_crawler_without_credentials_waits_and_says_for_what(
    folder: Path, staged: Staged
) -> None:
    async with staged([program(folder, "website", "good"), crawler(folder)]) as stage:
        await stage.ready("website")
        status = await stage.supervisor.wait_for("crawler-1", lambda each: bool(each.reason))
    assert (status.state, status.reason, status.starts) == (
        State.PENDING,
        WAITING_FOR_CREDENTIALS,
        0,
    )


@pytest.mark.seed("S1.10", "S1.11", "S1.12", "S1.13")
async def test_crawler_starts_when_the_website_announced_credentials(
    folder: Path, staged: Staged
) -> None:
    async with staged([crawler(folder), website(folder)]) as stage:
        await stage.ready("crawler-1")
        whole = stage.supervisor.whole_status()
    assert whole.credentials == CredentialStatus(present=True, verified_at="2026-11-22T00:00:00Z")
    assert [status.name for status in whole.programs] == ["crawler-1", "website"]


async def test_withdrawn_credentials_end_no_crawler_but_let_none_start(
    folder: Path, staged: Staged
) -> None:
    async with staged([crawler(folder), website(folder)]) as stage:
        first = await stage.ready("crawler-1")
        stage.supervisor._hear(CredentialsWithdrawn())
        assert stage.supervisor.whole_status().credentials == CredentialStatus()
        assert stage.supervisor.status()[0] == first
        status = await stage.supervisor.restart("crawler-1")
    assert (status.state, status.reason) == (State.PENDING, WAITING_FOR_CREDENTIALS)


@pytest.mark.seed("S1.5")
async def test_stranger_on_the_authentication_socket_is_refused(
    folder: Path, staged: Staged
) -> None:
    async with staged([program(folder, "website", "good"), crawler(folder)]) as stage:
        await stage.ready("website")
        with pytest.raises(ProtocolError, match="only the website"):
            await announce_credentials(folder / "auth.sock", Credentials(verified_at="x"))
        assert not stage.supervisor.whole_status().credentials.present


async def test_announcement_without_a_supervisor_says_that_nobody_answers(folder: Path) -> None:
    with pytest.raises(PeerGone, match="does not answer"):
        await announce_credentials(folder / "auth.sock", CredentialsWithdrawn())


async def test_website_hears_of_crawlers_and_a_new_website_of_all_live_ones(
    folder: Path, staged: Staged
) -> None:
    programs = [website(folder), crawler(folder, 1), crawler(folder, 2)]
    async with staged(programs) as stage:
        first = await stage.ready("crawler-1")
        await stage.ready("crawler-2")
        await stage.supervisor.restart("website")
        assert first.pid is not None
        os.kill(first.pid, signal.SIGKILL)
        await stage.ready("crawler-1", starts=2)
        await stage.stop()
    notes = [(note["event"], note["name"]) for note in stage.notes("website")]
    start = notes.index(("begin", "website"), 1)
    before, after = set(notes[:start]), notes[start:]
    assert before == {
        ("begin", "website"),
        ("peer", "crawler-1"),
        ("peer", "crawler-2"),
        ("stopped", "website"),
    }
    assert after[1:5] == [
        ("peer", "crawler-1"),
        ("peer", "crawler-2"),
        ("peer_gone", "crawler-1"),
        ("peer", "crawler-1"),
    ]


@pytest.mark.seed("S1.33")
async def test_stop_ends_crawlers_before_the_website_and_that_before_the_sandbox(
    folder: Path, staged: Staged
) -> None:
    sandbox = program(folder, "sandbox", "good")
    site = program(
        folder,
        "website",
        "website",
        gives_credentials=True,
        listeners=("api",),
        after=("sandbox",),
    )
    async with staged([sandbox, site, crawler(folder, 1), crawler(folder, 2)]) as stage:
        await stage.ready("crawler-1")
        await stage.ready("crawler-2")
        assert await stage.stop() == ()
    ends = [status.name for status in stage.changes if status.state is State.STOPPED]
    assert set(ends[:2]) == {"crawler-1", "crawler-2"}
    assert ends[2:] == ["website", "sandbox"]
    starts = [status.name for status in stage.changes if status.state is State.READY]
    assert starts[:2] == ["sandbox", "website"]


async def test_second_wish_to_stop_kills_at_once(folder: Path, staged: Staged) -> None:
    async with staged([program(folder, "a", "stuck", grace_seconds=60)]) as stage:
        await stage.ready("a")
        stage.supervisor.stop()
        await stage.supervisor.wait_for("a", lambda each: each.state is State.STOPPING)
        stage.supervisor.kill()
        assert await stage.running == ("a",)


@pytest.mark.seed("S1.2")
async def test_listener_survives_restarts_and_no_connect_is_refused(
    folder: Path, staged: Staged
) -> None:
    async with staged([website(folder)]) as stage:
        first = await stage.ready("website")
        assert first.pid is not None
        assert await asked(folder) == first.pid
        os.kill(first.pid, signal.SIGKILL)
        await stage.supervisor.wait_for("website", lambda each: each.pid != first.pid)
        waiting = [asyncio.create_task(asked(folder)) for _ in range(20)]
        second = await stage.ready("website", starts=2)
        assert {await each for each in waiting} == {second.pid}


async def asked(folder: Path) -> int:
    reader, writer = await asyncio.open_unix_connection(folder / "api.sock")
    line = await reader.readline()
    writer.close()
    return int(line)


async def test_restart_of_an_unknown_program_names_those_that_are_there(
    folder: Path, staged: Staged
) -> None:
    async with staged([program(folder, "a", "good")]) as stage:
        with pytest.raises(Missing, match="there is no program b; there are: a"):
            await stage.supervisor.restart("b")


@pytest.mark.seed("S1.5", "S1.11")
async def test_authentication_socket_answers_only_the_process_that_is_the_website(
    folder: Path, staged: Staged
) -> None:
    async with staged([website(folder)]) as stage:
        await stage.ready("website")
        intruder = await asyncio.create_subprocess_exec(
            sys.executable,
            str(CHILDREN),
            "intruder",
            str(folder / "notes"),
            str(folder / "auth.sock"),
        )
        assert await intruder.wait() == 0
        assert stage.notes("notes") == [
            {
                "answer": '{"type":"auth_ack","success":false,"error":"only the website that this '
                'supervisor started may speak here"}\n'
            }
        ]


async def has_spoken(stage: Stage) -> None:
    await stage.supervisor.wait_for("website", lambda each: "said" in each.details)


ANCESTORS_FORM = {
    "type": "auth",
    "credentials": {
        "token": "canary-token-1234",
        "clientId": "canary-client-1234",
        "clientSecret": "canary-secret-1234",
    },
}


async def test_form_of_the_ancestors_is_understood_and_nothing_of_it_is_kept(
    folder: Path, staged: Staged, capsys: pytest.CaptureFixture[str]
) -> None:
    async with staged([talker(folder, ANCESTORS_FORM), crawler(folder)]) as stage:
        await stage.ready("crawler-1")
        whole = stage.supervisor.whole_status()
        answers = [note["answer"] for note in stage.notes("website")]
    assert answers == [{"type": "auth_ack", "success": True}]
    assert whole.credentials.present
    assert datetime.fromisoformat(whole.credentials.verified_at).tzinfo is not None
    written = capsys.readouterr()
    assert "canary" not in str((whole, stage.lines, written))


async def test_withdrawal_and_update_are_told_and_update_lets_crawlers_start(
    folder: Path, staged: Staged
) -> None:
    said = [
        {"type": "credentials", "verifiedAt": "2026-11-22T00:00:00Z"},
        {"type": "credentials_withdrawn"},
    ]
    async with staged([talker(folder, *said), program(folder, "x", "good")]) as stage:
        await has_spoken(stage)
        assert stage.supervisor.whole_status().credentials == CredentialStatus()
    updated = {"type": "credentials_updated", "verifiedAt": "b", "expiresAt": "c"}
    async with staged([talker(folder, *said, updated), crawler(folder)]) as stage:
        await stage.ready("crawler-1")
        assert stage.supervisor.whole_status().credentials == CredentialStatus(
            present=True, verified_at="b", expires_at="c"
        )


@pytest.mark.seed("S1.18")
async def test_new_credentials_restart_no_crawler(folder: Path, staged: Staged) -> None:
    async with staged([crawler(folder), website(folder)]) as stage:
        first = await stage.ready("crawler-1")
        stage.supervisor._hear(CredentialsUpdated(verified_at="later"))
        assert stage.supervisor.whole_status().credentials.verified_at == "later"
        assert stage.supervisor.status()[0] == first


async def test_programs_are_added_and_removed_while_others_run(
    folder: Path, staged: Staged
) -> None:
    async with staged([program(folder, "a", "good")]) as stage:
        await stage.ready("a")
        stage.supervisor.add([program(folder, "b", "good")])
        await stage.ready("b")
        with pytest.raises(Conflict, match=r"^b runs here already \(pid \d+\)$"):
            stage.supervisor.add([program(folder, "c", "good"), program(folder, "b", "good")])
        assert await stage.supervisor.remove(["a"]) == ()
        assert [status.name for status in stage.supervisor.status()] == ["b"]
        await stage.stop()
        with pytest.raises(Conflict, match="is ending"):
            stage.supervisor.add([program(folder, "d", "good")])


async def test_removal_by_force_kills_what_does_not_stop(folder: Path, staged: Staged) -> None:
    async with staged([program(folder, "a", "stuck", grace_seconds=60)]) as stage:
        await stage.ready("a")
        leaving = asyncio.create_task(stage.supervisor.remove(["a"]))
        await stage.supervisor.wait_for("a", lambda each: each.state is State.STOPPING)
        assert await stage.supervisor.remove(["a"], by_force=True) == ("a",)
        assert await leaving == ("a",)
        assert stage.supervisor.status() == ()


async def test_removed_website_takes_its_credentials_along(folder: Path, staged: Staged) -> None:
    async with staged([crawler(folder), website(folder)]) as stage:
        await stage.ready("crawler-1")
        await stage.supervisor.remove(["website"])
        status = await stage.supervisor.restart("crawler-1")
        assert (status.state, status.reason) == (
            State.PENDING,
            "waiting for credentials from the website; start it with `labtrawl start website`",
        )
        stage.supervisor.add([website(folder)])
        await stage.ready("crawler-1", starts=2)
