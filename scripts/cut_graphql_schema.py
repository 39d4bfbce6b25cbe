"""Cut the sandbox's GraphQL schemas out of real ones: names, types and nullability, no words.

Run by hand when the sandbox is to know more fields:
``GITLAB_TRUTH=../shared/gitlab-truth python scripts/cut_graphql_schema.py``
"""

import os
from pathlib import Path

from graphql import (
    GraphQLEnumType,
    GraphQLInputObjectType,
    GraphQLInterfaceType,
    GraphQLNamedType,
    GraphQLObjectType,
    GraphQLScalarType,
    GraphQLSchema,
    build_schema,
    get_named_type,
    is_specified_scalar_type,
)

ROOT = Path(__file__).resolve().parent.parent
TARGET = ROOT / "src/labtrawl/sandbox/graphql"
PROFILES = {"18.5-ce": "schema_18_5.graphql", "16.2-ee": "schema_16_2.graphql"}

PERSON = "id username name state publicEmail avatarUrl webUrl bot"
TIMES = "timeEstimate totalTimeSpent humanTimeEstimate humanTotalTimeSpent"
COUNTS = "upvotes downvotes userNotesCount userDiscussionsCount"
RESOLVABLE = "resolvable resolved resolvedAt resolvedBy"
# What a crawler asks for; a field that a version lacks is left out of its schema.
FIELDS = {
    "Query": "currentUser group issue mergeRequest metadata project projects queryComplexity "
    "workItem",
    "Project": "archived createdAt description environments forksCount fullPath group id issue "
    "issues issuesEnabled jobsEnabled labels languages lastActivityAt mergeRequest mergeRequests "
    "mergeRequestsEnabled milestones name nameWithNamespace openIssuesCount path pipelines "
    "releases starCount statistics timelogs topics updatedAt visibility webUrl workItems",
    "Group": "createdAt descendantGroups description fullName fullPath id issues labels "
    "mergeRequests milestones name parent path projects timelogs visibility webUrl workItems",
    "Issue": "assignees author closedAt confidential createdAt description discussionLocked "
    "discussions dueDate id iid labels mergeRequestsCount milestone moved movedTo notes "
    "participants projectId reference relativePosition severity state subscribed "
    "taskCompletionStatus timelogs title type updatedAt webPath webUrl weight "
    f"{TIMES} {COUNTS}",
    "MergeRequest": "approvalsLeft approvalsRequired approved approvedBy assignees author awardEmoji closedAt commitCount commits "
    "conflicts createdAt description detailedMergeStatus diffHeadSha diffRefs discussionLocked "
    "discussions draft forceRemoveSourceBranch headPipeline id iid labels mergeCommitSha "
    "mergeStatusEnum mergeUser mergeWhenPipelineSucceeds mergeableDiscussionsState mergedAt "
    "milestone notes participants pipelines preparedAt project projectId reference reviewers "
    "shouldRemoveSourceBranch sourceBranch sourceProjectId squash squashOnMerge state subscribed "
    "targetBranch targetProjectId taskCompletionStatus timelogs title updatedAt webPath webUrl "
    f"{TIMES} {COUNTS}",
    "Note": "author awardEmoji body confidential createdAt discussion id imported internal "
    f"position system systemNoteIconName updatedAt url {RESOLVABLE}",
    "Discussion": f"createdAt id notes replyId {RESOLVABLE}",
    "DiffPosition": "diffRefs filePath height newLine newPath oldLine oldPath positionType width "
    "x y",
    "DiffRefs": "baseSha headSha startSha",
    "AwardEmoji": "description emoji name unicode unicodeVersion user",
    "Timelog": "id issue mergeRequest note project spentAt summary timeSpent user",
    "Label": "color description id textColor title",
    "Milestone": "createdAt description dueDate expired groupMilestone id iid projectMilestone "
    "startDate state title updatedAt webPath",
    "TaskCompletionStatus": "completedCount count",
    "Environment": "autoStopAt createdAt deployments description environmentType externalUrl id "
    "name slug state tier updatedAt",
    "Deployment": "createdAt finishedAt id iid ref sha status tag triggerer updatedAt",
    "Release": "assets author commit createdAt description id milestones name releasedAt tagName "
    "upcomingRelease",
    "ReleaseAssets": "count links",
    "ReleaseAssetLink": "directAssetUrl id linkType name url",
    "Pipeline": "beforeSha coverage createdAt duration finishedAt id iid name path ref sha source "
    "startedAt status updatedAt user",
    "Commit": "authorEmail authorName authoredDate committedDate committerEmail committerName id "
    "message sha shortId title webUrl",
    "RepositoryLanguage": "name share",
    "ProjectStatistics": "buildArtifactsSize commitCount containerRegistrySize lfsObjectsSize "
    "packagesSize pipelineArtifactsSize repositorySize snippetsSize storageSize uploadsSize "
    "wikiSize",
    "WorkItem": "author closedAt confidential createdAt description id iid project reference "
    "state title updatedAt webUrl widgets workItemType",
    "WorkItemType": "id name",
    "WorkItemWidget": "type",
    "WorkItemWidgetAwardEmoji": "awardEmoji downvotes type upvotes",
    "WorkItemWidgetLinkedItems": "linkedItems type",
    "WorkItemWidgetNotes": "discussions type",
    "LinkedWorkItemType": "linkCreatedAt linkId linkType linkUpdatedAt workItem workItemState",
    "UserMergeRequestInteraction": "approved reviewState reviewed",
    "MergeRequestReviewer": f"{PERSON} mergeRequestInteraction",
    **dict.fromkeys(("MergeRequestAssignee", "MergeRequestAuthor"), PERSON),
    **dict.fromkeys(("CurrentUser", "MergeRequestParticipant", "User", "UserCore"), PERSON),
    "NoteableInterface": "discussions notes",
    "ResolvableInterface": RESOLVABLE,
    "Metadata": "enterprise revision version",
    "PageInfo": "endCursor hasNextPage hasPreviousPage startCursor",
    "QueryComplexity": "limit score",
}
CONNECTION = "count nodes pageInfo"
ARGUMENTS = frozenset(
    [
        "after",
        "createdAfter",
        "createdBefore",
        "filter",
        "first",
        "full",
        "fullPath",
        "fullPaths",
        "id",
        "ids",
        "iid",
        "iids",
        "includeArchived",
        "includeDescendants",
        "includeSubgroups",
        "membership",
        "onlyTypes",
        "searchIn",
        "sort",
        "state",
        "updatedAfter",
        "updatedBefore",
        "startTime",
        "endTime",
    ]
)
# The orders that the sandbox keeps; all values of other enums stay.
SORTS = frozenset(
    [
        "updated_desc",
        "updated_asc",
        "created_desc",
        "created_asc",
        "UPDATED_DESC",
        "UPDATED_ASC",
        "CREATED_DESC",
        "CREATED_ASC",
        "SPENT_AT_ASC",
        "SPENT_AT_DESC",
        "RELEASED_AT_ASC",
        "RELEASED_AT_DESC",
        "DUE_DATE_ASC",
        "DUE_DATE_DESC",
    ]
)
SORTED_BY = {
    "IssueSort": "UPDATED CREATED",
    "WorkItemSort": "UPDATED CREATED",
    "MergeRequestSort": "UPDATED CREATED",
    "MilestoneSort": "UPDATED CREATED DUE_DATE",
    "TimelogSort": "UPDATED CREATED SPENT_AT",
    "ReleaseSort": "CREATED RELEASED_AT",
}
# Introspection of these SDLs left default values out; a required argument that has one in GitLab
# would otherwise have to be written in every query (doc/api/graphql/reference, Project.labels).
DEFAULTS = {"searchIn": " = [TITLE, DESCRIPTION]"}


