"""The settings of how programs talk with each other: repeats, floods, broken lines, signs of life."""

from typing import Annotated

import msgspec

from labtrawl.config.about import about


class Dedup(msgspec.Struct, frozen=True, kw_only=True):
    """How messages are known that belong to no job, or come without an id that grows."""

    keep_hours: Annotated[
        float, about("So long a repeat is known as one.", unit="h", ge=1, le=8760)
    ] = 24.0


class Flood(msgspec.Struct, frozen=True, kw_only=True):
    """How fast one connection may send; it is slowed first, then closed."""

    messages_per_second: Annotated[
        float, about("Above this nothing is read from it for a while.", ge=1, le=1_000_000)
    ] = 5000.0
    cooldown_seconds: Annotated[float, about("How long that while is.", unit="s", gt=0, le=60)] = (
        1.0
    )
    cooldowns: Annotated[
        int, about("After so many in a row the connection is closed.", ge=0, le=1000)
    ] = 5


class Breaker(msgspec.Struct, frozen=True, kw_only=True):
    """When a crawler that cannot connect tries less often."""

    failures: Annotated[
        int, about("After so many failures in a row the circuit opens.", ge=1, le=1000)
    ] = 5
    open_seconds: Annotated[
        float,
        about(
            "An open circuit lets one probe through after 1 s to this long, at random.",
            unit="s",
            ge=1,
            le=3600,
        ),
    ] = 30.0


class Heartbeat(msgspec.Struct, frozen=True, kw_only=True):
    """Signs of life, on the socket and on the control channel."""

    seconds: Annotated[
        float, about("How often a process says that it lives.", unit="s", gt=0, le=60)
    ] = 5.0
    silence_seconds: Annotated[
        float, about("A connection silent for so long is closed.", unit="s", gt=0, le=600)
    ] = 15.0
