"""What is foretold of real crawls that were recorded: the same figures whatever machine tells them.

Six crawls of the look-alike at limits of 600 … 2000 requests a minute, each longer than a minute. The
model was made with them at hand; crawls that nobody has seen are `test_eta_crawls`.

Six more without a limit took 17 … 46 seconds, each request 20 … 200 ms. The model was made with one of
them at hand (12-areas-17-s). On a machine that does other work, too, it is told worse.
"""

import pytest

from labtrawl.domain.eta import FIRM_SHARE
from labtrawl.website.figures.forecasts import forecast_of
from tests.rig.foretold import WHOLE, Foretold
from tests.rig.recorded import FOLDER, FREE, foretell_again, read


@pytest.fixture(scope="module")
def crawls() -> dict[str, Foretold]:
    return {path.name: foretell_again(path) for path in sorted(FOLDER.iterdir())}


@pytest.fixture(scope="module")
def free() -> dict[str, Foretold]:
    return {path.name: foretell_again(path) for path in sorted(FREE.iterdir())}


@pytest.mark.proof
def test_areas_end_inside_the_first_range_that_is_told_of_them(crawls: dict[str, Foretold]) -> None:
    """Four of five, when a fifth of the area is done; where no range is told, its end is outside."""
    inside = firsts = 0
    for name, found in crawls.items():
        first = [one for one in found.first(FIRM_SHARE) if one.area != WHOLE]
        right = sum(map(found.is_inside, first))
        assert right >= 0.6 * len(first), name
        inside, firsts = inside + right, firsts + len(first)
    assert (len(crawls), firsts) == (6, 161)
    assert inside >= 0.8 * firsts


@pytest.mark.proof
def test_whole_ends_inside_four_of_five_ranges(crawls: dict[str, Foretold]) -> None:
    """At all looks, from a fifth on."""
    looks = [
        found.is_inside(one)
        for found in crawls.values()
        for one in found.later(FIRM_SHARE)
        if one.area == WHOLE
    ]
    assert sum(looks) >= 0.8 * len(looks) > 0


@pytest.mark.proof
def test_every_range_is_at_most_twice_as_wide(crawls: dict[str, Foretold]) -> None:
    for found in crawls.values():
        told = [one.told.range for one in found.later(FIRM_SHARE) if one.told.range is not None]
        assert len(told) > 0
        assert all(0 <= each.lower <= each.upper <= 2 * each.lower for each in told)


@pytest.mark.proof
def test_areas_end_inside_the_first_range_where_no_limit_holds(free: dict[str, Foretold]) -> None:
    """Four of five, when a fifth of the area is done: as within a limit."""
    firsts = [
        (found, one)
        for found in free.values()
        for one in found.first(FIRM_SHARE)
        if one.area != WHOLE
    ]
    assert (len(free), len(firsts)) == (6, 96)
    assert sum(found.is_inside(one) for found, one in firsts) >= 0.8 * len(firsts)


@pytest.mark.proof
def test_whole_ends_inside_four_of_five_ranges_where_no_limit_holds(
    free: dict[str, Foretold],
) -> None:
    """At all looks, from a fifth on; each range is as narrow as it is promised."""
    looks = [
        (found, one)
        for found in free.values()
        for one in found.later(FIRM_SHARE)
        if one.area == WHOLE
    ]
    assert sum(found.is_inside(one) for found, one in looks) >= 0.8 * len(looks) > 0
    ranges = [one.told.range for _, one in looks if one.told.range is not None]
    assert all(0 < each.lower <= each.upper <= 2 * each.lower for each in ranges)


def test_what_is_kept_for_people_makes_the_end_later() -> None:
    """The rate that was seen is not believed beyond what is granted of the limit."""
    _, shown = read(FOLDER / "24-areas-at-1200.jsonl.xz")
    one = next(each for each in shown if each.outlook.limit and each.done[WHOLE] > 1500)
    told = [
        forecast_of(one.outlook, one.done[WHOLE], 0, reserved=reserved).whole().range
        for reserved in (0.2, 0.6, 0.9)
    ]
    uppers = [each.upper for each in told if each is not None]
    assert len(uppers) == 3
    assert uppers[0] < uppers[1] < uppers[2]
