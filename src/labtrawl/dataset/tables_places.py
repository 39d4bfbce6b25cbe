"""Tables of groups, projects and who belongs to them. Fields: GitLab 19.3, doc/api/groups.md, projects.md, members.md."""

from collections.abc import Iterator

from labtrawl.dataset.tables_shape import (
    Body,
    Origin,
    Table,
    Type,
    day,
    flag,
    instant,
    number,
    person,
    real,
    text,
    texts,
)


def _languages(origin: Origin, body: Body) -> Iterator[tuple[int | str, Body]]:
    """Take each language of a project; the id is "<project id>/<language>"."""
    for language, share in body.items():
        yield f"{origin.area_id}/{language}", {"language": language, "share": share}


PLACES = (
    Table(
        "groups",
        "Groups, one row each.",
        ("group",),
        Type.BIGINT,
        (
            text("name", "name"),
            text("path", "last part of the path"),
            text("full_path", "path from the top group"),
            text("full_name", "name from the top group"),
            number("parent_id", "the group above; NULL for a top group"),
            text("description", "description, in Markdown"),
            text("visibility", "private, internal or public"),
            flag("archived", "whether it is archived"),
            instant("created_at", "when it was made"),
            text("web_url", "address of its page"),
        ),
    ),
    Table(
        "projects",
        "Projects, one row each.",
        ("project",),
        Type.BIGINT,
        (
            text("name", "name"),
            text("path", "last part of the path"),
            text("path_with_namespace", "path from the top group"),
            number("namespace_id", "the group or user that it belongs to", "namespace.id"),
            text("namespace_kind", "group or user", "namespace.kind"),
            text("description", "description, in Markdown"),
            text("visibility", "private, internal or public"),
            text("default_branch", "name of the default branch"),
            texts("topics", "topics"),
            flag("archived", "whether it is archived"),
            flag("empty_repo", "whether the repository has no commit"),
            number("creator_id", "who made it: user id"),
            number(
                "forked_from_project_id", "the project it is a fork of", "forked_from_project.id"
            ),
            number("star_count", "stars"),
            number("forks_count", "forks"),
            number("open_issues_count", "open issues"),
            number("commit_count", "commits, as GitLab counts them", "statistics.commit_count"),
            number(
                "repository_size", "size of the repository", "statistics.repository_size", "bytes"
            ),
            number(
                "storage_size", "size of all that it stores", "statistics.storage_size", "bytes"
            ),
            text("merge_method", "merge, rebase_merge or ff"),
            instant("created_at", "when it was made"),
            instant("updated_at", "when its settings or content last changed"),
            instant("last_activity_at", "last activity, as coarse as GitLab keeps it"),
            text("web_url", "address of its page"),
        ),
    ),
    Table(
        "project_languages",
        "Programming languages of each project's default branch, one row for each language.",
        ("languages",),
        Type.VARCHAR,
        (
            number("project_id", "the project", "@area"),
            text("language", "name of the language"),
            real("share", "part of the code", unit="percent"),
        ),
        parts=_languages,
    ),
    Table(
        "members",
        "Members of groups and projects. `area_kind` and `area_id` name the group or project;"
        " `resource` is `members` for its direct ones and `inherited_members` for all, inherited and"
        " direct, each with the highest level. `id` is unique among one `area_kind` and `resource`.",
        ("members", "inherited_members"),
        Type.VARCHAR,
        (
            number("user_id", "the user", "id"),
            text("username", "username"),
            text("name", "display name"),
            text("state", "state of the account: active, blocked, …"),
            number("access_level", "10 guest, 20 reporter, 30 developer, 40 maintainer, 50 owner"),
            text("membership_state", "active or awaiting"),
            instant("created_at", "when the membership began"),
            *person("created_by", "who added the member"),
            day("expires_at", "the day on which it ends"),
            text("web_url", "address of the user's page"),
        ),
    ),
)

SEEN = Table(
    "users",
    "Users seen as author, assignee, member, … in the records that were read. Their rows are derived:"
    " `fetched_at` is the last time that somebody was seen under the newest name, and `area_id` where.",
    (),
    Type.BIGINT,
    (text("username", "username"), text("name", "display name")),
)

OTHER = Table(
    "other_records",
    "Records of resources that have no table of their own in this version.",
    (),
    Type.VARCHAR,
    (),
)
