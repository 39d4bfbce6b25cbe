"""The website's way to the GitLabs when somebody signs in: grants are checked, kept or given back."""

import ipaddress
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from urllib.parse import quote, urlsplit

from labtrawl import logs
from labtrawl.cli.origins import application_of, http_to, user_agent
from labtrawl.clock import Clock
from labtrawl.config import Instance, Settings
from labtrawl.dispatch.renewal import RENEW_AFTER, Renewals
from labtrawl.domain.credential import Secret
from labtrawl.errors import LabtrawlError, Missing, Unauthorized
from labtrawl.gitlab import oauth
from labtrawl.gitlab.identity import SCOPE as WHO
from labtrawl.gitlab.identity import IdentityRefused, identify
from labtrawl.gitlab.oauth import Application, Attempt, Pair
from labtrawl.gitlab.probe import Probe, probe
from labtrawl.http import Http, Limits, open_http
from labtrawl.store import connections, renewals
from labtrawl.store.accounts import StoredToken
from labtrawl.store.commands import Worked
from labtrawl.store.connections import Connected
from labtrawl.store.engine import Connection, Store
from labtrawl.store.people import Identified
from labtrawl.store.renewals import StoredPair
from labtrawl.store.secrets import KeyRing, account_place
from labtrawl.store.sign_in_attempts import Keys, Wish
from labtrawl.website.given.entrance import Arrival, Place

log = logs.get("website")

SCOPES = {Wish.TAKE_PART: f"{WHO} {oauth.SCOPES}", Wish.OPERATE: WHO}
IN_CLEAR = (
    "nobody can sign in with GitLab: the site's address is not encrypted; put a proxy with TLS before"
    " it and set website.public_url to its https address"
)
_LIMITS = Limits(connections=2, connect_seconds=10, total_seconds=30, body_bytes=1 << 20)
_OWN_TOKEN = "/api/v4/personal_access_tokens/self"  # noqa: S105 - a path


@dataclass(frozen=True, slots=True)
class Grant:
    """What GitLab gave: a pair, or a token that somebody pasted; and what it said of both."""

    instance: Instance
    token: Secret
    pair: Pair | None = None
    found: Probe | None = None
    granted_at: int = 0


