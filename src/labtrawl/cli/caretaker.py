"""What the website's process does beside its pages: looks at GitLabs, makes backups, sends notices.

Nothing here may keep jobs from going on: what fails is logged, and done again later.
"""

import asyncio
import contextlib
import errno
import platform
import threading
from collections.abc import Callable, Coroutine, Sequence
from pathlib import Path
from typing import Any

from labtrawl import __version__, logs
from labtrawl.cli.backing import make_backup
from labtrawl.cli.care_facts import about_of, look_at, plan_of, secret_files_of
from labtrawl.cli.chests import set_aside
from labtrawl.cli.notice_secrets import mail_place, opened, webhook_place
from labtrawl.cli.origins import user_agent
from labtrawl.cli.restoring import check_backup
from labtrawl.clock import Clock
from labtrawl.config import Settings
from labtrawl.dataset.layout import dataset_root
from labtrawl.dataset.sampling import KEYED_BY_DATA, FieldCounts, sample
from labtrawl.errors import ConfigError, Conflict, LabtrawlError
from labtrawl.http.mail import MailServer
from labtrawl.store import backup, seen
from labtrawl.store.engine import Connection, Store, database_path
from labtrawl.store.secrets import Cipher, KeyRing, key_path
from labtrawl.store.sqlite import sqlite_module
from labtrawl.website.care.channels import Channel, Mail, Unusable, Webhook
from labtrawl.website.care.notifier import Notifier
from labtrawl.website.given.care import Care
from labtrawl.website.given.facts import GitLabFacts
from labtrawl.website.given.site import Site

log = logs.get("website.care")

LOOK_SECONDS = 900.0
NOTE_SECONDS = 3600.0
THROUGH_SECONDS = 86_400.0
BACKUP_TICK_SECONDS = 30.0
# After a failure it is tried again, but not at every tick.
READ_BACK_SECONDS = 7 * 86_400.0
AGAIN_MS = 15 * 60_000
HOUR_MS = 3_600_000
SAMPLES, SAMPLE_RECORDS = 100, 50


class Caretaker:
    """`care` is for the site; `run` does the work beside it."""

    def __init__(self, settings: Settings, store: Store, clock: Clock) -> None:
        self._settings = settings
        self._store = store
        self._clock = clock
        self._ring = KeyRing(key_path(settings.data_dir))
        self._gitlabs: Sequence[GitLabFacts] = ()
        self._fault: tuple[str | None, int | None] = (None, None)
        self._notifier: Notifier | None = None
        # For threads: nobody can cancel one.
        self._stopped = threading.Event()
        self._read_back_at = float("-inf")
        self.care = Care(
            wanted_crawlers=settings.crawler.count,
            secret_files=secret_files_of(settings),
            backup=plan_of(settings),
            about=about_of(settings),
            channels=channel_names(settings),
            kinds=frozenset(settings.notices.kinds),
            gitlabs=lambda: self._gitlabs,
            fault=lambda: self._fault,
        )

    def tell_left(self, words: str) -> None:
        """Hear how long the crawl will still take."""
        if self._notifier is not None:
            self._notifier.tell_left(words)

    async def run(self, site: Site) -> None:
        """Do all of it for ever."""
        self._notifier = Notifier(
            site,
            channels_of(self._settings, site.base_url, self._clock, self._ring),
            self.care.kinds,
            self._settings.notices.digest_day,
        )
        try:
            await self._care(self._notifier)
        finally:
            self._stopped.set()

    async def _care(self, notifier: Notifier) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(notifier.run())
            group.create_task(self._back_up())
            group.create_task(self._often(20.0, LOOK_SECONDS, self.look))
            group.create_task(self._often(60.0, NOTE_SECONDS, self.note))
            group.create_task(self._often(600.0, THROUGH_SECONDS, self.look_through))

    async def _often(
        self, first: float, seconds: float, work: Callable[[], Coroutine[Any, Any, None]]
    ) -> None:
        """Do something after `first` seconds, then again and again."""
        await self._clock.sleep(first)
        while True:
            try:
                await work()
            except Exception as error:  # whatever it is, the site goes on
                log.error("care_failed", work=work.__name__, exc_info=error)
            await self._clock.sleep(seconds)

    async def look(self) -> None:
        """Ask each GitLab whether it is there."""
        instances = self._settings.instances
        looks = (look_at(self._settings, each, self._clock) for each in instances)
        self._gitlabs = await asyncio.gather(*looks)

    async def look_through(self) -> None:
        """Read all of the database once."""
        path = database_path(self._settings.data_dir)
        fault = await asyncio.to_thread(backup.fault_of, path, self._stopped.is_set)
        self._fault = (fault, self._clock.now_ms())
        if fault:
            log.error("database_damaged", fault=fault)

    async def note(self) -> None:
        """Remember versions, fields and shares, for what comes later to be compared with."""
        await self._store.write(note_versions)
        found = await self._store.read(lambda c: seen.to_sample(c, SAMPLES))
        for each in found:
            if each.resource in KEYED_BY_DATA:
                continue
            with contextlib.suppress(LabtrawlError):  # compacted meanwhile: the next look has it
                counted = await asyncio.to_thread(self._sample, each)
                await self._store.write(lambda c, e=each, n=counted: _note_fields(c, e, n))  # type: ignore[misc]

    def _sample(self, which: seen.Sample) -> list[FieldCounts]:
        root = dataset_root(self._settings.data_dir)
        return sample(root, which.segment, SAMPLE_RECORDS)

    async def _back_up(self) -> None:
        wanted = self.care.backup_wanted
        while True:
            try:
                if wanted.is_set() or await self._store.read(self._is_due):
                    wanted.clear()
                    await self.back_up()
            except Exception as error:  # as above
                log.error("backup_failed", exc_info=error)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(BACKUP_TICK_SECONDS):
                    await wanted.wait()

    def _is_due(self, connection: Connection) -> bool:
        plan = self.care.backup
        if not plan.is_scheduled:
            return False
        rows, done = backup.newest(connection, 1), backup.last_done(connection)
        now = self._clock.now_ms()
        if rows and rows[0].state == "failed" and now - rows[0].began_at < AGAIN_MS:
            return False
        return done is None or now - done.began_at >= plan.every_hours * HOUR_MS

    async def back_up(self) -> None:
        """Make a backup where the settings say; what comes of it is in the list of backups."""
        plan = self.care.backup
        if plan.path is None:
            return
        try:
            made = await make_backup(
                self._settings,
                self._store,
                plan.path,
                plan.keep,
                is_stopped=self._stopped.is_set,
            )
        except LabtrawlError as error:
            log.error("backup_failed", error=str(error))
            return
        log.info("backup_made", place=str(made.place), segments=made.segments, bytes=made.bytes)
        if self._clock.monotonic() - self._read_back_at >= READ_BACK_SECONDS:
            self._read_back_at = self._clock.monotonic()
            await self.read_back(made.place)

    async def read_back(self, place: Path) -> None:
        """Read the newest backup as a restore would; one that is damaged counts as failed."""
        newest = await self._store.read(backup.last_done)
        assert newest is not None, "it was made just now"
        number = newest.id
        try:
            await asyncio.to_thread(check_backup, place, self._stopped.is_set)
        except (ConfigError, OSError) as error:
            if isinstance(error, OSError) and error.errno != errno.EIO:
                # The temporary folder is full, or the like: that says nothing of the backup.
                self._read_back_at = float("-inf")
                log.error("backup_not_read_back", place=str(place), error=str(error))
                return
            await self._give_up(number, place, str(error))
            return
        except Conflict:
            return
        await self._store.write(lambda c: backup.remark(c, number, "read back, and whole"))

    async def _give_up(self, number: int, place: Path, fault: str) -> None:
        """Note that a backup is damaged, let none link to it, and have the next one read back."""
        self._read_back_at = float("-inf")
        log.error("backup_damaged", place=str(place), error=fault)
        told = f"read back, and damaged: {fault}"
        try:
            aside = await asyncio.to_thread(set_aside, place)
        except OSError as error:
            told = f"{told}; {place} cannot be renamed, remove it: {error.strerror}"
        else:
            told = f"{told}; set aside as {aside}"
        await self._store.write(lambda c: backup.fail(c, number, told))


