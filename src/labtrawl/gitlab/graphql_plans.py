"""The table of what GraphQL reads: adding a resource is adding a row.

A document is built for one version and edition, for a field that the schema does not know refuses
it whole. Fields are taken from the schemas of 16.2 EE and 18.5 CE: what only the newer has is asked
for from there on. Costs: app/graphql/types/base_field.rb, resolvers/base_resolver.rb.

Where GraphQL lacks what matters of a row, it says which items have any, and REST reads those:
when somebody approved (lib/api/entities/approvals.rb) and became a reviewer, the ids of emoji, the
other end of a link. No such sign is certain for the events of labels, states and milestones: a copy
of an issue takes over the old events and gets a new date (app/services/issues/clone_service.rb), and
a label set within a minute leaves `updated_at` alone (app/models/concerns/throttled_touch.rb).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from labtrawl.gitlab import graphql_shapes as shapes
from labtrawl.gitlab.graphql_shapes import Found, Node

NEW: Final = (18, 5)
# GitLab gives no more at once, of anything that is asked for here.
PAGE: Final = 100
# What is asked of a list and of its project in `ids`, a field each.
_FIELDS_OF_IDS: Final = 6
_FIELDS_OF_PROJECTS: Final = 4


@dataclass(frozen=True, slots=True)
class Edition:
    """Whose schema it is; what this does not tell of is asked for nowhere."""

    version: tuple[int, int]
    enterprise: bool

    @property
    def is_new(self) -> bool:
        """Say whether the fields of the newer schema are there."""
        return self.version >= NEW


def edition_of(gitlab_version: str, version: tuple[int, int]) -> Edition:
    """Read what `/metadata` says: the Enterprise Edition names itself ("19.3.0-ee")."""
    return Edition(version, gitlab_version.endswith("-ee"))


@dataclass(frozen=True, slots=True)
class Plan:
    """How a resource is read: what to ask of each item of the `parent` connection of a project.

    `size` items are asked for at once, `nested` rows of each, and `further` rows of one whose list
    goes on; `listing` is the connection that names the items. It holds `since` a version.

    `lacks` are the fields of REST's bodies that no answer has; `is_filter` says that only the items
    which have any row are told, and REST reads those.
    """

    name: str
    listing: str
    size: int
    nested: int
    select: Callable[[Edition], str]
    shape: Callable[[Node, int], Found]
    parent: str = ""
    further: int = PAGE
    since: tuple[int, int] = (0, 0)
    lacks: tuple[str, ...] = ()
    is_filter: bool = False

    def is_of_changes(self, edition: Edition) -> bool:
        """Say whether the items can be asked for by their change."""
        return edition.is_new or not self.parent

    def is_counted(self, edition: Edition) -> bool:
        """Say whether GitLab counts what the blocks hold: the older schema counts no work items.

        They are of more kinds than issues, so a count of issues proves nothing of them.
        """
        return edition.is_new or not self.parent

    def names(self, edition: Edition) -> str:
        """Return the connection that names and counts the items."""
        return self.parent if self.parent and self.is_counted(edition) else self.listing


_USER = "{id username name state avatarUrl webUrl}"
_INFO = "pageInfo{endCursor hasNextPage}"
_PART = "(first:$nested,after:$from)"
_NOTE = (
    "id body system internal createdAt updatedAt resolvable resolved resolvedAt "
    f"resolvedBy{_USER} author{_USER}"
)
_POSITION = (
    "position{positionType oldPath newPath oldLine newLine width height x y "
    "diffRefs{baseSha startSha headSha}}"
)
_COMMIT = (
    "sha shortId title message authorName authorEmail authoredDate "
    "committerName committerEmail committedDate webUrl"
)
# A row that the account may not see may be left out, so an empty page is no end.
_ANY = "(first:1){pageInfo{hasNextPage} nodes{id}}"
_EMOJI = f"awardEmoji{_ANY.replace('id', 'name')}"
_LINKS = f"linkedItems{_ANY.replace('id', 'linkId')}"


def _discussions(more: str) -> Callable[[Edition], str]:
    def select(edition: Edition) -> str:
        asked = f"{_NOTE} {'imported ' if edition.is_new else ''}{more}"
        notes = f"notes(first:50){{pageInfo{{hasNextPage}} nodes{{{asked}}}}}"
        return f"id discussions{_PART}{{{_INFO} nodes{{id resolvable resolved {notes}}}}}"

    return select


def _approvals(edition: Edition) -> str:
    more = "id title state createdAt updatedAt approvalsRequired approvalsLeft approved "
    return f"{more if edition.enterprise else ''}approvedBy{_ANY}"


def _commits(_edition: Edition) -> str:
    return f"commits{_PART}{{{_INFO} nodes{{{_COMMIT}}}}}"


def _pipelines(_edition: Edition) -> str:
    fields = "id iid sha ref status source path createdAt updatedAt"
    return f"webUrl sourceProjectId pipelines{_PART}{{{_INFO} nodes{{{fields}}}}}"


def _any(connection: str) -> Callable[[Edition], str]:
    return lambda _edition: connection


def _widget(name: str, type_: str, connection: str) -> Callable[[Edition], str]:
    """Ask for one widget of a work item; the older schema gives them all."""
    return lambda edition: (
        f"widgets{f'(onlyTypes:[{name}])' if edition.is_new else ''}"
        f"{{... on {type_}{{{connection}}}}}"
    )


def _timelogs(_edition: Edition) -> str:
    item = "{id iid}"
    links = f"project{{id}} note{{id}} issue{item} mergeRequest{item}"
    return f"id timeSpent spentAt summary user{_USER} {links}"


_ISSUES, _REQUESTS = "issues", "mergeRequests"

_OF_USER = ("locked", "public_email")
_OF_NOTE = ("attachment", "commands_changes", *_OF_USER)

_PLANS: Final = (
    Plan(
        "issue_discussions",
        _ISSUES,
        50,
        20,
        _discussions(""),
        shapes.discussions,
        further=40,
        lacks=_OF_NOTE,
    ),
    Plan(
        "merge_request_discussions",
        _REQUESTS,
        50,
        20,
        _discussions(_POSITION),
        shapes.discussions,
        further=40,
        lacks=("line_range", "commit_id", "suggestions", *_OF_NOTE),
    ),
    Plan(
        "merge_request_approvals",
        _REQUESTS,
        PAGE,
        0,
        _approvals,
        shapes.approvals,
        lacks=("user_can_approve",),
        is_filter=True,
    ),
    Plan(
        "merge_request_reviewers",
        _REQUESTS,
        PAGE,
        0,
        _any(f"reviewers{_ANY}"),
        shapes.has_none("reviewers"),
        is_filter=True,
    ),
    Plan(
        "merge_request_commits",
        _REQUESTS,
        PAGE,
        20,
        _commits,
        shapes.commits,
        since=NEW,
        lacks=("parent_ids", "trailers", "extended_trailers"),
    ),
    Plan(
        "merge_request_pipelines",
        _REQUESTS,
        PAGE,
        20,
        _pipelines,
        shapes.pipelines,
        since=NEW,
    ),
    Plan(
        "merge_request_pipelines",
        _REQUESTS,
        PAGE,
        0,
        _any(f"pipelines{_ANY}"),
        shapes.has_none("pipelines"),
        is_filter=True,
    ),
    Plan(
        "issue_award_emoji",
        _ISSUES,
        PAGE,
        0,
        _widget("AWARD_EMOJI", "WorkItemWidgetAwardEmoji", _EMOJI),
        shapes.widget_has_none("awardEmoji"),
        parent="workItems",
        is_filter=True,
    ),
    Plan(
        "merge_request_award_emoji",
        _REQUESTS,
        PAGE,
        0,
        _any(_EMOJI),
        shapes.has_none("awardEmoji"),
        is_filter=True,
    ),
    Plan(
        "issue_links",
        _ISSUES,
        PAGE,
        0,
        _widget("LINKED_ITEMS", "WorkItemWidgetLinkedItems", _LINKS),
        shapes.widget_has_none("linkedItems"),
        parent="workItems",
        since=NEW,
        is_filter=True,
    ),
)
TIMELOGS: Final = Plan("timelogs", "timelogs", PAGE, 0, _timelogs, shapes.timelogs)


IDS: Final = {
    "milestones": "milestones",
    "issues": "issues",
    "merge_requests": "mergeRequests",
    "pipelines": "pipelines",
}
"""The connections of a project whose nodes say, with REST's ids, what is there and since when."""
# What changed last comes first, where GitLab has that order: it ends the question early.
_SORTED: Final = dict.fromkeys(("issues", "mergeRequests"), "sort:UPDATED_DESC,")
IDS_NAME: Final = "ids"
"""What `Learnt` calls this way of asking."""

