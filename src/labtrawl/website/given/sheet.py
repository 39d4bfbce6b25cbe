"""The settings as the website shows and changes them; `cli` knows the file and the supervisor."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol


@dataclass(frozen=True, slots=True)
class SettingRow:
    """One setting in words: nothing here is secret. A list has a text a line."""

    name: str
    value: str
    """As the file, the environment and the flags say now."""
    running: str
    """As what runs has it, so far as this website knows."""
    default: str
    unit: str
    expects: str
    reason: str
    source: str
    """default, file, or the very place in the environment or on the command line."""
    touches: str
    """What an apply of a change does, one sentence."""
    locked: str
    """Why it cannot be changed here, one sentence; empty where it can."""
    restarts: tuple[str, ...] = ()
    """What an apply of a change restarts: website, crawlers."""
    choices: tuple[str, ...] = ()
    is_list: bool = False

    @property
    def table(self) -> str:
        """The table of the file that it stands in; empty for those above all tables."""
        return self.name.rpartition(".")[0]

    @property
    def waits(self) -> bool:
        """Whether what was saved is not applied yet."""
        return self.value != self.running


@dataclass(frozen=True, slots=True)
class Sheet:
    """All settings; `problem` is why none can be changed now, one sentence."""

    file: Path | None
    rows: tuple[SettingRow, ...]
    problem: str = ""

    @property
    def groups(self) -> dict[str, list[SettingRow]]:
        """The rows by their table."""
        found: dict[str, list[SettingRow]] = {}
        for row in self.rows:
            found.setdefault(row.table, []).append(row)
        return found

    @property
    def waiting(self) -> list[SettingRow]:
        """The rows whose change is saved and not applied."""
        return [row for row in self.rows if row.waits]


@dataclass(frozen=True, slots=True)
class Change:
    """A change of one setting that is ready to be written; `old` and `now` are for people."""

    name: str
    old: str
    now: str
    before: str
    """The whole file as it was read."""
    after: str
    """The whole file as it is to be."""


class SettingsDesk(Protocol):
    """Where the settings are read, changed and applied."""

    def read(self) -> Sheet:
        """Return all settings as they are now."""

    def prepare(self, name: str, words: str | None, seen: str) -> Change:
        """Return a change to a value in words, or with None to the default.

        `seen` is the value that the change was made for. Missing for no setting; ConfigError, one
        sentence, for what cannot be; Conflict where somebody else was quicker.
        """

    def put(self, change: Change) -> None:
        """Write a change into the file, whole or not at all, after the loader's own checks.

        ConfigError, one sentence, where they refuse it; Conflict where the file is another by now.
        """

    async def apply(self) -> Sequence[str]:
        """Have what runs read the settings again; return what that did, a sentence each.

        Conflict where it is refused; then nothing that runs was changed.
        """
