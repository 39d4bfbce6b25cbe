"""The accounts as the website's pages ask for them: what of their limits is used, and a check now."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial

from labtrawl.cli.origins import http_to, user_agent
from labtrawl.cli.settings_desk import FileDesk
from labtrawl.clock import Clock
from labtrawl.config import Account, Instance, Settings
from labtrawl.dispatch import planner
from labtrawl.dispatch.budget import Budget
from labtrawl.dispatch.credentials import Credentials
from labtrawl.domain.credential import Secret
from labtrawl.errors import ConfigError, Conflict, LabtrawlError, Unauthorized
from labtrawl.gitlab.probe import Probe, probe
from labtrawl.http import Limits, open_http
from labtrawl.store import accounts, jobs, renewals
from labtrawl.store.accounts import VerifiedAccount
from labtrawl.store.engine import Connection, Store, database_path
from labtrawl.store.erasing import empty_log
from labtrawl.store.renewals import StoredPair
from labtrawl.website.given.keeping import BudgetTold


@dataclass(frozen=True, slots=True)
class AccountDesk:
    """All accounts of one website; `accepted` hears that a GitLab took one.

    `source_of` tells what the database knows an account of the settings by.
    """

    settings: Settings
    store: Store
    clock: Clock
    credentials: Credentials
    budget: Budget
    accepted: Callable[[StoredPair], Awaitable[None]]
    source_of: Callable[[Account], str]
    file: FileDesk

    def budgets(self, account_id: int) -> Sequence[BudgetTold]:
        """Return how much of each limit is used."""
        used = self.budget.used(account_id, self.clock.now_ms())
        return [
            BudgetTold(
                endpoints=class_,
                limit_per_minute=each.limit_per_minute,
                allowed_per_minute=each.allowed_per_minute,
                used_last_minute=each.sent,
                under_way=each.under_way,
                remaining=each.remaining,
                resets_at=each.reset_at,
                waits_until=each.not_before or None,
            )
            for class_, each in used.items()
        ]

    def is_in_settings(self, instance: str, user_id: int) -> bool:
        """Say whether the settings name this account, or one of that GitLab without a number."""
        return any(
            each.instance == instance and each.user_id in {0, user_id}
            for each in self.settings.accounts
        )

    async def verify(self, account_id: int) -> str:
        """Ask the account's GitLab now; see `website.given.keeping.Accounts`."""
        pair = await self.store.read(lambda c: renewals.pair_of(c, account_id))
        if not pair.token:
            raise Conflict(f"@{pair.username} has no credential here: connect the account again")
        try:
            found = await self._found(pair)
        except Unauthorized:
            await self.store.write(lambda c: _refuse(c, account_id))
            raise
        if found.account.user_id != pair.user_id:
            raise ConfigError(f"this token is of the user {found.account.user_id} by now")
        verified = _verified(pair, found)
        await self.store.write(lambda c: planner.plan_account(c, verified))
        await self.accepted(pair)
        scopes = ", ".join(found.account.scopes or ()) or "which GitLab does not tell"
        version = found.instance.version or "of an unknown version"
        who = f"@{found.account.username}, with the scopes {scopes}"
        return f"{pair.instance_name} (GitLab {version}) accepts {who}"

    async def erase(self, account_id: int) -> str:
        """Take what is left of a removed credential out of files; see `website.given.keeping`."""
        pair, source = await self.store.read(
            lambda c: (renewals.pair_of(c, account_id), accounts.source_of(c, account_id))
        )
        left = []
        try:
            await asyncio.to_thread(self.file.take_out, partial(self._is_entry, pair, source))
        except LabtrawlError as error:
            left.append(f"its entry in the file of settings is still there: {error}")
        if not await asyncio.to_thread(self._empty_log):
            left.append("the database's log still has the encrypted text until it is written anew")
        return "; ".join(left)

    def _empty_log(self) -> bool:
        try:
            return empty_log(database_path(self.settings.data_dir))
        except LabtrawlError:
            return False

    def _is_entry(self, pair: StoredPair, source: str, entry: Account) -> bool:
        """Say whether an entry of the settings is of this account, whatever token it has."""
        if entry.instance != pair.instance_name or entry.user_id not in {0, pair.user_id}:
            return False
        # Without a number it may be anybody's on that GitLab.
        return bool(entry.user_id) or self.source_of(entry) == source

    async def _found(self, pair: StoredPair) -> Probe:
        """Ask with the token that is there; once more with a new one where that can be had."""
        token = await self.credentials.access_token(pair.account_id)
        try:
            return await self._probe(pair.instance_name, token)
        except Unauthorized:
            if not pair.refresh_token:
                raise
            renewed = await self.credentials.refresh(pair.account_id, None)
            return await self._probe(pair.instance_name, renewed.secret)

    async def _probe(self, name: str, token: Secret) -> Probe:
        instance = self._instance(name)
        async with open_http(http_to(instance), Limits(), user_agent(self.settings)) as door:
            return await probe(door, token, self.clock)

    def _instance(self, name: str) -> Instance:
        found = next((each for each in self.settings.instances if each.name == name), None)
        if found is None:
            raise ConfigError(f"the instance {name!r} is not in the settings any more")
        return found


def _verified(pair: StoredPair, found: Probe) -> VerifiedAccount:
    """The token stays as it is stored: this says only what its GitLab says of it."""
    return VerifiedAccount(
        pair.instance_name,
        pair.instance_url,
        found.instance.version,
        found.account.user_id,
        found.account.username,
        found.account.scopes or (),
        "",
        expires_at=found.account.ends_at,
    )


def _refuse(connection: Connection, account_id: int) -> None:
    accounts.refuse(connection, account_id)
    jobs.hold_unseen(connection)
