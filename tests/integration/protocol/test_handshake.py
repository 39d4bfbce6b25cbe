"""Who gets in, and what happens to a connection that misbehaves; its neighbours notice nothing."""

import asyncio
import os
from collections.abc import Awaitable, Callable
from pathlib import Path

import msgspec
import pytest

from labtrawl.dispatch.session import Rhythm
from labtrawl.protocol import messages as wire
from labtrawl.protocol import proof
from tests.integration.protocol.wire import TOKEN, RawPeer, Website, crawler, raw_peer, website

SECRET = proof.secret_of(TOKEN)


@pytest.mark.seed("S2.2", "S2.7", "S2.8", "S2.18", "S2.24", "S2.22", "S2.108", "S2.109", "S2.110")
async def test_child_with_its_token_is_registered_and_both_ends_are_proved(tmp_path: Path) -> None:
    async with website(tmp_path) as site, site.serving() as manager:
        site.announce("crawler-1")
        client = crawler(site.path)
        async with client.running():
            answer = await client.request(
                "jobRequest", "renew_leases", wire.RenewLeases(leases=[]), 30
            )
            assert (answer.key, client.is_connected()) == ("leases_renewed", True)
            assert [one.name for one in manager.get_authorized_clients()] == ["crawler-1"]
            assert [one.client.pid for one in manager.statuses()] == [os.getpid()]
        assert not client.is_connected()


async def _with_token(peer: RawPeer) -> str:
    return await peer.register("crawler-1", proof.secret_of("another token"))


async def _as_another(peer: RawPeer) -> str:
    return await peer.register("crawler-2", SECRET)


async def _with_old_nonce(peer: RawPeer) -> str:
    return await peer.register("crawler-1", SECRET, nonce="of another connection")


async def _without_register(peer: RawPeer) -> str:
    peer.send("request_jobs", {"limit": 1}, "jobRequest", id="0" * 26)
    answer = await peer.hear("rejected", "jobs_available")
    return answer.key if answer else "closed"


async def _with_strange_proof(peer: RawPeer) -> str:
    await peer.hear("challenge")
    peer.send("register", {"id": "crawler-1", "nonce": "n", "proof": "é"}, "command")
    answer = await peer.hear("registered", "rejected")
    return answer.key if answer else "closed"


async def _with_strange_payload(peer: RawPeer) -> str:
    await peer.hear("challenge")
    peer.send("register", {"id": 5}, "command")
    answer = await peer.hear("registered", "rejected")
    return answer.key if answer else "closed"


@pytest.mark.parametrize(
    ("attempt", "outcome"),
    [
        (_with_token, "rejected"),
        (_with_old_nonce, "rejected"),
        (_without_register, "rejected"),
        (_with_strange_proof, "rejected"),
        (_with_strange_payload, "closed"),
    ],
)
@pytest.mark.seed("S2.2", "S2.23")
async def test_peer_without_a_proof_is_refused_and_closed(
    tmp_path: Path, attempt: Callable[[RawPeer], Awaitable[str]], outcome: str
) -> None:
    async with website(tmp_path) as site, site.serving() as manager, raw_peer(site.path) as peer:
        site.announce("crawler-1")
        assert await attempt(peer) == outcome
        assert await peer.hear("anything") is None
        assert (manager.is_connected(), manager.get_authorized_clients()) == (False, [])


@pytest.mark.parametrize("pid", [1, os.getpid() + 1], ids=["of init", "of another"])
@pytest.mark.seed("S2.40")
async def test_token_of_a_child_is_of_no_use_to_another_process(tmp_path: Path, pid: int) -> None:
    """The kernel says which process dialled; the supervisor said which one it started."""
    async with website(tmp_path) as site, site.serving():
        site.auth.announced_within_seconds = 0.0
        site.announce("crawler-1", pid=pid)
        async with raw_peer(site.path) as peer:
            assert await peer.register("crawler-1", SECRET) == "rejected"


async def test_name_of_another_child_is_refused(tmp_path: Path) -> None:
    async with website(tmp_path) as site, site.serving():
        site.auth.announced_within_seconds = 0.0
        site.announce("crawler-1")
        async with raw_peer(site.path) as peer:
            assert await _as_another(peer) == "rejected"


async def test_child_faster_than_the_word_of_its_supervisor_is_waited_for(tmp_path: Path) -> None:
    async with website(tmp_path) as site, site.serving(), raw_peer(site.path) as peer:
        registering = asyncio.ensure_future(peer.register("crawler-1", SECRET))
        await asyncio.sleep(0)
        site.announce("crawler-1")
        assert await registering == "registered"


