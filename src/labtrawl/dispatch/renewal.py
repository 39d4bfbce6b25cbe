"""Renews the pairs of accounts: once at a time, durable before used, and patient with refusals.

GitLab kills both old tokens when it renews, and its replicas may refuse a good pair for a while
(doc/api/oauth2.md; GitLab issues 372358 and 599181). So: one renewal an account, in this process by
one task, among processes by its row; the answer goes to an fsynced file, then to the database, and
only then to anybody; a refusal counts when it was repeated for ten minutes.
"""

import asyncio
import contextlib
import hmac
from collections.abc import AsyncIterator, Awaitable, Callable

from labtrawl import logs
from labtrawl.clock import Clock
from labtrawl.dispatch.patience import Patience, Trouble, judge, sentence
from labtrawl.dispatch.spool import Spool, Spooled
from labtrawl.domain.credential import Secret
from labtrawl.domain.job import HoldReason
from labtrawl.errors import ConfigError, LabtrawlError, StoreError
from labtrawl.gitlab.oauth import GrantRefused, Pair
from labtrawl.store import jobs, renewals
from labtrawl.store.engine import Connection, Store
from labtrawl.store.renewals import SealedPair, StoredPair, Turn
from labtrawl.store.secrets import Cipher, account_place

log = logs.get("backend.credentials")

# Of a token's life: then a new one is asked for (doc/integration/oauth_provider.md: 2 h or less).
RENEW_AFTER = 0.8
ANOTHERS_SECONDS = 0.2
# At a stop, answers under way are awaited: cut off, they would cost the account.
GRACE_SECONDS = 8.0

Ask = Callable[[StoredPair, Secret], Awaitable[Pair]]
"""Turns an account's refresh token into a new pair, at its GitLab; raises as `gitlab.oauth.renew`."""
End = Callable[[StoredPair, Secret], Awaitable[None]]
"""Ends a pair of an account at its GitLab, by its refresh token; raises LabtrawlError."""


