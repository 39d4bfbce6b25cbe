"""Groups of which one vanishes while another one is made: the total stands still, and none is lost."""

from dataclasses import dataclass, field

import pytest

from labtrawl.http import Answer
from tests.unit.crawler.discovering import API, Site, discover, group

OLD, MEANWHILE = "2025-01-01T00:00:00.000Z", "2026-01-01T00:00:30.000Z"


@dataclass(slots=True)
class Renewed(Site):
    """A hundred groups and two; before the second page one goes, where `goes`, and one comes.

    Each page is answered a minute after the one before it.
    """

    goes: bool = True
    minute: int = 0
    groups: list[int] = field(default_factory=lambda: list(range(1, 103)))

    async def get(self, request: str, headers: dict[str, str]) -> Answer:
        asked = request.removeprefix(API)
        if not asked.startswith("groups?"):
            return await Site.get(self, request, headers)
        number = 2 if asked.endswith("&page=2") else 1
        if number == 2 and 103 not in self.groups:
            self.groups = [*self.groups[self.goes :], 103]
        rows = [
            group(each, f"g{each}", created_at=MEANWHILE if each > 102 else OLD)
            for each in self.groups[100 * number - 100 : 100 * number]
        ]
        total, following = str(len(self.groups)), "2" if number == 1 else ""
        date = f"Thu, 01 Jan 2026 00:0{self.minute}:00 GMT"
        self.put(asked, rows, x_total=total, x_next_page=following, date=date)
        self.minute += 1
        return await Site.get(self, request, headers)


@pytest.mark.parametrize(("goes", "readings"), [(True, 2), (False, 1)])
async def test_group_that_slips_past_while_one_goes_and_one_comes_is_found(
    goes: bool, readings: int
) -> None:
    site = Renewed(goes=goes)
    site.put("projects?membership=true&order_by=id&sort=asc&pagination=keyset&per_page=100", [])
    told = await discover(site)
    assert told.progress()[-1].status == "completed"
    assert set(told.paths()) == {f"g{each}" for each in range(1, 104)}
    assert sum(asked.startswith("groups?") for asked in site.asked) == 2 * readings
