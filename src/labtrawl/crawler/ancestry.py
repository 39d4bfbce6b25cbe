"""Whether a reading of commits passed over any: each names its parents, which the list has too. Pure.

No list of commits has a total, and by page numbers those that a push by force takes away push others
past the reader. The whole list holds whatever its commits come from (`git log --all`), so a parent
that never came was passed over, unless it is nowhere: a history may be cut off, as that of a shallow
clone. A second reading shows that, and later visits know it. The last commit of a branch is no
parent: one that was passed over without any before it is not noticed.
"""

from collections.abc import Callable, Iterable, Iterator
from functools import cache
from itertools import chain
from typing import Any, Final

import msgspec

from labtrawl.dataset.policy import GatedRecord
from labtrawl.gitlab.pages import Row

# What a cursor keeps: with it a report stays below 64 KiB (`met.MOST_LETTERS`).
MOST_LOOSE: Final = 200
# The mark of a list that nothing but this is known of: it is the request of none.
LOOSE: Final = "loose"


def loose_ends(
    before: Iterable[str], named: Iterable[str], has_come: Callable[[str], bool]
) -> tuple[str, ...]:
    """Return the parents that were named so far, `before` and since, and did not come."""
    loose = [each for each in dict.fromkeys(chain(before, named)) if not has_come(each)]
    return tuple(loose[-MOST_LOOSE:])


def parents_of(records: Iterable[GatedRecord], field: str) -> Iterator[str]:
    """Yield the parents that records name, as records of the same list are called."""
    for record in records:
        place = str(record.id).rpartition("/")[0]
        yield from (f"{place}/{parent}" for parent in named_by(record.body, field))


@cache
def _decoder(field: str) -> msgspec.json.Decoder[Any]:
    return msgspec.json.Decoder(msgspec.defstruct("RowParents", [(field, list[str], [])]))


def named_by(row: Row, field: str) -> list[str]:
    """Return the parents of a row; none where it tells them in another shape."""
    try:
        found: list[str] = getattr(_decoder(field).decode(row), field)
    except msgspec.MsgspecError:
        return []
    return found
