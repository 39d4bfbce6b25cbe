"""Whether a reading of commits passed over any: each names its parents, which the list has too. Pure.

No list of commits has a total, and by page numbers those that a push by force takes away push others
past the reader. The whole list holds whatever its commits come from (`git log --all`), so a parent
that never came was passed over. The last commit of a branch is no parent: one that was passed over
without any before it is not noticed.
"""

from collections.abc import Callable, Iterable
from functools import cache
from typing import Any, Final

import msgspec

from labtrawl.dataset.policy import GatedRecord

# What a cursor keeps: with it a report stays below 64 KiB (`met.MOST_LETTERS`).
MOST_LOOSE: Final = 200


def loose_ends(
    before: Iterable[str],
    records: Iterable[GatedRecord],
    field: str,
    has_come: Callable[[str], bool],
) -> tuple[str, ...]:
    """Return the parents that were named so far, by `before` and by records, and did not come."""
    named = dict.fromkeys(before)
    for record in records:
        place = str(record.id).rpartition("/")[0]
        named |= dict.fromkeys(f"{place}/{parent}" for parent in _parents(record, field))
    return tuple(each for each in named if not has_come(each))[-MOST_LOOSE:]


@cache
def _decoder(field: str) -> msgspec.json.Decoder[Any]:
    return msgspec.json.Decoder(msgspec.defstruct("RowParents", [(field, list[str], [])]))


def _parents(record: GatedRecord, field: str) -> list[str]:
    """Return the parents of a row; none where it tells them in another shape."""
    try:
        found: list[str] = getattr(_decoder(field).decode(record.body), field)
    except msgspec.MsgspecError:
        return []
    return found
