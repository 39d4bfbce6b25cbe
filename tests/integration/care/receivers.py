"""What notices are sent to: a real HTTP server and a real mail server, which keep what they got."""

import asyncio
import contextlib
import json
import ssl
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session


@dataclass
class Hook:
    """A receiver of webhooks; it answers with `statuses` in turn, then with 204."""

    url: str = ""
    statuses: list[int] = field(default_factory=list)
    posts: list[tuple[dict[str, str], bytes]] = field(default_factory=list)

    @property
    def bodies(self) -> list[dict[str, Any]]:
        return [json.loads(body) for _, body in self.posts]


@contextlib.asynccontextmanager
async def hooked() -> AsyncIterator[Hook]:
    """Receive webhooks while the block runs."""
    hook = Hook()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        headers = {
            name.lower(): value for name, _, value in (line.partition(": ") for line in head[1:])
        }
        body = await reader.readexactly(int(headers["content-length"]))
        hook.posts.append(({**headers, "": head[0]}, body))
        status = hook.statuses.pop(0) if hook.statuses else 204
        writer.write(
            f"HTTP/1.1 {status} x\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".encode()
        )
        await writer.drain()
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    hook.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/hook?of=us"
    async with server:
        yield hook


@dataclass
class Post:
    """A mail server that takes what comes over TLS from its one user."""

    port: int = 0
    mails: list[Envelope] = field(default_factory=list)

    async def handle_DATA(  # noqa: N802 - the library's name
        self, _server: SMTP, _session: Session, envelope: Envelope
    ) -> str:
        self.mails.append(envelope)
        return "250 taken"


@contextlib.asynccontextmanager
async def posting(certificate: Path | None, user: str, password: str) -> AsyncIterator[Post]:
    """Take mail on a free port, with STARTTLS where there is a certificate (and key)."""
    post = Post()
    context = None
    if certificate is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)

    def check(*told: Any) -> AuthResult:
        given = told[-1]
        assert isinstance(given, LoginPassword)
        is_right = (given.login, given.password) == (user.encode(), password.encode())
        return AuthResult(success=is_right, handled=False)

    loop = asyncio.get_running_loop()

    def connected() -> SMTP:
        return SMTP(
            post,
            tls_context=context,
            require_starttls=context is not None,
            authenticator=check,
            auth_required=context is not None,
            loop=loop,
        )

    server = await loop.create_server(connected, "127.0.0.1", 0)
    post.port = server.sockets[0].getsockname()[1]
    async with server:
        yield post
