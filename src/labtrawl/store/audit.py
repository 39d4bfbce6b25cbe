"""The audit log: who did what, in rows that are only ever added, each sealed with the one before.

A seal is an HMAC under a key derived from the key file, which lies outside the database: who can
write the database cannot make a row fit. What was cut off at the end is found by the head, which is
written beside the key file. For the website, which writes, and the cli, which verifies.
"""

import asyncio
import hashlib
import hmac
import os
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import msgspec
from sqlalchemy import Connection

from labtrawl import logs
from labtrawl.clock import Clock
from labtrawl.errors import ConfigError
from labtrawl.store.engine import NOW_MS, Store

log = logs.get("auth.audit")

PURPOSE = "audit"
FIRST = "the first row"
ROWS = 1000
# What was cut off at the end is noticed from the rows on that are older than this.
HEAD_SECONDS = 60.0


class Keys(Protocol):
    """Where the key of a seal comes from: the cipher, or a test's."""

    @property
    def key_id(self) -> str:
        """The id of the key for rows to come."""

    def derive(self, purpose: str, key_id: str | None = None) -> bytes:
        """Return the key of this id for one purpose; ConfigError where it is not there."""


@dataclass(frozen=True, slots=True)
class Entry:
    """What is written down: by which tier who did what to what, and what came of it."""

    tier: str
    client: str
    level: str
    action: str
    target: str
    outcome: str
    detail: str = ""


@dataclass(frozen=True, slots=True)
class AuditRow:
    """A row as it lies in the database."""

    id: int
    at: int
    entry: Entry
    mac: str


class Head(msgspec.Struct, frozen=True):
    """The newest row, as it is remembered outside the database."""

    id: int = 0
    mac: str = ""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a look at the whole log found; `problem` is empty where every row fits."""

    rows: int
    problem: str = ""


@dataclass(slots=True)
class _Seals:
    """Makes seals; keys are derived once."""

    keys: Keys
    _known: dict[str, bytes] = field(default_factory=dict)

    def make(self, before: str, row: AuditRow, key_id: str) -> str:
        """Return the seal of a row after the one sealed with `before`; ConfigError without its key."""
        if key_id not in self._known:
            self._known[key_id] = self.keys.derive(PURPOSE, key_id)
        entry = row.entry
        told = (before, row.id, row.at, entry.tier, entry.client, entry.level, entry.action)
        text = msgspec.json.encode((*told, entry.target, entry.outcome, entry.detail))
        return f"hmac:{key_id}:{hmac.new(self._known[key_id], text, hashlib.sha256).hexdigest()}"


COLUMNS = "id, at, tier, client, level, action, target, outcome, detail, mac"


def row_of(found: Any) -> AuditRow:
    """Return a row of the database, its columns as COLUMNS names them."""
    return AuditRow(found[0], found[1], Entry(*found[2:9]), found[9])


def append(connection: Connection, keys: Keys, entry: Entry) -> int:
    """Write one row, sealed with the one before it; return its number. Part of the transaction."""
    append_all(connection, keys, [entry])
    return head(connection).id


def append_all(connection: Connection, keys: Keys, entries: list[Entry]) -> None:
    """Write rows in their order, sealed each with the one before it."""
    last, seals = head(connection), _Seals(keys)
    for entry in entries:
        at = connection.exec_driver_sql(f"SELECT {NOW_MS}").scalar_one()
        bare = AuditRow(last.id + 1, at, entry, "")
        mac = seals.make(last.mac or FIRST, bare, keys.key_id)
        connection.exec_driver_sql(
            f"INSERT INTO audit ({COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (bare.id, at, *_values(entry), mac),
        )
        last = Head(bare.id, mac)


def _values(entry: Entry) -> tuple[str, ...]:
    told = (entry.tier, entry.client, entry.level, entry.action, entry.target)
    return (*told, entry.outcome, entry.detail)


def head(connection: Connection) -> Head:
    """Return the newest row's number and seal."""
    found = connection.exec_driver_sql("SELECT id, mac FROM audit ORDER BY id DESC LIMIT 1").first()
    return Head(found[0], found[1]) if found else Head()


def newest(connection: Connection, limit: int) -> list[AuditRow]:
    """Return the newest rows, the newest first."""
    rows = connection.exec_driver_sql(
        f"SELECT {COLUMNS} FROM audit ORDER BY id DESC LIMIT ?", (limit,)
    ).all()
    return [row_of(row) for row in rows]


