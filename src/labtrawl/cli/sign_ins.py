"""The accounts of the settings in the website's process: verified, kept signed in, announced."""

import asyncio
import contextlib
import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime

import msgspec

from labtrawl import config, logs
from labtrawl.cli.gitlab_sign_in import GitLabSignIn
from labtrawl.cli.key_care import care_for_keys
from labtrawl.cli.origins import application_of, http_to, user_agent
from labtrawl.clock import Clock
from labtrawl.config import Instance, Settings
from labtrawl.dispatch import planner
from labtrawl.dispatch.credentials import Credentials
from labtrawl.dispatch.renewal import Renewals
from labtrawl.dispatch.spool import Spool
from labtrawl.domain.credential import Secret
from labtrawl.errors import ConfigError, LabtrawlError, ProtocolError, Unauthorized
from labtrawl.gitlab import oauth
from labtrawl.gitlab.oauth import Application
from labtrawl.gitlab.probe import Probe, probe
from labtrawl.http import Http, Limits, open_http
from labtrawl.store import accounts, connections, renewals
from labtrawl.store.accounts import SignedIn, StoredToken, VerifiedAccount
from labtrawl.store.engine import Store
from labtrawl.store.renewals import StoredPair
from labtrawl.store.secrets import KeyRing, account_place, key_path
from labtrawl.supervisor.authentication import Credentials as Announcement
from labtrawl.supervisor.authentication import (
    CredentialsUpdated,
    CredentialsWithdrawn,
    GitLabAccess,
)

log = logs.get("website")

AGAIN_SECONDS = 15.0
# Among the texts of accepted accounts: those that people connected on the website.
CONNECTED = "connected"
IN_ENVIRONMENT = (
    'crawlers have a GitLab token in their environment (credentials = "environment"); '
    'credentials = "task" is safer'
)
_TOKEN_LIMITS = Limits(connections=1, connect_seconds=10, total_seconds=30, body_bytes=1 << 16)

Announce = Callable[[Announcement | CredentialsUpdated | CredentialsWithdrawn], Awaitable[None]]


