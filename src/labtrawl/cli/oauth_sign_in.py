"""Signs in with GitLab from a terminal: a page in the browser, and an answer on the loopback (RFC 8252)."""

import asyncio
import hmac
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import msgspec

from labtrawl.domain.credential import Secret
from labtrawl.errors import ConfigError, Unauthorized
from labtrawl.gitlab import oauth
from labtrawl.gitlab.oauth import Application, Attempt, Pair
from labtrawl.http import Http, canonical_url
from labtrawl.logs import conceal

REDIRECT_URI = "http://127.0.0.1:7171/callback"
WAIT_SECONDS = 600.0  # as long as GitLab keeps a code (doorkeeper.rb)
_LONGEST_HEAD = 8192
_HEAD_SECONDS = 10.0
_LONGEST_SECRET_FILE = 4096
_LOOPBACK = {"127.0.0.1": "127.0.0.1", "::1": "::1", "localhost": "127.0.0.1"}
_PAGE = (
    "HTTP/1.1 {status}\r\nContent-Type: text/plain; charset=utf-8\r\nCache-Control: no-store\r\n"
    "Referrer-Policy: no-referrer\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{text}"
)


@dataclass(frozen=True, slots=True)
class SignIn:
    """How to sign in at one GitLab; `show` is given what the user must open."""

    application: Application
    show: Callable[[str], None]
    wait_seconds: float = WAIT_SECONDS

    async def run(self, http: Http, url: str) -> Pair:
        """Wait for the user's yes and return the pair; raises LabtrawlError.

        ConfigError where GitLab calls itself by another address than `url`: a code from one server
        never goes to another.
        """
        await _check_issuer(http, url)
        attempt = oauth.new_attempt()
        answer: asyncio.Future[Secret] = asyncio.get_running_loop().create_future()
        async with _listening(self.application.redirect_uri, attempt, url, answer):
            self.show(oauth.authorize_url(url, self.application, attempt))
            try:
                async with asyncio.timeout(self.wait_seconds):
                    code = await answer
            except TimeoutError:
                raise Unauthorized(
                    f"nobody signed in within {self.wait_seconds / 60:.0f} minutes: try again"
                ) from None
        pair = await oauth.redeem(http, self.application, code, attempt)
        conceal(pair.access_token)
        conceal(pair.refresh_token)
        return pair


def read_secret(path: Path) -> Secret:
    """Read an application's secret from a file; - is the input. ConfigError where there is none."""
    try:
        if path == Path("-"):
            raw = sys.stdin.buffer.read(_LONGEST_SECRET_FILE)
        else:
            with path.open("rb") as file:
                raw = file.read(_LONGEST_SECRET_FILE)
    except OSError as error:
        raise ConfigError(
            f"the client secret file {path} cannot be read: {error.strerror}"
        ) from None
    text = raw.decode("ascii", errors="replace").strip()
    if not text or not text.isprintable() or " " in text:
        raise ConfigError(f"{path} holds no client secret: it must be one word")
    conceal(Secret(text))
    return Secret(text)


class _Discovery(msgspec.Struct):
    issuer: str = ""


async def _check_issuer(http: Http, url: str) -> None:
    answer = await http.get("/.well-known/openid-configuration", {"accept": "application/json"})
    try:
        issuer = msgspec.json.decode(answer.body, type=_Discovery).issuer
        named = canonical_url(issuer) if answer.status == 200 else ""
    except (msgspec.MsgspecError, UnicodeDecodeError, ConfigError):
        named = ""
    if not named:
        raise ConfigError("there is no GitLab at this URL that one can sign in to: check it")
    if named != canonical_url(url):
        raise ConfigError(f"this GitLab calls itself {named}: give that as the URL")


@asynccontextmanager
async def _listening(
    redirect_uri: str, attempt: Attempt, issuer: str, answer: "asyncio.Future[Secret]"
) -> AsyncIterator[None]:
    place = urlsplit(redirect_uri)
    host = _LOOPBACK.get(place.hostname or "")
    if place.scheme != "http" or host is None or not place.port:
        raise ConfigError(
            f"the redirect URI must be on this machine, like {REDIRECT_URI}: "
            "GitLab sends the browser there after the sign-in"
        )

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await _serve(reader, writer, lambda line: _take(line, place.path, attempt, issuer, answer))

    try:
        server = await asyncio.start_server(serve, host, place.port, limit=_LONGEST_HEAD)
    except OSError as error:
        raise ConfigError(
            f"{host} port {place.port} cannot be listened on ({error.strerror}): stop what uses it,"
            " or register another redirect URI and give it by --redirect-uri"
        ) from None
    async with server:
        yield


async def _serve(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, take: Callable[[str], str]
) -> None:
    try:
        async with asyncio.timeout(_HEAD_SECONDS):
            head = await reader.readuntil(b"\r\n\r\n")
        writer.write(take(head.split(b"\r\n")[0].decode("latin-1")).encode())
        await writer.drain()
    except (TimeoutError, OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
        pass  # not the browser that is waited for
    finally:
        writer.close()


def _take(
    line: str, path: str, attempt: Attempt, issuer: str, answer: "asyncio.Future[Secret]"
) -> str:
    """Understand one request: only the answer to this very sign-in counts; return the page."""
    words = line.split(" ")
    target = urlsplit(words[1] if len(words) == 3 else "")
    query = {name: values[-1] for name, values in parse_qs(target.query).items()}
    state = query.get("state", "")
    if words[0] != "GET" or target.path != path or answer.done():
        return _page("404 Not Found", "There is nothing here.")
    if not hmac.compare_digest(state.encode(), attempt.state.encode()):
        return _page("400 Bad Request", "This is not the answer to the sign-in that is waited for.")
    if "iss" in query and query["iss"].rstrip("/") != issuer.rstrip("/"):
        return _page("400 Bad Request", "This answer comes from another GitLab.")
    if not query.get("code"):
        word = "".join(c for c in query.get("error", "") if c.isalnum() or c == "_")[:40]
        answer.set_exception(Unauthorized(f"GitLab did not sign you in ({word}): try again"))
        return _page("200 OK", "You are not signed in. The terminal says more.")
    answer.set_result(Secret(query["code"]))
    return _page("200 OK", "You are signed in. You can close this page; the terminal goes on.")


def _page(status: str, text: str) -> str:
    return _PAGE.format(status=status, length=len(text), text=text)
