"""Faults of GraphQL: what it cannot tell is read by REST, what only it tells is a gap."""

from pathlib import Path

import pytest

from labtrawl.sandbox import Fault
from tests.integration.faults.crawling import ONE, OTHER, crawl

GRAPHQL = "/api/graphql"
TIMELOGS = {(project.full_path, "timelogs"): "failed" for project in (ONE, OTHER)}
FAULTS = {
    "200 with errors": Fault(path=GRAPHQL, kind="graphql_nulls"),
    "partial null": Fault(path=GRAPHQL, kind="graphql_nulls", field="Issue.discussions"),
    "cost limit": Fault(path=GRAPHQL, kind="graphql_costly"),
    "time-out of a field": Fault(path=GRAPHQL, kind="graphql_timeout"),
    "time-out of the request": Fault(path=GRAPHQL, kind="graphql_cancelled"),
    "time-out of a proxy": Fault(path=GRAPHQL, kind="408"),
    "429": Fault(path=GRAPHQL, kind="429_http", retry_after_seconds=1),
    "500": Fault(path=GRAPHQL, kind="500"),
    "502": Fault(path=GRAPHQL, kind="502_html"),
    "truncated": Fault(path=GRAPHQL, kind="truncate"),
    "html": Fault(path=GRAPHQL, kind="html200"),
    "empty": Fault(path=GRAPHQL, kind="empty200"),
    "wrong type": Fault(path=GRAPHQL, kind="wrong_type"),
    "charset": Fault(path=GRAPHQL, kind="charset"),
    "reset": Fault(path=GRAPHQL, kind="reset"),
}


@pytest.mark.parametrize("name", FAULTS)
async def test_fault_that_passes_loses_nothing(tmp_path: Path, name: str) -> None:
    async with crawl(tmp_path, FAULTS[name]) as one:
        await one.run()
        await one.assert_equals_truth()


ALWAYS = {
    "cost limit": (Fault(path=GRAPHQL, kind="graphql_costly", times=0), "failed"),
    "time-out of a field": (Fault(path=GRAPHQL, kind="graphql_timeout", times=0), "failed"),
    "time-out of the request": (Fault(path=GRAPHQL, kind="graphql_cancelled", times=0), "failed"),
    "403": (Fault(path=GRAPHQL, kind="403", times=0), "forbidden"),
    "404": (Fault(path=GRAPHQL, kind="404", times=0), "forbidden"),
}


@pytest.mark.parametrize("name", ALWAYS)
async def test_gitlab_whose_graphql_never_answers_is_read_by_rest(
    tmp_path: Path, name: str
) -> None:
    """Time logs are in no list of REST: theirs are the only gaps."""
    fault, reason = ALWAYS[name]
    async with crawl(tmp_path, fault) as one:
        await one.run()
        await one.assert_only_gaps(dict.fromkeys(TIMELOGS, reason))


@pytest.mark.parametrize("kind", ["graphql_nulls", "wrong_type", "500"])
async def test_lists_of_a_graphql_that_fails_for_ever_are_read_by_rest_at_last(
    tmp_path: Path, kind: str
) -> None:
    """A GitLab that fails is asked again, for it may be down; at the third try REST is asked."""
    fault = Fault(path=GRAPHQL, kind=kind, times=0)  # type: ignore[arg-type]
    async with crawl(tmp_path, fault) as one:
        await one.run()
        await one.assert_only_gaps(TIMELOGS)


async def test_field_that_the_schema_lost_is_read_by_rest(tmp_path: Path) -> None:
    fault = Fault(path=GRAPHQL, kind="graphql_no_field", field="Discussion.notes", times=0)
    async with crawl(tmp_path, fault) as one:
        await one.run()
        await one.assert_equals_truth()
        assert (await one.asked())["projects/:id/issues/:iid/discussions"] == len(
            [*ONE.issues, *OTHER.issues]
        )


async def test_field_that_nothing_else_has_is_a_gap_that_names_it(tmp_path: Path) -> None:
    fault = Fault(path=GRAPHQL, kind="graphql_no_field", field="Project.timelogs", times=0)
    async with crawl(tmp_path, fault) as one:
        await one.run()
        await one.assert_only_gaps(dict.fromkeys(TIMELOGS, "forbidden"))
        assert "timelogs" in await one.detail((ONE.full_path, "timelogs"))
