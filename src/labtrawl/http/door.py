"""One origin's requests: pins a checked address, sends, takes the answer whole. Enter by `open_http`."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from socket import SOCK_STREAM

from pyreqwest.client import Client
from pyreqwest.exceptions import DetailedPyreqwestError
from pyreqwest.http import HeaderMap, Url
from pyreqwest.request import StreamRequest

from labtrawl.errors import Unavailable
from labtrawl.http.failures import mapped, was_never_sent
from labtrawl.http.gate import Gate, Heard, nobody
from labtrawl.http.intake import Intake
from labtrawl.http.origin import Limits, Origin
from labtrawl.http.pace import Pace
from labtrawl.http.route import Route, check_headers
from labtrawl.http.settle import settle

Resolve = Callable[[str, int], Awaitable[Sequence[str]]]
"""Host and port to the addresses of the host, best first; raises OSError where there is none."""

_RECHECK_SECONDS = 300.0  # a host that moves is followed, its new address checked, within this time
_ADDRESS_TRIES = 4  # of a host with many addresses, as many are tried for one request


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer, whole: header names in lower case, the body inflated."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    url: str


@dataclass(frozen=True, slots=True)
class _Pin:
    """A client that can connect to one checked address only, and the choice it was taken from."""

    client: Client
    address: str
    addresses: tuple[str, ...]
    check_due_at: float


@asynccontextmanager
async def open_http(
    origin: Origin,
    limits: Limits,
    user_agent: str,
    *,
    resolve: Resolve | None = None,
    monotonic: Callable[[], float] = time.monotonic,
    heard: Heard = nobody,
) -> AsyncIterator["Http"]:
    """Open the door to one origin; nothing is sent before the first request.

    Raises ConfigError for an origin that can never be spoken to as it is written.
    """
    check_headers({"user-agent": user_agent})
    http = Http(Route(origin), limits, user_agent, resolve or _system_resolve, monotonic, heard)
    try:
        yield http
    finally:
        await http.close()


class Http:
    """Requests to one origin, at most `limits.connections` at a time; the others wait their turn."""

    def __init__(
        self,
        route: Route,
        limits: Limits,
        user_agent: str,
        resolve: Resolve,
        monotonic: Callable[[], float],
        heard: Heard = nobody,
    ) -> None:
        self._route = route
        self._limits = limits
        self._user_agent = user_agent
        self._resolve = resolve
        self._monotonic = monotonic
        self._gate = Gate(Pace(limits.connections, limits.is_adaptive), monotonic, heard)
        self._pinning = asyncio.Lock()
        self._pin: _Pin | None = None
        self._clients: dict[str, Client] = {}
        self._unreachable: set[str] = set()

    @property
    def concurrency(self) -> int:
        """How many requests may be under way at once by now."""
        return self._gate.allowed

    async def get(self, path_and_query: str, headers: Mapping[str, str]) -> Answer:
        """Ask for a path below the origin; promises and errors as `request`."""
        return await self.request("GET", path_and_query, headers)

    async def request(
        self,
        method: str,
        path_and_query: str,
        headers: Mapping[str, str],
        body: bytes | None = None,
    ) -> Answer:
        """Send one request and return its whole answer, whatever its status; 3xx is not followed.

        Raises Unavailable (not reached, too slow, cut short), UnexpectedReply (over a cap, no HTTP,
        an encoding nobody asked for) and ConfigError (foreign or forbidden place, certificate).
        """
        url = self._route.url(path_and_query)
        check_headers(headers)
        async with self._gate.passage(url.path) as passage:
            answer = await self._send(method, url, headers, body)
            passage.status, passage.length = answer.status, len(answer.body)
            return answer

    async def _send(
        self, method: str, url: Url, headers: Mapping[str, str], body: bytes | None
    ) -> Answer:
        for tries_left in reversed(range(_ADDRESS_TRIES)):
            pin = await self._current_pin()
            try:
                return await self._exchange(_request(pin, method, url, headers, body), url)
            except DetailedPyreqwestError as error:
                may_try = was_never_sent(error) and self._may_try_next_address(pin)
                if not (may_try and tries_left):
                    # Not chained: the library's text holds the whole URL.
                    raise mapped(error, self._route.place, self._limits) from None
        raise AssertionError("the last try returns or raises")

    async def close(self) -> None:
        """Close the connections; a request under way ends with Unavailable."""
        self._pin = None
        while self._clients:
            _, client = self._clients.popitem()
            await client.close()
        settle()

    async def _exchange(self, request: StreamRequest, url: Url) -> Answer:
        async with request as response:
            headers = _readable(response.headers)
            intake = Intake(self._route.host, response.status, headers, self._limits)
            while (chunk := await response.body_reader.read_chunk()) is not None:
                intake.feed(bytes(chunk))
            return Answer(response.status, headers, intake.close(), str(url))

    async def _current_pin(self) -> _Pin:
        pin = self._pin
        if pin is not None and self._monotonic() < pin.check_due_at:
            return pin
        async with self._pinning:
            if self._pin is None or self._monotonic() >= self._pin.check_due_at:
                self._pin = self._renewed(self._pin, await self._checked_addresses())
            return self._pin

    def _renewed(self, pin: _Pin | None, addresses: tuple[str, ...]) -> _Pin:
        if self._unreachable.issuperset(addresses):
            self._unreachable.clear()
        address = next(each for each in addresses if each not in self._unreachable)
        if pin is not None and pin.address in addresses:
            address = pin.address
        # Requests under way on an address that is gone end as they would have; nothing waits.
        self._clients = {each: self._clients[each] for each in addresses if each in self._clients}
        if address not in self._clients:
            self._clients[address] = self._route.client(address, self._limits, self._user_agent)
        due_at = self._monotonic() + _RECHECK_SECONDS
        return _Pin(self._clients[address], address, addresses, due_at)

    async def _checked_addresses(self) -> tuple[str, ...]:
        if not self._route.is_resolved_here:
            return self._route.checked([self._route.host])
        try:
            async with asyncio.timeout(self._limits.connect_seconds):
                found = await self._resolve(self._route.host, self._route.port)
        except (OSError, TimeoutError, UnicodeError):  # the last: a label over 63 letters
            found = ()
        if not found:
            raise Unavailable(
                f"the name {self._route.host} has no address: check the URL, the network and DNS"
            )
        return self._route.checked(found)

    def _may_try_next_address(self, failed: _Pin) -> bool:
        self._unreachable.add(failed.address)
        if self._pin is not None and self._pin.address == failed.address:
            self._pin = None
        return not self._unreachable.issuperset(failed.addresses)


async def _system_resolve(host: str, port: int) -> Sequence[str]:
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=SOCK_STREAM)
    return list(dict.fromkeys(str(address[0]) for *_, address in found))


def _request(
    pin: _Pin, method: str, url: Url, headers: Mapping[str, str], body: bytes | None
) -> StreamRequest:
    builder = pin.client.request(method, url).header("accept-encoding", "gzip")
    for name, value in headers.items():
        builder = builder.header(name, value, is_sensitive=True)
    if body is not None:
        builder = builder.body_bytes(body)
    return builder.build_streamed()


def _readable(headers: HeaderMap) -> dict[str, str]:
    """The headers that are text; repeated ones joined as RFC 9110, 5.2 says."""
    try:
        pairs = list(headers.items())
    except ValueError:
        return _readable_ones(headers)
    readable = dict(pairs)
    return readable if len(readable) == len(pairs) else _readable_ones(headers)


def _readable_ones(headers: HeaderMap) -> dict[str, str]:
    readable: dict[str, str] = {}
    for name in headers:
        if name not in readable:
            with suppress(ValueError):  # bytes that are no text: no header of GitLab's API
                readable[name] = ", ".join(headers.getall(name))
    return readable
