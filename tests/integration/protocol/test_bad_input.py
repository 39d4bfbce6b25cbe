"""Bad input is refused with a reason and counted; only who sent it is closed, a neighbour goes on."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import pytest

from labtrawl.dispatch.flood import FloodLimits
from labtrawl.dispatch.manager import DirectCommunicationManager
from labtrawl.dispatch.session import Rhythm
from labtrawl.protocol import messages as wire
from labtrawl.protocol import proof
from labtrawl.protocol.client import DirectCommunicationClient
from labtrawl.protocol.codec import HOPELESS_DEPTH, MAX_BYTES
from labtrawl.store import leases
from labtrawl.store.engine import Connection
from tests.integration.protocol.wire import TOKEN, RawPeer, Website, crawler, raw_peer, website

SECRET = proof.secret_of(TOKEN)
NO_LEASES = wire.RenewLeases(leases=[])
SERVED = (
    b'{"origin":"raw","type":"jobRequest","key":"renew_leases","payload":{"leases":[]},"id":"1"}'
)


@dataclass(frozen=True, slots=True)
class Scene:
    """An offender that registered, beside a crawler that does as it should."""

    site: Website
    manager: DirectCommunicationManager
    neighbour: DirectCommunicationClient
    offender: RawPeer

    def refused(self) -> dict[str, int]:
        return dict(self.manager.board.desk.statistics.refused)

    async def check_neighbour(self) -> None:
        """It is answered, on the connection that it had from the beginning."""
        answer = await self.neighbour.request("jobRequest", "renew_leases", NO_LEASES, 30)
        assert (answer.key, self.neighbour.reconnects) == ("leases_renewed", 1)

    async def is_served(self) -> bool:
        """Whether the offender is answered, too."""
        self.offender.say(SERVED + b"\n")
        return await self.offender.hear("leases_renewed") is not None


@contextlib.asynccontextmanager
async def scene(data_dir: Path, **settings: Any) -> AsyncIterator[Scene]:
    async with website(data_dir, **settings) as site, site.serving() as manager:
        site.announce("crawler-1")
        site.announce("crawler-2")
        good = crawler(site.path)
        async with good.running(), raw_peer(site.path) as bad:
            await good.request("jobRequest", "renew_leases", NO_LEASES, 30)
            assert await bad.register("crawler-2", SECRET) == "registered"
            one = Scene(site, manager, good, bad)
            yield one
            await one.check_neighbour()


def _line(payload: bytes, key: bytes = b"renew_leases", rest: bytes = b"") -> bytes:
    """A message that has all it needs but a good payload."""
    told = b'{"origin":"raw","type":"message","key":"%s","payload":%s,"id":"1"%s}\n'
    return told % (key, payload, rest)


REFUSED = {
    "garbage": (b"garbage]\n", "bad_message"),
    "no object": (b"[1, 2]\n", "bad_message"),
    "cut off": (SERVED[:-9] + b"\n" + SERVED, "bad_message"),
    "no UTF-8": (_line(b'"\xff\xfe"'), "bad_message"),
    "half a code point": (_line(b'"\xf0\x9f\x98"'), "bad_message"),
    "a NUL": (b'{"origin":\x00}\n', "bad_message"),
    "wrong type of a field": (b'{"origin":5,"type":"m","key":"k"}\n', "bad_message"),
    "no key": (b'{"origin":"o","type":"m"}\n', "bad_message"),
    "number of 5,000 digits": (_line(b"1", rest=b',"timestamp":' + b"9" * 5000), "bad_message"),
    "deep": (_line(b"[" * 40 + b"]" * 40), "too_deep"),
    "very deep objects": (_line(b'{"a":' * 5000 + b"1" + b"}" * 5000), "too_deep"),
    "too large": (_line(b'"' + b"x" * MAX_BYTES + b'"'), "message_too_large"),
    "too many numbers": (_line(b"[" + b"1," * (MAX_BYTES // 2) + b"1]"), "message_too_large"),
}


@pytest.mark.parametrize("name", REFUSED)
async def test_bad_frame_is_refused_with_its_reason_and_the_next_message_served(
    tmp_path: Path, name: str
) -> None:
    data, reason = REFUSED[name]
    async with scene(tmp_path) as one:
        one.offender.say(data)
        answer = await one.offender.hear("ERROR")
        assert answer is not None
        assert msgspec.json.decode(answer.payload, type=wire.ErrorReport).code == reason
        assert one.refused() == {reason: 1}
        assert await one.is_served()


PAYLOADS = {
    "no object": ("PROGRESS_UPDATE", b"5"),
    "number of 5,000 digits": (
        "PROGRESS_UPDATE",
        b'{"taskId":"1","status":"processing","timestamp":0,"epoch":1,"processedItems":%s}'
        % (b"9" * 5000),
    ),
    "task that is no number": (
        "PROGRESS_UPDATE",
        b'{"taskId":"../1","status":"completed","timestamp":0,"epoch":1}',
    ),
    "task without end": (
        "PROGRESS_UPDATE",
        b'{"taskId":"%s","status":"completed","timestamp":0,"epoch":1}' % (b"9" * 5000),
    ),
    "jobs that are none": ("JOBS_DISCOVERED", b'{"taskId":"1","epoch":1,"jobs":[5]}'),
    "leases that are none": ("renew_leases", b'{"leases":{"a":1}}'),
    "limit that is none": ("request_jobs", b'{"limit":"all","requestId":"r"}'),
}


@pytest.mark.parametrize("name", PAYLOADS)
async def test_payload_of_another_shape_is_refused_by_its_id_and_changes_nothing(
    tmp_path: Path, name: str
) -> None:
    key, payload = PAYLOADS[name]
    async with scene(tmp_path) as one:
        await one.site.plant(1)
        before = await one.site.store.read(_everything)
        one.offender.say(_line(payload, key.encode()).replace(b'"id":"1"', b'"id":"%026d"' % 7))
        answer = await one.offender.hear("ERROR")
        assert answer is not None
        report = msgspec.json.decode(answer.payload, type=wire.ErrorReport)
        assert (report.code, report.reply_to) == ("bad_message", f"{7:026d}")
        assert await one.site.store.read(_everything) == before
        assert await one.is_served()


def _everything(connection: Connection) -> list[list[tuple[Any, ...]]]:
    return [
        [tuple(row) for row in connection.exec_driver_sql(f"SELECT * FROM {table}").all()]
        for table in ("job", "segment", "ledger", "area")
    ]


async def test_every_cut_of_a_conversation_gives_the_same_answers(tmp_path: Path) -> None:
    """Concatenated without a line end, and each byte a read of its own where the kernel allows."""
    async with scene(tmp_path) as one:
        for cut in range(1, len(SERVED), 7):
            one.offender.say(SERVED[:cut])
            await asyncio.sleep(0)
            one.offender.say(SERVED[cut:] + SERVED)
            for _ in range(2):
                assert await one.offender.hear("leases_renewed") is not None
        assert one.refused() == {}


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"}{garbage]\n" * 50, "bad_message"),
        (b'{"a":' * (HOPELESS_DEPTH + 1), "too_deep"),
        (b'{"a":"' + b"x" * (5 * MAX_BYTES), "message_too_large"),
    ],
    ids=["garbage again and again", "bottomless", "endless"],
)
async def test_peer_that_only_sends_garbage_is_told_why_and_closed(
    tmp_path: Path, data: bytes, reason: str
) -> None:
    async with scene(tmp_path) as one:
        one.offender.say(data)
        answer = await one.offender.hear("ERROR")
        assert answer is not None
        assert msgspec.json.decode(answer.payload, type=wire.ErrorReport).code == reason
        with contextlib.suppress(ConnectionError):
            assert await one.offender.hear("nothing more") is None
        assert one.refused()[reason] >= 1


async def test_register_that_was_overheard_is_of_no_use_on_another_connection(
    tmp_path: Path,
) -> None:
    async with scene(tmp_path) as one, raw_peer(one.site.path) as thief:
        challenge = await thief.hear("challenge")
        assert challenge is not None
        overheard = wire.Register(
            id="crawler-1",
            protocol=2,
            nonce="own",
            proof=proof.prove(SECRET, "an older nonce", "own", proof.ROLE_CRAWLER, "crawler-1"),
        )
        thief.send("register", overheard, "command")
        answer = await thief.hear("registered", "rejected")
        assert answer is not None
        assert answer.key == "rejected"
        assert await thief.hear("nothing more") is None
        assert list(one.manager.board.desk.statistics.rejected.values()) == [1]


async def test_second_register_on_a_connection_changes_nothing_and_is_counted(
    tmp_path: Path,
) -> None:
    async with scene(tmp_path) as one:
        one.offender.send("register", wire.Register(id="crawler-1", protocol=2), "command")
        assert await one.is_served()
        assert [*one.manager.sessions] == ["crawler-1", "crawler-2"]
        assert one.manager.board.desk.statistics.ignored["unknown_key"] == 1


async def test_message_before_the_register_is_refused_and_nothing_done(tmp_path: Path) -> None:
    async with scene(tmp_path) as one, raw_peer(one.site.path) as hasty:
        await one.site.plant(1)
        before = await one.site.store.read(_everything)
        await hasty.hear("challenge")
        hasty.send("request_jobs", {"limit": 1, "requestId": "r"}, "jobRequest", id=f"{1:026d}")
        answer = await hasty.hear("rejected", "jobs_available")
        assert answer is not None
        assert answer.key == "rejected"
        assert await hasty.hear("nothing more") is None
        assert await one.site.store.read(_everything) == before


async def test_silence_instead_of_a_register_is_closed_and_counted(tmp_path: Path) -> None:
    rhythm = Rhythm(60.0, 60.0, register_seconds=0.1)
    async with scene(tmp_path, rhythm=rhythm) as one, raw_peer(one.site.path) as silent:
        assert await silent.hear("registered") is None
        assert list(one.manager.board.desk.statistics.rejected.values()) == [1]


def _late(job: leases.ClaimedJob, number: int) -> wire.ProgressUpdate:
    """Of an older lease: an event, and every other time a state."""
    fields: dict[str, Any] = {"cursor": '{"items":1}'} if number % 2 else {}
    return wire.ProgressUpdate(
        task_id=str(job.job_id),
        epoch=job.fence - 1,
        status="processing",
        timestamp=number,
        processed_items=number,
        **fields,
    )


async def late_writes(data_dir: Path, count: int) -> None:
    """So many writes under a lease that is over: each is refused, none changes anything."""
    # The neighbour hears something now and then, or it would take the website for dead.
    often = Rhythm(1.0, 60.0, register_seconds=30.0)
    async with scene(data_dir, flood=FloodLimits(1e9), rhythm=often) as one:
        await one.site.plant(1)
        for name in ("first", "second"):
            (job,) = await one.site.store.write(_claims(name))
            if name == "first":
                await one.site.store.write(lambda c, j=job.job_id: leases.give_back(c, j))  # type: ignore[misc]
        before = await one.site.store.read(_everything)
        sent = [f"{number:026d}" for number in range(count)]
        told = []
        for start in range(0, count, 100):
            for number in range(start + 1, start + 100, 2):
                one.offender.send("PROGRESS_UPDATE", _late(job, number), id=sent[number])
            told += [await _refusal(one.offender) for _ in range(start + 1, start + 100, 2)]
            for number in range(start, start + 100, 2):  # else one that waits gives way to a newer
                one.offender.send("PROGRESS_UPDATE", _late(job, number), id=sent[number])
                told.append(await _refusal(one.offender))
        assert sorted(told) == [("lease_lost", one_id) for one_id in sent]
        assert await one.site.store.read(_everything) == before


def _claims(claim_id: str) -> Callable[[Connection], list[leases.ClaimedJob]]:
    return lambda c: leases.claim(c, "crawler-2", claim_id, 1, 60.0)


async def _refusal(peer: RawPeer) -> tuple[str, str | None]:
    answer = await peer.hear("ERROR", "ACK")
    assert answer is not None
    report = msgspec.json.decode(answer.payload, type=wire.ErrorReport)
    return report.code, report.reply_to


async def test_writes_under_an_older_lease_are_refused_each(tmp_path: Path) -> None:
    await late_writes(tmp_path, 100)


@pytest.mark.proof
@pytest.mark.timeout(600)
async def test_ten_thousand_writes_under_an_older_lease_are_refused_each(tmp_path: Path) -> None:
    await late_writes(tmp_path, 10_000)
