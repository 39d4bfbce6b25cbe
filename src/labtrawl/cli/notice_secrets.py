"""The two secrets of notices: where each is bound to, so that it goes nowhere else."""

from collections.abc import Callable
from urllib.parse import urlsplit

from labtrawl import logs
from labtrawl.config import Notices
from labtrawl.domain.credential import Secret
from labtrawl.errors import ConfigError
from labtrawl.store.secrets import Cipher, Place


def webhook_place(notices: Notices) -> Place:
    """Return the place of the webhook's secret: it opens for this very host only."""
    parts = urlsplit(notices.webhook_url)
    return Place("notices", "", "webhook_secret", f"{parts.scheme}://{parts.netloc}")


def mail_place(notices: Notices) -> Place:
    """Return the place of the mail server's password: it opens for this server and user only."""
    return Place("notices", notices.mail_user, "mail_password", notices.mail_server)


def texts_of(notices: Notices) -> list[tuple[str, Place]]:
    """Return the encrypted texts that are set, each with its place."""
    both = (
        (notices.webhook_secret, webhook_place(notices)),
        (notices.mail_password, mail_place(notices)),
    )
    return [(text, place) for text, place in both if text]


def opened(text: str, place: Place, ring: Callable[[], Cipher]) -> Secret | None:
    """Return a secret in clear, concealed in the logs; None where none is set. ConfigError."""
    if not text:
        return None
    cipher = ring()
    try:
        secret = cipher.decrypt(text, place)
    except ConfigError as error:
        which = "webhook" if place.column == "webhook_secret" else "mail"
        raise ConfigError(
            "its secret does not open: it was made for another address, server or user, or under a"
            f" key that is gone; give it to `labtrawl notices secret {which}` again"
        ) from error
    logs.conceal(secret)
    return secret
