"""Imported worlds: project and group exports as GitLab writes them, served as they were.

Entered through `import_trees`. What a tree lacks is invented deterministically and listed.
"""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec

from labtrawl.sandbox.cast import token_text
from labtrawl.sandbox.imports.groups import free_path, import_groups
from labtrawl.sandbox.imports.projects import import_project
from labtrawl.sandbox.imports.reading import BadRecord, NotAnExport, Record, read_lines, read_object
from labtrawl.sandbox.imports.register import Register
from labtrawl.sandbox.model import OWNER, Account, Group, Membership, Project, User, World
from labtrawl.sandbox.plan import DEFAULT_END

__all__ = ["NotAnExport", "import_trees"]

_HOME = "imported"
_BORN = "2014-01-01T00:00:00.000Z"
_IMPORTER = "importer"


def import_trees(paths: Sequence[Path], seed: int = 1) -> World:
    """A world of all trees together; the account ``importer`` owns everything in it.

    Raises NotAnExport with one clear sentence for a path that is no export tree, and for a line
    that is no JSON. Records that GitLab itself would refuse are left out: see `World.skipped`.
    """
    if not paths:
        raise NotAnExport("no export tree was named: give at least one folder")
    trees = [_tree(path) for path in paths]
    register = Register()
    for tree in trees:
        _meet_people(register, tree)
    importer = _importer(register)
    try:
        groups, projects = _read(register, trees)
    except BadRecord as error:
        raise NotAnExport(str(error)) from None
    account = Account(
        username=importer.username,
        user_id=importer.id,
        token=token_text(seed, importer.username),
        token_id=901,
        expires_at="2027-10-31",
    )
    return World(
        name="imported",
        seed=seed,
        ends_at=DEFAULT_END,
        users=(importer, *register.users.values()),
        groups=tuple(_owned(register, group, importer) for group in groups),
        projects=tuple(projects),
        accounts=(account,),
        invented=tuple(register.invented),
        skipped=tuple(register.skipped),
    )


def _tree(path: Path) -> Path:
    """The folder with the tree: the path itself or ``tree`` in it. Raises NotAnExport."""
    for folder in (path, path / "tree"):
        if (folder / "project.json").is_file() or (folder / "groups" / "_all.ndjson").is_file():
            return folder
    raise NotAnExport(
        f"{path} is no GitLab export tree: neither project.json nor groups/_all.ndjson is in it; "
        "unpack the export and name its tree folder"
    )


def _read(register: Register, trees: list[Path]) -> tuple[list[Group], list[Project]]:
    taken = {_HOME}
    groups: list[Group] = []
    for tree in trees:
        if (tree / "groups" / "_all.ndjson").is_file():
            groups += import_groups(register, tree, taken)
    project_trees = [tree for tree in trees if (tree / "project.json").is_file()]
    if not project_trees:
        return groups, []
    home = _home(register)
    projects = []
    for tree in project_trees:
        name = read_object(tree / "project.json").fields.get("name")
        path = re.sub(r"[^a-z0-9]+", "-", str(name or tree.resolve().parent.name).lower())
        full = free_path(taken, f"{_HOME}/{path.strip('-') or 'project'}")
        project, place = import_project(register, tree, home, full.rpartition("/")[2])
        projects.append(project)
        home = msgspec.structs.replace(
            home,
            labels=home.labels + tuple(place.group_labels.values()),
            milestones=home.milestones + place.own_milestones(of_group=True),
        )
    return [home, *groups], projects


def _home(register: Register) -> Group:
    register.invent(f"group {_HOME}", "project trees do not say which group they lie in")
    return Group(
        id=register.number("group", None, f"group {_HOME}"),
        parent_id=None,
        path=_HOME,
        full_path=_HOME,
        name="Imported",
        full_name="Imported",
        description="Projects from export trees.",
        visibility="private",
        created_at=_BORN,
    )


def _importer(register: Register) -> User:
    register.invent(f"user {_IMPORTER}", "somebody must own what was imported")
    number = register.number("user", None, f"user {_IMPORTER}")
    return User(id=number, username=_IMPORTER, name="Importer", created_at=_BORN)


def _owned(register: Register, group: Group, importer: User) -> Group:
    if group.parent_id is not None:
        return group
    register.invent(f"membership of {_IMPORTER} in {group.full_path}", "the importer owns it all")
    member = Membership(user=importer, access_level=OWNER, created_at=group.created_at)
    return msgspec.structs.replace(group, members=(*group.members, member))


def _meet_people(register: Register, tree: Path) -> None:
    """Learn all names and usernames before any user is made, from members and note authors."""
    folders = [tree / "project", *sorted((tree / "groups").glob("*/"))]
    for folder in folders:
        for relation in ("project_members", "members"):
            for row in read_lines(folder, relation):
                user = row.one("user")
                if user is not None:
                    username = user.fields.get("username")
                    register.meet(user.fields.get("id"), user.fields.get("name"), username)
        for relation in ("issues", "merge_requests"):
            for row in read_lines(folder, relation):
                for author_id, name in _authors(row):
                    register.meet(author_id, name)


def _authors(row: Record) -> Iterator[tuple[int | None, str | None]]:
    for note in row.many("notes"):
        author = note.one("author")
        if author is not None:
            yield note.fields.get("author_id"), author.fields.get("name")
