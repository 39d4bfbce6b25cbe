"""What the website asks dispatch and tells it to do: who crawls, how it goes, pause, resume, drain."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any

from labtrawl.dispatch.manager import DirectCommunicationManager
from labtrawl.dispatch.session import CrawlerStatus
from labtrawl.errors import BadMessage
from labtrawl.protocol import messages as wire
from labtrawl.store import commands, messages
from labtrawl.store.commands import EVERY_CRAWLER, Wanted
from labtrawl.store.engine import Connection

GRACE_SECONDS = 10.0


class Action(StrEnum):
    """What an admin may want of crawlers and jobs."""

    HEARTBEAT = "heartbeat"
    PING = "ping"
    PAUSE = "pause"
    RESUME = "resume"
    DRAIN = "drain"
    CANCEL = "cancel"
    SHUTDOWN = "shutdown"


_WANTED = {Action.PAUSE: Wanted.PAUSE, Action.RESUME: Wanted.RUN, Action.DRAIN: Wanted.DRAIN}
_OF_A_JOB: dict[Action, commands.JobCommand] = {
    Action.PAUSE: commands.pause_job,
    Action.RESUME: commands.resume_job,
    Action.CANCEL: commands.cancel_job,
}


@dataclass(frozen=True, slots=True)
class Crawling:
    """One a website; `role` and `path` say where crawlers are met."""

    manager: DirectCommunicationManager
    role: str
    path: str

    def connection(self) -> dict[str, Any]:
        """Say whether crawlers are there, and where they are met."""
        clients = self.manager.get_authorized_clients()
        since = min((client.connected_at for client in clients), default=None)
        return {
            "connected": self.manager.is_connected(),
            "role": self.role,
            "path": self.path,
            "since": None if since is None else self._instant(since),
        }

    async def clients(self) -> list[dict[str, Any]]:
        """Return every crawler that is there, with what it said of itself last."""
        statuses = self.manager.statuses()
        names = [status.client.name for status in statuses]
        wanted = await self.manager.board.desk.store.read(lambda c: _wanted(c, names))
        return [self._client(status, wanted[status.client.name]) for status in statuses]

    def _client(self, status: CrawlerStatus, wanted: Wanted) -> dict[str, Any]:
        client, beat = status.client, status.heartbeat
        by_http = self.manager.is_by_http(client.name)
        return {
            "name": client.name,
            "pid": client.pid,
            "protocol": client.protocol,
            "version": client.version,
            "hostname": client.hostname,
            "transport": "http" if by_http else "socket",
            "connectedAt": self._instant(client.connected_at),
            "lastHeartbeatAt": self._instant(status.heard_at),
            "status": beat.system_status,
            "activeJobs": beat.active_jobs,
            "totalProcessed": beat.total_processed,
            "memoryUsage": beat.memory_usage,
            "uptime": round(beat.uptime, 1),
            "requestsPerMinute": round(beat.requests_per_minute),
            "concurrency": beat.concurrency,
            "wanted": str(wanted),
        }

    def _instant(self, at: float) -> str:
        """Turn the loop's seconds into an instant, ISO 8601, UTC."""
        age = timedelta(seconds=asyncio.get_running_loop().time() - at)
        now: datetime = self.manager.board.desk.clock.now()
        return (now - age).astimezone(UTC).isoformat(timespec="milliseconds")

    async def statistics(self) -> dict[str, Any]:
        """Return the figures of messages, connections and their guards since the start."""
        board = self.manager.board
        counted = board.desk.statistics
        kept = await board.desk.store.read(messages.recorded)
        sessions = board.sessions.values()
        beats = {one.client.name: one.heartbeat for one in self.manager.statuses()}
        return counted.shown() | {
            "dedup": {"duplicates": counted.duplicates, "remembered": kept},
            "cooldown": {
                "begun": counted.cooldowns,
                "active": sum(session.is_cooling for session in sessions),
                "disconnected": counted.flooders,
            },
            "breaker": _breakers(beats),
            "queues": {
                "waiting": {one.caller.name: one.waiting for one in sessions},
                "merged": counted.merged,
                "unsentByCrawler": {name: beat.queued for name, beat in beats.items()},
                "droppedByCrawler": {name: beat.dropped for name, beat in beats.items()},
            },
            "auth": {
                "authorized": len(board.sessions),
                "accepted": counted.connects.total(),
                "rejected": dict(counted.rejected),
            },
        }

    async def command(
        self, action: str, crawler: str | None = None, task_id: int | None = None
    ) -> dict[str, Any]:
        """Do what an admin wants, in the database first; return whom it reached and what changed.

        Missing and Conflict say what cannot be done, BadMessage what is no action.
        """
        if action not in set(Action):
            raise BadMessage(f"{action!r} is no action; there are: {', '.join(Action)}")
        wanted = Action(action)
        if wanted in (Action.HEARTBEAT, Action.PING):
            return {"crawlers": self.manager.send_heartbeat(crawler), "jobs": 0}
        if wanted is Action.SHUTDOWN:
            return {"crawlers": self.manager.send_shutdown(crawler, GRACE_SECONDS), "jobs": 0}
        if task_id is not None:
            return await self._job(wanted, task_id)
        if wanted is Action.CANCEL:
            return await self._cancel_all(crawler)
        return await self._crawlers(wanted, crawler)

    async def _job(self, action: Action, job_id: int) -> dict[str, Any]:
        if action not in _OF_A_JOB:
            raise BadMessage(f"a job cannot be told to {action}; a crawler can")
        store = self.manager.board.desk.store
        work = await store.write(lambda c: _OF_A_JOB[action](c, job_id))
        told = self._tell(action, work.holder, job_id) if work.holder else []
        return {"crawlers": told, "jobs": 1}

    async def _cancel_all(self, crawler: str | None) -> dict[str, Any]:
        """Cancel what a crawler, or any crawler, has in hand."""

        def cancel(connection: Connection) -> list[commands.Worked]:
            if crawler is not None:
                commands.check_known(connection, crawler)
            held = commands.held_by(connection, crawler or EVERY_CRAWLER)
            return [commands.cancel_job(connection, job_id) for job_id in held]

        cancelled = await self.manager.board.desk.store.write(cancel)
        told = {
            name
            for work in cancelled
            for name in self._tell(Action.CANCEL, work.holder, work.job_id)
        }
        return {"crawlers": sorted(told), "jobs": len(cancelled)}

    async def _crawlers(self, action: Action, crawler: str | None) -> dict[str, Any]:
        name = crawler or EVERY_CRAWLER
        store = self.manager.board.desk.store
        await store.write(lambda c: commands.want(c, name, _WANTED[action]))
        if crawler is not None:
            return {"crawlers": self._tell(action, crawler, None), "jobs": 0}
        return {"crawlers": self.manager.send_command(action, None), "jobs": 0}

    def tell(self, action: str, crawler: str, job_id: int) -> None:
        """Send a command whose effect is in the database already."""
        self._tell(Action(action), crawler, job_id)

    def _tell(self, action: Action, crawler: str, job_id: int | None) -> list[str]:
        """Send for speed; who is not there hears of it with its next renewal."""
        if crawler not in self.manager.sessions:
            return []
        return self.manager.send_command(action, crawler, job_id)

    async def hear(
        self, name: str, heartbeat: wire.Heartbeat, register: wire.Register | None = None
    ) -> None:
        """Take the sign of life of a crawler that came by HTTP, and what it said of itself."""
        self.manager.hear(name, heartbeat, register)

    def child_of(self, token_sha256: str) -> str | None:
        """Return the name of the supervised crawler whose per-start token has this hash."""
        return self.manager.board.auth.child_of(token_sha256)


def _wanted(connection: Connection, names: list[str]) -> dict[str, Wanted]:
    return {name: commands.wanted_of(connection, name) for name in names}


def _breakers(beats: Mapping[str, wire.Heartbeat]) -> dict[str, Any]:
    """Return how the crawlers' ends stand; each tells its own with its signs of life."""
    return {
        "byCrawler": {name: beat.breaker for name, beat in beats.items()},
        "opened": sum(beat.breaker_opened for beat in beats.values()),
    }
