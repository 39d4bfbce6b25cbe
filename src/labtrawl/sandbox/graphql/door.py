"""``POST /api/graphql``: who asks, how much, and what shall go wrong.

Entered by the app. One POST counts once, however many queries it carries.
"""

from typing import Any, NamedTuple

import msgspec

from labtrawl.sandbox.access import Viewer
from labtrawl.sandbox.call import Profile
from labtrawl.sandbox.faults import Fault, Mischief, spoil
from labtrawl.sandbox.gatekeeper import Gatekeeper
from labtrawl.sandbox.graphql.asking import Budget, Cancelled, Spoil
from labtrawl.sandbox.graphql.engine import Engine, Query
from labtrawl.sandbox.graphql.limits import MAX_CHARACTERS
from labtrawl.sandbox.limits import Throttle
from labtrawl.sandbox.options import Options
from labtrawl.sandbox.shelf import Shelf
from labtrawl.sandbox.wire import Headers, Refused, Reply, Request, encode_json

PATH = "/api/graphql"
_CANCELLED = "Request timed out. Please try a less complex query or a smaller set of records."
_COSTLY = "Query has complexity of 301, which exceeds max complexity of 250"
# The faults of REST in this door's words (ERROR_STATUS_MAP of the controller).
_WORDS = {
    "500": (500, "Internal server error"),
    "401": (401, "Invalid token"),
    "403": (403, "API not accessible for user"),
    "404": (404, "Not found!"),
}


class Told(NamedTuple):
    """An answer, and what it means for the app: `target` is what faults and plans match."""

    reply: Reply
    user: str
    target: str
    hold_seconds: float
    torn: bool = False


class _Unreadable(Exception):
    """A body that GitLab answers with 422, and its message."""


class Door:
    """The one path of GraphQL."""

    def __init__(self, shelf: Shelf, profile: Profile, options: Options) -> None:
        self._engine = Engine(shelf, profile, short_pages=options.short_pages)
        self._latency_ms = options.latency_ms
        self._node_ms = options.graphql_node_ms
        self._limit_ms = options.graphql_timeout_seconds * 1000

    def answer(
        self,
        request: Request,
        gatekeeper: Gatekeeper,
        throttle: Throttle,
        mischief: Mischief,
    ) -> Told:
        """Answer one request. A fault's path sees ``/api/graphql?operationName=...``."""
        queries, batch = _read(request.body)
        target = _target(queries)
        fault = mischief.strike(target)
        user, headers = "anonymous", Headers()
        budget = Budget(self._limit_ms, self._node_ms, self._latency_ms)
        try:
            account = gatekeeper.account(request)
            user = account.username if account else user
            headers, too_many = throttle.count(user)
            if too_many is not None:
                return Told(too_many, user, target, self._latency_ms / 1000)
            viewer = gatekeeper.viewer(account, request)
        except Refused:
            # Every problem of a token is the same here (lib/gitlab/auth/request_authenticator.rb).
            reply = _failed(401, "Invalid token")
        else:
            reply = self._reply(queries, batch, viewer, budget, fault)
        if fault is not None:
            reply = _spoilt(fault, reply)
        reply = Reply(reply.status, reply.body, reply.headers + headers, reply.content_type)
        torn = fault is not None and fault.kind == "reset"
        return Told(reply, user, target, self._hold_seconds(budget, fault), torn)

    def _hold_seconds(self, budget: Budget, fault: Fault | None) -> float:
        """How long the answer takes: its cost, at most the time limit, and a planned delay."""
        cost_ms = min(budget.spent_ms, max(self._limit_ms, self._latency_ms))
        delay = fault is not None and fault.kind == "delay"
        return cost_ms / 1000 + (fault.retry_after_seconds if fault and delay else 0.0)

    def _reply(
        self,
        queries: list[Query] | _Unreadable,
        batch: bool,
        viewer: Viewer,
        budget: Budget,
        fault: Fault | None,
    ) -> Reply:
        if isinstance(queries, _Unreadable):
            return _failed(422, str(queries))
        kind = fault.kind if fault else ""
        if kind == "graphql_cancelled":
            return _failed(503, _CANCELLED)
        if kind == "graphql_costly":
            return _refused(_COSTLY)
        gone = fault.field if fault and kind == "graphql_no_field" else ""
        try:
            bodies = self._engine.answers(queries, viewer, budget, _spoil(fault), gone)
        except Cancelled:
            return _failed(503, _CANCELLED)
        return Reply(200, encode_json(bodies if batch else bodies[0]))


def _spoil(fault: Fault | None) -> Spoil | None:
    if fault is None or fault.kind not in ("graphql_timeout", "graphql_nulls"):
        return None
    if fault.kind == "graphql_timeout":
        return Spoil(fault.field, "Timeout on {place}")
    return Spoil(fault.field, "Internal server error", every=2)


def _spoilt(fault: Fault, right: Reply) -> Reply:
    if fault.kind in _WORDS:
        return _failed(*_WORDS[fault.kind])
    return spoil(fault, right)


def _refused(message: str) -> Reply:
    """A query that was not run: 200, as every error of a query itself."""
    return _failed(200, message)


def _failed(status: int, message: str) -> Reply:
    return Reply(status, encode_json({"errors": [{"message": message}]}))


def _target(queries: list[Query] | _Unreadable) -> str:
    named = [] if isinstance(queries, _Unreadable) else [q.operation for q in queries]
    words = "&".join(f"operationName={name}" for name in named if name)
    return f"{PATH}?{words}" if words else PATH


def _read(body: bytes) -> tuple[list[Query] | _Unreadable, bool]:
    """The queries of a body or what is wrong with it, and whether it is an array."""
    try:
        return _queries(body)
    except _Unreadable as problem:
        return problem, False


def _queries(body: bytes) -> tuple[list[Query], bool]:
    """As `_read`. Raises _Unreadable."""
    try:
        found = msgspec.json.decode(body or b"{}")
    except msgspec.DecodeError:
        raise _Unreadable("Unexpected token in the request's JSON") from None
    batch = isinstance(found, list)
    queries = [_query(each) for each in (found if batch else [found])]
    if not queries:
        raise _Unreadable("No query string was present")
    if sum(len(query.text) for query in queries) > MAX_CHARACTERS:
        raise _Unreadable("Query too large")
    return queries, batch


def _query(found: Any) -> Query:
    if not isinstance(found, dict):
        raise _Unreadable("Unexpected token in the request's JSON")
    variables = found.get("variables") or {}
    if isinstance(variables, str):
        try:
            variables = msgspec.json.decode(variables)
        except msgspec.DecodeError as error:
            raise _Unreadable(str(error)) from None
    if not isinstance(variables, dict):
        raise _Unreadable("Unexpected parameter: variables must be an object")
    name = found.get("operationName")
    return Query(str(found.get("query") or ""), variables, str(name) if name else None)
