"""What a crawler writes of a list that each item has is what the forecast reads."""

from hypothesis import given
from hypothesis import strategies as st

from labtrawl.crawler.cursor import Cursor
from labtrawl.gitlab import catalog
from labtrawl.store.pages.outlook import OF_ITEMS

NAMES = st.sampled_from([one.name for one in catalog.RESOURCES])
COUNTS = st.integers(0, 10**9)


@given(NAMES, COUNTS, st.none() | COUNTS)
def test_what_is_told_of_items_is_what_is_read(name: str, seen: int, parents: int | None) -> None:
    told = OF_ITEMS.search(f"reading {name}{Cursor(seen=seen, parents=parents).share_told}")
    if not seen:
        assert told is None
    else:
        assert told is not None
        assert told.groups() == (str(seen), str(parents) if parents else None)
