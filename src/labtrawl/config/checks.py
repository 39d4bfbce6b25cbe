"""Rules that hold between settings. Pure; only `labtrawl.config.load` enters."""

import ipaddress
import os
from collections import Counter
from datetime import datetime
from urllib.parse import urlsplit

from cronsim import CronSim, CronSimError

from labtrawl.config.checks_care import check_care
from labtrawl.config.connections import Account, Instance
from labtrawl.config.settings import Settings
from labtrawl.domain.credential import Secret
from labtrawl.domain.quiet import parse_window
from labtrawl.errors import ConfigError

MAX_SOCKET_PATH = 107
"""sun_path holds 108 bytes with the final zero: man 7 unix."""

ENCRYPTED = ("enc:v2:", "enc:v1:")
"""How an encrypted text begins; the second form is that of earlier versions."""

MIN_TOKEN = 32
MIN_CHARACTERS = 10
"""Fewer different characters are a pattern, not a random text."""
_PLACEHOLDERS = (
    "your_token",
    "your-token",
    "changeme",
    "change_me",
    "crawler_api_token",
    "default",
)


def check(settings: Settings) -> None:
    """Raise ConfigError, one sentence, for the first rule that is broken."""
    _check_times(settings)
    _check_socket_paths(settings)
    _check_users_of_socket(settings.socket.allow_users)
    _check_crawler_token(settings.website.crawler_token)
    _check_proxies(settings.website.trusted_proxies)
    _check_role(settings)
    _check_environment(settings)
    _check_quiet_hours("budget.quiet_hours", settings.budget.quiet_hours)
    _check_cron(settings.schedule.cron)
    check_care(settings, ENCRYPTED)
    _check_instances(settings.instances)
    for account in settings.accounts:
        _check_account(account, {each.name: each for each in settings.instances})
    _check_users(settings.accounts)
    for name in ("admins", "operators"):
        _check_people(name, getattr(settings.website, name), settings.instances)


def _check_times(settings: Settings) -> None:
    if settings.lease.renew_seconds >= settings.lease.seconds:
        raise ConfigError("lease.renew_seconds must be less than lease.seconds; a third is good")
    if settings.heartbeat.seconds >= settings.heartbeat.silence_seconds:
        raise ConfigError("heartbeat.seconds must be less than heartbeat.silence_seconds")


def _check_quiet_hours(what: str, texts: tuple[str, ...]) -> None:
    for text in texts:
        try:
            parse_window(text)
        except ValueError as error:
            raise ConfigError(f"{what}: {error}") from None


def _check_cron(cron: str) -> None:
    if not cron:
        return
    try:
        CronSim(cron, datetime(2000, 1, 1))  # noqa: DTZ001 - only its words are looked at
    except CronSimError as error:
        raise ConfigError(
            f"schedule.cron is no cron expression ({error}); one looks like 30 2 * * mon-fri"
        ) from None


def _check_users_of_socket(users: tuple[str, ...]) -> None:
    for user in users:
        if not (user.isascii() and user.isdecimal() and len(user) < 11):
            raise ConfigError(f"socket.allow_users: {user!r} is no user's number; `id -u` tells it")


def _check_socket_paths(settings: Settings) -> None:
    paths = {
        "socket.path": settings.socket.path,
        "socket.http_path": settings.socket.http_path,
        "auth_socket.path": settings.auth_socket.path,
        "runtime_dir": settings.runtime_dir / "control.sock",
    }
    for name, path in paths.items():
        length = len(os.fsencode(path))
        if length > MAX_SOCKET_PATH:
            raise ConfigError(
                f"{name} makes a socket path of {length} bytes and the system allows "
                f"{MAX_SOCKET_PATH}; set {name} to a shorter path"
            )


def _check_crawler_token(token: Secret | None) -> None:
    """A text that could be guessed, or that stands in an example, would open the crawlers' door."""
    if token is None:
        return
    text = token.reveal()
    placeholder = any(word in text.lower() for word in _PLACEHOLDERS)
    if len(text) < MIN_TOKEN or len(set(text)) < MIN_CHARACTERS or placeholder:
        raise ConfigError(
            f"website.crawler_token (CRAWLER_API_TOKEN) is too short or well known: it needs"
            f" {MIN_TOKEN} random characters at least; better remove it and use"
            " `labtrawl token create NAME --scope crawler`"
        )


