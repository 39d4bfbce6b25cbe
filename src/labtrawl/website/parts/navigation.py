"""The ways through the site: each visitor sees the pages that are for them, and no others."""

from collections.abc import Sequence
from dataclasses import dataclass

from labtrawl.domain.consent import Mode
from labtrawl.website.access import AUDIENCE, Who


@dataclass(frozen=True, slots=True)
class Way:
    """A link of the bar; `key` is what its page calls itself (`here`)."""

    key: str
    path: str
    name: str


@dataclass(frozen=True, slots=True)
class Group:
    """Links below one word of the bar."""

    name: str
    ways: Sequence[Way]


@dataclass(frozen=True, slots=True)
class Bar:
    """What stands in the bar: links, and groups of more links."""

    ways: Sequence[Way]
    groups: Sequence[Group]


ACCOUNT = Way("account", "/me/account", "My account")
FIRST = (
    Way("overview", "/", "Overview"),
    Way("jobs", "/jobs", "Jobs"),
    Way("areas", "/areas", "Areas"),
    Way("coverage", "/coverage", "Coverage"),
    Way("insights", "/insights", "Insights"),
)
MORE = (
    Group(
        "Watch",
        (
            Way("operations", "/operations", "Operations"),
            Way("crawlers", "/crawlers", "Crawlers"),
            Way("supervisor", "/supervisor", "Supervisor"),
            Way("statistics", "/statistics", "Statistics"),
            Way("logs", "/logs", "Logs"),
            Way("health", "/health", "Health"),
        ),
    ),
    Group(
        "Manage",
        (
            Way("accounts", "/accounts", "Accounts"),
            Way("consents", "/consents", "Consent"),
            Way("sessions", "/sessions", "Sessions"),
            Way("settings", "/settings", "Settings"),
            Way("notices", "/notices", "Notices"),
            Way("backups", "/backups", "Backups"),
            Way("audit", "/audit", "Audit log"),
            ACCOUNT,
        ),
    ),
)
OWN = (
    Way("me", "/me", "My areas"),
    Way("records", "/me/records", "Records"),
    Way("download", "/me/download", "Download"),
    Way("consent", "/me/consent", "Consent"),
)


# Whoever asks nobody for consent writes no text for it.
OF_STUDIES = frozenset({"/consents"})


def bar(roles: frozenset[Who], mode: str) -> Bar:
    """Return the links for who has these roles, on a site of this mode."""
    if Who.PARTICIPANT in roles:
        return Bar(_open((*OWN, ACCOUNT), roles), ())
    left_out = frozenset() if mode == Mode.STUDY else OF_STUDIES
    groups = [Group(each.name, _open(each.ways, roles, left_out)) for each in MORE]
    return Bar(_open(FIRST, roles), [each for each in groups if each.ways])


def _open(
    ways: Sequence[Way], roles: frozenset[Who], left_out: frozenset[str] = frozenset()
) -> list[Way]:
    return [
        way
        for way in ways
        if way.path not in left_out and AUDIENCE.get(("GET", way.path), frozenset()) & roles
    ]