NAMES: Final = tuple(dict.fromkeys(plan.name for plan in _PLANS))
"""The resources that GraphQL reads, in some edition."""


def plan_of(name: str, edition: Edition) -> Plan | None:
    """Return how this edition reads a resource; None where REST is the only or the better way."""
    fitting = (plan for plan in _PLANS if plan.name == name and edition.version >= plan.since)
    return next(fitting, None)


def _document(plan: Plan, inner: str, variables: str) -> str:
    """Ask of one project by its id, which stays when its path changes.

    The name is for whoever reads GitLab's log.
    """
    return (
        f"query {plan.name}($ids:[ID!]{variables}){{queryComplexity{{score limit}} "
        f"projects(ids:$ids,first:1){{nodes{{{inner}}}}}}}"
    )


def _items(plan: Plan, edition: Edition, arguments: str) -> tuple[str, str]:
    """Return the connection with all that the plan asks of an item, and the variables of that."""
    selection = plan.select(edition)
    variables = ",$nested:Int,$from:String" if "$nested" in selection else ""
    text = f"{plan.parent or plan.listing}({arguments}){{{_INFO} nodes{{iid {selection}}}}}"
    return f"items:{text}", variables


def _newest(plan: Plan, edition: Edition) -> str:
    return f"newest:{plan.names(edition)}(first:1,sort:CREATED_DESC){{count nodes{{iid}}}}"


