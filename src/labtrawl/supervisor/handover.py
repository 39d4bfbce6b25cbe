"""GitLab credentials in the environment of crawlers, as the first seed describes.

Only with `credentials = "environment"`: an environment is inherited, shown by the system to its
user, and cannot change while the process lives. `supervisor` gives, the crawler's `cli` takes.
"""

from collections.abc import MutableMapping, Sequence
from dataclasses import dataclass
from typing import Self

from labtrawl.domain.credential import Secret
from labtrawl.supervisor.authentication import Auth, Credentials, CredentialsUpdated

TOKEN = "GITLAB_TOKEN"  # noqa: S105 - the name of a variable
URL = "GITLAB_URL"


@dataclass(frozen=True, slots=True)
class Handover:
    """A token and the GitLab that it is for; without an address, for the only one there is."""

    token: Secret
    url: str = ""

    @classmethod
    def told_by(cls, announcement: Credentials | CredentialsUpdated | Auth) -> Self | None:
        """Return what an announcement holds; None where the website keeps its tokens to itself."""
        if isinstance(announcement, Auth):
            token = announcement.credentials.token
            return cls(Secret(token)) if token else None
        access = announcement.gitlab
        return cls(Secret(access.token), access.url) if access is not None else None

    @classmethod
    def taken_from(cls, environ: MutableMapping[str, str]) -> Self | None:
        """Take it out of an environment: what this process starts does not inherit it."""
        token, url = environ.pop(TOKEN, ""), environ.pop(URL, "")
        return cls(Secret(token), url) if token else None

    def is_for(self, url: str, known: Sequence[str]) -> bool:
        """Say whether the token is for the GitLab at this address; `known` are all there are."""
        only = known[0] if len(known) == 1 else ""
        return url == (self.url or only)

    def environment(self) -> dict[str, str]:
        """Return the variables of a crawler."""
        return {TOKEN: self.token.reveal(), **({URL: self.url} if self.url else {})}
