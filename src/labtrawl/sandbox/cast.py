"""Who lives in a generated world: people, groups, and who is a member of what.

Entered by `world.generate`. Everything follows from the plan and its seed.
"""

import hashlib
import random

from labtrawl.sandbox import vocabulary as words
from labtrawl.sandbox.instants import DAY_MS, instant_text
from labtrawl.sandbox.model import (
    DEVELOPER,
    GUEST,
    MAINTAINER,
    OWNER,
    PLANNER,
    REPORTER,
    Account,
    Group,
    Membership,
    User,
)
from labtrawl.sandbox.plan import WorldPlan

_BOT_EVERY = 14
FIRST_USER_ID = 17
FIRST_GROUP_ID = 101


def make_people(plan: WorldPlan, start_ms: int) -> tuple[User, ...]:
    """The users of the world; the first is the main account's, a few are bots."""
    people = []
    for index in range(max(plan.users, plan.accounts)):
        username, name, title = _person(index)
        people.append(
            User(
                id=FIRST_USER_ID + index * 3,
                username=username,
                name=name,
                job_title=title,
                created_at=instant_text(start_ms - (400 - index) * DAY_MS),
                bot=title == "Bot",
                state="blocked" if index % 19 == 18 else "active",
                location="Bergen" if index % 3 == 0 else None,
            )
        )
    return tuple(people)


def _person(index: int) -> tuple[str, str, str]:
    if index and index % _BOT_EVERY == 0:
        return f"release-bot-{index}", f"Release bot {index}", "Bot"
    if index < len(words.PEOPLE):
        return words.PEOPLE[index]
    given = words.GIVEN_NAMES[index % len(words.GIVEN_NAMES)]
    family = words.FAMILY_NAMES[index // 3 % len(words.FAMILY_NAMES)]
    return f"{given}.{family}{index}".lower(), f"{given} {family}", "Student assistant"


def group_rows(plan: WorldPlan) -> list[tuple[str, str, str, str]]:
    """Path, name, description and visibility of the account's groups, parents first."""
    wanted = plan.groups - 1 if plan.specials and plan.groups > 1 else plan.groups
    rows = list(words.GROUPS[:wanted])
    rows += [
        (f"fjordlab/team-{index}", f"Team {index}", "A small team.", "private")
        for index in range(len(rows), wanted)
    ]
    if wanted < plan.groups:
        rows.append(words.FORBIDDEN_GROUP)
    return rows


def make_groups(
    plan: WorldPlan, people: tuple[User, ...], start_ms: int, rng: random.Random
) -> dict[str, Group]:
    """All groups by full path: the account's first, then those outside its scope."""
    groups: dict[str, Group] = {}
    inside = group_rows(plan)
    outside = list(words.OUTSIDE_GROUPS) if plan.specials else []
    for index, (path, name, description, visibility) in enumerate(inside + outside):
        parent = groups.get(path.rpartition("/")[0])
        groups[path] = Group(
            id=FIRST_GROUP_ID + index * 7,
            parent_id=parent.id if parent else None,
            path=path.rpartition("/")[2],
            full_path=path,
            name=name,
            full_name=f"{parent.full_name} / {name}" if parent else name,
            description=description,
            visibility=visibility,
            created_at=instant_text(start_ms + index * DAY_MS),
            members=_members(plan, people, path, index < len(inside), start_ms, rng),
            forbidden=path == words.FORBIDDEN_GROUP[0],
        )
    return groups


def _members(
    plan: WorldPlan,
    people: tuple[User, ...],
    path: str,
    inside: bool,
    start_ms: int,
    rng: random.Random,
) -> tuple[Membership, ...]:
    levels = _levels(plan, len(people), path, inside, rng)
    owner = people[max(levels)]
    return tuple(
        Membership(
            user=people[index],
            access_level=level,
            created_at=instant_text(start_ms + index * DAY_MS),
            created_by=owner if level != OWNER else None,
            expires_at="2027-12-31" if index % 11 == 5 else None,
        )
        for index, level in sorted(levels.items())
    )


def _levels(
    plan: WorldPlan, people: int, path: str, inside: bool, rng: random.Random
) -> dict[int, int]:
    """Access level by place in the list of people; the last one owns each top-level group."""
    top = "/" not in path
    levels: dict[int, int] = {}
    for index in range(plan.accounts if inside and top else 0):
        level = account_level(plan, index, path)
        if level:
            levels[index] = level
    others = range(min(plan.accounts, people - 1), people)
    size = min(len(others), rng.randint(8, 14) if top else rng.randint(2, 5))
    for index in rng.sample(others, size):
        levels.setdefault(index, rng.choice((GUEST, REPORTER, DEVELOPER, DEVELOPER, MAINTAINER)))
    if top:
        levels[others[-1]] = OWNER
    return levels


def account_level(plan: WorldPlan, index: int, path: str) -> int:
    """Access level of account number `index` at a top-level group; 0 = no member."""
    if plan.same_scope:
        return DEVELOPER
    main = {"harbour-pilot": DEVELOPER, "open-tide": REPORTER, "coastguard-data": DEVELOPER}
    if index == 0:
        return main.get(path, MAINTAINER)
    if index == 1:
        return REPORTER if path == "fjordlab" else 0
    return (GUEST, PLANNER)[index % 2] if path in ("fjordlab", "harbour-pilot") else 0


def make_accounts(
    plan: WorldPlan, people: tuple[User, ...]
) -> tuple[tuple[Account, ...], tuple[Account, ...]]:
    """The working accounts (the main one first), and the main user's spoilt tokens."""
    good = tuple(
        Account(
            username=people[index].username,
            user_id=people[index].id,
            token=token_text(plan.seed, people[index].username),
            token_id=901 + index,
            expires_at="2027-10-31",
        )
        for index in range(plan.accounts)
    )
    main = people[0]
    spoilt = tuple(
        Account(
            username=main.username,
            user_id=main.id,
            token=token_text(plan.seed, f"{main.username}/{kind}"),
            token_id=951 + index,
            scopes=("read_user",) if kind == "read_user" else ("read_api", "read_user"),
            expired=kind == "expired",
            revoked=kind == "revoked",
            expires_at="2025-01-31" if kind == "expired" else "2027-10-31",
        )
        for index, kind in enumerate(("expired", "revoked", "read_user"))
    )
    return good, spoilt


def token_text(seed: int, owner: str) -> str:
    """The look-alike's token for `owner`, derived from the seed: no secret of anything real."""
    digest = hashlib.sha256(f"sandbox token/{seed}/{owner}".encode()).hexdigest()
    return f"glpat-sandbox-{digest[:20]}"
