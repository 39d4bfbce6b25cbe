"""What was asked and how it ended, in the audit log, before the one who asked sees the answer.

Every answer of the API, and every request that can change something, wherever it came in. Looking
at pages is not written down, except where a page notes a detail: it has done something.
"""

from dataclasses import dataclass

from starlette.requests import HTTPConnection

from labtrawl import logs
from labtrawl.errors import ConfigError
from labtrawl.protocol.exchange import Tier
from labtrawl.store import audit
from labtrawl.store.audit import Entry, Keys
from labtrawl.website.access import API, WEBSOCKET
from labtrawl.website.door.callers import NOBODY, Visitor
from labtrawl.website.given.site import Site

log = logs.get("auth.direct-socket")

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
# Strangers cannot fill the disk: so many of their refusals a minute are rows, the rest is counted.
STRANGERS = 60
MINUTE = 60.0
LONGEST_TARGET = 200
REFUSED = "400"
DETAIL = "labtrawl.detail"


def note_detail(request: HTTPConnection, *words: object) -> None:
    """Have it written down what a request's body asks for; "" and None are left out. No secrets."""
    told = " ".join(str(word) for word in words if word not in (None, ""))
    request.scope[DETAIL] = told[:LONGEST_TARGET]


@dataclass(slots=True)
class Asked:
    """One request on its way: who asks, for which route; filled in as it is found out."""

    request: HTTPConnection
    visitor: Visitor = NOBODY
    route: tuple[str, str] | None = None

    @property
    def method(self) -> str:
        """The HTTP method, or that it is a WebSocket."""
        scope = self.request.scope
        return WEBSOCKET if scope["type"] == "websocket" else str(scope["method"])

    @property
    def is_audited(self) -> bool:
        """Whether it is written down."""
        scope = self.request.scope
        if str(scope["path"]).startswith(API) or DETAIL in scope:
            return True
        return self.method not in SAFE_METHODS | {WEBSOCKET}

    def entry(self, outcome: str) -> Entry:
        """Return what is written down."""
        visitor = self.visitor
        detail = str(self.request.scope.get(DETAIL, ""))
        action = " ".join(self.route or (self.method, "no route"))
        target = str(self.request.scope["path"])[:LONGEST_TARGET]
        tier = visitor.tier.value if visitor.tier else "none"
        return Entry(tier, visitor.client, visitor.level, action, target, outcome, detail)


@dataclass(slots=True)
class Trail:
    """Writes the audit log of this website."""

    site: Site
    _minute: float = 0.0
    _strangers: int = 0
    _left_out: int = 0
    _keys: Keys | None = None

    async def note(self, asked: Asked, outcome: str) -> None:
        """Write down how a request ended; returns when it is durable."""
        if not asked.is_audited:
            return
        self._log(asked, outcome)
        entries = self._entries(asked, outcome)
        if entries:
            keys = self._usable_keys()
            await self.site.store.write(lambda c: audit.append_all(c, keys, entries))

    def _usable_keys(self) -> Keys:
        """Return the keys as they are now, or were: a key file that broke breaks no audit log."""
        try:
            self._keys = self.site.audit_keys()
        except ConfigError as error:
            if self._keys is None:
                raise
            log.error("audit_keys_unreadable", error=str(error))
        return self._keys

    def _log(self, asked: Asked, outcome: str) -> None:
        visitor = asked.visitor
        told = {
            "tier": visitor.tier.value if visitor.tier else "none",
            "client": visitor.client,
            "security_level": visitor.level.value,
            "action": " ".join(asked.route or (asked.method, "no route")),
            "outcome": outcome,
        }
        if outcome in {"401", "403"}:
            log.warning("request_refused", **told)
        elif visitor.tier is Tier.TOKEN:
            log.warning("request_by_token", **told)
        else:
            log.info("request_allowed", **told)

    def _entries(self, asked: Asked, outcome: str) -> list[Entry]:
        if asked.visitor.tier is not None or outcome < REFUSED:
            return [asked.entry(outcome)]
        now = self.site.clock.monotonic()
        before: list[Entry] = []
        if now - self._minute >= MINUTE or not self._minute:
            before = self._summary()
            self._minute, self._strangers = now, 0
        self._strangers += 1
        if self._strangers > STRANGERS:
            self._left_out += 1
            return before
        return [*before, asked.entry(outcome)]

    def _summary(self) -> list[Entry]:
        count, self._left_out = self._left_out, 0
        if not count:
            return []
        detail = f"{count} more like it within a minute"
        none = NOBODY
        return [Entry("none", none.client, none.level, "refused", "", "401", detail)]
