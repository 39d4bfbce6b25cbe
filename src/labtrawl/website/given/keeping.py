"""What the website asks of those who keep the accounts signed in: figures, a check, never a token."""

from collections.abc import Sequence
from typing import Protocol

import msgspec

from labtrawl.errors import Conflict


class BudgetTold(msgspec.Struct, frozen=True, kw_only=True):
    """The budget of one account in one class of endpoints; instants in ms.

    `limit_per_minute` is GitLab's, None where it tells none; crawlers may use
    `allowed_per_minute` of it. `remaining` until `resets_at` is GitLab's own count.
    """

    endpoints: str
    limit_per_minute: int | None = None
    allowed_per_minute: int | None = None
    used_last_minute: int = 0
    under_way: int = 0
    remaining: int | None = None
    resets_at: int | None = None
    waits_until: int | None = None
    """Until then nothing is asked for: GitLab said so, or refused."""


class Accounts(Protocol):
    """The accounts, beside what the database knows of them."""

    def budgets(self, account_id: int) -> Sequence[BudgetTold]:
        """Return how much of each limit is used; nothing for an account that was not used yet."""

    def is_in_settings(self, instance: str, user_id: int) -> bool:
        """Say whether the settings name this account: then that text names its credential, too."""

    async def verify(self, account_id: int) -> str:
        """Ask the account's GitLab now; return what it said, one sentence.

        Missing for no account, and LabtrawlError as its GitLab or the way to it is.
        """

    async def erase(self, account_id: int) -> str:
        """Take what is left of a removed credential out of the settings and the database's files.

        Return what could not be done and why, "" where all was.
        """


class Nobody:
    """For a site without accounts to keep."""

    def budgets(self, _account_id: int) -> Sequence[BudgetTold]:
        """Return nothing."""
        return ()

    def is_in_settings(self, _instance: str, _user_id: int) -> bool:
        """Say no."""
        return False

    async def verify(self, account_id: int) -> str:
        """Refuse."""
        raise Conflict(f"nobody here can ask the GitLab of account {account_id}")

    async def erase(self, _account_id: int) -> str:
        """Have nothing to erase."""
        return ""
