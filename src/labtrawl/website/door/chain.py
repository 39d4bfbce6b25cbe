"""Whether the audit log is intact, as far as this process has looked: a little further each time."""

from dataclasses import dataclass, field
from datetime import datetime

import msgspec

from labtrawl.errors import ConfigError
from labtrawl.store import audit
from labtrawl.store.audit import Head, Keys, Verdict, head_path
from labtrawl.store.engine import Connection
from labtrawl.website.given.site import Site

# Rows that one look at the page goes on by: some hundredths of a second.
STEP = 5000


class ChainTold(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of the seals: `intact_to` is the last row that fits; `problem` is empty if all do."""

    intact_to: int
    rows: int
    checked_at: datetime
    problem: str = ""
    whole_checked_at: datetime | None = None
    """When every row and the remembered end were last looked at together."""


@dataclass(slots=True)
class Chain:
    """Remembers how far the seals were found to fit."""

    site: Site
    _last: Head = field(default_factory=Head)
    _problem: str = ""
    _whole_at: datetime | None = None

    async def look(self) -> ChainTold:
        """Go on from the last row that fits, by `STEP` rows."""
        try:
            keys = self.site.audit_keys()
            last, problem, rows = await self.site.store.read(lambda c: _go_on(c, keys, self._last))
        except ConfigError as error:
            return await self._unchecked(error)
        self._last = last
        return self._told(rows, problem or self._problem)

    async def check_all(self) -> ChainTold:
        """Look at every row from the first, and whether the end is there."""
        try:
            keys = self.site.audit_keys()
            remembered = audit.remembered_in(head_path(self.site.data_dir))
            verdict, last = await self.site.store.read(lambda c: _all(c, keys, remembered))
        except ConfigError as error:
            return await self._unchecked(error)
        self._last = Head() if verdict.problem else last
        self._problem = verdict.problem
        self._whole_at = self.site.clock.now()
        return self._told(last.id, verdict.problem, verdict.rows)

    async def _unchecked(self, error: ConfigError) -> ChainTold:
        newest = await self.site.store.read(audit.head)
        return self._told(newest.id, f"nobody can tell: {error}", 0)

    def _told(self, rows: int, problem: str, intact_to: int | None = None) -> ChainTold:
        return ChainTold(
            intact_to=self._last.id if intact_to is None else intact_to,
            rows=rows,
            checked_at=self.site.clock.now(),
            problem=problem,
            whole_checked_at=self._whole_at,
        )


def _go_on(connection: Connection, keys: Keys, start: Head) -> tuple[Head, str, int]:
    last, problem = audit.verify_on(connection, keys, start, STEP)
    return last, problem, audit.head(connection).id


def _all(connection: Connection, keys: Keys, remembered: Head | None) -> tuple[Verdict, Head]:
    return audit.verify(connection, keys, remembered), audit.head(connection)
