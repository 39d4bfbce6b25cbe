"""Reads the settings for the website, writes a change into their file, and has it applied."""

import asyncio
import threading
import tomllib
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import tomlkit
from msgspec.structs import replace
from tomlkit.exceptions import TOMLKitError

from labtrawl import config
from labtrawl.cli.programs import is_fixed, restarts
from labtrawl.cli.settings_blocks import Blocks
from labtrawl.cli.settings_file import failure, put_file
from labtrawl.cli.supervisor_desk import ask_until
from labtrawl.config import SETTINGS, Setting, Settings
from labtrawl.domain.credential import Secret
from labtrawl.errors import ConfigError, Conflict, Missing
from labtrawl.supervisor.control import ReloadWanted
from labtrawl.supervisor.instance import holder_of
from labtrawl.website.given.sheet import Change, SettingRow, Sheet

Reload = Callable[[], Awaitable[Sequence[str]]]

RESTARTING = "the website itself restarts with the new settings; load the page again in a moment"
NO_FILE = (
    "This run was not started from a file of settings, as a demo is not: nothing can be changed"
    " here. `labtrawl init` writes a file, `labtrawl start` reads it."
)
_RELOAD_SECONDS = 180.0
_PLACES = ("data_dir", "runtime_dir")
_ROWS = {row.name: row for row in SETTINGS}
_SENTENCES = {
    ("website", "crawlers"): "Website and crawlers restart.",
    ("website",): "The website restarts.",
    ("crawlers",): "The crawlers restart.",
    (): "Crawlers are added or removed; nothing restarts.",
}


class FileDesk:
    """The settings of one run: `begun` is what the website was started with.

    Environment and flags cannot change while it runs, so what they set is taken from there.
    """

    def __init__(self, begun: Settings, reload: Reload) -> None:
        self._running = begun
        self._file = begun.file
        self._reload = reload
        pinned = {*begun.overrides, *_PLACES}
        self._pinned = {name: _plain(value_of(begun, name)) for name in pinned}
        self._overrides = begun.overrides
        # Pinned only so that they stay what they are: nobody set them.
        self._unnamed = set(_PLACES) - set(begun.named)
        self._writing = threading.Lock()
        self._running = self._as_set(begun)

    def _as_set(self, begun: Settings) -> Settings:
        """Return them with the form of logs that was set: all programs below write JSON lines."""
        try:
            return replace(begun, logs=replace(begun.logs, format=self._load().logs.format))
        except ConfigError:
            return begun

    def read(self) -> Sheet:
        """Return all settings as they are now; a file that cannot be read is told, not raised."""
        try:
            settings, problem = self._load(), "" if self._file else NO_FILE
        except ConfigError as error:
            settings, problem = self._running, f"{error}."
        return Sheet(self._file, tuple(self._row(row, settings) for row in SETTINGS), problem)

    def _load(self) -> Settings:
        if self._file is None:
            return self._running
        return config.load(self._file, {}, self._pinned)

    def _row(self, row: Setting, settings: Settings) -> SettingRow:
        kind = get_args(row.annotation)[0]
        # What cannot change while it runs is what it turned out to be: a port may have moved.
        shown = self._running if is_fixed(row.name) else settings
        return SettingRow(
            name=row.name,
            value=in_words(value_of(shown, row.name)),
            running=in_words(value_of(self._running, row.name)),
            default="" if row.default == "(none)" else row.default,
            unit=row.unit,
            expects=row.expects,
            reason=row.reason,
            source=self._source(row.name, settings),
            touches=_touches(row.name),
            locked=self._locked(row.name),
            restarts=() if is_fixed(row.name) else restarts(row.name),
            choices=get_args(kind) if get_origin(kind) is Literal else (),
            is_list=row.is_list,
        )

    def _source(self, name: str, settings: Settings) -> str:
        if name in self._overrides:
            return self._overrides[name]
        return "file" if name in settings.named and name not in self._unnamed else "default"

    def _locked(self, name: str) -> str:
        if name in self._overrides:
            return f"It is given by {self._overrides[name]}, which wins over the file."
        if is_fixed(name):
            where = f" in {self._file}" if self._file else ""
            return f"It cannot change while labtrawl runs: stop it, change it{where}, start again."
        return ""

    def prepare(self, name: str, words: str | None, seen: str) -> Change:
        """Return a change that can be written; see `SettingsDesk`."""
        if name not in _ROWS:
            raise Missing(f"there is no setting {name}")
        if self._file is None:
            raise ConfigError(NO_FILE.removesuffix("."))
        if locked := self._locked(name):
            raise ConfigError(locked.removesuffix("."))
        old = in_words(value_of(self._load(), name))
        if old.splitlines() != seen.splitlines():
            raise Conflict(f"{name} was changed meanwhile: look at its value and save again")
        value = None if words is None else _value(_ROWS[name], words)
        if value is not None and in_words(value) == old:
            raise ConfigError(f"{name} is that already")
        before = _text_of(self._file)
        after = with_setting(before, name, value)
        if after == before:
            raise ConfigError(f"{name} has its default already")
        now = f"the default, {_ROWS[name].default}" if value is None else in_words(value)
        return Change(name, old, now, before, after)

    def put(self, change: Change) -> None:
        """Write a change into the file; see `SettingsDesk`."""
        assert self._file is not None, "a change is prepared for a file"
        with self._writing:
            if _text_of(self._file) != change.before:
                raise Conflict("the file of settings was changed meanwhile: save again")
            try:
                put_file(self._file, change.after, may_replace=True, flags=self._pinned)
            except OSError as error:
                raise failure(error, self._file) from None

    def take_out(self, is_gone: Callable[[config.Account], bool]) -> None:
        """Take accounts out of the file, with their encrypted tokens; nothing where there are none.

        ConfigError, Conflict or DiskFull where that cannot be; then the file is as before.
        """
        if self._file is None:
            return
        with self._writing:
            before, known = _text_of(self._file), self._load().accounts
            gone = [number for number, each in enumerate(known) if is_gone(each)]
            if not gone:
                return
            blocks = Blocks(before)
            for number in reversed(gone):
                blocks.remove("accounts", number)
            if any(known[number].token in blocks.text for number in gone):
                raise ConfigError(f"{self._file} has the token in another place as well")
            try:
                put_file(self._file, blocks.text, may_replace=True, flags=self._pinned)
            except OSError as error:
                raise failure(error, self._file) from None

    async def apply(self) -> Sequence[str]:
        """Have the supervisor read the settings again; see `SettingsDesk`."""
        if self._file is None:
            raise Conflict(NO_FILE.removesuffix("."))
        settings = await asyncio.to_thread(self._load)
        done = await self._reload()
        self._running = settings
        return done


