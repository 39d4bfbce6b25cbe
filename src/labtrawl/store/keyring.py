"""A new key, and what becomes of the old one: files only, each step durable before the next.

Killed at any step, every text still opens: a key goes only when nothing is encrypted under it. Of a
retired key a derived one stays (`labtrawl.key.<id>.derived`), under which the audit log of its time
can still be verified, and which opens no token. For the cli.
"""

import contextlib
import fcntl
import os
import secrets
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from labtrawl.errors import ConfigError, Conflict
from labtrawl.store.secrets import (
    derivation_base,
    draft_key_file,
    key_id_of,
    old_key_files,
    parse_old_name,
    read_key,
    sync_folder,
)

Step = Callable[[str], None]
"""Called after each durable step with its name."""


@dataclass(frozen=True, slots=True)
class KeyState:
    """A key of the folder and what it does; `since` is when its file was written."""

    key_id: str
    state: Literal["current", "old", "retired"]
    since: datetime


def key_states(path: Path) -> list[KeyState]:
    """Return the keys, the current one first."""
    current = key_id_of(read_key(path))
    found = [KeyState(current, "current", _written_at(path))]
    for each in old_key_files(path):
        key_id, is_retired = parse_old_name(each)
        if key_id != current:
            found.append(KeyState(key_id, "retired" if is_retired else "old", _written_at(each)))
    return found


def replace_key(path: Path, step: Step = lambda _name: None) -> str:
    """Put a fresh key in the place of the current one, which stays beside it; return its id."""
    old = read_key(path)
    kept = path.with_name(f"{path.name}.{key_id_of(old)}")
    with contextlib.suppress(FileExistsError):  # a rotation that was cut off here
        os.link(path, kept)
    sync_folder(path.parent)
    step("old_key_kept")
    fresh = secrets.token_bytes(len(old))
    draft = draft_key_file(path, fresh)
    step("new_key_drafted")
    draft.replace(path)
    sync_folder(path.parent)
    step("new_key_placed")
    return key_id_of(fresh)


def retire(path: Path, used: Collection[str], step: Step = lambda _name: None) -> list[str]:
    """Remove the old keys that no id in `used` names; return theirs."""
    current = key_id_of(read_key(path))
    retired = []
    for each in old_key_files(path):
        key_id, is_retired = parse_old_name(each)
        if is_retired or key_id in used:
            continue
        if key_id != current:
            _keep_derived(each)
            step("derived_key_kept")
            retired.append(key_id)
        each.unlink()
        sync_folder(path.parent)
        step("old_key_removed")
    return retired


def _keep_derived(old: Path) -> None:
    place = old.with_name(f"{old.name}.derived")
    draft = draft_key_file(place, derivation_base(read_key(old)))
    draft.replace(place)
    sync_folder(old.parent)


@contextlib.contextmanager
def rotating(path: Path) -> Iterator[None]:
    """Let one rotation at a time into the folder; Conflict where there is another."""
    try:
        folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    except FileNotFoundError:
        raise ConfigError(
            f"there is no key in {path.parent}; labtrawl init makes one with the first account"
        ) from None
    try:
        try:
            fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Conflict("another rotation of the keys is under way; wait for its end") from None
        yield
    finally:
        os.close(folder)


def _written_at(path: Path) -> datetime:
    return datetime.fromtimestamp(path.stat().st_mtime, UTC)
