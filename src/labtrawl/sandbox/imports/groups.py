"""The groups of an export tree: parents before children, with members, labels and milestones.

Entered by `import_trees`.
"""

from pathlib import Path

from labtrawl.sandbox.imports import labels, planning
from labtrawl.sandbox.imports.labels import Place
from labtrawl.sandbox.imports.projects import visibility
from labtrawl.sandbox.imports.reading import NotAnExport, Record, read_lines, read_object
from labtrawl.sandbox.imports.register import Register
from labtrawl.sandbox.model import Group


def import_groups(register: Register, tree: Path, taken_paths: set[str]) -> list[Group]:
    """All groups of a group export's tree. A parent outside the tree makes a top-level group."""
    folder = tree / "groups"
    rows: dict[int, Record] = {}
    for line, text in enumerate((folder / "_all.ndjson").read_text().split(), start=1):
        if not text.isdecimal():
            raise NotAnExport(f"{folder / '_all.ndjson'}, line {line}: no group id: {text!r}")
        rows[int(text)] = read_object(folder / f"{text}.json")
    made: dict[int, Group] = {}
    for number in rows:
        _import_group(register, folder, number, rows, made, taken_paths)
    return list(made.values())


def _import_group(
    register: Register,
    folder: Path,
    wanted: int,
    rows: dict[int, Record],
    made: dict[int, Group],
    taken_paths: set[str],
) -> None:
    if wanted in made:
        return
    row = rows[wanted]
    parent_id = row.optional_number("parent_id")
    parent = None
    if parent_id in rows and parent_id != wanted:
        _import_group(register, folder, parent_id, rows, made, taken_paths)
        parent = made[parent_id]
    path = row.text("path")
    full_path = free_path(taken_paths, f"{parent.full_path}/{path}" if parent else path)
    number = register.number("group", wanted, f"group {full_path}")
    made[wanted] = _to_group(register, row, folder / str(wanted), parent, full_path, number)


def _to_group(
    register: Register, row: Record, files: Path, parent: Group | None, full_path: str, number: int
) -> Group:
    name = row.text("name")
    place = Place(number, None)
    register.keep(read_lines(files, "labels"), lambda r: labels.add_label(register, place, r))
    register.keep(
        read_lines(files, "milestones"), lambda r: labels.add_milestone(register, place, r)
    )
    return Group(
        id=number,
        parent_id=parent.id if parent else None,
        path=full_path.rpartition("/")[2],
        full_path=full_path,
        name=name,
        full_name=f"{parent.full_name} / {name}" if parent else name,
        description=row.optional_text("description") or "",
        visibility=visibility(row, register, full_path),
        created_at=row.instant("created_at"),
        members=tuple(planning.to_members(register, list(read_lines(files, "members")))),
        labels=tuple(place.group_labels.values()),
        milestones=place.own_milestones(of_group=True),
    )


def free_path(taken: set[str], wanted: str) -> str:
    """`wanted`, with a number behind it if another place has this path; marks it as taken."""
    path, turn = wanted, 1
    while path in taken:
        turn += 1
        path = f"{wanted}-{turn}"
    taken.add(path)
    return path
