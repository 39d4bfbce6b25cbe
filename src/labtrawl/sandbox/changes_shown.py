"""A world that shows some of its people otherwise, wherever they stand.

Entered by `changes_board` alone. What shows none of them stays the same object, and what many share
is made once: others know rows again by that.
"""

from typing import Any

import msgspec

from labtrawl.sandbox.model import Account, User, World


def showing(world: World, people: dict[int, User]) -> World:
    """Return the world with these users, by id, in place of what they were."""
    shown: World = _shown(world, people, {})
    return shown


def _shown(value: Any, people: dict[int, User], made: dict[int, tuple[Any, Any]]) -> Any:
    if isinstance(value, User):
        return people.get(value.id, value)
    if isinstance(value, tuple):
        inside = tuple(_shown(each, people, made) for each in value)
        is_same = all(old is fresh for old, fresh in zip(value, inside, strict=True))
        return value if is_same else inside
    if not isinstance(value, msgspec.Struct):
        return value
    if id(value) not in made:
        # The original stays beside it: a number that names it must not become another's.
        made[id(value)] = (value, _with(value, people, made))
    return made[id(value)][1]


def _with(value: msgspec.Struct, people: dict[int, User], made: dict[int, tuple[Any, Any]]) -> Any:
    old = {name: getattr(value, name) for name in value.__struct_fields__}
    fresh = {name: _shown(inside, people, made) for name, inside in old.items()}
    if isinstance(value, Account) and value.user_id in people:
        fresh["username"] = people[value.user_id].username
    changed = {name: inside for name, inside in fresh.items() if inside is not old[name]}
    return msgspec.structs.replace(value, **changed) if changed else value
