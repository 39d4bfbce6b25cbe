"""The channels that notices go over: a signed webhook, and mail. Neither ever carries a secret."""

import asyncio
import base64
import binascii
import hashlib
import hmac
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.message import EmailMessage
from email.utils import format_datetime
from typing import Protocol
from urllib.parse import urlsplit

import msgspec

from labtrawl import __version__
from labtrawl.clock import Clock
from labtrawl.domain.credential import Secret
from labtrawl.errors import ConfigError, Unavailable
from labtrawl.http import Limits, Origin, open_http
from labtrawl.http.mail import MailServer, send_mail
from labtrawl.store.notices import Delivery

_LIMITS = Limits(connections=1, connect_seconds=10, total_seconds=20, body_bytes=1 << 16)
_MADE = "whsec_"


class Channel(Protocol):
    """One way to the operators."""

    @property
    def name(self) -> str:
        """What it is called in the database and on the page."""

    async def send(self, delivery: Delivery) -> str:
        """Send a notice; return what the other side said. Raises LabtrawlError where it failed."""


class Posted(msgspec.Struct, frozen=True, rename="camel"):
    """The body of a POST; `raised_at` is ISO 8601, UTC."""

    id: str
    kind: str
    cause: str
    subject: str
    text: str
    raised_at: str
    site: str
    labtrawl: str


@dataclass(frozen=True, slots=True)
class Webhook:
    """Posts JSON, signed as standardwebhooks.com says: id, instant and body under the secret."""

    url: str
    secret: Secret | None
    allow: tuple[str, ...]
    site: str
    user_agent: str
    clock: Clock
    name: str = "webhook"

    async def send(self, delivery: Delivery) -> str:
        """Post a notice; any answer but 2xx is a failure. See `Channel`."""
        parts = urlsplit(self.url)
        path = parts.path or "/"
        where = f"{path}?{parts.query}" if parts.query else path
        origin = Origin(f"{parts.scheme}://{parts.netloc}", address_allow=self.allow)
        body = msgspec.json.encode(posted(delivery, self.site))
        async with open_http(origin, _LIMITS, self.user_agent) as http:
            answer = await http.request("POST", where, self._headers(delivery, body), body)
        if not 200 <= answer.status < 300:
            raise Unavailable(f"{parts.hostname} answered {answer.status}")
        return f"answered {answer.status}"

    def _headers(self, delivery: Delivery, body: bytes) -> dict[str, str]:
        number, instant = _id_of(delivery), str(self.clock.now_ms() // 1000)
        headers = {
            "content-type": "application/json",
            "webhook-id": number,
            "webhook-timestamp": instant,
        }
        if self.secret is not None:
            headers["webhook-signature"] = signature(self.secret, number, instant, body)
        return headers


@dataclass(frozen=True, slots=True)
class Unusable:
    """A channel that is set and cannot be used: what goes over it fails, and says why."""

    name: str
    reason: str

    async def send(self, delivery: Delivery) -> str:  # noqa: ARG002 - none is sent
        """Fail. See `Channel`."""
        raise ConfigError(self.reason)


def signature(secret: Secret, number: str, instant: str, body: bytes) -> str:
    """Return the signature of a POST: HMAC-SHA256 over "id.instant.body", base64 behind "v1,"."""
    signed = b".".join((number.encode(), instant.encode(), body))
    made = hmac.digest(_key(secret), signed, hashlib.sha256)
    return f"v1,{base64.b64encode(made).decode()}"


def _key(secret: Secret) -> bytes:
    text = secret.reveal()
    if text.startswith(_MADE):
        try:
            return base64.b64decode(text.removeprefix(_MADE), validate=True)
        except binascii.Error:
            return text.encode()
    return text.encode()


def posted(delivery: Delivery, site: str) -> Posted:
    """Return what is posted for a notice."""
    notice = delivery.notice
    at = datetime.fromtimestamp(delivery.raised_at / 1000, UTC).isoformat(timespec="seconds")
    number = _id_of(delivery)
    return Posted(
        number, notice.kind, notice.cause, notice.subject, notice.body, at, site, __version__
    )


def _id_of(delivery: Delivery) -> str:
    """The same at every try: a receiver knows a repeat by it."""
    return f"labtrawl-{delivery.raised_at}-{delivery.notice_id}"


@dataclass(frozen=True, slots=True)
class Mail:
    """Sends plain text by the operator's mail server."""

    server: MailServer = field(repr=False)
    sender: str
    recipients: Sequence[str]
    site: str
    name: str = "mail"

    async def send(self, delivery: Delivery) -> str:
        """Send a notice as a mail. See `Channel`."""
        mail = self.written(delivery)
        return await asyncio.to_thread(send_mail, self.server, mail)

    def written(self, delivery: Delivery) -> EmailMessage:
        """Return the mail for a notice."""
        mail = EmailMessage()
        mail["Subject"] = f"labtrawl: {' '.join(delivery.notice.subject.split())}"
        mail["From"] = self.sender
        mail["To"] = ", ".join(self.recipients)
        mail["Date"] = format_datetime(datetime.fromtimestamp(delivery.raised_at / 1000, UTC))
        mail["Message-ID"] = f"<{_id_of(delivery)}@{self.sender.rpartition('@')[2]}>"
        # RFC 3834: no automatic answers, please.
        mail["Auto-Submitted"] = "auto-generated"
        mail.set_content(f"{delivery.notice.body}\n\n-- \n{self.site}\n")
        return mail