def newest_of(connection: Connection, actions: Sequence[str], limit: int) -> list[AuditRow]:
    """Return the newest rows of some actions, the newest first."""
    places = ", ".join("?" * len(actions))
    rows = connection.exec_driver_sql(
        f"SELECT {COLUMNS} FROM audit WHERE action IN ({places}) ORDER BY id DESC LIMIT ?",
        (*actions, limit),
    ).all()
    return [row_of(row) for row in rows]


def verify(connection: Connection, keys: Keys, remembered: Head | None) -> Verdict:
    """Look at every row from the first on; name the first that was changed, removed or moved."""
    last, seals = Head(), _Seals(keys)
    met = remembered == last
    if remembered is None and not _after(connection, 0):
        return Verdict(0)
    while rows := _after(connection, last.id):
        for row in rows:
            if problem := _problem(seals, last, row):
                return Verdict(last.id, problem)
            last = Head(row.id, row.mac)
            met = met or last == remembered
    return Verdict(last.id, "" if met else _cut(last, remembered))


def verify_on(connection: Connection, keys: Keys, start: Head, most: int) -> tuple[Head, str]:
    """Go on from a row that is known to fit; return the last that does, and what is wrong after it.

    It looks at `most` rows: whether the end was cut off, only `verify` tells.
    """
    last, seals = start, _Seals(keys)
    while last.id < start.id + most and (rows := _after(connection, last.id)):
        for row in rows:
            if problem := _problem(seals, last, row):
                return last, problem
            last = Head(row.id, row.mac)
    return last, ""


def _after(connection: Connection, row_id: int) -> list[AuditRow]:
    rows = connection.exec_driver_sql(
        f"SELECT {COLUMNS} FROM audit WHERE id > ? ORDER BY id LIMIT ?", (row_id, ROWS)
    ).all()
    return [row_of(row) for row in rows]


def _problem(seals: _Seals, last: Head, row: AuditRow) -> str:
    if row.id != last.id + 1:
        return f"row {last.id + 1} was removed: row {row.id} follows row {last.id}"
    key_id = row.mac.split(":")[1] if row.mac.count(":") == 2 else ""
    try:
        mac = seals.make(last.mac or FIRST, row, key_id)
    except ConfigError as error:
        return f"row {row.id} was not sealed by labtrawl, or {error}"
    if not hmac.compare_digest(mac, row.mac):
        return f"row {row.id} was changed, inserted or moved: its seal does not fit"
    return ""


def _cut(last: Head, remembered: Head | None) -> str:
    if remembered is None:
        return "the head is missing beside the key file: nobody can tell whether the end is there"
    if last.id < remembered.id:
        return f"the end was cut off: the log had {remembered.id} rows and has {last.id}"
    return f"row {remembered.id} is not the one that was remembered: the log was replaced"


def head_path(data_dir: Path) -> Path:
    """Return where the newest row is remembered."""
    return data_dir / "config" / "audit.head"


def remember(path: Path, newest_row: Head) -> None:
    """Write down the newest row, whole or not at all, and durable."""
    draft = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        with draft.open("wb") as file:
            file.write(msgspec.json.encode(newest_row) + b"\n")
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)


async def keep_head(store: Store, path: Path, clock: Clock) -> None:
    """Remember the newest row each minute, and at the end."""
    try:
        while True:
            await keep(store, path)
            await clock.sleep(HEAD_SECONDS)
    finally:
        await keep(store, path)


async def keep(store: Store, path: Path) -> None:
    """Remember the newest row; not where the remembered one is gone: that has to stay known."""
    try:
        before = await asyncio.to_thread(remembered_in, path)
        newest_row = await store.read(lambda connection: _newest_since(connection, before))
    except ConfigError as error:
        log.error("audit_head_not_kept", error=str(error))
        return
    await asyncio.to_thread(remember, path, newest_row)


def _newest_since(connection: Connection, before: Head | None) -> Head:
    if before is not None and before.id:
        found = connection.exec_driver_sql(
            "SELECT mac FROM audit WHERE id = ?", (before.id,)
        ).scalar()
        if not hmac.compare_digest(str(found), before.mac):
            raise ConfigError(
                f"row {before.id} of the audit log is not what it was: see labtrawl audit verify"
            )
    return head(connection)


def remembered_in(path: Path) -> Head | None:
    """Return what `remember` wrote; None where nothing was, ConfigError for what is not of it."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=Head)
    except FileNotFoundError:
        return None
    except msgspec.MsgspecError:
        raise ConfigError(
            f"{path} holds no row of the audit log: it was changed; move it away to verify without"
        ) from None
