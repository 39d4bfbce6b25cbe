"""The way out for mail: one message to the operator's own server, by SMTP over TLS (RFC 3207, 8314).

Blocking: whoever sends does so in a thread. No error holds the password or the message.
"""

import smtplib
import ssl
from dataclasses import dataclass, field
from email.message import EmailMessage
from pathlib import Path

from labtrawl.domain.credential import Secret
from labtrawl.errors import ConfigError, Unavailable

SECONDS = 20.0
_WORDS: tuple[tuple[type[Exception], str], ...] = (
    (smtplib.SMTPAuthenticationError, "it refuses the user or the password"),
    (smtplib.SMTPRecipientsRefused, "it refuses every recipient"),
    (
        smtplib.SMTPNotSupportedError,
        "it offers no TLS or no sign-in: set notices.mail_security to what it has",
    ),
)


@dataclass(frozen=True, slots=True)
class MailServer:
    """A mail server as the operator named it; `security` is starttls, tls or none."""

    host: str
    port: int
    security: str = "starttls"
    ca_file: Path | None = None
    user: str = ""
    password: Secret | None = field(default=None, repr=False)


def send_mail(server: MailServer, mail: EmailMessage) -> str:
    """Hand a message to the server; return what it answered, one line.

    Raises Unavailable (not reached, refused, no TLS) and ConfigError (a bad file of certificates).
    """
    context = _context(server.ca_file)
    try:
        with _connected(server, context) as connection:
            if server.user and server.password is not None:
                connection.login(server.user, server.password.reveal())
            refused = connection.send_message(mail)
    except (smtplib.SMTPException, OSError) as error:
        raise Unavailable(f"{server.host} port {server.port}: {_told(error)}") from None
    if refused:
        return f"taken, but not for {', '.join(sorted(refused))}"
    return "taken by the server"


def _connected(server: MailServer, context: ssl.SSLContext) -> smtplib.SMTP:
    if server.security == "tls":
        return smtplib.SMTP_SSL(server.host, server.port, timeout=SECONDS, context=context)
    connection = smtplib.SMTP(server.host, server.port, timeout=SECONDS)
    if server.security == "starttls":
        try:
            connection.starttls(context=context)
        except BaseException:  # nobody else has the connection yet
            connection.close()
            raise
    return connection


def _context(ca_file: Path | None) -> ssl.SSLContext:
    context = ssl.create_default_context()
    if ca_file is not None:
        try:
            context.load_verify_locations(ca_file)
        except (OSError, ssl.SSLError):
            raise ConfigError(f"mail_ca_file {ca_file} holds no certificates (PEM)") from None
    return context


def _told(error: Exception) -> str:
    for kind, words in _WORDS:
        if isinstance(error, kind):
            return words
    if isinstance(error, smtplib.SMTPResponseException):
        return f"it answers {error.smtp_code}"
    if isinstance(error, ssl.SSLError):
        return f"TLS failed: {error.reason or 'no certificate that is trusted'}"
    told = error.strerror if isinstance(error, OSError) else None
    return told or f"not reached, or cut off ({type(error).__name__})"