def block(plan: Plan, edition: Edition) -> str:
    """Ask for some items by their iids: `$iids`, `$first`, `$nested`, `$from`."""
    text, variables = _items(plan, edition, "iids:$iids,first:$first")
    return _document(plan, text, f",$iids:[String!],$first:Int{variables}")


def opening(plan: Plan, edition: Edition) -> str:
    """The same, with how many items there are and the iid of the newest."""
    text, variables = _items(plan, edition, "iids:$iids,first:$first")
    inner = f"{_newest(plan, edition)} {text}"
    return _document(plan, inner, f",$iids:[String!],$first:Int{variables}")


def newest(plan: Plan, edition: Edition) -> str:
    """Ask for how many items there are, and the iid of the newest."""
    return _document(plan, _newest(plan, edition), "")


def changes(plan: Plan, edition: Edition) -> str:
    """Ask for the items that changed since `$since`, a page of them: `$first`, `$after`."""
    arguments = "updatedAfter:$since,sort:UPDATED_ASC,first:$first,after:$after"
    text, variables = _items(plan, edition, arguments)
    return _document(plan, text, f",$since:Time,$first:Int,$after:String{variables}")


def listing(plan: Plan, edition: Edition) -> str:
    """Ask for the iids of all items, a page of them: `$first`, `$after`."""
    arguments = "sort:CREATED_ASC,first:$first,after:$after"
    text = f"items:{plan.names(edition)}({arguments}){{{_INFO} nodes{{iid}}}}"
    return _document(plan, text, ",$first:Int,$after:String")


def rows(plan: Plan, edition: Edition) -> str:
    """Ask for the rows of a flat list, a page of them: `$first`, `$after`."""
    text = f"items:{plan.listing}(first:$first,after:$after){{{_INFO} nodes{{{plan.select(edition)}}}}}"
    return _document(plan, text, ",$first:Int,$after:String")


def ids(connections: Sequence[str]) -> str:
    """Ask for ids and instants of change of many lists at once, `PAGE` rows of each.

    Each connection is asked of the projects `$p0`, of which there are `$n0`, from the cursor `$a0`
    on; the next one of `$p1`, and so on. They come back as `g0`, `g1` and so on.
    """
    places = range(len(connections))
    variables = ",".join(f"$p{at}:[ID!],$n{at}:Int,$a{at}:String" for at in places)
    groups = " ".join(
        f"g{at}:projects(ids:$p{at},first:$n{at}){{nodes{{id fullPath items:{name}"
        f"({_SORTED.get(name, '')}first:{PAGE},after:$a{at}){{{_INFO} nodes{{id updatedAt}}}}}}}}"
        for at, name in enumerate(connections)
    )
    return f"query {IDS_NAME}({variables}){{queryComplexity{{score limit}} {groups}}}"


def cost_of_ids(projects: int) -> int:
    """Return how much complexity one connection of so many projects has in `ids`, or a little more."""
    children = (2 + _FIELDS_OF_IDS) * (100 + PAGE) // 100 + _FIELDS_OF_PROJECTS
    return -(-children * (100 + projects) // 100)