def _check_proxies(networks: tuple[str, ...]) -> None:
    for network in networks:
        try:
            ipaddress.ip_network(network)
        except ValueError:
            raise ConfigError(
                f"website.trusted_proxies names {network!r}, which is no address and no network"
                " like 10.0.0.0/8"
            ) from None


def _check_role(settings: Settings) -> None:
    if settings.socket.role == "dial" and settings.crawler.count != 1:
        raise ConfigError(
            'socket.role = "dial" is for one crawler, which listens; set crawler.count to 1, '
            'or socket.role to "listen"'
        )


def _check_environment(settings: Settings) -> None:
    """A token that is renewed every two hours would restart the crawlers as often."""
    renewed = any(account.refresh_token for account in settings.accounts)
    if settings.credentials == "environment" and renewed:
        raise ConfigError(
            'credentials = "environment" needs a token that lasts, and an account of OAuth gets '
            'another every two hours; set credentials to "task"'
        )


def _check_instances(instances: tuple[Instance, ...]) -> None:
    names = Counter(instance.name for instance in instances)
    for name, times in names.items():
        if times > 1 or not name:
            raise ConfigError(f"each [[instances]] needs a name of its own; {name!r} is not one")
    for instance in instances:
        _check_url(instance)
        _check_quiet_hours(f"quiet_hours of {instance.name!r}", instance.quiet_hours)
        if instance.client_secret and not instance.client_secret.startswith(ENCRYPTED):
            raise ConfigError(
                f"the client_secret of {instance.name!r} is written in clear; remove it, make a new "
                "one in GitLab, and give that to `labtrawl init --oauth`, which encrypts it"
            )


def _check_url(instance: Instance) -> None:
    what = f"url of the instance {instance.name!r}"
    try:
        parts = urlsplit(instance.url)
        usable = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    if not usable:
        raise ConfigError(f"{what} must be an address like https://gitlab.example.org")
    if parts.username or parts.password or parts.query or parts.fragment:
        raise ConfigError(f"{what} must hold neither user, password, query nor fragment")


def _check_account(account: Account, instances: dict[str, Instance]) -> None:
    if account.instance not in instances:
        raise ConfigError(
            f"an account names the instance {account.instance!r}, "
            "and there is no [[instances]] with this name"
        )
    renewing = account.refresh_token or account.token
    if not (account.token.startswith(ENCRYPTED) and renewing.startswith(ENCRYPTED)):
        raise ConfigError(
            f"the token of the account on {account.instance!r} is written in clear; remove it, "
            "revoke it in GitLab, and add the account with `labtrawl init`, which encrypts it"
        )
    if account.refresh_token:
        _check_renewable(account, instances[account.instance])


def _check_renewable(account: Account, instance: Instance) -> None:
    if not (account.user_id and instance.client_id and instance.redirect_uri):
        raise ConfigError(
            f"the account on {account.instance!r} has a refresh_token, which needs its user_id and "
            "the instance's client_id and redirect_uri; sign in again with labtrawl init --oauth"
        )


def _check_users(accounts: tuple[Account, ...]) -> None:
    users = Counter((each.instance, each.user_id) for each in accounts if each.user_id)
    for (instance, user_id), times in users.items():
        if times > 1:
            raise ConfigError(
                f"{times} [[accounts]] are of the user {user_id} on {instance!r}: keep the newest"
            )


def _check_people(what: str, people: tuple[str, ...], instances: tuple[Instance, ...]) -> None:
    """A name that is none would leave somebody out without a word."""
    names = {instance.name for instance in instances}
    for person in people:
        name, _, number = person.rpartition(":")
        if name not in names or not (number.isascii() and number.isdecimal() and number[0] != "0"):
            raise ConfigError(
                f"website.{what} names {person!r}; it must be INSTANCE:USER-ID, like main:42, with the"
                " name of one of the [[instances]] and GitLab's number of the user, not the username"
            )