@dataclass(frozen=True, slots=True)
class GitLabSignIn:
    """Signs people in at the GitLabs of the settings, and keeps what participants grant.

    `base_url` is where browsers reach the website; `tell_crawlers` hears of accounts with new tokens.
    """

    settings: Settings
    store: Store
    clock: Clock
    ring: KeyRing
    renewals: Renewals
    tell_crawlers: Callable[[int], object]
    base_url: str

    def places(self) -> Sequence[Place]:
        """Return the GitLabs of the settings."""
        return [
            Place(each.name, each.url, bool(each.client_id) and self._may_return)
            for each in self.settings.instances
            if "/" not in each.name  # no address could tell it from two
        ]

    def notices(self) -> list[str]:
        """Say why nobody can sign in with a GitLab that is set up for it."""
        if self._may_return or not any(each.client_id for each in self.settings.instances):
            return []
        return [IN_CLEAR]

    @property
    def _may_return(self) -> bool:
        """Whether a code may travel to the website: encrypted, or within the machine (RFC 8252)."""
        parts = urlsplit(self.base_url)
        if parts.scheme == "https" or parts.hostname == "localhost":
            return True
        try:
            return ipaddress.ip_address(parts.hostname or "").is_loopback
        except ValueError:
            return False

    def redirect_uri(self, name: str) -> str:
        """Return where GitLab sends the browser back to: one exact text for each GitLab.

        An answer of one GitLab cannot be taken for another's (RFC 9700, 4.4).
        """
        return f"{self.base_url.rstrip('/')}/sign-in/gitlab/{quote(name, safe='')}/answer"

    def address(self, place: str, wish: Wish, keys: Keys) -> str:
        """Return where the browser signs in; Missing for a place that has no application."""
        instance, application = self._registered(place)
        attempt = Attempt(keys.state, keys.verifier, keys.nonce)
        return oauth.authorize_url(instance.url, application, attempt, SCOPES[wish])

    async def arrive(self, place: str, wish: Wish, keys: Keys, code: Secret) -> Arrival:
        """Turn the code that a browser brought back into who it is.

        Raises Missing, GrantRefused, IdentityRefused, and what the way to GitLab raises.
        """
        instance, application = self._registered(place)
        granted_at = self.clock.now_ms()
        async with self._http(instance) as http:
            attempt = Attempt(keys.state, keys.verifier, keys.nonce)
            pair = await oauth.redeem(http, application, code, attempt)
            grant = Grant(instance, pair.access_token, pair, None, granted_at)
            try:
                found = await identify(http, instance.url, application, pair, keys.nonce)
                who = Identified(
                    instance.name, instance.url, found.user_id, found.username, found.name
                )
                if wish is Wish.OPERATE:
                    return Arrival(who, grant)
                seen = await self._probe(http, grant.token)
                if seen.account.user_id != found.user_id:
                    raise IdentityRefused("GitLab names two different people as the owner")
            except LabtrawlError:
                await self._end(grant)
                raise
        return Arrival(who, Grant(instance, pair.access_token, pair, seen, granted_at))

    async def show_token(self, place: str, token: Secret) -> Arrival:
        """Ask a GitLab whose token this is; Unauthorized for one that is wrong or too powerful."""
        instance = self._instance(place)
        async with self._http(instance) as http:
            seen = await self._probe(http, token)
        if wider := ", ".join(seen.wider_scopes):
            raise Unauthorized(
                f"this token may do more than read ({wider}): revoke it, and make one with the scope"
                " read_api alone"
            )
        account = seen.account
        who = Identified(
            instance.name, instance.url, account.user_id, account.username, account.name
        )
        return Arrival(who, Grant(instance, token, None, seen))

    async def _probe(self, http: Http, token: Secret) -> Probe:
        seen = await probe(http, token, self.clock)
        if seen.missing_scopes:
            missing = ", ".join(seen.missing_scopes)
            raise Unauthorized(f"the scope {missing} is missing: nothing could be read without it")
        return seen

    async def connect(self, arrival: Arrival) -> int:
        """Keep what was granted, for the crawls; return the account. What cannot be kept is ended."""
        grant: Grant = arrival.grant
        logs.conceal(grant.token)
        if grant.pair is not None:
            logs.conceal(grant.pair.refresh_token)
        await self._settle(arrival.who)

        def connected(connection: Connection) -> tuple[int, StoredPair | None]:
            # Encrypted in the transaction: a rotation of the keys comes before or after it.
            before = _pair_before(connection, arrival.who)
            return connections.connect(connection, self._sealed(arrival.who, grant)), before

        account_id, before = 0, None
        try:
            account_id, before = await self.store.write(connected)
        finally:
            if not account_id:
                await self.let_go(arrival)
        log.info("account_connected", instance=grant.instance.name, user=arrival.who.gitlab_user_id)
        self.tell_crawlers(account_id)
        if before is not None:
            await self.renewals.settle(account_id)
            await self._end_stored(before)
        return account_id

    async def _settle(self, who: Identified) -> None:
        """Wait for a renewal of the same user, if one is under way."""
        account_id = await self.store.read(lambda c: connections.find(c, who))
        if account_id is not None:
            await self.renewals.settle(account_id)

    def _sealed(self, who: Identified, grant: Grant) -> Connected:
        url, user_id = grant.instance.url, who.gitlab_user_id
        cipher = self.ring()
        token = cipher.encrypt(grant.token, account_place(url, user_id))
        assert grant.found is not None
        version, scopes = grant.found.instance.version, grant.found.account.scopes or ()
        if grant.pair is None:
            return Connected(who, version, scopes, token)
        place = account_place(url, user_id, "refresh_token")
        life_ms = grant.pair.expires_in_seconds * 1000
        return Connected(
            who,
            version,
            scopes,
            token,
            cipher.encrypt(grant.pair.refresh_token, place),
            grant.granted_at + life_ms,
            grant.granted_at + int(life_ms * RENEW_AFTER),
            self.redirect_uri(who.instance_name),
        )

    async def let_go(self, arrival: Arrival) -> None:
        """Give back a grant that nobody needs; a token that was pasted stays its owner's."""
        grant: Grant = arrival.grant
        if grant.pair is not None:
            await self._end(grant)

    async def disconnect(
        self, account_id: int, stopped: Callable[[Sequence[Worked]], object]
    ) -> bool:
        """Erase an account's tokens here, then end them at GitLab; see `website.given.entrance`."""
        await self.renewals.settle(account_id)

        def erased(connection: Connection) -> tuple[StoredPair, list[Worked] | None]:
            # In one transaction: a renewal comes before it, or brings what is ended below.
            pair = renewals.pair_of(connection, account_id)
            return pair, connections.disconnect(connection, account_id)

        pair, taken = await self.store.write(erased)
        if taken is None:
            return True
        stopped(taken)
        log.info("account_disconnected", account=account_id)
        is_late_ended = await self.renewals.settle(account_id)
        return await self._end_stored(pair) and is_late_ended

    async def _end_stored(self, pair: StoredPair) -> bool:
        """End at GitLab what was stored; say whether GitLab confirmed."""
        try:
            instance = self._instance(pair.instance_name)
            token = self._opened(pair.stored_token)
            if not pair.refresh_token:
                return await self._end(Grant(instance, token))
            stored = StoredToken(
                pair.refresh_token, pair.instance_url, pair.user_id, "refresh_token"
            )
            return await self._end(Grant(instance, token, Pair(token, self._opened(stored), 1)))
        except LabtrawlError as error:
            log.warning("grant_not_ended", instance=pair.instance_name, error=str(error))
            return False

    def _opened(self, stored: StoredToken) -> Secret:
        place = account_place(stored.instance_url, stored.user_id, stored.column)
        return self.ring().decrypt(stored.encrypted, place)

    async def _end(self, grant: Grant) -> bool:
        """End a grant at GitLab; a failure is logged and told, for its end will come anyway."""
        instance = grant.instance
        try:
            async with self._http(instance) as http:
                if grant.pair is None:
                    bearer = {"authorization": f"Bearer {grant.token.reveal()}"}
                    answer = await http.request("DELETE", _OWN_TOKEN, bearer)
                    return answer.status in {204, 401}
                application = self._registered(instance.name)[1]
                # By the refresh token: GitLab finds an access token only while that lives.
                await oauth.revoke(http, application, grant.pair.refresh_token)
        except LabtrawlError as error:
            log.warning("grant_not_ended", instance=instance.name, error=str(error))
            return False
        return True

    def _registered(self, name: str) -> tuple[Instance, Application]:
        """Return a GitLab and labtrawl's application there; Missing where there is none."""
        instance = self._instance(name)
        if not instance.client_id:
            raise Missing(f"labtrawl has no application at {name!r}")
        return instance, application_of(instance, self.ring, self.redirect_uri(name))

    def _instance(self, name: str) -> Instance:
        found = next((one for one in self.settings.instances if one.name == name), None)
        if found is None:
            raise Missing(f"there is no GitLab {name[:64]!r} in the settings")
        return found

    def _http(self, instance: Instance) -> AbstractAsyncContextManager[Http]:
        return open_http(http_to(instance), _LIMITS, user_agent(self.settings))


def _pair_before(connection: Connection, who: Identified) -> StoredPair | None:
    """Return what is stored of the same user."""
    account_id = connections.find(connection, who)
    pair = None if account_id is None else renewals.pair_of(connection, account_id)
    return pair if pair is not None and pair.token else None
