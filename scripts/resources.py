"""Makes docs/reference/resources.md from the catalog and the plans of GraphQL."""

from collections.abc import Iterable

from labtrawl.domain.area import AreaKind
from labtrawl.domain.failure import GapReason
from labtrawl.gitlab.catalog import RESOURCES, Resource
from labtrawl.gitlab.graphql_plans import NAMES, Edition, plan_of

NEWEST = Edition((19, 3), enterprise=True)
HEAD = """\
# Resources

<!-- Made by `make docs` from the code. Do not edit. -->

What is collected, from which list of GitLab's REST API (version 4, below `/api/v4`), and what identifies a
record. An area has one job for each of its resources; `schedule.resources` in the
[settings](settings.md) leaves resources out.

*Read again* says how a later visit reads: only what changed since the last one, or the whole list. Now and
then a sweep looks through every list and finds what is gone: by the ids of issues, merge requests, milestones
and pipelines where GraphQL tells them and they are as they were, by the whole list else, and once a week.
"""
INHERITED = """\
`inherited_members` holds all that GitLab's `members/all` answers, direct members included, each user once
with the highest level. The users that were seen are derived from the records and cost no request.
"""
OF_ITEMS = """\
## Of each issue, merge request or commit of a project

A job reads the list of each of the project's issues, merge requests or commits. Discussions hold their notes
whole. What later visits read are the lists of the items that changed.
"""
WATCHES = """\
## Watches of a group

These lists are read to learn which projects changed, and nothing of them is kept: only the lists of those
projects are then read again.
"""
GRAPHQL = """\
## What GraphQL answers

Where the GitLab's GraphQL knows enough, labtrawl asks for what many items have at once; REST reads the rest.
The body keeps the shape of REST, without the fields that GraphQL does not know, and instants are in whole
seconds. `request` begins with `/api/graphql` then. A *sign* only says which items have any row; those are
read by REST. [GraphQL](graphql.md) says more.

| resource | from GitLab | as | fields that are not there |
| --- | --- | --- | --- |
"""
RECORD = """\
## A record

A line of a segment is one JSON object:

| field | what it holds |
| --- | --- |
| `id` | as the tables above say |
| `kind` | the record kind of the tables above |
| `fetched_at` | when the page was fetched (UTC) |
| `request` | the request that brought it |
| `page_sha256` | the hash of the page as it was received |
| `gitlab_version` | the version that the GitLab named |
| `policy` | what was done to the body: `as_is` keeps it as GitLab sent it |
| `body` | GitLab's object, unknown fields included |
| `state` | left out while the object is there; else the line is a tombstone with the body `{}` |

A record is identified by (instance, `kind`, `id`); its newest line is what holds. A tombstone's state is
`gone` (deleted), `forbidden` (the same account may no longer read it) or `unknown` (nobody can tell which).
"""
REASONS = {
    GapReason.FEATURE_OFF: "the feature is switched off for this project",
    GapReason.EMPTY_REPOSITORY: "the repository has no commit: no commits, branches and tags either",
    GapReason.FORBIDDEN: "the account's role does not suffice",
    GapReason.TIER: "this GitLab's licence does not have the feature",
    GapReason.CAP: "GitLab does not serve the whole list",
    GapReason.DELETED: "it was there when the crawl found it, and is gone",
    GapReason.FAILED: "the attempts were used up; the job can be run again",
    GapReason.CHANGED: "the list changed while it was read",
    GapReason.CANCELLED: "somebody cancelled the job before it was complete",
    GapReason.ELSEWHERE: "an older crawler collected this into files of its own",
}


def page() -> str:
    """The whole page. Raises ValueError for a reason of a gap that nobody describes."""
    if missing := set(GapReason) - set(REASONS):
        raise ValueError(f"scripts/resources.py does not describe {sorted(missing)}")
    collected = [row for row in RESOURCES if row.kind]
    of_projects = [row for row in collected if row.area_kind is AreaKind.PROJECT]
    parts = [
        HEAD,
        "## Of a group\n\n" + table(row for row in collected if row.area_kind is AreaKind.GROUP),
        "## Of a project\n\n" + table(row for row in of_projects if not row.parent),
        INHERITED,
        OF_ITEMS + "\n" + table(row for row in of_projects if row.parent),
        WATCHES + "\n" + watches(),
        GRAPHQL + "\n".join(by_graphql(name) for name in NAMES) + "\n",
        RECORD,
        "## Reasons for a gap\n\n| reason | what it means |\n| --- | --- |\n"
        + "".join(f"| `{reason}` | {meaning} |\n" for reason, meaning in REASONS.items()),
    ]
    return "\n".join(parts)


def table(resources: Iterable[Resource]) -> str:
    """A Markdown table with a row for each resource."""
    lines = [
        "| resource | list | record kind | id of a record | read again |",
        "| --- | --- | --- | --- | --- |",
    ]
    for one in resources:
        name = f"`{one.name}`" + (" (only where it is named)" if one.is_asked_for else "")
        again = "changes" if one.changes else "of changed items" if one.parent else "whole"
        lines.append(f"| {name} | {where(one)} | `{one.kind}` | {called(one)} | {again} |")
    return "\n".join(lines) + "\n"


def where(one: Resource) -> str:
    """Where a resource is listed; the query without what only pages it."""
    if not one.path:
        return "GraphQL `Project.timelogs`"
    path = one.path.replace("{id}", ":id").replace(
        "{iid}", ":sha" if is_of_commits(one) else ":iid"
    )
    return f"`/{path}{'?' if one.query else ''}{one.query}`"


def called(one: Resource) -> str:
    """What a record's id is made of."""
    place = ":id/:iid" if one.item_id else ":id"
    if not one.natural_id:
        return f"`{place}`"
    is_within = one.local_id or one.item_id
    return f"`{place}/<{one.natural_id}>`" if is_within else f"`{one.natural_id}`"


def is_of_commits(one: Resource) -> bool:
    """Say whether a list belongs to one commit, which a hash names."""
    return one.parent == "commits"


def watches() -> str:
    """The lists that only tell of changes."""
    lines = ["| resource | list | tells of |", "| --- | --- | --- |"]
    lines += [
        f"| `{one.name}` | `/{one.path.replace('{id}', ':id')}?updated_after=…` | `{one.watches}` |"
        for one in RESOURCES
        if one.watches
    ]
    return "\n".join(lines) + "\n"


def by_graphql(name: str) -> str:
    """What the newest GitLab's GraphQL answers of a resource."""
    plan = plan_of(name, NEWEST)
    assert plan is not None
    since = f"{plan.since[0]}.{plan.since[1]}" if any(plan.since) else ""
    lacking = ", ".join(f"`{field}`" for field in plan.lacks)
    return f"| `{name}` | {since} | {'a sign' if plan.is_filter else 'records'} | {lacking} |"