class Cutter:
    """Collects the types that the kept fields reach."""

    def __init__(self, real: GraphQLSchema) -> None:
        self._real = real
        self._texts: dict[str, str] = {}
        self._waiting: list[str] = ["Query"]

    def cut(self) -> str:
        """The schema's text, types in the order of their names."""
        for extra in ("WorkItemWidgetAwardEmoji", "WorkItemWidgetLinkedItems"):
            self._reach(self._real.type_map.get(extra))
        self._reach(self._real.type_map.get("WorkItemWidgetNotes"))
        while self._waiting:
            name = self._waiting.pop()
            if name not in self._texts:
                self._texts[name] = self._write(self._real.type_map[name])
        return "\n\n".join(text for _, text in sorted(self._texts.items())) + "\n"

    def _reach(self, found: GraphQLNamedType | None) -> None:
        if found is not None and not is_specified_scalar_type(found):
            self._waiting.append(found.name)

    def _write(self, found: GraphQLNamedType) -> str:
        if isinstance(found, GraphQLScalarType):
            return f"scalar {found.name}"
        if isinstance(found, GraphQLEnumType):
            wanted = SORTED_BY.get(found.name, "").split()
            kept = [
                value
                for value in found.values
                if not wanted or value.upper().rpartition("_")[0] in wanted
            ]
            return f"enum {found.name} {{\n" + "".join(f"  {v}\n" for v in kept) + "}"
        if isinstance(found, GraphQLObjectType | GraphQLInterfaceType):
            return self._write_fields(found)
        raise ValueError(f"not wanted here: {found.name}")

    def _write_fields(self, found: GraphQLObjectType | GraphQLInterfaceType) -> str:
        default = CONNECTION if found.name.endswith("Connection") else None
        wanted = FIELDS.get(found.name, default)
        if wanted is None:
            raise ValueError(f"say which fields of {found.name} are wanted")
        lines = []
        for name in sorted(set(wanted.split()) & set(found.fields)):
            field = found.fields[name]
            self._reach(get_named_type(field.type))
            lines.append(f"  {name}{self._arguments(field.args)}: {field.type}\n")
        kind = "interface" if isinstance(found, GraphQLInterfaceType) else "type"
        above = [face.name for face in found.interfaces if face.name in FIELDS]
        for name in above:
            self._reach(self._real.type_map[name])
        promise = f" implements {' & '.join(above)}" if above else ""
        return f"{kind} {found.name}{promise} {{\n{''.join(lines)}}}"

    def _arguments(self, args: dict) -> str:
        kept = []
        for name in sorted(set(args) & ARGUMENTS):
            named = get_named_type(args[name].type)
            if isinstance(named, GraphQLInputObjectType) or _unknown_sort(named):
                continue
            self._reach(named)
            kept.append(f"{name}: {args[name].type}{DEFAULTS.get(name, '')}")
        return f"({', '.join(kept)})" if kept else ""


def _unknown_sort(found: GraphQLNamedType) -> bool:
    return found.name.endswith("Sort") and found.name not in SORTED_BY


def main() -> None:
    """Write the schema of each profile."""
    truth = ROOT / os.environ.get("GITLAB_TRUTH", "../shared/gitlab-truth")
    for version, name in PROFILES.items():
        text = (truth / "graphql" / f"gitlab-{version}.graphql").read_text()
        ours = Cutter(build_schema(text, assume_valid=True)).cut()
        build_schema(ours)
        (TARGET / name).write_text(ours)
        print(f"{name}: {ours.count(chr(10))} lines")


if __name__ == "__main__":
    main()
