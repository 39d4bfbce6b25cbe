"""What the dataset already holds of a list: loaded once a visit, when something may be compared.

The website tells which segments were committed; they are read from the disk, whole, and what is
kept of each object is its id and a hash of its body.
"""

import asyncio
from collections.abc import Awaitable, Callable, Set
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import msgspec

from labtrawl.crawler.cursor import Met
from labtrawl.crawler.met import Recalled, packed, unpacked
from labtrawl.dataset.policy import GatedRecord
from labtrawl.dataset.reader import content_of, present
from labtrawl.errors import DatasetError, ProtocolError
from labtrawl.protocol.messages import Envelope, Manifest, Record, RequestManifest, SegmentReport

Ask = Callable[[str, str, Record, float], Awaitable[Envelope]]
"""Type, key, payload and seconds: `DirectCommunicationClient.request`."""
ASK_SECONDS: Final = 30.0


class Unread(DatasetError):
    """What was committed before could not be looked up; the same again may succeed."""

    retryable = True


_MANIFEST: Final = msgspec.json.Decoder(Manifest)


async def load(ask: Ask, task_id: str, epoch: int, root: Path) -> dict[int | str, bytes]:
    """Return the content of each object that a job's list has in the dataset, by its id.

    Raises Unread where the website does not answer in time, CorruptSegment where a segment is not
    what it committed, LeaseLost.
    """
    rows: list[SegmentReport] = []
    after: int | None = 0
    while after is not None:
        wanted = RequestManifest(task_id=task_id, epoch=epoch, after=after)
        try:
            answer = await ask("jobRequest", "request_manifest", wanted, ASK_SECONDS)
            page = _MANIFEST.decode(answer.payload)
        except (TimeoutError, ProtocolError, msgspec.MsgspecError) as error:
            raise Unread(f"the website did not tell what it has of the list: {error}") from error
        rows += page.segments
        after = page.next
    return await asyncio.to_thread(present, root, rows)


@dataclass(slots=True)
class Known:
    """The objects of one list as they were, and which of them a reading has met."""

    load: Callable[[], Awaitable[dict[int | str, bytes]]]
    added: int = 0
    removed: int = 0
    _contents: dict[int | str, bytes] | None = None
    _met: set[int | str] = field(default_factory=set)
    # What a first reading gave so far; None before it was looked up.
    _given: dict[int | str, bytes] | None = None

    async def fresh(self, records: list[GatedRecord]) -> list[GatedRecord]:
        """Return the records that say something new, and count the objects that were not known."""
        if not records:
            return []
        contents = await self._loaded()
        self._met.update(record.id for record in records)
        return self._news(records, contents)

    async def first(
        self, records: list[GatedRecord], *, is_first: bool, is_last: bool
    ) -> list[GatedRecord]:
        """Return the records that a first reading did not give before, and count their objects.

        By page numbers rows come again where others are put before them; one that changed meanwhile
        is a newer state. `is_first` says that nothing of the list is in the dataset, `is_last` that
        nothing of it follows: of both together nothing has to be compared.
        """
        if not records:
            return []
        if self._given is None and is_first and is_last:
            alone = {record.id: record for record in records}
            self.added += len(alone)
            self._met.update(alone)
            return list(alone.values())
        if self._given is None:
            self._given = {} if is_first else await self.load()
        return self._news(records, self._given)

    def _news(
        self, records: list[GatedRecord], contents: dict[int | str, bytes]
    ) -> list[GatedRecord]:
        """Return the records that say something new, and keep their contents."""
        found = []
        for record in records:
            content = content_of(record.body)
            before = contents.get(record.id)
            if before != content:
                contents[record.id] = content
                self.added += before is None
                found.append(record)
        return found

    def has_come(self, id_: int | str) -> bool:
        """Say whether this reading gave or met an object."""
        return id_ in (self._met if self._given is None else self._given)

    async def ids(self) -> Set[int | str]:
        """Return the ids of the objects that are known."""
        return (await self._loaded()).keys()

    async def missing(self) -> set[int | str]:
        """Return the objects that are known and were not met since `look_again`."""
        return (await self._loaded()).keys() - self._met

    @property
    def has_met_any(self) -> bool:
        """Whether the reading met anything at all."""
        return bool(self._met)

    def look_again(self) -> None:
        """Begin another reading of the whole list."""
        self._met.clear()
        self._given = None

    def told(self, suspects: set[int | str] | None, by: str) -> Met | None:
        """Return what the reading met so far, for who goes on with it; None where it is too much.

        Before anything was met there is nothing to be known either: it goes on whatever is.
        """
        if self._contents is None:
            return Met("", by, "")
        return packed(self._contents.keys(), self._met, suspects, by)

    async def recall(self, told: Met) -> Recalled | None:
        """Go on with what another run met, and return it; None where that cannot be."""
        if not told.known:
            return Recalled()
        found = unpacked(told, (await self._loaded()).keys())
        if found is not None:
            self._met = found.met
        return found

    def bury(self, ids: set[int | str]) -> None:
        """Forget objects that are no longer there."""
        contents = self._contents or {}
        for each in ids:
            contents.pop(each, None)
        self.removed += len(ids)

    def counted(self) -> tuple[int, int]:
        """Return what was added and removed since this was asked last."""
        counts = self.added, self.removed
        self.added = self.removed = 0
        return counts

    async def _loaded(self) -> dict[int | str, bytes]:
        if self._contents is None:
            self._contents = await self.load()
        return self._contents