def note_versions(connection: Connection) -> None:
    """Remember the versions of what runs here, and of the GitLabs; how much of each area is there."""
    seen.note_version(connection, "labtrawl", __version__)
    seen.note_version(connection, "Python", platform.python_version())
    seen.note_version(connection, "SQLite", sqlite_module().sqlite_version)
    seen.note_gitlab_versions(connection)
    seen.mark_shares(connection)


def _note_fields(
    connection: Connection, which: seen.Sample, counted: Sequence[FieldCounts]
) -> None:
    for each in counted:
        seen.note_fields(connection, which, each.version, each.records, each.fields)


def channel_names(settings: Settings) -> tuple[str, ...]:
    """Return what notices are sent over."""
    chosen = settings.notices
    named = (("webhook", chosen.webhook_url), ("mail", chosen.mail_server))
    return tuple(name for name, where in named if where)


def channels_of(
    settings: Settings, base_url: str, clock: Clock, ring: Callable[[], Cipher]
) -> list[Channel]:
    """Return the channels that are set; over one whose secret does not open everything fails."""
    site = settings.website.public_url or base_url
    found: list[Channel] = []
    for make in (_webhook, _mail):
        channel: Channel | None
        try:
            channel = make(settings, site, clock, ring)
        except ConfigError as error:
            channel = Unusable(make.__name__.lstrip("_"), str(error))
            log.error("channel_not_usable", channel=channel.name, error=channel.reason)
        if channel is not None:
            found.append(channel)
    return found


def _webhook(
    settings: Settings, site: str, clock: Clock, ring: Callable[[], Cipher]
) -> Channel | None:
    chosen = settings.notices
    if not chosen.webhook_url:
        return None
    secret = opened(chosen.webhook_secret, webhook_place(chosen), ring)
    agent = user_agent(settings)
    return Webhook(chosen.webhook_url, secret, chosen.webhook_allow, site, agent, clock)


def _mail(
    settings: Settings, site: str, _clock: Clock, ring: Callable[[], Cipher]
) -> Channel | None:
    chosen = settings.notices
    if not chosen.mail_server:
        return None
    server = MailServer(
        chosen.mail_server,
        chosen.mail_port,
        chosen.mail_security,
        chosen.mail_ca_file,
        chosen.mail_user,
        opened(chosen.mail_password, mail_place(chosen), ring),
    )
    return Mail(server, chosen.mail_from, chosen.mail_to, site)
