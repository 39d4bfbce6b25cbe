"""`labtrawl run website`: wires store, dispatch and pages together in the supervised process."""

import asyncio
import contextlib
import gc
import secrets
import shutil
import socket
from collections.abc import Coroutine
from datetime import timedelta
from functools import partial
from pathlib import Path

import click
import msgspec
import uvloop

from labtrawl import config, logs
from labtrawl.cli.account_desk import AccountDesk
from labtrawl.cli.allocator import share_arenas
from labtrawl.cli.caretaker import Caretaker
from labtrawl.cli.scope import included
from labtrawl.cli.settings_desk import FileDesk, reload_of
from labtrawl.cli.sign_ins import SignIns
from labtrawl.cli.study import AS_IS, Policy, open_mode
from labtrawl.cli.supervisor_desk import SupervisorDesk
from labtrawl.cli.tasks import background
from labtrawl.clock import Clock, system_clock
from labtrawl.config import Settings
from labtrawl.dataset.disk import LocalDisk
from labtrawl.dataset.layout import dataset_root
from labtrawl.dispatch import grants
from labtrawl.dispatch.auth import DirectSocketAuth
from labtrawl.dispatch.budget import Budget
from labtrawl.dispatch.crawling import Crawling
from labtrawl.dispatch.desk import Desk
from labtrawl.dispatch.flood import FloodLimits
from labtrawl.dispatch.handlers import exchange
from labtrawl.dispatch.leasing import Leasing
from labtrawl.dispatch.manager import DirectCommunicationManager
from labtrawl.dispatch.pot_records import Rules
from labtrawl.dispatch.quiet import QuietHours
from labtrawl.dispatch.session import CrawlerStatus, Rhythm, Switchboard
from labtrawl.dispatch.timetable import schedule_of
from labtrawl.domain.eta import Counted
from labtrawl.domain.failure import RetryPolicy
from labtrawl.domain.quiet import parse_window
from labtrawl.domain.traffic import Spent, Traffic
from labtrawl.domain.waits import left
from labtrawl.protocol.server import listening
from labtrawl.store.audit import head_path, keep_head
from labtrawl.store.engine import Store, database_path, open_store
from labtrawl.store.migrate import migrate
from labtrawl.store.quiet import let_go
from labtrawl.store.secrets import KeyRing, key_path
from labtrawl.store.tokens import crawler_secrets, token_hash
from labtrawl.supervisor.authentication import Credentials as Announcement
from labtrawl.supervisor.authentication import (
    CredentialsUpdated,
    CredentialsWithdrawn,
    announce_credentials,
)
from labtrawl.supervisor.channel import Peer
from labtrawl.supervisor.child import Child
from labtrawl.website.app import build
from labtrawl.website.figures.forecasts import SHARE, look_whole
from labtrawl.website.given.site import CrawlerView, Site
from labtrawl.website.serve import LocalDoor, serve

log = logs.get("website")

TELL_SECONDS = 5.0


@click.command()
def run() -> None:
    """Serve pages and the socket; the supervisor starts this."""
    share_arenas()
    gc.freeze()  # what was imported stays: a look at all of it is a pause for every page
    uvloop.run(run_website())


async def run_website() -> None:
    """Serve pages and the socket until the supervisor says stop."""
    async with Child.from_environment() as child:
        settings = config.restore(child.begin.settings)
        logs.set_up(settings.logs)
        migrate(database_path(settings.data_dir))
        async with open_store(database_path(settings.data_dir)) as store:
            study = await open_mode(settings, store)
            await Wiring(child, settings, store, system_clock(), study).run()


