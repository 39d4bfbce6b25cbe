"""How a world is served: what a caller may set.

Entered by whoever starts a server.
"""

import re
import time
from collections.abc import Callable
from dataclasses import dataclass

from labtrawl.sandbox.changes import Planned
from labtrawl.sandbox.faults import Fault
from labtrawl.sandbox.oauth import APPLICATIONS, Application


@dataclass(frozen=True, slots=True)
class Options:
    """What may be set.

    `external_url`: where links point (empty: the address listened on); its path, if any, is the
    sub-path GitLab lives under. `link_host`: another scheme and host for ``Link`` headers alone.
    `rate_limit_per_minute`: per user, 0 = off, counted in periods of `rate_limit_period_seconds`.
    `short_pages`: notes and events come in pages with holes.
    `version`: decides what the API can do, for example keyset for issues from 18.3 on.
    `keep_alive_seconds`: how long an idle connection stays open. `expires_in`: how many seconds an
    access token of OAuth lives. `applications`: the OAuth clients that are registered. `now`: the
    clock (seconds since 1970) of ``Date`` headers and of changes. `script`: changes that happen
    after certain requests. `graphql_node_ms`:
    what a node of an answer costs at ``/api/graphql``, above the latency; an answer that would cost
    more than `graphql_timeout_seconds` times out as GitLab's do.
    """

    external_url: str = ""
    latency_ms: float = 0.0
    rate_limit_per_minute: int = 0
    rate_limit_period_seconds: int = 60
    short_pages: bool = False
    link_host: str = ""
    faults: tuple[Fault, ...] = ()
    version: str = "19.3.0-ee"
    enterprise: bool = True
    keep_alive_seconds: int = 30
    expires_in: int = 7200
    applications: tuple[Application, ...] = APPLICATIONS
    graphql_node_ms: float = 0.0
    graphql_timeout_seconds: float = 30.0
    now: Callable[[], float] = time.time
    script: tuple[Planned, ...] = ()
    prepared: bool = False

    def __post_init__(self) -> None:
        if not re.match(r"\d+\.\d+", self.version):
            raise ValueError(f"version is none of GitLab's: {self.version!r}; write 19.3.0-ee")