async def test_peer_that_says_nothing_is_closed(tmp_path: Path) -> None:
    rhythm = Rhythm(60.0, 60.0, register_seconds=0.0)
    async with (
        website(tmp_path, rhythm=rhythm) as site,
        site.serving(),
        raw_peer(site.path) as peer,
    ):
        answer = await peer.hear("registered", "rejected")
        assert answer is not None
        assert msgspec.json.decode(answer.payload) == {
            "reason": "no word within 0 s",
            "retryable": True,
        }
        assert await peer.hear("anything") is None


async def test_proof_of_a_false_website_is_refused_by_the_crawler(tmp_path: Path) -> None:
    """Somebody else listens: it gets a proof for its own nonce, and no message after it."""
    heard: list[str] = []
    again = asyncio.Event()

    async def impostor(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        peer = RawPeer(reader, writer)
        peer.send("challenge", {"nonce": "n"}, "command")
        if (register := await peer.hear("register")) is not None:
            heard.append(register.key)
        registered = wire.Registered(
            client_id="copilot-study", protocol=2, heartbeat_interval_ms=1, server_time=1, proof="0"
        )
        peer.send("registered", registered, "command")
        if (more := await peer.hear("PROGRESS_UPDATE", "heartbeat")) is not None:
            heard.append(more.key)
        writer.close()
        if len(heard) >= 2:
            again.set()

    async with website(tmp_path) as site:
        server = await asyncio.start_unix_server(impostor, sock=site.held.dup())
        client = crawler(site.path)
        async with client.running():
            client.send_heartbeat(wire.Heartbeat(timestamp=1))
            async with asyncio.timeout(30):
                await again.wait()
        server.close()
    assert set(heard) == {"register"}


@pytest.mark.seed("S2.15")
async def test_website_that_answers_nonsense_does_not_end_the_crawler(tmp_path: Path) -> None:
    """Each of these once ended the task that keeps the connection."""
    said = iter([b'{"nonce": 5}', b"[]", b"not json at all"])
    done = asyncio.Event()

    async def confused(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        payload = next(said, None)
        if payload is None:
            done.set()
            writer.close()
            return
        writer.write(b'{"origin":"o","type":"command","key":"challenge","payload":%s}\n' % payload)
        await reader.read()
        writer.close()

    async with website(tmp_path) as site:
        server = await asyncio.start_unix_server(confused, sock=site.held.dup())
        client = crawler(site.path)
        async with client.running():
            async with asyncio.timeout(30):
                await done.wait()
            server.close()
            site.announce("crawler-1")
            async with site.serving():
                await client.request("jobRequest", "renew_leases", wire.RenewLeases(leases=[]), 30)


@pytest.mark.seed("S2.28", "S2.80")
async def test_garbage_closes_only_its_sender(tmp_path: Path) -> None:
    async with website(tmp_path) as site, site.serving() as manager:
        site.announce("crawler-1")
        site.announce("crawler-2")
        good = crawler(site.path)
        async with good.running(), raw_peer(site.path) as bad:
            await good.request("jobRequest", "renew_leases", wire.RenewLeases(leases=[]), 30)
            assert await bad.register("crawler-2", SECRET) == "registered"
            bad.say(b"}{garbage]\n" * 5000)
            assert await bad.hear("anything") is None
            await good.request("jobRequest", "renew_leases", wire.RenewLeases(leases=[]), 30)
            assert ([*manager.sessions], good.reconnects) == (["crawler-1"], 1)
            assert manager.board.desk.statistics.refused["bad_message"] > 10


@pytest.mark.seed("S2.5", "S2.19", "S2.42", "S2.56", "S2.81")
async def test_silent_peer_is_closed_and_a_talking_one_kept(tmp_path: Path) -> None:
    async with website(tmp_path) as site, site.serving() as manager, raw_peer(site.path) as peer:
        site.announce("crawler-1")
        assert await peer.register("crawler-1", SECRET) == "registered"
        session = manager.sessions["crawler-1"]
        session.beat()
        assert await peer.hear("heartbeat") is not None
        manager.board.rhythm = Rhythm(60.0, silence_seconds=-1.0)
        session.beat()
        assert await peer.hear("anything") is None


@pytest.mark.seed("S2.27", "S2.60")
async def test_newer_connection_takes_the_place_of_the_older(tmp_path: Path) -> None:
    async with (
        website(tmp_path) as site,
        site.serving() as manager,
        raw_peer(site.path) as older,
        raw_peer(site.path) as newer,
    ):
        site.announce("crawler-1")
        assert await older.register("crawler-1", SECRET) == "registered"
        assert await newer.register("crawler-1", SECRET) == "registered"
        assert await older.hear("anything") is None
        newer.send("renew_leases", {"leases": []}, "jobRequest", id="1" * 26)
        assert await newer.hear("leases_renewed") is not None
        assert ([*manager.sessions], len(manager.statuses())) == (["crawler-1"], 1)


async def test_two_connections_of_one_name_at_once_leave_one(tmp_path: Path) -> None:
    async with (
        website(tmp_path) as site,
        site.serving() as manager,
        raw_peer(site.path) as one,
        raw_peer(site.path) as other,
    ):
        site.announce("crawler-1")
        await asyncio.gather(one.register("crawler-1", SECRET), other.register("crawler-1", SECRET))
        async with asyncio.timeout(30):
            while len(manager._tasks) > 1:
                await asyncio.wait(manager._tasks, return_when=asyncio.FIRST_COMPLETED)
        assert [*manager.sessions] == ["crawler-1"]


@pytest.mark.seed("S2.90")
async def test_peer_that_does_not_read_is_not_served_and_holds_up_nobody(tmp_path: Path) -> None:
    async with website(tmp_path) as site, site.serving() as manager:
        site.announce("crawler-1")
        site.announce("crawler-2")
        good = crawler(site.path)
        async with good.running(), raw_peer(site.path) as slow:
            assert await slow.register("crawler-2", SECRET) == "registered"
            session = manager.sessions["crawler-2"]
            slow._reader._transport.pause_reading()  # type: ignore[attr-defined]
            many = [wire.Holding(task_id="9" * 18, epoch=n) for n in range(500)]
            while session._connection.is_writable():
                slow.send("renew_leases", wire.RenewLeases(leases=many), "jobRequest", id="2" * 26)
                await good.request("jobRequest", "renew_leases", wire.RenewLeases(leases=[]), 30)
            before = session._connection._transport.get_write_buffer_size()  # type: ignore[union-attr]
            for _ in range(20):
                slow.send("renew_leases", wire.RenewLeases(leases=many), "jobRequest", id="2" * 26)
                await good.request("jobRequest", "renew_leases", wire.RenewLeases(leases=[]), 30)
            after = session._connection._transport.get_write_buffer_size()  # type: ignore[union-attr]
            assert after <= before + 2 * 40_000
            session.close("enough")
            async with asyncio.timeout(30):
                while "crawler-2" in manager.sessions:
                    await asyncio.wait(manager._tasks, return_when=asyncio.FIRST_COMPLETED)


@pytest.mark.seed("S1.21")
async def test_message_in_the_same_read_as_the_welcome_is_delivered(tmp_path: Path) -> None:
    heard: asyncio.Queue[str] = asyncio.Queue()

    async def eager(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        peer = RawPeer(reader, writer)
        peer.send("challenge", wire.Challenge(nonce="n"), "command")
        register = await peer.hear("register")
        assert register is not None
        told = msgspec.json.decode(register.payload, type=wire.Register)
        proved = proof.prove(SECRET, told.nonce, "n", proof.ROLE_WEBSITE, "copilot-study")
        registered = wire.Registered(
            client_id="copilot-study",
            protocol=2,
            heartbeat_interval_ms=1,
            server_time=1,
            proof=proved,
        )
        peer.send("registered", registered, "command")
        peer.send("shutdown", {}, "message")
        await reader.read()
        writer.close()

    async with website(tmp_path) as site:
        server = await asyncio.start_unix_server(eager, sock=site.held.dup())
        client = crawler(site.path, on_command=lambda envelope: heard.put_nowait(envelope.key))
        async with client.running(), asyncio.timeout(30):
            assert await heard.get() == "shutdown"
        server.close()


async def test_word_that_a_child_is_dead_frees_its_leases_but_not_its_successors(
    tmp_path: Path,
) -> None:
    async with website(tmp_path) as site, site.serving() as manager:
        await site.plant(3)
        site.announce("crawler-1", pid=10)
        await site.claim("crawler-1", 1)
        await manager.peer_gone("crawler-1", 10)
        assert await _running(site) == 0
        site.announce("crawler-1", pid=11)
        await site.claim("crawler-1", 1)
        await manager.peer_gone("crawler-1", 10)
        assert await _running(site) == 1


async def _running(site: Website) -> int:
    return int(
        await site.store.read(
            lambda c: c.exec_driver_sql(
                "SELECT COUNT(*) FROM job WHERE state = 'running'"
            ).scalar_one()
        )
    )