class Wiring:
    """The parts of the website's process, and who gets which of the others' values."""

    def __init__(
        self,
        child: Child,
        settings: Settings,
        store: Store,
        clock: Clock,
        policy: Policy = AS_IS,
    ) -> None:
        self._child = child
        self._settings = settings
        self._policy = policy
        self._store = store
        self._clock = clock
        self._retry = RetryPolicy(
            settings.retry.attempts,
            settings.retry.base_seconds,
            settings.retry.ceiling_seconds,
        )
        self._auth = DirectSocketAuth(
            allowed_users=frozenset(int(uid) for uid in settings.socket.allow_users),
            token_secrets=lambda: store.read(crawler_secrets),
        )
        self._sign_ins = SignIns(settings, store, clock, self._announce)
        self._keys = KeyRing(key_path(settings.data_dir))
        self._caretaker = Caretaker(settings, store, clock)
        self._desk = self._make_desk()
        self._manager = DirectCommunicationManager(self._switchboard())
        self._sign_ins.tell_crawlers = self._manager.send_credentials_updated

    def _make_desk(self) -> Desk:
        lease = self._settings.lease
        return Desk(
            self._store,
            self._sign_ins.credentials,
            self._retry,
            lease.seconds,
            self._clock,
            legacy_lease_seconds=lease.legacy_seconds,
            budget=Budget(self._budget_rules()),
            schedule=schedule_of(self._settings.schedule),
            include=included(self._settings.scope.include),
            quiet=_quiet_hours(self._settings),
            is_handed_over=self._is_handed_over,
            policy=self._policy.name,
            policy_key=self._policy.key,
        )

    def _is_handed_over(self, crawler: str, account_id: int) -> bool:
        return self._sign_ins.is_handed_over(account_id) and self._auth.is_child(crawler)

    def _budget_rules(self) -> Rules:
        budget = self._settings.budget
        return Rules(
            budget.requests_per_minute,
            budget.reserved_share,
            int(budget.grant_seconds * 1000),
            int(budget.first_wait_seconds * 1000),
        )

    def _switchboard(self) -> Switchboard:
        settings = self._settings
        flood = settings.flood
        return Switchboard(
            name=settings.socket.process_id,
            desk=self._desk,
            auth=self._auth,
            rhythm=Rhythm(settings.heartbeat.seconds, settings.heartbeat.silence_seconds),
            nonce=lambda: secrets.token_hex(16),
            bits=secrets.randbits,
            flood=FloodLimits(flood.messages_per_second, flood.cooldown_seconds, flood.cooldowns),
            accepts_legacy=settings.socket.legacy_peers == "accept",
        )

    async def run(self) -> None:
        """Open the doors, verify the accounts, tell the supervisor; stop when it says so."""
        self._keys()  # without the key nothing could be written into the audit log
        web = self._child.listener("web")
        url = self._url(web.getsockname())
        await grants.restore(self._desk.budget, self._store)
        await self._store.write(let_go)
        async with (
            self._sign_ins.renewals.running(),
            self._manager.running(),
            self._crawlers_door(),
            background(
                self._leasing().run(),
                self._follow_peers(),
                self._sign_ins.run(),
                self._keep_head(),
            ),
        ):
            pages = asyncio.create_task(self._serve(url, web))
            self._announce_address(url)
            await self._child.ready(address=url)
            # What is told before is forgotten by whoever hears that this is ready.
            async with background(self._tell_left()):
                await self._child.stopping.wait()
            await pages

    async def _serve(self, url: str, web: socket.socket) -> None:
        """Serve pages and API on the web's address and on the local socket."""
        settings = self._settings
        allowed = frozenset(int(uid) for uid in settings.socket.allow_users)
        local = LocalDoor(self._child.listener("http"), allowed)
        site = self._site(url)
        async with background(self._caretaker.run(site)):
            await serve(
                build(site),
                web,
                self._child.stopping,
                local=local,
                trusted_proxies=settings.website.trusted_proxies,
            )

    def _keep_head(self) -> Coroutine[None, None, None]:
        """Remember the newest row of the audit log outside the database."""
        return keep_head(self._store, head_path(self._settings.data_dir), self._clock)

    async def _tell_left(self) -> None:
        """Let `labtrawl status` say how long the crawl will still take."""
        said, since, counted = "", self._clock.now_ms(), Counted()
        reserved = self._settings.budget.reserved_share
        while True:
            started, now = self._clock.monotonic(), self._clock.now_ms()
            look = partial(look_whole, now=now, since=since, counted=counted, reserved=reserved)
            told = await self._store.read(look)
            words = left(told) if told.range is None or told.range.upper else ""
            if words != said:
                said = words
                self._child.tell(work=words)
                self._caretaker.tell_left(words)
            spent = self._clock.monotonic() - started
            await self._clock.sleep(max(TELL_SECONDS, SHARE * spent))

    def _crawlers_door(self) -> contextlib.AbstractAsyncContextManager[None]:
        """Listen for crawlers, or dial the one that listens."""
        options = self._settings.socket
        if options.role == "dial":
            return background(self._manager.dial(options.path, options.max_message_bytes))
        held = self._child.listener("api")
        return listening(held, self._manager.attach, options.max_message_bytes)

    def _url(self, name: tuple[str, int]) -> str:
        host = f"[{name[0]}]" if ":" in name[0] else name[0]
        return f"http://{host}:{name[1]}"

    def _announce_address(self, url: str) -> None:
        """Leave the address where `labtrawl admin link` finds it."""
        path = self._settings.data_dir / "config" / "website.json"
        path.write_bytes(msgspec.json.encode({"url": url}))

    def _site(self, url: str) -> Site:
        options = self._settings.socket
        base_url = self._settings.website.public_url.rstrip("/") or url
        entrance = self._sign_ins.entrance(base_url)
        reload = reload_of(self._settings.data_dir, self._child.stopping)
        files = FileDesk(self._settings, reload)
        return Site(
            store=self._store,
            clock=self._clock,
            crawlers=self._crawlers,
            problems=self._sign_ins.problems,
            notices=lambda: [*self._notices(), *entrance.notices()],
            ready=lambda: not self._child.stopping.is_set(),
            contact=self._settings.contact,
            base_url=base_url,
            entrance=entrance,
            admins=frozenset(self._settings.website.admins),
            operators=frozenset(self._settings.website.operators),
            exchange=partial(exchange, self._desk),
            crawling=self._crawling(),
            audit_keys=self._keys,
            data_dir=self._settings.data_dir,
            sockets={"crawlers": options.path, "http": options.http_path},
            settings=files,
            accounts=self._accounts(files),
            programs=SupervisorDesk(self._settings.data_dir, self._child.stopping),
            care=self._caretaker.care,
            name=options.process_id,
            mode=self._settings.mode,
            heartbeat_seconds=self._settings.heartbeat.seconds,
            accepts_legacy=options.legacy_peers == "accept",
            shared_token_sha256=self._shared_token(),
            spent=lambda: [_spent(status) for status in self._manager.statuses()],
            is_sampled=True,
            quiet=[one for each in self._desk.quiet.windows.values() for one in each],
            most_requests_per_minute=self._settings.budget.requests_per_minute,
            reserved_share=self._settings.budget.reserved_share,
        )

    def _accounts(self, files: FileDesk) -> AccountDesk:
        signed_in = self._sign_ins
        return AccountDesk(
            self._settings,
            self._store,
            self._clock,
            signed_in.credentials,
            self._desk.budget,
            signed_in.hear_accepted,
            signed_in.source_of,
            files,
        )

    def _notices(self) -> list[str]:
        """Say what works and could be safer."""
        if self._settings.socket.legacy_peers == "refuse":
            return list(self._sign_ins.notices())
        told = "Crawlers of earlier systems may speak without a proof (socket.legacy_peers)"
        return [*self._sign_ins.notices(), told]

    def _crawling(self) -> Crawling:
        options = self._settings.socket
        return Crawling(self._manager, options.role, str(options.path))

    def _shared_token(self) -> str:
        """Return the hash of the token that earlier crawlers share; it is never written."""
        token = self._settings.website.crawler_token
        if token is None:
            return ""
        logs.conceal(token)
        log.warning(
            "shared_token_in_use",
            advice="CRAWLER_API_TOKEN opens the crawlers' door to all who know it; make each"
            " crawler one of its own: labtrawl token create NAME --scope crawler",
        )
        return token_hash(token.reveal())

    def _crawlers(self) -> list[CrawlerView]:
        return [_view(status, self._clock) for status in self._manager.statuses()]

    def _leasing(self) -> Leasing:
        root = dataset_root(self._settings.data_dir)
        return Leasing(
            self._store,
            self._retry,
            self._clock,
            LocalDisk(),
            root,
            lambda: shutil.disk_usage(self._settings.data_dir).free,
            self._settings.dedup.keep_hours,
            self._desk.schedule,
        )

    async def _follow_peers(self) -> None:
        """Learn from the supervisor who may connect, and whose leases have ended."""
        async for frame in self._child.peers():
            if isinstance(frame, Peer):
                self._auth.announce(frame.name, frame.pid, frame.token_sha256)
            else:
                await self._manager.peer_gone(frame.name, frame.pid)

    async def _announce(
        self, announcement: Announcement | CredentialsUpdated | CredentialsWithdrawn
    ) -> None:
        await announce_credentials(Path(self._child.begin.auth_socket), announcement)


