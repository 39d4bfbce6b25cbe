"""What the meta tests share: syntax trees of the whole checkout, for as long as a module reads them."""

from collections.abc import Iterator

import pytest

from tests.meta import tree


@pytest.fixture(autouse=True, scope="module")
def no_trees_for_others() -> Iterator[None]:
    """A full collection of the million nodes takes a second, and other tests would pay for it."""
    yield
    tree.parsed.cache_clear()