class Renewals:
    """All renewals of one process."""

    def __init__(
        self,
        store: Store,
        spool: Spool,
        ask: Ask,
        end: End,
        clock: Clock,
        on_renewed: Callable[[int], Awaitable[None]] | None = None,
        step: Callable[[str], None] = lambda _name: None,
        patience: Patience = Patience(),  # noqa: B008 - frozen
    ) -> None:
        """`on_renewed` hears of each new pair; `step` of each durable step (for tests that kill)."""
        self._store = store
        self._spool = spool
        self._ask = ask
        self._end = end
        self.clock = clock
        self._on_renewed = on_renewed
        self._step = step
        self._patience = patience
        self._flights: dict[int, asyncio.Task[None]] = {}
        self._troubles: dict[int, Trouble] = {}
        self._unsaved: dict[int, Spooled] = {}
        self._renewed_at: dict[int, int] = {}
        # Accounts of which GitLab has a pair that nobody keeps, and could not be told so.
        self._left: set[int] = set()
        self._concealed: dict[int, tuple[Secret, Secret]] = {}

    @property
    def cipher(self) -> Callable[[], Cipher]:
        """The ring of keys."""
        return self._spool.cipher

    def problems(self) -> list[str]:
        """Say in one sentence each which accounts cannot be renewed."""
        return [str(each.error) for each in self._troubles.values()]

    def renewed_at(self, account_id: int) -> int:
        """Return when this process renewed the account (ms); 0 for never."""
        return self._renewed_at.get(account_id, 0)

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator["Renewals"]:
        """Take up what a crash left, renew in time while the block runs, end without losing answers."""
        await self._store.write(renewals.release_all)
        for account_id in self._spool.accounts():
            try:
                await self._take_up(account_id)
            except LabtrawlError as error:
                self._troubles[account_id] = Trouble(error, 0, self.clock.now_ms())
        beat = asyncio.create_task(self._run(), name="renewals")
        try:
            yield self
        finally:
            beat.cancel()
            await asyncio.wait([beat])
            if self._flights:
                await asyncio.wait(self._flights.values(), timeout=GRACE_SECONDS)
            for flight in self._flights.values():
                flight.cancel()

    async def renew(self, account_id: int, version: int) -> None:
        """Return when a pair newer than `version` is stored; whoever asks meanwhile waits for it.

        Raises GitLabError, ConfigError or StoreError while there is none; tokens are kept.
        """
        await asyncio.shield(self.flight(account_id, version))

    def flight(self, account_id: int, version: int) -> asyncio.Task[None]:
        """Return the one renewal of the account that is under way, begun where there was none."""
        found = self._flights.get(account_id)
        if found is None:
            found = asyncio.create_task(
                self._renew(account_id, version), name=f"renewal-{account_id}"
            )
            self._flights[account_id] = found
            found.add_done_callback(lambda _task: self._landed(account_id))
        return found

    async def settle(self, account_id: int) -> bool:
        """Wait for a renewal that is under way, however it ends.

        False where it came too late to be kept, and GitLab did not confirm that it ended the pair.
        """
        if (flight := self._flights.get(account_id)) is not None:
            await asyncio.wait([flight])
        is_left = account_id in self._left
        self._left.discard(account_id)
        return not is_left

    def _landed(self, account_id: int) -> None:
        flight = self._flights.pop(account_id)
        if not flight.cancelled():
            flight.exception()  # told to those who wait; nobody may

    async def _run(self) -> None:
        while True:
            try:
                await self._tick()
            except StoreError as error:
                log.error("renewals_not_seen", error=str(error))
            await self.clock.sleep(self._patience.tick)

    async def _tick(self) -> None:
        """Renew what is due; let go on what was held while a renewal was under way."""
        now = self.clock.now_ms()
        due, waited_for = await self._store.read(
            lambda c: (renewals.due(c, now), renewals.waited_for(c, now))
        )
        for account_id, version in due:
            if self._trouble_of(account_id, version) is None:
                _ = self.flight(account_id, version)
        for pair in waited_for:
            await self._let_go_on(pair)

    async def _let_go_on(self, pair: StoredPair) -> None:
        place = account_place(pair.instance_url, pair.user_id)
        try:
            self.cipher().decrypt(pair.token, place)
        except ConfigError as error:
            self._troubles[pair.account_id] = Trouble(error, 0, self.clock.now_ms())
            return
        trouble = self._troubles.get(pair.account_id)
        if trouble is not None and not trouble.tries:  # it was the key, which is back
            del self._troubles[pair.account_id]
        await self._store.write(lambda c: _resume(c, pair.account_id))

    def _trouble_of(self, account_id: int, version: int) -> Trouble | None:
        """What keeps a pair from being renewed for now; a new sign-in begins without it."""
        trouble = self._troubles.get(account_id)
        if trouble is None or trouble.version != version:
            return None
        return trouble if self.clock.now_ms() < trouble.next_at else None

    async def _renew(self, account_id: int, version: int) -> None:
        if await self._take_up(account_id):
            return
        if (trouble := self._trouble_of(account_id, version)) is not None:
            raise trouble.error
        if not await self._is_ours(account_id, version):
            return
        self._step("begun")
        pair = await self._store.read(lambda c: renewals.pair_of(c, account_id))
        if pair.version != version:
            return  # erased or replaced since
        asked_at = self.clock.now_ms()
        try:
            place = account_place(pair.instance_url, pair.user_id, "refresh_token")
            granted = await self._ask(pair, self.cipher().decrypt(pair.refresh_token, place))
        except LabtrawlError as error:
            raise await self._failed(pair, error) from error
        self._step("answered")
        self._unsaved[account_id] = self._secure(pair, granted, asked_at)
        await self._take_up(account_id)

    async def _is_ours(self, account_id: int, version: int) -> bool:
        """Take the turn; False when another process has renewed the pair."""
        while True:
            now = self.clock.now_ms()
            turn = await self._store.write(
                lambda c, now=now: renewals.begin(c, account_id, version, now)  # type: ignore[misc]
            )
            if turn is not Turn.ANOTHERS:
                return turn is Turn.OURS
            await self.clock.sleep(ANOTHERS_SECONDS)

    def _secure(self, pair: StoredPair, granted: Pair, asked_at: int) -> Spooled:
        """Write the answer down before anything else; nothing can come between, not even a stop."""
        self._conceal(pair.account_id, granted)
        life_ms = granted.expires_in_seconds * 1000
        spooled = Spooled(
            pair.account_id,
            pair.version,
            granted.access_token.reveal(),
            granted.refresh_token.reveal(),
            asked_at + life_ms,
            asked_at + int(life_ms * RENEW_AFTER),
        )
        try:
            self._spool.put(spooled)
        except (OSError, ConfigError) as error:
            # Still in memory, and tried again until the database has it.
            log.error("renewal_not_spooled", account=pair.account_id, error=str(error))
        self._step("spooled")
        return spooled

    def _conceal(self, account_id: int, granted: Pair) -> None:
        """Keep a pair out of the logs, instead of the one that GitLab has just ended."""
        for ended in self._concealed.get(account_id, ()):
            logs.forget(ended)
        self._concealed[account_id] = (granted.access_token, granted.refresh_token)
        for secret in self._concealed[account_id]:
            logs.conceal(secret)

    async def _take_up(self, account_id: int) -> bool:
        """Commit an answer that is in memory or in the spool; say whether there was one.

        One that came after its sign-in was erased or replaced is ended at GitLab instead.
        """
        spooled = self._unsaved.get(account_id) or self._spool.take(account_id)
        if spooled is None:
            return False
        late = await self._store.write(lambda c: self._commit(c, spooled))
        self._step("committed")
        if late is not None:
            await self._end_late(late, Secret(spooled.refresh_token))
        self._unsaved.pop(account_id, None)
        self._spool.remove(account_id)
        self._troubles.pop(account_id, None)
        if late is not None:
            return True
        self._renewed_at[account_id] = self.clock.now_ms()
        log.info("token_renewed", account=account_id)
        self._step("done")
        if self._on_renewed is not None:
            await self._on_renewed(account_id)
        return True

    def _commit(self, connection: Connection, spooled: Spooled) -> StoredPair | None:
        """Store an answer; return what is stored in its place where nobody needs it any more.

        Encrypted in the transaction: what a rotation of the keys does not see, it will be under.
        """
        pair = renewals.pair_of(connection, spooled.account_id)
        url, user_id = pair.instance_url, pair.user_id
        cipher = self.cipher()
        new = SealedPair(
            cipher.encrypt(Secret(spooled.access_token), account_place(url, user_id)),
            cipher.encrypt(
                Secret(spooled.refresh_token), account_place(url, user_id, "refresh_token")
            ),
            spooled.expires_at,
            spooled.renew_at,
        )
        if renewals.keep(connection, spooled.account_id, spooled.version, new):
            _resume(connection, spooled.account_id)
            return None
        return None if self._is_stored(pair, spooled) else pair

    def _is_stored(self, pair: StoredPair, spooled: Spooled) -> bool:
        """Say whether an answer was committed before, as it may be after a crash."""
        if not pair.refresh_token:
            return False
        place = account_place(pair.instance_url, pair.user_id, "refresh_token")
        try:
            stored = self.cipher().decrypt(pair.refresh_token, place)
        except ConfigError:
            return True  # nobody knows, and a good pair must not be ended
        return hmac.compare_digest(stored.reveal().encode(), spooled.refresh_token.encode())

    async def _end_late(self, pair: StoredPair, refresh_token: Secret) -> None:
        try:
            await self._end(pair, refresh_token)
        except LabtrawlError as error:
            self._left.add(pair.account_id)
            log.warning("grant_not_ended", instance=pair.instance_name, error=str(error))
        else:
            log.info("late_grant_ended", account=pair.account_id)

    async def _failed(self, pair: StoredPair, error: LabtrawlError) -> LabtrawlError:
        """Note a failure and when to try again; return what the callers are told."""
        now = self.clock.now_ms()
        is_refusal = isinstance(error, GrantRefused)
        before = self._troubles.get(pair.account_id)
        tries = 1
        if before is not None and (before.version, before.is_refusal) == (pair.version, is_refusal):
            tries += before.tries
        refused_at = pair.refused_at or now if is_refusal else pair.refused_at
        verdict = judge(self._patience, error, tries, now - (refused_at or now))
        said = sentence(pair, error, verdict.is_final)
        next_at = now + verdict.pause_ms
        self._troubles[pair.account_id] = Trouble(said, tries, next_at, pair.version, is_refusal)
        log.warning("token_not_renewed", account=pair.account_id, tries=tries, error=str(said))
        if not await self._store.write(lambda c: _note(c, pair, refused_at, verdict.is_final)):
            self._troubles.pop(pair.account_id, None)  # of a sign-in that is there no more
        return said


def _resume(connection: Connection, account_id: int) -> None:
    """Let go on what waited for a token; not where an admin let nobody use the account meanwhile."""
    jobs.resume(connection, HoldReason.CREDENTIAL, account_id)
    jobs.hold_unseen(connection)


def _note(connection: Connection, pair: StoredPair, refused_at: int | None, final: bool) -> bool:
    """Write a failure down; False where the pair was erased or replaced meanwhile."""
    is_there = renewals.leave(connection, pair.account_id, pair.version, refused_at)
    if final:
        renewals.give_up(connection, pair.account_id, pair.version)
        jobs.hold_unseen(connection)
    return is_there
