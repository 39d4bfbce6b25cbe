"""What a crawl says at its end, and its exit code."""

from dataclasses import replace
from pathlib import Path

from labtrawl.cli.crawl_verdict import Outcome, as_json, in_words
from labtrawl.store.summary import Failure, Gap, Progress, Total

NOW = Progress({"completed": 3}, {"group": 1, "project": 2}, 1200, 40, 0, discovered=True)
TOTALS = [Total("issues", 2, 1100, {}), Total("labels", 3, 100, {"feature_off": 1, "tier": 1})]
OFF = Gap("lab/a", "labels", "feature_off", "")


def outcome(*gaps: Gap, is_done: bool = True, now: Progress = NOW, new: int = 1200) -> Outcome:
    records = {"issues": 1100, "labels": 100}
    return Outcome(is_done, now, TOTALS, list(gaps), records, new, 40, 2.5)


def told(of: Outcome) -> list[str]:
    """The lines below the table, their spaces made one."""
    lines = [" ".join(line.split()) for line in in_words(of, Path("/data/lab"))]
    return lines[lines.index("", 1) + 1 :]


def test_table_has_a_line_for_each_resource() -> None:
    assert list(in_words(outcome(), Path("/data/lab")))[:5] == [
        "",
        "resource  lists  objects  lists with less",
        "issues        2    1,100",
        "labels        3      100  1 feature off, 1 tier",
        "",
    ]


def test_resources_without_anything_share_a_line() -> None:
    empty = [
        Total("tags", 2, 0, {}),
        Total("events", 3, 0, {"forbidden": 3}),
        Total("jobs", 2, 0, {}),
    ]
    many = replace(outcome(), totals=[*TOTALS, *empty])
    assert list(in_words(many, Path("/data/lab")))[4:7] == [
        "events        3        0  3 forbidden",
        "2 others      4        0",
        "",
    ]
    none = replace(outcome(), totals=empty[:1])
    assert list(in_words(none, Path("/data/lab")))[2] == "1 resource      2        0"


def test_later_run_tells_its_own_requests_and_those_of_all() -> None:
    later = replace(outcome(new=0), asked=3, seconds=7384.2, now=replace(NOW, areas={"project": 1}))
    assert told(later)[:2] == [
        "complete 1,200 records of 1 project, 0 of them new",
        "took 2:03 h, 3 requests (40 in all runs)",
    ]


def test_repair_of_what_is_missing_is_told() -> None:
    failed, unknown = Gap("lab/b", "issues", "failed", "x"), Gap("lab/c", "issues", None, "")
    assert told(outcome(failed))[5] == "repair run the same again: what failed is read anew"
    assert told(outcome(failed, unknown))[6].endswith(
        "ledger --refill --data-dir /data/lab; then the same again"
    )


def test_complete_crawl_ends_with_what_to_type_next() -> None:
    told_first = told(outcome(OFF))
    assert told_first[:3] == [
        "complete 1,200 records of 2 projects and 1 group",
        "took 2.5 s, 40 requests",
        "data /data/lab/dataset",
    ]
    assert [line.split(" ", 2)[0] for line in told_first[3:]] == ["why", "tables"]
    assert told(outcome(new=7))[0] == (
        "complete 1,200 records of 2 projects and 1 group, 7 of them new"
    )
    assert (outcome(OFF).exit_code, outcome().exit_code) == (0, 0)


def test_gap_without_a_reason_and_failed_list_are_told_and_are_exit_code_1() -> None:
    for reason in (None, "failed"):
        found = outcome(OFF, Gap("lab/b", "issues", reason, "GitLab\nanswers 500"))
        assert told(found)[0].startswith("incomplete ")
        assert told(found)[0].endswith("; 1 list with a gap")
        assert told(found)[2] == "gap lab/b issues: GitLab\\nanswers 500"
        assert found.exit_code == 1
    many = outcome(*(Gap(f"lab/{n}", "issues", None, "") for n in range(12)))
    assert told(many)[11:13] == ["gap lab/9 issues: nobody knows why", "and 2 more"]


def test_areas_that_could_not_be_listed_are_a_gap() -> None:
    found = replace(outcome(OFF), failed=Failure("failed", "GitLab answers 500"))
    assert found.exit_code == 1
    assert told(found)[2] == "gap the list of areas: GitLab answers 500"
    alone = told(replace(outcome(), failed=Failure("failed", "GitLab answers 500")))
    assert alone[4].endswith("ledger --gaps --data-dir /data/lab")
    assert alone[5] == "repair run the same again: what failed is read anew"


def test_crawl_that_was_ended_says_how_to_go_on() -> None:
    ended = outcome(Gap("lab/b", "issues", None, ""), is_done=False)
    assert ended.exit_code == 130
    assert told(ended)[0] == (
        "ended before all was there: 1,200 records of 2 projects and 1 group;"
        " run the same again to go on"
    )
    assert not any(line.startswith("gap ") for line in told(ended))


def test_summary_says_the_same() -> None:
    summary = as_json(outcome(OFF), Path("/data/lab"))
    assert summary == {
        "schema": 1,
        "complete": True,
        "exit_code": 0,
        "areas": {"group": 1, "project": 2},
        "jobs": {"completed": 3},
        "records": {"issues": 1100, "labels": 100},
        "new_records": 1200,
        "resources": {
            "issues": {"lists": 2, "objects": 1100, "less": {}},
            "labels": {"lists": 3, "objects": 100, "less": {"feature_off": 1, "tier": 1}},
        },
        "requests": 40,
        "new_requests": 40,
        "retries": 0,
        "gaps": [{"area": "lab/a", "resource": "labels", "reason": "feature_off", "detail": ""}],
        "seconds": 2.5,
        "dataset": "/data/lab/dataset",
    }
