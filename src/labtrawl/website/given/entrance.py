"""What the website asks of those who speak with GitLab when somebody signs in there."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from labtrawl.domain.credential import Secret
from labtrawl.store.commands import Worked
from labtrawl.store.people import Identified
from labtrawl.store.sign_in_attempts import Keys, Wish


@dataclass(frozen=True, slots=True)
class Place:
    """A GitLab that an operator named, and how one can sign in there."""

    name: str
    url: str
    has_application: bool
    """Whether labtrawl is registered there, so that one can sign in with a click."""

    @property
    def host(self) -> str:
        """Its address without the scheme, as people know it."""
        return self.url.partition("://")[2].rstrip("/")


@dataclass(frozen=True, slots=True)
class Arrival:
    """Somebody of whom GitLab has said who it is; `grant` is for the `Entrance` alone."""

    who: Identified
    grant: Any


class Entrance(Protocol):
    """Leads to the GitLabs and back. Everything may raise LabtrawlError."""

    def places(self) -> Sequence[Place]:
        """Return the GitLabs, in the order of the settings."""

    def address(self, place: str, wish: Wish, keys: Keys) -> str:
        """Return where the browser signs in; Missing for a place that has no application."""

    async def arrive(self, place: str, wish: Wish, keys: Keys, code: Secret) -> Arrival:
        """Turn the code that a browser brought back into who it is; a code is good once."""

    async def show_token(self, place: str, token: Secret) -> Arrival:
        """Ask a GitLab whose token this is; Unauthorized for one that is wrong or too powerful."""

    async def connect(self, arrival: Arrival) -> int:
        """Keep what was granted, for the crawls; return the account."""

    async def let_go(self, arrival: Arrival) -> None:
        """Give back a grant that nobody needs any more."""

    async def disconnect(
        self, account_id: int, stopped: Callable[[Sequence[Worked]], object]
    ) -> bool:
        """Erase an account's tokens here, then end them at GitLab; say whether GitLab confirmed.

        `stopped` hears of the jobs that were taken from crawlers, before GitLab is asked.
        """
