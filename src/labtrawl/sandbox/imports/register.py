"""What the import keeps track of: numbers in use, people met, inventions and refused records.

Entered by the rooms of the import. Numbers and people of a tree are kept as GitLab wrote them.
"""

import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import TypeVar

from labtrawl.sandbox.imports.reading import BadRecord, Record
from labtrawl.sandbox.model import Invention, User

FIRST_INVENTED = 900_000_001
_USERS_SINCE = "2014-01-01T00:00:00.000Z"
_Noun = TypeVar("_Noun")


@dataclass(slots=True)
class Register:
    """Grows while trees are read; the world is made of it at the end."""

    taken: dict[str, set[int]] = field(default_factory=dict)
    last: dict[str, int] = field(default_factory=dict)
    names: dict[int, str] = field(default_factory=dict)
    usernames: dict[int, str] = field(default_factory=dict)
    users: dict[int, User] = field(default_factory=dict)
    discussions: dict[str, str] = field(default_factory=dict)
    invented: list[Invention] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)

    def invent(self, what: str, why: str) -> None:
        """Note that `what` was made up."""
        self.invented.append(Invention(what=what, why=why))

    def number(self, kind: str, wanted: int | None, what: str) -> int:
        """The tree's own number if it has one that is free; else an invented one."""
        taken = self.taken.setdefault(kind, set())
        if wanted is not None and wanted > 0 and wanted not in taken:
            taken.add(wanted)
            return wanted
        number = self.last.get(kind, FIRST_INVENTED - 1) + 1
        self.last[kind] = number
        taken.add(number)
        why = "the tree has none" if wanted is None else f"{wanted} is in use by another one"
        self.invent(f"id {number} of {what}", why)
        return number

    def discussion(self, wanted: str | None, home: str, note: int) -> str:
        """The tree's own name of a note's discussion on `home`, if no other item took it."""
        if wanted and self.discussions.setdefault(wanted, home) == home:
            return wanted
        why = "the tree has none" if not wanted else f"{wanted} is in use by another one"
        self.invent(f"discussion of note {note}", why)
        return invented_sha("discussion", note)

    def meet(self, user_id: int | None, name: str | None, username: str | None = None) -> None:
        """Remember what the tree says of a user."""
        if user_id is not None:
            if name:
                self.names.setdefault(user_id, name)
            if username:
                self.usernames.setdefault(user_id, username)

    def user(self, user_id: int | None) -> User:
        """The user of a number; the ghost user for none."""
        number = user_id if user_id is not None else 0
        found = self.users.get(number)
        if found is None:
            found = self.users[number] = self._make_user(number)
        return found

    def _make_user(self, number: int) -> User:
        if number == 0:
            self.invent("user ghost", "records of the tree without an author")
            number = self.number("user", None, "user ghost")
            return User(id=number, username="ghost", name="Ghost User", created_at=_USERS_SINCE)
        self.taken.setdefault("user", set()).add(number)
        username = self.usernames.get(number)
        if username is None:
            username = f"user-{number}"
            self.invent(f"username {username}", "trees name members only, and by id all others")
        name = self.names.get(number)
        if name is None:
            name = f"User {number}"
            self.invent(f"name of {username}", "the tree knows this user by id only")
        return User(id=number, username=username, name=name, created_at=_USERS_SINCE)

    def keep(self, rows: Iterable[Record], make: Callable[[Record], _Noun]) -> list[_Noun]:
        """What `make` makes of each record; refused ones are reported and left out."""
        made = []
        for row in rows:
            try:
                made.append(make(row))
            except BadRecord as error:
                self.skipped.append(str(error))
        return made


def invented_sha(*parts: object) -> str:
    """A commit's name made up from what is known, the same each time."""
    text = "/".join(str(part) for part in parts)
    return hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()
