"""The authentication socket: the website tells the supervisor that credentials are there.

One JSON object a line. The supervisor listens; only its own live website may speak, as the kernel
says (SO_PEERCRED). It learns that credentials came, never which, except with
`credentials = "environment"`. `supervisor` serves, `cli` hands `announce_credentials` to the website.
"""

import asyncio
import os
from collections.abc import Callable
from pathlib import Path

import msgspec

from labtrawl import logs
from labtrawl.errors import PeerGone, ProtocolError
from labtrawl.supervisor import linux

_MAX_LINE = 64 * 1024
_ANSWER_SECONDS = 5.0

log = logs.get("supervisor")


class GitLabAccess(msgspec.Struct, frozen=True, kw_only=True):
    """A token and the GitLab that accepted it; only with `credentials = "environment"`."""

    token: str
    url: str

    def __repr__(self) -> str:
        return "GitLabAccess(…)"


class Credentials(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    tag="credentials",
    rename="camel",
    omit_defaults=True,
):
    """At least one account was accepted by its GitLab in this run (times: ISO 8601, UTC)."""

    verified_at: str
    expires_at: str | None = None
    account: str | None = None
    gitlab: GitLabAccess | None = None


class CredentialsUpdated(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    tag="credentials_updated",
    rename="camel",
    omit_defaults=True,
):
    """An account was added or its token renewed."""

    verified_at: str
    expires_at: str | None = None
    account: str | None = None
    gitlab: GitLabAccess | None = None


class CredentialsWithdrawn(msgspec.Struct, frozen=True, tag="credentials_withdrawn"):
    """No account is left; running crawlers go on and find their jobs held."""


class OldCredentials(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What the ancestors sent. The client secret stops at the decoder."""

    token: str = ""

    def __repr__(self) -> str:
        return "OldCredentials(…)"


class Auth(msgspec.Struct, frozen=True, kw_only=True, tag="auth"):
    """The ancestors' form of `credentials`; the token counts with `credentials = "environment"`."""

    credentials: OldCredentials


class AuthAck(
    msgspec.Struct, frozen=True, kw_only=True, tag="auth_ack", omit_defaults=True, rename="camel"
):
    """The supervisor's answer to each of these."""

    success: bool
    error: str | None = None


Announcement = Credentials | CredentialsUpdated | CredentialsWithdrawn | Auth
_DECODER: msgspec.json.Decoder[Announcement] = msgspec.json.Decoder(Announcement)


class AuthenticationDoor:
    """The supervisor's end: checks who speaks, passes announcements on, answers each."""

    def __init__(
        self, website_pid: Callable[[], int | None], heard: Callable[[Announcement], None]
    ) -> None:
        self._website_pid = website_pid
        self._heard = heard

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection until it ends."""
        peer = linux.peer_of(writer.get_extra_info("socket"))
        try:
            # A refusal follows a whole line too: closing on unread bytes would lose the answer.
            while line := await reader.readline():
                if peer.uid != os.getuid() or peer.pid != self._website_pid():
                    log.warning("authentication_refused", pid=peer.pid, uid=peer.uid)
                    _answer(writer, "only the website that this supervisor started may speak here")
                    return
                _answer(writer, self._take(line))
        except (OSError, ValueError, asyncio.CancelledError):
            return  # the connection broke or sent an endless line, or the supervisor ends
        finally:
            writer.close()

    def _take(self, line: bytes) -> str | None:
        try:
            announcement = _DECODER.decode(line)
        except msgspec.MsgspecError:
            return "not an announcement that this supervisor knows"
        self._heard(announcement)
        return None


def _answer(writer: asyncio.StreamWriter, error: str | None) -> None:
    writer.write(msgspec.json.encode(AuthAck(success=error is None, error=error)) + b"\n")


async def announce_credentials(path: Path, announcement: Announcement) -> None:
    """Tell the supervisor, and return when it has heard.

    PeerGone when nobody listens or answers within 5 s (the caller tries again), ProtocolError when
    the supervisor refuses.
    """
    try:
        async with asyncio.timeout(_ANSWER_SECONDS):
            answer = await _exchange(path, msgspec.json.encode(announcement) + b"\n")
    except (OSError, TimeoutError, ValueError) as error:
        raise PeerGone(f"the supervisor does not answer on {path}") from error
    if not answer.success:
        raise ProtocolError(f"the supervisor refused the credentials: {answer.error}")


async def _exchange(path: Path, line: bytes) -> AuthAck:
    reader, writer = await asyncio.open_unix_connection(path, limit=_MAX_LINE)
    try:
        writer.write(line)
        return msgspec.json.decode(await reader.readline(), type=AuthAck)
    finally:
        writer.close()
