"""Who calls: by the connection, else by a session, else by a token; the first that holds counts.

A header never says that a request came over the socket: the listener that took it does.
"""

import hashlib
import hmac
from dataclasses import dataclass
from typing import Any

from starlette.requests import HTTPConnection
from starlette.types import Scope

from labtrawl.errors import LabtrawlError
from labtrawl.protocol.exchange import LEVELS, Caller, SecurityLevel, Tier
from labtrawl.store import tokens
from labtrawl.store.engine import Connection
from labtrawl.store.sessions import KnownSession, Role, SessionState, find_session, touch
from labtrawl.store.tokens import KnownToken, TokenScope
from labtrawl.website.access import Who
from labtrawl.website.door.roles import role_of
from labtrawl.website.given.site import Site

# Set by `serve` for what came over the Unix socket from a process of ours.
PEER = "labtrawl.peer"
CALLER = "labtrawl.visitor"
NAMED = "x-labtrawl-client"
SHARED_OWNER = "token:shared"
# A page says so of what it asks for by itself while nobody touches it.
UNATTENDED = "x-labtrawl-unattended"


class NotYours(LabtrawlError):
    """Somebody known asks for what is not theirs."""

    reason = "not_a_crawler"


@dataclass(frozen=True, slots=True)
class Peer:
    """The process at the other end of the Unix socket, as the kernel says."""

    pid: int
    uid: int


@dataclass(frozen=True, slots=True)
class Visitor:
    """Who calls, and as what. `crawler` is the proved name of a crawler, where it is one."""

    tier: Tier | None = None
    roles: frozenset[Who] = frozenset()
    client: str = "nobody"
    crawler: str | None = None
    owner: str | None = None
    """How the names that this credential may use are marked, where it may name itself."""
    person_id: int | None = None
    """Who signed in with a GitLab; None for everybody else."""
    account_id: int | None = None
    """The account whose data are that person's, where there is one."""
    session_id: int | None = None

    @property
    def level(self) -> SecurityLevel:
        """What the logs call it."""
        return LEVELS[self.tier] if self.tier else SecurityLevel.NONE

    @property
    def may_command(self) -> bool:
        """Whether it speaks for a person with all rights, not for a crawler."""
        return self.crawler is None and bool(self.roles & {Who.ADMIN, Who.TOKEN_ADMIN, Who.SOCKET})

    @property
    def has_session(self) -> bool:
        """Whether a browser sends its credential by itself, so that its origin counts."""
        return self.tier is Tier.SESSION

    def caller(self, dialect: int) -> Caller:
        """Return it as the handlers know it."""
        # Who came over the socket and is no crawler is the user of this machine himself.
        tier = Tier.SESSION if self.may_command else self.tier or Tier.TOKEN
        return Caller(self.crawler or self.client, tier, dialect)


NOBODY = Visitor()
SESSION_ROLES = {
    Role.ADMIN: Who.ADMIN,
    Role.OPERATOR: Who.OPERATOR,
    Role.PARTICIPANT: Who.PARTICIPANT,
}
SCOPE_ROLES = {
    TokenScope.CRAWLER: Who.TOKEN_CRAWLER,
    TokenScope.ADMIN: Who.TOKEN_ADMIN,
    TokenScope.READ: Who.TOKEN_READ,
}


def is_authorized_socket_request(scope: Scope) -> bool:
    """Say whether a request came over the Unix socket, from a process of the same user."""
    return isinstance(scope.get(PEER), Peer)


def visitor_of(connection: HTTPConnection) -> Visitor:
    """Return who the guard found to be calling."""
    found: Any = connection.scope[CALLER]
    assert isinstance(found, Visitor)
    return found


@dataclass(frozen=True, slots=True)
class _Found:
    """What the database knows of the credentials that came with a request."""

    session: KnownSession | None
    token: KnownToken | None
    owns: bool


