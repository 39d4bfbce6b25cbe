"""Areas: what a crawl is about."""

from dataclasses import dataclass
from enum import StrEnum


class AreaKind(StrEnum):
    """The four kinds of area; an instance's own area has the GitLab id 0."""

    INSTANCE = "instance"
    GROUP = "group"
    PROJECT = "project"
    USER = "user"


@dataclass(frozen=True, slots=True)
class FoundArea:
    """An area as discovery saw it on GitLab.

    `role` is the access level of the account that saw it (10 guest … 50 owner, 0 none, 1 a member of
    a level that GitLab did not tell). `features`
    maps a feature to its access level as GitLab gives it (`disabled`, `private`, `enabled`, …).
    """

    kind: AreaKind
    gitlab_id: int
    full_path: str
    name: str
    web_url: str = ""
    parent_path: str = ""
    role: int = 0
    features: tuple[tuple[str, str], ...] = ()
    empty_repository: bool = False
