"""The settings of what is read again, and which resources are read at all."""

from typing import Annotated

import msgspec

from labtrawl.config.about import about


class Timetable(msgspec.Struct, frozen=True, kw_only=True):
    """When lists are read again; without `every_hours` and `cron` nothing is, by itself."""

    every_hours: Annotated[
        float,
        about(
            "The interval of a list of which nothing is known yet; it follows how often the list"
            " changes, from a quarter to eight times of this. 0: nothing is read again.",
            unit="h",
            ge=0,
            le=8760,
        ),
    ] = 1.0
    cron: Annotated[
        str,
        about(
            "Instants instead of an interval, as cron writes them (minute hour day month weekday),"
            " by the machine's local time; all lists are due then."
        ),
    ] = ""
    most_hours: Annotated[
        float, about("No interval is longer, however quiet a list is.", unit="h", gt=0, le=8760)
    ] = 24.0
    sweep_hours: Annotated[
        float,
        about(
            "So often a list is looked through for deleted objects, which are found within a day so:"
            " by the ids that GitLab's GraphQL tells where they are as they were, whole else and"
            " once a week. One that costs a request for each issue or merge request a seventh"
            " as often.",
            unit="h",
            gt=0,
            le=8760,
        ),
    ] = 23.0
    discover_hours: Annotated[
        float,
        about(
            "So often each account's groups and projects are looked for anew: new ones, renamed"
            " ones, roles, what it sees no more.",
            unit="h",
            gt=0,
            le=8760,
        ),
    ] = 6.0
    share: Annotated[
        float,
        about(
            "The part of GitLab's limit that may be used to follow changes. While it is not used up"
            " lists are looked at before they are due, the busy ones more often, down to a minute."
            " 0: nothing is read early.",
            ge=0,
            le=1,
        ),
    ] = 0.1
    resources: Annotated[
        tuple[str, ...],
        about(
            "Patterns of the resources that are collected; with ! in front they leave out, and the"
            " last that matches decides. Some are collected only where they are named."
        ),
    ] = ("*",)
