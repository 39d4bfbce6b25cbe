"""One conformance suite over every door: the same words have the same effect, or the door is wrong."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import msgspec
import pytest

from labtrawl.protocol import messages as wire
from labtrawl.store.engine import Connection
from tests.integration.doors.adapters import EXACT, LEGACY, Answer, Say
from tests.integration.doors.whole import Whole, whole
from tests.integration.protocol.wire import RawPeer

Door = Callable[[Whole], AbstractAsyncContextManager[Say]]


def _id(number: int) -> str:
    return f"01J00000000000000000{number:06d}"


def _rows(connection: Connection) -> dict[str, list[tuple[Any, ...]]]:
    asked = {
        "jobs": "SELECT resource, state, fence, processed_items, cursor, attempt FROM job"
        " ORDER BY id",
        "segments": "SELECT records, fence FROM segment ORDER BY id",
        "ledger": "SELECT resource, expected, collected, reason FROM ledger"
        " WHERE collected > 0 OR reason IS NOT NULL ORDER BY resource",
    }
    return {
        name: [tuple(row) for row in connection.exec_driver_sql(sql).all()]
        for name, sql in asked.items()
    }


_SEGMENT = {
    "name": "i1/project-7/r0/j1-f1-000001.jsonl.zst",
    "length": 1,
    "sha256": "0",
    "records": 3,
}


def _segment(task: Any, number: int) -> dict[str, Any]:
    name = f"{task['segments']['prefix']}{number:06d}.jsonl.zst"
    return {"name": name, "length": 1, "sha256": "0", "records": 3}


async def _exact(say: Say) -> list[Answer]:
    """Claim, show, commit, repeat, be refused, discover, renew, complete, come too late."""
    claim = {"limit": 1, "requestId": "claim-1"}
    _, tasks = await say("request_jobs", claim, _id(1))
    _, again = await say("request_jobs", claim, _id(2))
    assert [one["taskId"] for one in tasks] == [one["taskId"] for one in again]
    (task,) = tasks
    epoch, about = task["lease"]["epoch"], {"taskId": task["taskId"]}
    told = about | {"epoch": epoch, "timestamp": 1, "status": "processing"}
    commit = told | {"processedItems": 5, "cursor": "c1", "segments": [_segment(task, 1)]}
    stale = told | {"epoch": epoch + 1, "cursor": "c9"}
    found = {"command": "labels", "fullPath": "lab/ocean", "gitlabId": 7}
    discovered = about | {"epoch": epoch, "jobs": [found]}
    lease = about | {"epoch": epoch}
    done = told | {"status": "completed", "ledger": {"expected": 3, "expectedBy": "the end"}}
    return [
        await say("PROGRESS_UPDATE", told | {"processedItems": 4}, _id(3)),
        await say("PROGRESS_UPDATE", commit, _id(4)),
        await say("PROGRESS_UPDATE", commit, _id(4)),
        await say("request_manifest", lease, _id(11)),
        await say("request_manifest", lease | {"epoch": epoch + 1}, _id(12)),
        await say("PROGRESS_UPDATE", stale, _id(5)),
        await say("JOBS_DISCOVERED", discovered, _id(6)),
        await say("JOBS_DISCOVERED", discovered, _id(6)),
        _kept(await say("renew_leases", {"leases": [lease]}, _id(7))),
        await say("PROGRESS_UPDATE", done, _id(8)),
        await say("PROGRESS_UPDATE", told | {"cursor": "late"}, _id(9)),
        _kept(await say("renew_leases", {"leases": [lease]}, _id(10))),
    ]


def _kept(answer: Answer) -> Answer:
    """What is said of leases, without the instants."""
    key, told = answer
    return key, [(one["taskId"], one.get("lost", False)) for one in told["leases"]]


@pytest.mark.seed("S2.26", "S2.75", "S2.84", "S2.112")
@pytest.mark.parametrize("door", EXACT.values(), ids=EXACT.keys())
async def test_same_words_have_the_same_effect_through_every_door(
    tmp_path: Path, door: Door
) -> None:
    async with whole(tmp_path) as site:
        (job_id,) = await site.plant(1)
        task = str(job_id)
        async with door(site) as say:
            told = await _exact(say)
        assert told == [
            ("ACK", {"ids": [_id(3)]}),
            ("ACK", {"upTo": {task: _id(4)}}),
            ("ACK", {"upTo": {task: _id(4)}}),
            ("manifest", {"segments": [_SEGMENT]}),
            ("ERROR", "lease_lost"),
            ("ERROR", "lease_lost"),
            ("ACK", {"upTo": {task: _id(6)}, "results": {_id(6): {"new": 1}}}),
            ("ACK", {"upTo": {task: _id(6)}, "results": {_id(6): {"new": 0}}}),
            ("leases_renewed", [(task, False)]),
            ("ACK", {"upTo": {task: _id(8)}}),
            ("ERROR", "lease_lost"),
            ("leases_renewed", [(task, True)]),
        ]
        assert await site.store.read(_rows) == {
            "jobs": [("r0", "completed", 1, 5, "c1", 1), ("labels", "queued", 0, 0, None, 0)],
            "segments": [(3, 1)],
            "ledger": [("r0", 3, 3, None)],
        }


async def _bad(say: Say, task: Any) -> list[Answer]:
    """Wrong shapes, wrong names, wrong numbers; the last is sound and ends the job."""
    told = {"taskId": task["taskId"], "epoch": task["lease"]["epoch"], "timestamp": 1}
    foreign = {"name": "elsewhere", "length": 1, "sha256": "0", "records": 1}
    update = told | {"status": "processing", "cursor": "c", "segments": [foreign]}
    return [
        await say("PROGRESS_UPDATE", told | {"status": 5}, _id(3)),
        await say("PROGRESS_UPDATE", update, _id(4)),
    ]


@pytest.mark.seed("S2.15", "S2.80")
@pytest.mark.parametrize("door", EXACT.values(), ids=EXACT.keys())
async def test_report_that_can_never_be_applied_ends_its_job_through_every_door(
    tmp_path: Path, door: Door
) -> None:
    async with whole(tmp_path) as site:
        await site.plant(1)
        async with door(site) as say:
            _, (task,) = await say("request_jobs", {"limit": 1, "requestId": "a"}, _id(1))
            told = await _bad(say, task)
        assert [answer for answer, _ in told] == ["ERROR", "ERROR"]
        rows = await site.store.read(_rows)
        assert rows["segments"] == []
        assert [row[:2] for row in rows["jobs"]] == [("r0", "failed")]


@pytest.mark.seed("S2.21", "S2.76")
@pytest.mark.parametrize("door", LEGACY.values(), ids=LEGACY.keys())
async def test_peer_of_dialect_1_has_the_same_effect_whoever_dialled(
    tmp_path: Path, door: Callable[[Whole], AbstractAsyncContextManager[RawPeer]]
) -> None:
    """It has no ids and no epochs, and is told of faults only."""
    async with whole(tmp_path, accepts_legacy=True) as site:
        (job_id,) = await site.plant(1)
        async with door(site) as peer:
            claimed = [await _asked(peer, request_id) for request_id in ("a", "b")]
            told = {"taskId": str(job_id), "timestamp": 1, "status": "processing"}
            peer.send("PROGRESS_UPDATE", told | {"taskId": "999"})
            missing = await _fault(peer)
            peer.send("PROGRESS_UPDATE", told | {"processedItems": 4})
            done = {"status": "completed", "timestamp": 2, "processedItems": 6}
            peer.send("PROGRESS_UPDATE", told | done)
            peer.send("PROGRESS_UPDATE", told | {"timestamp": 3, "status": "started"})
            late = await _fault(peer)
        assert claimed == [[str(job_id)], [str(job_id)]]
        assert (missing, late) == ("missing", "lease_lost")
        assert await site.store.read(_rows) == {
            "jobs": [("r0", "completed", 1, 6, None, 1)],
            "segments": [],
            "ledger": [("r0", 6, 0, "elsewhere")],
        }


async def _asked(peer: RawPeer, request_id: str) -> list[str]:
    peer.send("request_jobs", {"requestId": request_id}, "jobRequest")
    answer = await peer.hear("jobs_available")
    assert answer is not None
    return [task["taskId"] for task in msgspec.json.decode(answer.payload)]


async def _fault(peer: RawPeer) -> str:
    answer = await peer.hear("ERROR")
    assert answer is not None
    return msgspec.json.decode(answer.payload, type=wire.ErrorReport).code