def reload_of(data_dir: Path, stopping: asyncio.Event) -> Reload:
    """Return how to ask the supervisor for a reload.

    One that restarts the asker too cannot be waited for: then RESTARTING is all that is known.
    """

    async def reload() -> Sequence[str]:
        holder = holder_of(data_dir)
        if holder is None:
            raise Conflict(f"no labtrawl runs on {data_dir} that could apply them")
        reply = await ask_until(holder, ReloadWanted(), _RELOAD_SECONDS, stopping)
        return (RESTARTING,) if reply is None else reply.changes

    return reload


def value_of(settings: Settings, name: str) -> object:
    """Return the value of a setting by its dotted name."""
    found: Any = settings
    for part in name.split("."):
        found = getattr(found, part)
    return found


def in_words(value: object) -> str:
    """Write a value as the pages show it and a form takes it; of a secret only that it is there."""
    if isinstance(value, tuple):
        return "\n".join(value)
    if value is None:
        return ""
    return "set" if isinstance(value, Secret) else str(value)


def with_setting(text: str, name: str, value: object) -> str:
    """Return a file with a setting changed, or without it for None; all else stays as it is.

    ConfigError where the file is written in a way that this cannot keep.
    """
    wanted = tomllib.loads(text)
    _change(wanted, name.split("."), value)
    try:
        document = tomlkit.parse(text)
        _change(document, name.split("."), value)
        made = document.as_string()
        is_right = _pruned(tomllib.loads(made)) == _pruned(wanted)
    except (TOMLKitError, tomllib.TOMLDecodeError):
        is_right = False
    if not is_right:
        raise ConfigError(f"{name} cannot be changed here as the file is written: edit the file")
    return made


def _change(place: Any, path: Sequence[str], value: object) -> None:
    """Set or remove a key below tables, of tomlkit or plain; a missing table is made."""
    *groups, last = path
    for group in groups:
        if group not in place:
            if value is None:
                return
            place[group] = tomlkit.table() if isinstance(place, tomlkit.TOMLDocument) else {}
        place = place[group]
    if value is None:
        place.pop(last, None)
    else:
        place[last] = list(value) if isinstance(value, tuple) else value


def _pruned(tables: Any) -> Any:
    """Leave out empty tables: whether one stands there makes no difference."""
    if not isinstance(tables, dict):
        return tables
    made = {key: _pruned(value) for key, value in tables.items()}
    return {key: value for key, value in made.items() if value != {}}


def _value(row: Setting, words: str) -> object:
    """Return the value that the words of a form mean; ConfigError as the loader says it."""
    lines = [line.strip() for line in words.splitlines() if line.strip()]
    return config.from_words(row.name, lines if row.is_list else words.strip())


def _text_of(file: Path) -> str:
    if file.is_symlink():
        raise ConfigError(f"{file} is a link: change the file that it names by hand")
    try:
        return file.read_bytes().decode()
    except (OSError, UnicodeDecodeError):
        raise ConfigError(f"{file} cannot be read") from None


def _touches(name: str) -> str:
    if is_fixed(name):
        return "Cannot change while labtrawl runs."
    return _SENTENCES[restarts(name)]


def _plain(value: object) -> object:
    """Write a value as a flag would give it."""
    return value.reveal() if isinstance(value, Secret) else value
