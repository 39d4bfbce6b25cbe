"""`labtrawl run website`: wires store, dispatch and pages together in the supervised process."""

import asyncio
import secrets
import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path

import click
import msgspec
import uvloop

from labtrawl import config, logs
from labtrawl.cli.origins import http_to, user_agent
from labtrawl.cli.tasks import background
from labtrawl.clock import Clock, system_clock
from labtrawl.config import Settings
from labtrawl.dataset.disk import LocalDisk
from labtrawl.dataset.layout import dataset_root
from labtrawl.dispatch import planner
from labtrawl.dispatch.auth import DirectSocketAuth
from labtrawl.dispatch.credentials import Credentials
from labtrawl.dispatch.handlers import Desk
from labtrawl.dispatch.leasing import Leasing
from labtrawl.dispatch.manager import CrawlerStatus, DirectCommunicationManager, Rhythm
from labtrawl.domain.credential import Secret
from labtrawl.domain.failure import RetryPolicy
from labtrawl.errors import LabtrawlError, ProtocolError, Unauthorized
from labtrawl.gitlab.probe import Probe, probe
from labtrawl.http import Limits, open_http
from labtrawl.protocol.server import listening
from labtrawl.store.accounts import StoredToken, VerifiedAccount
from labtrawl.store.engine import Store, database_path, open_store
from labtrawl.store.migrate import migrate
from labtrawl.store.secrets import Cipher, key_path, open_cipher, token_place
from labtrawl.supervisor.authentication import Credentials as Announcement
from labtrawl.supervisor.authentication import (
    CredentialsUpdated,
    CredentialsWithdrawn,
    announce_credentials,
)
from labtrawl.supervisor.channel import Peer
from labtrawl.supervisor.child import Child
from labtrawl.website.app import build
from labtrawl.website.serve import serve
from labtrawl.website.site import CrawlerView, Site

log = logs.get("website")

AGAIN_SECONDS = 15.0


@click.command()
def run() -> None:
    """Serve pages and the socket; the supervisor starts this."""
    uvloop.run(run_website())


async def run_website() -> None:
    """Serve pages and the socket until the supervisor says stop."""
    async with Child.from_environment() as child:
        settings = config.restore(child.begin.settings)
        logs.set_up(settings.logs)
        migrate(database_path(settings.data_dir))
        async with open_store(database_path(settings.data_dir)) as store:
            await Wiring(child, settings, store, system_clock()).run()