def _quiet_hours(settings: Settings) -> QuietHours:
    """Return the quiet hours of each instance: those of all, and its own."""
    return QuietHours(
        {
            instance.url: [
                parse_window(text) for text in (*settings.budget.quiet_hours, *instance.quiet_hours)
            ]
            for instance in settings.instances
        }
    )


def _spent(status: CrawlerStatus) -> Spent:
    beat = status.heartbeat
    return Spent(
        crawler=status.client.name,
        pid=status.client.pid,
        uptime_seconds=beat.uptime,
        active_jobs=beat.active_jobs,
        job_places=beat.max_jobs,
        requests_per_minute=beat.requests_per_minute,
        retries=beat.retries,
        unsent=beat.queued,
        endpoints={
            name: Traffic(one.requests, one.limited, one.failed, one.bytes, one.latency)
            for name, one in beat.traffic.items()
        },
    )


def _view(status: CrawlerStatus, clock: Clock) -> CrawlerView:
    age = asyncio.get_running_loop().time() - status.heard_at
    return CrawlerView(
        name=status.client.name,
        pid=status.client.pid,
        connected=True,
        status=status.heartbeat.system_status,
        active_jobs=status.heartbeat.active_jobs,
        last_heartbeat_at=clock.now() - timedelta(seconds=age),
        requests_per_minute=round(status.heartbeat.requests_per_minute),
    )
