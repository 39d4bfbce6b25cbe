"""The rules of a visit: what is compared, when a list is read again, what is gone. Pure.

A first visit (`full`) writes what it reads. Later ones compare with the dataset: `changes` reads what
changed since the watermark, `sweep` reads the whole list and finds what is missing. Deletions leave
no trace on GitLab (no tombstones, no "deleted since"), so only a whole reading shows them.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final

from msgspec.structs import replace

from labtrawl.crawler.cursor import Cursor
from labtrawl.crawler.reader import Reader
from labtrawl.dataset.policy import GONE, NO_BODY, UNKNOWN, FetchedRecord

FULL: Final = "full"
CHANGES: Final = "changes"
SWEEP: Final = "sweep"
# GitLab touches an item at most once a minute for its comments, and clocks of its nodes differ
# (app/models/concerns/throttled_touch.rb): what is newer than this is read again.
OVERLAP_MS: Final = 120_000
# A list that never stands still is given up for this visit; the ledger then says that it changed.
MOST_PASSES: Final = 3


@dataclass(slots=True)
class Visit:
    """One visit; `missing` is what an object that is no longer there counts as (`gone`, …).

    `may_pass_over` says that one reading may pass over a row that is there (`nested`).
    """

    mode: str = FULL
    missing: str = GONE
    may_pass_over: bool = True
    # The account that reads.
    by: str = ""
    _suspects: set[int | str] | None = field(default=None)
    # What readings before named and did not show, those of the last visit too.
    _loose: frozenset[str] = frozenset()

    @property
    def is_whole(self) -> bool:
        """Whether the visit reads the whole list."""
        return self.mode != CHANGES

    def begin(self, cursor: Cursor) -> Cursor:
        """Return where to begin: from the start where what was met before counts, and is not kept.

        What earlier readings of the visit missed is not kept either: they count no more. What the
        last visit found loose is known, and a visit for changes carries it on.
        """
        self._recall_loose(cursor)
        if self.looks_for_missing(cursor):
            passes = min(cursor.passes, 1)
            return Cursor(passes=passes, written=cursor.written, last=cursor.last)
        if not self.compares(cursor):
            return replace(cursor, last=None)
        if self.is_whole or cursor.last is None:
            return cursor
        return replace(cursor, loose=cursor.last.loose)

    def go_on(self, cursor: Cursor, suspects: set[int | str] | None) -> Cursor:
        """Return where a reading goes on of which is known what it met."""
        self._recall_loose(cursor)
        self._suspects = suspects
        return replace(cursor, met=None)

    def _recall_loose(self, cursor: Cursor) -> None:
        self._loose = frozenset(() if cursor.last is None else cursor.last.loose)

    def compares(self, cursor: Cursor) -> bool:
        """Say whether records are compared with what the dataset holds."""
        return self.mode != FULL or cursor.passes > 0

    def looks_for_missing(self, cursor: Cursor) -> bool:
        """Say whether the reading that ended shows what is no longer there."""
        return self.is_whole and self.compares(cursor)

    def is_to_be_read_again(self, cursor: Cursor, missing: set[int | str]) -> bool:
        """Say whether the list moved under the reading, or misses something for the first time.

        By page numbers a row that vanishes pushes another one past the reader: what one reading
        missed counts as gone only when a second one misses it too.
        """
        if self._suspects is not None:
            self._suspects &= missing
        if cursor.passes + 1 >= MOST_PASSES:
            return False
        has_moved = self.is_whole and self.may_pass_over and cursor.changed
        if has_moved and cursor.expected not in (None, cursor.items):
            return True
        if self.is_whole and (cursor.lost or self._has_passed_over(cursor)):
            return True
        if not missing or self._suspects is not None:
            return False
        self._suspects = missing
        return self.may_pass_over or cursor.changed

    def _has_passed_over(self, cursor: Cursor) -> bool:
        """Say whether rows are loose that were not so before: what stays loose is nowhere."""
        before, self._loose = self._loose, self._loose.union(cursor.loose)
        return self._loose != before

    @property
    def suspects(self) -> set[int | str] | None:
        """What every reading missed so far; None before the first one ended."""
        return self._suspects

    def again(self, cursor: Cursor) -> Cursor:
        """Return the beginning of another reading of the same visit."""
        return Cursor(
            passes=cursor.passes + 1, started_at=cursor.started_at, written=cursor.written
        )

    def gone(self, missing: set[int | str]) -> set[int | str]:
        """Return what every reading of this visit missed."""
        return set() if self._suspects is None else self._suspects & missing

    def state_of_missing(self, *, has_met_any: bool) -> str:
        """Return the state for missing objects: of a list that lost all at once nobody can tell.

        A feature that is switched off answers as an empty list does (doc/api/issues.md).
        """
        return self.missing if has_met_any else UNKNOWN

    def watermark(self, cursor: Cursor) -> int | None:
        """Return the instant of the server (ms) up to which everything was read."""
        return None if cursor.started_at is None else cursor.started_at - OVERLAP_MS


def tombstones(
    reader: Reader, ids: Iterable[int | str], state: str, now: datetime
) -> Iterator[FetchedRecord]:
    """Yield a record that an object is no longer there, for each id."""
    fetched_at = now.astimezone(UTC).isoformat(timespec="milliseconds")
    for each in ids:
        yield FetchedRecord(
            id=each,
            kind=reader.resource.kind,
            fetched_at=fetched_at,
            request=f"/api/v4/{reader.path(reader.resource, '*')}",
            page_sha256="",
            gitlab_version=reader.gitlab_version,
            body=NO_BODY,
            state=state,
        )
