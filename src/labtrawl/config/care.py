"""The settings of backups and of the notices that operators get."""

from pathlib import Path
from typing import Annotated, Literal

import msgspec

from labtrawl.config.about import about

KINDS = (
    "failures",
    "credentials",
    "disk",
    "crawlers",
    "gaps",
    "backup",
    "health",
    "stop_requests",
    "digest",
)
"""What a notice may be about."""


class Backup(msgspec.Struct, frozen=True, kw_only=True):
    """Backups that the website makes by itself; `labtrawl backup` makes them by hand."""

    path: Annotated[
        Path | None,
        about(
            "The folder that backups are written into, outside the data folder; best on another"
            " disk. Keys are never written there."
        ),
    ] = None
    every_hours: Annotated[
        float,
        about("So often a backup is made; 0: none is, by itself.", unit="h", ge=0, le=8760),
    ] = 0.0
    keep: Annotated[
        int, about("So many whole backups are kept there, the newest.", ge=1, le=1000)
    ] = 7


class Notices(msgspec.Struct, frozen=True, kw_only=True):
    """How operators hear of what needs them: a webhook, mail, or both."""

    kinds: Annotated[
        tuple[str, ...],
        about("What is told, of: " + ", ".join(KINDS) + "."),
    ] = KINDS
    webhook_url: Annotated[
        str,
        about("An address that gets each notice as JSON by POST; https only."),
    ] = ""
    webhook_secret: Annotated[
        str,
        about(
            "What each POST is signed with, encrypted; `labtrawl notices secret webhook` writes it."
        ),
    ] = ""
    webhook_allow: Annotated[
        tuple[str, ...],
        about(
            "Networks, addresses or host names that the webhook may be at although they are private"
            " or without https."
        ),
    ] = ()
    mail_server: Annotated[str, about("The host name of the mail server.")] = ""
    mail_port: Annotated[int, about("Its port.", ge=1, le=65535)] = 587
    mail_security: Annotated[
        Literal["starttls", "tls", "none"],
        about(
            "starttls: encrypted after a greeting (port 587); tls: from the first byte (port 465);"
            " none: only for a server on this machine."
        ),
    ] = "starttls"
    mail_ca_file: Annotated[
        Path | None, about("Certificates (PEM) to trust for it, beside the system's.")
    ] = None
    mail_user: Annotated[str, about("The user to sign in there as; empty for no sign-in.")] = ""
    mail_password: Annotated[
        str,
        about("That user's password, encrypted; `labtrawl notices secret mail` writes it."),
    ] = ""
    mail_from: Annotated[str, about("The address that notices come from.")] = ""
    mail_to: Annotated[tuple[str, ...], about("The addresses that they go to.")] = ()
    digest_day: Annotated[
        Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"],
        about("The day of the weekly digest, from 08:00 UTC on."),
    ] = "mon"
    backup_hours: Annotated[
        float,
        about(
            "A newest backup older than this is told of; 0: twice backup.every_hours.",
            unit="h",
            ge=0,
            le=87_600,
        ),
    ] = 0.0
