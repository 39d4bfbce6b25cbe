"""Rules that hold between settings. Pure; only `labtrawl.config.load` enters."""

import os
from collections import Counter
from urllib.parse import urlsplit

from labtrawl.config.settings import Account, Instance, Settings
from labtrawl.errors import ConfigError

MAX_SOCKET_PATH = 107
"""sun_path holds 108 bytes with the final zero: man 7 unix."""

TOKEN_PREFIX = "enc:v1:"  # noqa: S105 - the mark of an encrypted token, none itself


def check(settings: Settings) -> None:
    """Raise ConfigError, one sentence, for the first rule that is broken."""
    _check_times(settings)
    _check_socket_paths(settings)
    _check_instances(settings.instances)
    for account in settings.accounts:
        _check_account(account, {instance.name for instance in settings.instances})


def _check_times(settings: Settings) -> None:
    if settings.lease.renew_seconds >= settings.lease.seconds:
        raise ConfigError("lease.renew_seconds must be less than lease.seconds; a third is good")
    if settings.heartbeat.seconds >= settings.heartbeat.silence_seconds:
        raise ConfigError("heartbeat.seconds must be less than heartbeat.silence_seconds")


def _check_socket_paths(settings: Settings) -> None:
    paths = {
        "socket.path": settings.socket.path,
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


def _check_instances(instances: tuple[Instance, ...]) -> None:
    names = Counter(instance.name for instance in instances)
    for name, times in names.items():
        if times > 1 or not name:
            raise ConfigError(f"each [[instances]] needs a name of its own; {name!r} is not one")
    for instance in instances:
        _check_url(instance)


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


def _check_account(account: Account, instances: set[str]) -> None:
    if account.instance not in instances:
        raise ConfigError(
            f"an account names the instance {account.instance!r}, "
            "and there is no [[instances]] with this name"
        )
    if not account.token.startswith(TOKEN_PREFIX):
        raise ConfigError(
            f"the token of the account on {account.instance!r} is written in clear; remove it, "
            "revoke it in GitLab, and add the account with `labtrawl init`, which encrypts it"
        )