class SignIns:
    """Who is signed in where; `credentials` hands their tokens out, `renewals` keeps them valid."""

    def __init__(self, settings: Settings, store: Store, clock: Clock, announce: Announce) -> None:
        self._settings = settings
        self._store = store
        self._clock = clock
        self._announce = announce
        self._ring = KeyRing(key_path(settings.data_dir))
        self._problems: dict[str, str] = {}
        self._accepted: set[str] = set()
        self._handed_over: int | None = None
        # Set by who has the crawlers' connections: an account has a new token.
        self.tell_crawlers: Callable[[int], object] = lambda _account_id: None
        spool = Spool(settings.data_dir / "config", self._ring)
        self.renewals = Renewals(store, spool, self._renew, self._end, clock, self._renewed)
        self.credentials = Credentials(store, self._decrypt, self.renewals)

    def problems(self) -> list[str]:
        """Say in one sentence each what is wrong with accounts."""
        return list(dict.fromkeys([*self._problems.values(), *self.renewals.problems()]))

    def notices(self) -> list[str]:
        """Say what works and could be safer."""
        return [IN_ENVIRONMENT] if self._handed_over is not None else []

    def is_handed_over(self, account_id: int) -> bool:
        """Say whether the supervisor's crawlers have this account's token in their environment."""
        return account_id == self._handed_over

    def entrance(self, base_url: str) -> GitLabSignIn:
        """Return the website's way to the GitLabs; browsers reach the site at `base_url`."""
        return GitLabSignIn(
            self._settings,
            self._store,
            self._clock,
            self._ring,
            self.renewals,
            self.tell_crawlers,
            base_url,
        )

    async def run(self) -> None:
        """Ask each account's GitLab whether it accepts it; those that it could not ask, again."""
        try:
            await care_for_keys(self._settings, self._store, self._ring)
        except LabtrawlError as error:
            log.error("keys_not_cared_for", error=str(error))
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._follow_connected())
            tasks.create_task(self._verify_all())

    async def _verify_all(self) -> None:
        waiting = list(self._settings.accounts)
        while waiting:
            waiting = [account for account in waiting if not await self._verify(account)]
            if waiting:
                await self._clock.sleep(AGAIN_SECONDS)

    async def _follow_connected(self) -> None:
        """Let crawlers start as soon as an account may be used that somebody connected.

        GitLab accepted it when it was connected; those that do not hold any more show at the claim.
        """
        while CONNECTED not in self._accepted:
            committed = self._store.changes.ticket()
            try:
                if await self._store.read(connections.has_usable):
                    await self._accept_connected()
                    return
            except LabtrawlError as error:
                log.warning("supervisor_not_told", error=str(error))
                await self._clock.sleep(AGAIN_SECONDS)
                continue
            await committed.wait()

    async def _accept_connected(self) -> None:
        now = datetime.now(UTC).isoformat(timespec="seconds")
        if not self._accepted:
            await self._announce(Announcement(verified_at=now))
        self._accepted.add(CONNECTED)

    def _decrypt(self, stored: StoredToken) -> Secret:
        place = account_place(stored.instance_url, stored.user_id, stored.column)
        token = self._ring().decrypt(stored.encrypted, place)
        logs.conceal(token)
        return token

    async def _verify(self, account: config.Account) -> bool:
        """Return whether this account needs no further try."""
        instance = self._instance(account.instance)
        is_pair = bool(account.refresh_token)
        try:
            if await self._is_removed(account, instance):
                log.info(
                    "account_left_out", instance=instance.name, why="its credential was removed"
                )
                self._problems.pop(account.token, None)
                return True
            await (self._verify_pair if is_pair else self._verify_token)(account, instance)
        except LabtrawlError as error:
            log.error("account_not_verified", instance=instance.name, error=str(error))
            self._problems[account.token] = str(error) if is_pair else f"{instance.name}: {error}"
            if isinstance(error, Unauthorized) and not is_pair:
                await self._refuse(account, instance)
            return not (error.retryable or (is_pair and isinstance(error, Unauthorized)))
        self._problems.pop(account.token, None)
        return True

    async def _is_removed(self, account: config.Account, instance: Instance) -> bool:
        """Say whether somebody removed this very credential on the website since."""
        source = self._source(account, instance)
        return await self._store.read(lambda c: accounts.is_removed(c, source))

    def source_of(self, account: config.Account) -> str:
        """Return what the database knows an account of the settings by; ConfigError for no key."""
        return self._source(account, self._instance(account.instance))

    async def hear_accepted(self, pair: StoredPair) -> None:
        """Take note that a GitLab accepts an account, whoever asked; crawlers may begin."""
        for each in self._settings.accounts:
            if each.instance == pair.instance_name and each.user_id in {0, pair.user_id}:
                self._problems.pop(each.token, None)
        kind = CredentialsUpdated if self._accepted else Announcement
        self._accepted.add(pair.token)
        self.tell_crawlers(pair.account_id)
        await self._tell(kind(verified_at=datetime.now(UTC).isoformat(timespec="seconds")))

    def _instance(self, name: str) -> Instance:
        found = next((one for one in self._settings.instances if one.name == name), None)
        if found is None:
            raise ConfigError(f"the instance {name!r} is not in the settings any more")
        return found

    async def _verify_token(self, account: config.Account, instance: Instance) -> None:
        """Verify a token that somebody made by hand."""
        token = self._decrypt(StoredToken(account.token, instance.url, account.user_id))
        found = await self._probe(instance, token)
        _check_user(account, found)
        await self._accept(account, instance, found, token)

    async def _verify_pair(self, account: config.Account, instance: Instance) -> None:
        """Verify a sign-in: with the database's pair where it came from this text of the settings."""
        source = self._source(account, instance)
        account_id = await self._store.read(
            lambda c: renewals.find_source(c, instance.name, source)
        )
        if account_id is None:
            account_id = await self._store.write(
                lambda c: accounts.sign_in(c, self._signed_in(account, instance, source))
            )
        token = await self.credentials.access_token(account_id)
        try:
            found = await self._probe(instance, token)
        except Unauthorized:
            refused = hashlib.sha256(token.reveal().encode()).hexdigest()
            token = (await self.credentials.refresh(account_id, refused)).secret
            found = await self._probe(instance, token)
        _check_user(account, found)
        await self._accept(account, instance, found, None)

    async def _probe(self, instance: Instance, token: Secret) -> Probe:
        http = open_http(http_to(instance), Limits(), user_agent(self._settings))
        async with http as door:
            return await probe(door, token, self._clock)

    def _pair(self, account: config.Account, instance: Instance) -> tuple[Secret, Secret]:
        """The tokens of the settings; the second is empty where there is none."""
        url, user_id = instance.url, account.user_id
        token = self._decrypt(StoredToken(account.token, url, user_id))
        if not account.refresh_token:
            return token, Secret("")
        stored = StoredToken(account.refresh_token, url, user_id, "refresh_token")
        return token, self._decrypt(stored)

    def _source(self, account: config.Account, instance: Instance) -> str:
        """What tells one sign-in from another, however its text is encrypted at the moment."""
        texts = [each.reveal() for each in self._pair(account, instance)]
        return hashlib.sha256(msgspec.json.encode(["labtrawl source", *texts])).hexdigest()

    def _signed_in(self, account: config.Account, instance: Instance, source: str) -> SignedIn:
        token, refresh_token = self._pair(account, instance)
        url, user_id = instance.url, account.user_id
        cipher = self._ring()
        return SignedIn(
            instance.name,
            url,
            user_id,
            cipher.encrypt(token, account_place(url, user_id)),
            cipher.encrypt(refresh_token, account_place(url, user_id, "refresh_token")),
            account.expires_at,
            source,
        )

    async def _accept(
        self, account: config.Account, instance: Instance, found: Probe, token: Secret | None
    ) -> None:
        """Record what its GitLab said of an account; `token` is None where the database has it."""
        source = self._source(account, instance)
        place = account_place(instance.url, found.account.user_id)

        def verified() -> VerifiedAccount:
            # Encrypted in the transaction: a rotation of the keys comes before or after it.
            return VerifiedAccount(
                instance.name,
                instance.url,
                found.instance.version,
                found.account.user_id,
                found.account.username,
                found.account.scopes or (),
                "" if token is None else self._ring().encrypt(token, place),
                source,
                None if token is None else found.account.ends_at,
            )

        account_id = await self._store.write(lambda c: planner.plan_account(c, verified()))
        log.info("account_verified", instance=instance.name, user=found.account.user_id)
        now = datetime.now(UTC).isoformat(timespec="seconds")
        is_first = not self._accepted
        self._accepted.add(account.token)
        kind = Announcement if is_first else CredentialsUpdated
        access = self._hand_over(account, account_id, instance, token)
        await self._announce(kind(verified_at=now, gitlab=access))

    def _hand_over(
        self, account: config.Account, account_id: int, instance: Instance, token: Secret | None
    ) -> GitLabAccess | None:
        """Return the first account's token for the environment of crawlers, where that is set."""
        is_wanted = self._settings.credentials == "environment"
        if not is_wanted or token is None or account != self._settings.accounts[0]:
            return None
        self._handed_over = account_id
        return GitLabAccess(token=token.reveal(), url=instance.url)

    async def _refuse(self, account: config.Account, instance: Instance) -> None:
        """Hold what only this account sees; without any account left, start no more crawlers."""
        source = self._source(account, instance)
        await self._store.write(lambda c: planner.refuse_account(c, source))
        self._accepted.discard(account.token)
        if not self._accepted:
            await self._tell(CredentialsWithdrawn())

    async def _renew(self, pair: StoredPair, refresh_token: Secret) -> oauth.Pair:
        """Ask the account's GitLab for a new pair."""
        async with self._application(pair) as (http, application):
            return await oauth.renew(http, application, refresh_token)

    async def _end(self, pair: StoredPair, refresh_token: Secret) -> None:
        """Let the account's GitLab end a pair that nobody keeps."""
        async with self._application(pair) as (http, application):
            await oauth.revoke(http, application, refresh_token)

    @contextlib.asynccontextmanager
    async def _application(self, pair: StoredPair) -> AsyncIterator[tuple[Http, Application]]:
        """Open the door to the account's GitLab, with what labtrawl is called there."""
        instance = self._instance(pair.instance_name)
        application = application_of(instance, self._ring, pair.redirect_uri)
        agent = user_agent(self._settings)
        async with open_http(http_to(instance), _TOKEN_LIMITS, agent) as http:
            yield http, application

    async def _renewed(self, account_id: int) -> None:
        self.tell_crawlers(account_id)
        if self._accepted:
            now = datetime.now(UTC).isoformat(timespec="seconds")
            await self._tell(CredentialsUpdated(verified_at=now))

    async def _tell(
        self, announcement: Announcement | CredentialsUpdated | CredentialsWithdrawn
    ) -> None:
        try:
            await self._announce(announcement)
        except ProtocolError as error:
            log.warning("supervisor_not_told", error=str(error))


def _check_user(account: config.Account, found: Probe) -> None:
    if account.user_id and account.user_id != found.account.user_id:
        raise ConfigError(
            f"the token on {account.instance!r} is of the user {found.account.user_id}, and its "
            f"user_id says {account.user_id}: connect the account again"
        )