class Reception:
    """Finds out who calls."""

    def __init__(self, site: Site) -> None:
        self._site = site

    async def recognise(self, request: HTTPConnection) -> Visitor:
        """Return who calls; notes that a session or a token is in use."""
        cookie = request.cookies.get(self._site.cookie, "")
        bearer, name = bearer_of(request), request.headers.get(NAMED, "")
        is_over_socket = is_authorized_socket_request(request.scope)
        if not (cookie or bearer):
            return _local(request.scope[PEER]) if is_over_socket else NOBODY
        found = await self._look_up(cookie, bearer, name, _is_use(request))
        if is_over_socket:
            return self._over_socket(request.scope[PEER], bearer, name, found)
        if found.session is not None and self._holds(found.session):
            return _signed_in(found.session)
        return self._by_token(bearer, name, found) or NOBODY

    async def _look_up(self, cookie: str, bearer: str, name: str, is_use: bool) -> _Found:
        found = await self._site.store.read(lambda c: self._read(c, cookie, bearer, name))
        session = found.session
        if is_use and session is not None and session.state is SessionState.STALE:
            await self._site.store.write(lambda c: touch(c, cookie))
        token = found.token
        if token is not None and token.stale:
            await self._site.store.write(lambda c: tokens.touch(c, token.id))
        return found

    def _read(self, connection: Connection, cookie: str, bearer: str, name: str) -> _Found:
        token = tokens.find(connection, bearer) if bearer else None
        owner = token.owner if token else SHARED_OWNER
        return _Found(
            find_session(connection, cookie) if cookie else None,
            token,
            bool(name) and tokens.owns_name(connection, name, owner),
        )

    def _over_socket(self, peer: Peer, bearer: str, name: str, found: _Found) -> Visitor:
        """Trusted for its connection; a token says which crawler it is, and must be good."""
        local = _local(peer)
        if not bearer:
            return local
        proved = self._by_token(bearer, name, found)
        if proved is None:
            return NOBODY
        if Who.TOKEN_CRAWLER not in proved.roles:
            return local
        roles = local.roles | proved.roles
        return Visitor(Tier.SOCKET, roles, proved.client, proved.crawler, proved.owner)

    def _holds(self, session: KnownSession) -> bool:
        """Say whether the settings still give a person the role that the session began with."""
        if session.person_id is None:
            return True
        return role_of(self._site, session.identity) is session.role

    def _by_token(self, bearer: str, name: str, found: _Found) -> Visitor | None:
        if not bearer:
            return None
        if found.token is not None:
            roles = frozenset(SCOPE_ROLES[scope] for scope in found.token.scopes)
            return _named(roles, found.token.prefix, found.token.owner, name, found)
        hashed = hashlib.sha256(bearer.encode()).hexdigest()
        child = self._site.crawling.child_of(hashed)
        crawls = frozenset({Who.TOKEN_CRAWLER})
        if child is not None:
            return Visitor(Tier.TOKEN, crawls, child, child)
        if self._is_shared(hashed):
            return _named(crawls, "shared token", SHARED_OWNER, name, found)
        return None

    def _is_shared(self, hashed: str) -> bool:
        shared = self._site.shared_token_sha256
        return bool(shared) and hmac.compare_digest(shared, hashed)


def _is_use(request: HTTPConnection) -> bool:
    """Say whether a person asks, not an open page by itself: only that keeps a session awake."""
    path = request.scope["path"]
    is_stream = path == "/streams" or path.endswith("/live")
    return not is_stream and UNATTENDED not in request.headers


def bearer_of(request: HTTPConnection) -> str:
    """Return the token that a request carries, "" for none (RFC 6750, 2.1)."""
    scheme, _, text = request.headers.get("authorization", "").partition(" ")
    return text.strip() if scheme.lower() == "bearer" else ""


def _local(peer: Peer) -> Visitor:
    return Visitor(Tier.SOCKET, frozenset({Who.SOCKET}), f"process {peer.pid}")


def name_of(session: KnownSession) -> str:
    """Return what a session is called where its doings are written down."""
    person = f" of {session.identity}" if session.identity else ""
    return f"{session.role} {session.name}{person}"


def _signed_in(session: KnownSession) -> Visitor:
    return Visitor(
        Tier.SESSION,
        frozenset({SESSION_ROLES[session.role]}),
        name_of(session),
        person_id=session.person_id,
        account_id=session.account_id,
        session_id=session.id,
    )


def _named(roles: frozenset[Who], client: str, owner: str, name: str, found: _Found) -> Visitor:
    """Let a token be the crawler that it names, where that name is its own."""
    if Who.TOKEN_CRAWLER not in roles:
        return Visitor(Tier.TOKEN, roles, client)
    if name and found.owns:
        return Visitor(Tier.TOKEN, roles, f"{client} as {name}", name, owner)
    return Visitor(Tier.TOKEN, roles, client, None, owner)
