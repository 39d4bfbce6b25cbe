"""A world in which every text that may be about a person is a canary: one that is found nowhere else.

Whoever collects such a world under a policy that keeps no such text looks for canaries in all that
was written; each tells which field it came through. Names stay what they refer to: a branch and the
merge request from it, a label and the issues that have it get the same canary.
"""

import re
from dataclasses import dataclass, field
from typing import Any

import msgspec

from labtrawl.sandbox.model import World

CANARY = re.compile(r"cnry[a-z]+[0-9]{5}x")
# What a text means, by the noun and its field: equal texts of one meaning get the same canary.
FIELDS: dict[str, dict[str, str]] = {
    "User": {
        "username": "username",
        "name": "person",
        "job_title": "profile",
        "location": "profile",
        "avatar": "avatar",
        "public_email": "email",
    },
    "Account": {"username": "username"},
    "Group": {
        "path": "path",
        "full_path": "path",
        "name": "place",
        "full_name": "place",
        "description": "text",
    },
    "Label": {"name": "label", "description": "text"},
    "Milestone": {"title": "milestone", "description": "text"},
    "Project": {
        "path": "path",
        "full_path": "path",
        "name": "place",
        "name_with_namespace": "place",
        "description": "text",
        "default_branch": "ref",
        "former_paths": "path",
        "topics": "topic",
    },
    "Issue": {"title": "text", "description": "text", "labels": "label"},
    "Note": {"body": "text"},
    "Award": {"name": "emoji"},
    "Timelog": {"summary": "text"},
    "MergeRequest": {
        "title": "text",
        "description": "text",
        "source_branch": "ref",
        "target_branch": "ref",
        "labels": "label",
    },
    "Commit": {
        "title": "text",
        "message": "text",
        "author_name": "person",
        "author_email": "email",
        "committer_name": "person",
        "committer_email": "email",
        "trailers": "text",
    },
    "Branch": {"name": "ref"},
    "Tag": {"name": "ref", "message": "text"},
    "Pipeline": {"ref": "ref", "name": "text", "yaml_errors": "text"},
    "Job": {"name": "job", "stage": "stage", "tags": "runner"},
    "Release": {"tag_name": "ref", "name": "text", "description": "text", "links": "text"},
    "Event": {"target_title": "text"},
    "Push": {"ref": "ref", "commit_title": "text"},
    "Environment": {
        "name": "environment",
        "slug": "environment",
        "external_url": "site",
        "description": "text",
    },
    "Deployment": {"ref": "ref"},
}
# What many share and what says nothing of anybody, or what GitLab reads itself.
KEPT = frozenset({"", "main", "avatar.png"})


@dataclass(slots=True)
class _Planter:
    known: dict[tuple[str, str], str] = field(default_factory=dict)
    made: dict[int, Any] = field(default_factory=dict)

    def canary(self, meaning: str, text: str) -> str:
        if text in KEPT or text.startswith("refs/"):
            return text
        if meaning in ("path", "place"):
            mark = "/" if meaning == "path" else " / "
            return mark.join(self._one(meaning, part) for part in text.split(mark))
        return self._one(meaning, text)

    def _one(self, meaning: str, text: str) -> str:
        made = self.known.setdefault((meaning, text), f"cnry{meaning}{len(self.known):05d}x")
        if meaning == "email":
            return f"{made}@{made}.example"
        return f"https://{made}.example/{made}" if meaning == "site" else made

    def texts(self, meaning: str, value: Any) -> Any:
        """Plant in a text, or in all texts of what holds some."""
        if isinstance(value, str):
            return self.canary(meaning, value)
        if isinstance(value, tuple | list):
            return type(value)(self.texts(meaning, each) for each in value)
        if isinstance(value, dict):
            return {key: self.texts(meaning, each) for key, each in value.items()}
        return value

    def plant(self, value: Any) -> Any:
        """Plant in a noun and in all that it holds; one that many share is made once."""
        if isinstance(value, tuple | list):
            return type(value)(map(self.plant, value))
        if not isinstance(value, msgspec.Struct):
            return value
        if id(value) not in self.made:
            meanings = FIELDS.get(type(value).__name__, {})
            changed = {
                name: self.texts(meanings[name], inside) if name in meanings else self.plant(inside)
                for name in value.__struct_fields__
                for inside in (getattr(value, name),)
            }
            # The original stays beside it: a number that names it must not become another's.
            self.made[id(value)] = (value, type(value)(**changed))
        return self.made[id(value)][1]


def plant(world: World) -> World:
    """Return the world with a canary in every text of `FIELDS`; the same each time."""
    planter = _Planter()
    people = tuple(
        msgspec.structs.replace(
            user, avatar=f"{user.username}.png", public_email=f"{user.username}@public.example"
        )
        for user in world.users
    )
    by_id = {user.id: planter.plant(user) for user in people}
    for user in world.users:
        planter.made[id(user)] = (user, by_id[user.id])
    planted: World = planter.plant(world)
    return planted
