"""A server that answers byte by byte as told, over real sockets, and keeps what it was asked."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

LOOPBACK = ("127.0.0.1",)


@dataclass(frozen=True, slots=True)
class Reply:
    """What goes over the wire; then the connection is kept, closed, reset or left hanging.

    Or `more` goes on and on: again and again, after so many seconds each.
    """

    wire: bytes
    then: str = "keep"
    more: bytes = b""
    pause_seconds: float = 0.0


Answering = Callable[[str], Reply]
"""From the head of a request to what goes back."""


@dataclass(slots=True)
class Wire:
    """The server as the test sees it."""

    port: int = 0
    heads: list[str] = field(default_factory=list)
    connections: int = 0
    hanging: asyncio.Event = field(default_factory=asyncio.Event)

    def base(self, scheme: str = "http", host: str = "127.0.0.1", path: str = "") -> str:
        return f"{scheme}://{host}:{self.port}{path}"


def ok(body: bytes = b"[]", *headers: str, status: str = "200 OK") -> Reply:
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers]
    return Reply("\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body)


@asynccontextmanager
async def listening(
    replies: Mapping[str, Reply] | Answering, certificate: Path | None = None
) -> AsyncIterator[Wire]:
    """Serve `replies` by path (the target as it was sent) or by head; an unknown path gets 404."""
    wire = Wire()
    context = None
    if certificate is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        wire.connections += 1
        try:
            with suppress(ConnectionError, asyncio.IncompleteReadError, ssl.SSLError):
                while await _one(wire, replies, reader, writer):
                    pass
        finally:
            writer.close()
            with suppress(ConnectionError, ssl.SSLError):
                await writer.wait_closed()

    tasks: set[asyncio.Task[None]] = set()

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.get_running_loop().create_task(serve(reader, writer))
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    server = await asyncio.start_server(accept, "127.0.0.1", 0, ssl=context)
    wire.port = server.sockets[0].getsockname()[1]
    try:
        yield wire
    finally:
        server.close()
        for task in list(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _one(
    wire: Wire,
    replies: Mapping[str, Reply] | Answering,
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
) -> bool:
    head = (await reader.readuntil(b"\r\n\r\n")).decode()
    wire.heads.append(head)
    if isinstance(replies, Mapping):
        reply = replies.get(head.split(" ")[1], ok(b"{}", status="404 Not Found"))
    else:
        reply = replies(head)
    writer.write(reply.wire)
    await writer.drain()
    while reply.more and not writer.is_closing():
        await asyncio.sleep(reply.pause_seconds)
        writer.write(reply.more)
        await writer.drain()
    if reply.then == "reset":
        writer.transport.abort()
    if reply.then == "hang":
        wire.hanging.set()
        await reader.read(1)
    return reply.then == "keep"


def make_certificate(folder: Path, name: str = "localhost", days: int = 1) -> tuple[Path, Path]:
    """Write a self-signed certificate for a name and 127.0.0.1: (certificate and key, certificate)."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    names = [x509.DNSName(name), x509.IPAddress(ip_address("127.0.0.1"))]
    certificate = (
        x509.CertificateBuilder(subject, subject, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=9))
        .not_valid_after(now + timedelta(days=days))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .sign(key, hashes.SHA256())
        .public_bytes(serialization.Encoding.PEM)
    )
    private = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    both, alone = folder / f"{name}-{days}-key.pem", folder / f"{name}-{days}.pem"
    both.write_bytes(certificate + private)
    alone.write_bytes(certificate)
    return both, alone
