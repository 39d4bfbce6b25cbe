"""Answers `request_manifest`: what a list holds already, to whoever reads it again."""

import msgspec

from labtrawl.dispatch.desk import Desk
from labtrawl.dispatch.handout import task_number
from labtrawl.errors import BadMessage, LeaseLost
from labtrawl.protocol import messages as wire
from labtrawl.protocol.exchange import Caller, Reply
from labtrawl.store import jobs, manifest
from labtrawl.store.engine import Connection

# About 250 bytes each: a page stays far below the 64 KiB of a message.
PAGE = 100
LARGEST = 2**63 - 1


async def request_manifest(desk: Desk, caller: Caller, envelope: wire.Envelope) -> Reply:
    """Return one page of the committed segments of a job's list, to the holder of its lease."""
    asked = msgspec.json.decode(envelope.payload, type=wire.RequestManifest)
    job_id = task_number(asked.task_id)
    if not 0 <= asked.after <= LARGEST:
        raise BadMessage("`after` is the `next` of an earlier page, or 0")

    def page(connection: Connection) -> list[tuple[int, manifest.ClosedSegment]]:
        if not jobs.is_held_by(connection, job_id, caller.name, asked.epoch):
            raise LeaseLost(f"job {job_id} is not under lease {asked.epoch} of {caller.name}")
        place = jobs.place_of(connection, job_id)
        return manifest.page(connection, place.area_id, place.resource, asked.after, PAGE + 1)

    found = await desk.store.read(page)
    segments = [
        wire.SegmentReport(name=one.name, length=one.length, sha256=one.sha256, records=one.records)
        for _, one in found[:PAGE]
    ]
    following = found[PAGE - 1][0] if len(found) > PAGE else None
    return Reply("jobResponse", "manifest", wire.Manifest(segments=segments, next=following))
