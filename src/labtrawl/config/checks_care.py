"""Rules for backups, notices and the public address. Pure; only `labtrawl.config.checks` enters."""

import re
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from urllib.parse import urlsplit

from labtrawl.config.care import KINDS, Notices
from labtrawl.config.settings import Settings
from labtrawl.errors import ConfigError

LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
_ADDRESS = re.compile(r"[^\s@<>,;]+@[^\s@<>,;]+")


def check_care(settings: Settings, encrypted: tuple[str, ...]) -> None:
    """Raise ConfigError, one sentence, for the first rule that is broken.

    `encrypted` is how an encrypted text begins.
    """
    _check_backup(settings)
    _check_kinds(settings.notices.kinds)
    _check_webhook(settings.notices)
    _check_mail(settings.notices)
    _check_secrets(settings.notices, encrypted)
    if settings.website.public_url:
        _check_url("website.public_url", settings.website.public_url)


def _check_backup(settings: Settings) -> None:
    backup, data = settings.backup, settings.data_dir
    if backup.every_hours and backup.path is None:
        raise ConfigError("backup.every_hours needs backup.path, a folder on another disk")
    if backup.path is not None and backup.path.suffix == ".tar":
        raise ConfigError("backup.path is a folder: only `labtrawl backup` writes a single .tar")
    if backup.path is not None and (
        backup.path.is_relative_to(data) or data.is_relative_to(backup.path)
    ):
        raise ConfigError(
            f"backup.path {backup.path} and the data folder {data} lie in each other: choose a"
            " folder outside of it, best on another disk"
        )


def _check_kinds(kinds: tuple[str, ...]) -> None:
    for kind in kinds:
        if kind not in KINDS:
            raise ConfigError(f"notices.kinds names {kind!r}, which is none of {', '.join(KINDS)}")


def _check_webhook(notices: Notices) -> None:
    if not notices.webhook_url:
        return
    _check_url("notices.webhook_url", notices.webhook_url)
    parts = urlsplit(notices.webhook_url)
    if parts.scheme == "http" and not _may_be_allowed(parts.hostname or "", notices.webhook_allow):
        raise ConfigError(
            "notices.webhook_url must begin with https; name its host or its network in"
            " notices.webhook_allow where it is your own and has none"
        )


def _may_be_allowed(host: str, entries: tuple[str, ...]) -> bool:
    """Say whether the entries may allow a host; the door looks again (`http.addresses`).

    Whether a name lies in a network is known when it is connected to.
    """
    networks = [each for each in map(_network, entries) if each is not None]
    try:
        address = ip_address(host)
    except ValueError:
        names = {each.lower().rstrip(".") for each in entries}
        return bool(networks) or host.rstrip(".") in names
    return any(address in each for each in networks)


def _network(text: str) -> IPv4Network | IPv6Network | None:
    try:
        return ip_network(text, strict=False)
    except ValueError:
        return None


def _check_mail(notices: Notices) -> None:
    for address in (notices.mail_from, *notices.mail_to):
        if address and not (_ADDRESS.fullmatch(address) and address.isascii()):
            raise ConfigError(f"{address!r} is no mail address like ops@example.org")
    if not notices.mail_server:
        return
    if not (notices.mail_from and notices.mail_to):
        raise ConfigError("notices.mail_server needs notices.mail_from and notices.mail_to")
    is_open = notices.mail_security == "none"
    if is_open and (notices.mail_server not in LOOPBACK or notices.mail_user):
        raise ConfigError(
            'notices.mail_security = "none" is for a server on this machine without a sign-in; use'
            " starttls or tls"
        )


def _check_secrets(notices: Notices, encrypted: tuple[str, ...]) -> None:
    texts = {"webhook": notices.webhook_secret, "mail": notices.mail_password}
    for which, text in texts.items():
        if text and not text.startswith(encrypted):
            raise ConfigError(
                f"the secret of notices for {which} is written in clear: remove it, make another,"
                f" and give that to `labtrawl notices secret {which}`, which encrypts it"
            )


def _check_url(what: str, url: str) -> None:
    try:
        parts = urlsplit(url)
        usable = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    if not usable or not url.isascii() or any(each.isspace() for each in url):
        raise ConfigError(f"{what} must be an address like https://labtrawl.example.org")
    if parts.username or parts.password or parts.fragment:
        raise ConfigError(f"{what} must hold neither user, password nor #")
