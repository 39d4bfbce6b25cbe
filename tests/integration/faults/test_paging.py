"""Lists whose pages go wrong, or that move while they are read."""

from pathlib import Path

import pytest

from labtrawl.sandbox import Add, Edit, Fault, Move, Planned, Remove
from labtrawl.sandbox.changes import Change
from tests.integration.faults.crawling import ONE, Crawl, Key, crawl, path_of
from tests.integration.http.wire import listening, ok

LABELS = (ONE.full_path, "labels")
MANY = 230


def _grow(one: Crawl) -> None:
    """Give a project lists of three pages: labels by number, issues by keyset, requests by both."""
    changes: list[Change] = []
    for number in range(MANY):
        name, at = f"m{number:03d}", f"2026-11-21T10:{number // 60:02d}:{number % 60:02d}Z"
        for what in ("label", "issue", "merge_request"):
            said = {"name" if what == "label" else "title": name}
            changes.append(Add(what=what, project=ONE.id, fields=said, at=at))
    one.server.change(*changes)


@pytest.mark.parametrize("skip", [0, 1], ids=["itself", "repeats"])
@pytest.mark.parametrize("resource", ["labels", "issues", "merge_requests"])
async def test_pages_in_a_circle_are_left_after_two_rounds_and_a_gap(
    tmp_path: Path, resource: str, skip: int
) -> None:
    fault = Fault(path=path_of(resource), kind="next_is_first", times=0, skip=skip)
    async with crawl(tmp_path, fault) as one:
        _grow(one)
        await one.run()
        gaps = await one.gaps()
        assert (ONE.full_path, resource) in gaps
        nested = {cell: "failed" for cell in gaps if cell[0] == ONE.full_path}
        await one.assert_only_gaps(nested)
        assert nested.keys() <= {
            (ONE.full_path, resource),
            (ONE.full_path, "issue_discussions"),
        }
        # What names itself is no answer: three tries of a request in three of a job.
        assert (await one.asked())[f"projects/:id/{resource}"] <= 3 * 3 + 2


@pytest.mark.parametrize("version", ["19.3.0-ee", "16.0.0"])
async def test_next_page_on_another_host_is_read_here_and_no_token_goes_there(
    tmp_path: Path, version: str
) -> None:
    async with (
        listening({}) as other,
        crawl(tmp_path, link_host=other.base(), version=version) as one,
    ):
        _grow(one)
        await one.run()
        await one.assert_equals_truth()
        assert (other.connections, other.heads) == (0, [])


async def test_other_host_of_the_test_would_hear_a_request() -> None:
    """Shows that the listener of the test above can fail it."""
    from labtrawl.http import Limits, Origin, open_http

    async with listening({"/": ok()}) as other:
        origin = Origin(other.base(), address_allow=("127.0.0.1",))
        async with open_http(origin, Limits(), "test") as http:
            await http.get("/", {"authorization": "Bearer t"})
        assert (other.connections, len(other.heads)) == (1, 1)


async def test_lists_that_nobody_counts_are_read_to_their_end(tmp_path: Path) -> None:
    async with crawl(tmp_path, Fault(path="/projects/", kind="no_total", times=0)) as one:
        _grow(one)
        await one.run()
        await one.assert_equals_truth()


async def test_list_that_refuses_pages_far_down_keeps_what_it_gave_and_says_why(
    tmp_path: Path,
) -> None:
    fault = Fault(path=rf"/projects/{ONE.id}/labels\?.*page=3", kind="405_offset", times=0)
    async with crawl(tmp_path, fault) as one:
        _grow(one)
        await one.run()
        await one.assert_only_gaps({LABELS: "cap"})
        items, _ = await one.items()
        assert len([key for key in items if key[1:3] == (ONE.id, "labels")]) == 200


A_LABEL = ONE.labels[0].id
AN_ISSUE = ONE.issues[0].iid
MOVES: dict[str, tuple[str, tuple[Change, ...]]] = {
    "inserted before": (
        "labels",
        tuple(Add(what="label", project=ONE.id, fields={"name": f"a{n}"}) for n in range(3)),
    ),
    "deleted before": ("labels", (Remove(what="label", project=ONE.id, key=A_LABEL),)),
    "another order": (
        "labels",
        (Edit(what="label", project=ONE.id, key=A_LABEL, fields={"name": "zzz"}),),
    ),
    "issue inserted": ("issues", (Add(what="issue", project=ONE.id, fields={"title": "late"}),)),
    "issue deleted": ("issues", (Remove(what="issue", project=ONE.id, key=AN_ISSUE),)),
    "issue changed": (
        "issues",
        (Edit(what="issue", project=ONE.id, key=AN_ISSUE, fields={"title": "late"}),),
    ),
    "request inserted": (
        "merge_requests",
        (Add(what="merge_request", project=ONE.id, fields={"title": "late"}),),
    ),
    "request deleted": (
        "merge_requests",
        (Remove(what="merge_request", project=ONE.id, key=ONE.merge_requests[0].iid),),
    ),
    "project renamed": ("labels", (Move(what="project", key=ONE.id, path="elsewhere"),)),
}


@pytest.mark.parametrize(
    ("name", "version"),
    [(name, "19.3.0-ee") for name in MOVES]
    # Its issues come by page numbers.
    + [(name, "16.0.0") for name in MOVES if name.startswith("issue")],
)
async def test_list_that_moves_while_it_is_read_loses_nothing_that_was_there(
    tmp_path: Path, name: str, version: str
) -> None:
    """What was there before and after is there, once as it was or is."""
    resource, changes = MOVES[name]
    plan = Planned(changes=changes, matching=path_of(resource))
    async with crawl(tmp_path, script=(), version=version) as one:
        _grow(one)
        before = one.truth()
        one.server.living.script.add((plan,))
        await one.run()
        after = one.truth()
        newest = await one.now()
        stood = {key: body for key, body in after.items() if before.get(key) == body}
        assert _missing(stood, newest) == []
        assert all(newest[key] in (before.get(key), after.get(key)) for key in newest)
        for_sure = {"changed", "deleted"}
        assert set((await one.gaps()).values()) <= for_sure


def _missing(wanted: dict[Key, object], found: dict[Key, object]) -> list[Key]:
    return [key for key, body in wanted.items() if found.get(key) != body]


async def test_project_that_is_gone_in_the_middle_costs_its_own_lists(tmp_path: Path) -> None:
    plan = Planned(changes=(Remove(what="project", project=ONE.id),), matching=path_of("labels"))
    async with crawl(tmp_path, script=(plan,)) as one:
        before = one.truth()
        await one.run()
        gaps = await one.gaps()
        assert {path for path, _ in gaps} == {ONE.full_path}
        assert set(gaps.values()) <= {"forbidden", "deleted", "failed", "changed"}
        newest = await one.now()
        stood = {key: body for key, body in one.truth().items() if before.get(key) == body}
        assert _missing(stood, newest) == []