class Wiring:
    """The parts of the website's process, and who gets which of the others' values."""

    def __init__(self, child: Child, settings: Settings, store: Store, clock: Clock) -> None:
        self._child = child
        self._settings = settings
        self._store = store
        self._clock = clock
        self._retry = RetryPolicy(
            settings.retry.attempts,
            settings.retry.base_seconds,
            settings.retry.ceiling_seconds,
        )
        self._auth = DirectSocketAuth()
        self._problems: dict[str, str] = {}
        self._accepted: set[str] = set()
        self._manager = DirectCommunicationManager(
            name=settings.socket.process_id,
            desk=self._desk(),
            auth=self._auth,
            rhythm=Rhythm(settings.heartbeat.seconds, settings.heartbeat.silence_seconds),
            nonce=lambda: secrets.token_hex(16),
            bits=secrets.randbits,
        )

    def _desk(self) -> Desk:
        credentials = Credentials(self._store, self._decrypt)
        return Desk(
            self._store, credentials, self._retry, self._settings.lease.seconds, self._clock
        )

    def _cipher(self) -> Cipher:
        return open_cipher(key_path(self._settings.data_dir))

    def _decrypt(self, stored: StoredToken) -> Secret:
        token = self._cipher().decrypt(stored.encrypted, token_place(stored.instance_url))
        logs.conceal(token)
        return token

    async def run(self) -> None:
        """Open the doors, verify the accounts, tell the supervisor; stop when it says so."""
        web = self._child.listener("web")
        url = self._url(web.getsockname())
        async with (
            self._manager.running(),
            listening(self._child.listener("api"), self._manager.attach),
            background(self._leasing().run(), self._follow_peers(), self._verify_accounts()),
        ):
            site = self._site(url)
            pages = asyncio.create_task(serve(build(site), web, self._child.stopping))
            self._announce_address(url)
            await self._child.ready(address=url)
            await self._child.stopping.wait()
            await pages

    def _url(self, name: tuple[str, int]) -> str:
        host = f"[{name[0]}]" if ":" in name[0] else name[0]
        return f"http://{host}:{name[1]}"

    def _announce_address(self, url: str) -> None:
        """Leave the address where `labtrawl admin link` finds it."""
        path = self._settings.data_dir / "config" / "website.json"
        path.write_bytes(msgspec.json.encode({"url": url}))

    def _site(self, url: str) -> Site:
        return Site(
            store=self._store,
            clock=self._clock,
            crawlers=self._crawlers,
            problems=lambda: list(self._problems.values()),
            ready=lambda: not self._child.stopping.is_set(),
            contact=self._settings.contact,
            base_url=url,
        )

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
        )

    async def _follow_peers(self) -> None:
        """Learn from the supervisor who may connect, and whose leases have ended."""
        async for frame in self._child.peers():
            if isinstance(frame, Peer):
                self._auth.announce(frame.name, frame.pid, frame.token_sha256)
            else:
                await self._manager.peer_gone(frame.name, frame.pid)

    async def _verify_accounts(self) -> None:
        """Ask each account's GitLab whether it accepts it; those that it could not ask, again."""
        waiting = list(self._settings.accounts)
        while waiting:
            waiting = [account for account in waiting if not await self._verify(account)]
            if waiting:
                await self._clock.sleep(AGAIN_SECONDS)

    async def _verify(self, account: config.Account) -> bool:
        """Return whether this account needs no further try."""
        instance = next(one for one in self._settings.instances if one.name == account.instance)
        try:
            token = self._decrypt(StoredToken(account.token, instance.url))
            http = open_http(http_to(instance), Limits(), user_agent(self._settings))
            async with http as door:
                found = await probe(door, token, self._clock)
            await self._accept(account, instance, found)
        except LabtrawlError as error:
            log.error("account_not_verified", instance=instance.name, error=str(error))
            self._problems[account.token] = f"{instance.name}: {error}"
            if isinstance(error, Unauthorized):
                await self._refuse(account)
            return not error.retryable
        self._problems.pop(account.token, None)
        return True

    async def _accept(
        self, account: config.Account, instance: config.Instance, found: Probe
    ) -> None:
        verified = VerifiedAccount(
            instance.name,
            instance.url,
            found.instance.version,
            found.account.user_id,
            found.account.username,
            found.account.scopes or (),
            account.token,
        )
        await self._store.write(lambda c: planner.plan_account(c, verified))
        log.info("account_verified", instance=instance.name, user=found.account.user_id)
        now = datetime.now(UTC).isoformat(timespec="seconds")
        is_first = not self._accepted
        self._accepted.add(account.token)
        await self._announce(
            Announcement(verified_at=now) if is_first else CredentialsUpdated(verified_at=now)
        )

    async def _refuse(self, account: config.Account) -> None:
        """Hold what only this account sees; without any account left, start no more crawlers."""
        await self._store.write(lambda c: planner.refuse_account(c, account.token))
        self._accepted.discard(account.token)
        if not self._accepted:
            try:
                await self._announce(CredentialsWithdrawn())
            except ProtocolError as error:
                log.warning("withdrawal_not_told", error=str(error))

    async def _announce(
        self, announcement: Announcement | CredentialsUpdated | CredentialsWithdrawn
    ) -> None:
        await announce_credentials(Path(self._child.begin.auth_socket), announcement)


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
