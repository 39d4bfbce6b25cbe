"""Four questions to the typed tables that every team asks: their SQL is shown, and anybody can run it.

Only typed columns that policy `study` keeps too: ids, instants, states, flags. Each answer begins with
the week. No query holds a double quote: the shell takes it as it stands.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import msgspec

from labtrawl.dataset.tables import BY_NAME


@dataclass(frozen=True, slots=True)
class Insight:
    """A question, the SQL that answers it, and what its columns after `week` are called.

    `lines` are drawn, `beside` stand in the table only: they are of another unit.
    """

    id: str
    title: str
    unit: str
    meaning: str
    tables: tuple[str, ...]
    sql: str
    lines: Mapping[str, str]
    beside: Mapping[str, str]


_ACTIVITY: Final = """
WITH happened AS (
  SELECT committed_date AS moment, 'commit' AS what FROM commits
  UNION ALL SELECT created_at, 'comment' FROM notes WHERE system IS NOT TRUE
  UNION ALL SELECT created_at, 'issue' FROM issues
  UNION ALL SELECT created_at, 'merge request' FROM merge_requests
), known AS (SELECT * FROM happened WHERE moment <= now())
SELECT date_trunc('week', moment)::DATE AS week,
  count(*) FILTER (what = 'commit') AS commits,
  count(*) FILTER (what = 'comment') AS comments,
  count(*) FILTER (what = 'issue') AS issues,
  count(*) FILTER (what = 'merge request') AS merge_requests
FROM known
WHERE moment > (SELECT max(moment) FROM known) - INTERVAL 2 YEAR
GROUP BY week ORDER BY week
"""
_MERGED: Final = """
WITH merged AS (
  SELECT merged_at, date_diff('second', created_at, merged_at) / 3600.0 AS hours
  FROM merge_requests WHERE merged_at >= created_at AND merged_at <= now()
)
SELECT date_trunc('week', merged_at)::DATE AS week,
  round(median(hours), 1) AS half_within,
  round(quantile_cont(hours, 0.9), 1) AS nine_of_ten_within,
  count(*) AS merged
FROM merged
WHERE merged_at > (SELECT max(merged_at) FROM merged) - INTERVAL 2 YEAR
GROUP BY week ORDER BY week
"""
_RESPONSE: Final = """
WITH asked AS (
  SELECT 'Issue' AS kind, instance_id, id, created_at,
    coalesce(author_username, author_id::VARCHAR) AS author FROM issues
  UNION ALL
  SELECT 'MergeRequest', instance_id, id, created_at,
    coalesce(author_username, author_id::VARCHAR) FROM merge_requests
), answered AS (
  SELECT asked.kind, asked.created_at,
    date_diff('second', asked.created_at, min(notes.created_at)) / 3600.0 AS hours
  FROM asked LEFT JOIN notes ON notes.instance_id = asked.instance_id
    AND notes.noteable_type = asked.kind AND notes.noteable_id = asked.id
    AND notes.system IS NOT TRUE AND notes.created_at >= asked.created_at
    AND coalesce(notes.author_username, notes.author_id::VARCHAR) IS DISTINCT FROM asked.author
  WHERE asked.created_at <= now()
  GROUP BY asked.kind, asked.instance_id, asked.id, asked.created_at
)
SELECT date_trunc('week', created_at)::DATE AS week,
  round(median(hours) FILTER (kind = 'MergeRequest'), 1) AS merge_requests,
  round(median(hours) FILTER (kind = 'Issue'), 1) AS issues,
  count(*) AS opened, count(hours) AS answered
FROM answered
WHERE created_at > (SELECT max(created_at) FROM answered) - INTERVAL 2 YEAR
GROUP BY week ORDER BY week
"""
_PIPELINES: Final = """
SELECT date_trunc('week', created_at)::DATE AS week,
  round(100.0 * count(*) FILTER (status = 'success')
    / nullif(count(*) FILTER (status IN ('success', 'failed')), 0), 1) AS success_percent,
  count(*) FILTER (status = 'success') AS succeeded,
  count(*) FILTER (status = 'failed') AS failed,
  count(*) FILTER (status NOT IN ('success', 'failed')) AS others
FROM pipelines
WHERE created_at <= now() AND created_at > (
  SELECT max(created_at) FROM pipelines WHERE created_at <= now()) - INTERVAL 2 YEAR
GROUP BY week ORDER BY week
"""

INSIGHTS: Final = (
    Insight(
        "activity",
        "Activity by week",
        "how many",
        "Commits by the day they were committed; comments of people, issues and merge requests by"
        " the day they were opened. The same commit in two projects counts twice.",
        ("commits", "notes", "issues", "merge_requests"),
        _ACTIVITY.strip(),
        {
            "commits": "Commits",
            "comments": "Comments",
            "issues": "Issues",
            "merge_requests": "Merge requests",
        },
        {},
    ),
    Insight(
        "time-to-merge",
        "Time to merge",
        "hours",
        "From the opening of a merge request to its merge, by the week of the merge. Those still"
        " open are not in it.",
        ("merge_requests",),
        _MERGED.strip(),
        {"half_within": "Half of them within", "nine_of_ten_within": "9 of 10 within"},
        {"merged": "Merged"},
    ),
    Insight(
        "first-response",
        "Time to the first response",
        "hours, median",
        "From the opening to the first comment of somebody else, by the week of the opening. Those"
        " that nobody answered are not in the median; the table counts them.",
        ("issues", "merge_requests", "notes"),
        _RESPONSE.strip(),
        {"merge_requests": "Merge requests", "issues": "Issues"},
        {"opened": "Opened", "answered": "Answered"},
    ),
    Insight(
        "pipeline-success",
        "Pipelines that succeed",
        "percent",
        "Of the pipelines that ended in success or failure, by the week they began.",
        ("pipelines",),
        _PIPELINES.strip(),
        {"success_percent": "Success"},
        {"succeeded": "Succeeded", "failed": "Failed", "others": "Neither"},
    ),
)

ANSWERS: Final = "answers.json"
TABLES: Final = frozenset(name for each in INSIGHTS for name in each.tables)
RESOURCES: Final = tuple(sorted({one for name in TABLES for one in BY_NAME[name].resources}))
"""The resources that are read for the answers."""


class Part(msgspec.Struct, frozen=True):
    """A committed segment, as the manifest has it."""

    name: str
    length: int
    sha256: str
    records: int


class Order(msgspec.Struct, frozen=True):
    """What to read, and the folder, not there yet, that the answers go to."""

    root: str
    parts: Sequence[Part]
    out: str


class Table(msgspec.Struct, frozen=True):
    """An answer: the columns after the week, and the rows; weeks in ms since the epoch, UTC."""

    columns: Sequence[str]
    weeks: Sequence[int]
    rows: Sequence[Sequence[float | None]]


class Answers(msgspec.Struct, frozen=True):
    """All answers by the id of their question, made `at` (ms) out of so many records."""

    at: int
    seconds: float
    records: int
    tables: Mapping[str, Table]
