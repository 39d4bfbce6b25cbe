"""What is shown of how far a crawl is."""

import pytest

from labtrawl.cli.demo_screen import elapsed, fitting, progress_words
from labtrawl.store.summary import Progress

NOW = Progress(
    {"completed": 1168, "running": 3, "queued": 913}, {}, 29124, 3179, 0, discovered=True
)


@pytest.mark.parametrize(
    ("seconds", "told"),
    [(0.04, "0.0 s"), (59.9, "59.9 s"), (60, "1:00 min"), (3599, "59:59 min"), (7384, "2:03 h")],
)
def test_time_is_told_in_the_unit_that_fits(seconds: float, told: str) -> None:
    assert elapsed(seconds) == told


def test_most_wanted_words_stay_where_a_line_is_short() -> None:
    words = progress_words(NOW, left="about 4 to 7 min left")
    assert ", ".join(words) == (
        "29,124 records, 1,168 of 2,084 lists, about 4 to 7 min left, 3,179 requests"
    )
    assert fitting(words, 100) == ", ".join(words)
    assert fitting(words, 60) == "29,124 records, 1,168 of 2,084 lists, about 4 to 7 min left"
    assert fitting(words, 53) == "29,124 records, 1,168 of 2,084 lists, 3,179 requests"
    assert fitting(words, 3) == "29,124 records"


def test_crawl_whose_end_is_known_tells_it() -> None:
    assert progress_words(NOW, 54048) == ["29,124 of 54,048 records", "1,168 of 2,084 jobs"]
