"""The settings of GitLabs and accounts: the tables that a file can hold several times."""

from pathlib import Path
from typing import Annotated

import msgspec

from labtrawl.config.about import about


class Instance(msgspec.Struct, frozen=True, kw_only=True):
    """A GitLab: `[[instances]]` in the file; `labtrawl init` writes it."""

    name: Annotated[str, about("What accounts and pages call it; unique.")]
    url: Annotated[str, about("Its address, with the sub-path if it has one.")]
    ca_file: Annotated[Path | None, about("Certificates (PEM) to trust besides the system's.")] = (
        None
    )
    proxy: Annotated[str | None, about("The proxy to use; none is taken from the environment.")] = (
        None
    )
    address_allow: Annotated[
        tuple[str, ...],
        about(
            "Networks (CIDR) or host names that may be private, loopback or without TLS; "
            "everything else must be a public address with https."
        ),
    ] = ()
    quiet_hours: Annotated[
        tuple[str, ...],
        about(
            "Times in which no crawler asks anything of it, like 08:00-18:00 Europe/Stockholm or "
            "Mon+Wed-Fri 22:00-06:00 UTC; they add to budget.quiet_hours."
        ),
    ] = ()
    client_id: Annotated[
        str,
        about("The id of labtrawl's OAuth application there; empty where tokens are used."),
    ] = ""
    client_secret: Annotated[
        str,
        about(
            "The secret of that application as `labtrawl init --oauth` encrypted it; empty for a "
            "public application."
        ),
    ] = ""
    redirect_uri: Annotated[
        str,
        about("The redirect URI of that application: GitLab compares it with each request."),
    ] = ""


class Account(msgspec.Struct, frozen=True, kw_only=True):
    """Somebody's access to an instance: `[[accounts]]`; `labtrawl init` writes it."""

    instance: Annotated[str, about("The name of the instance.")]
    token: Annotated[
        str, about("The access token as `labtrawl init` encrypted it: enc:v2:…, never in clear.")
    ]
    user_id: Annotated[
        int,
        about("GitLab's number of the user, to which the encrypted texts are bound.", ge=0),
    ] = 0
    refresh_token: Annotated[
        str,
        about(
            "What renews the access token, encrypted too; newer ones are kept in the database. "
            "Empty for an access token that somebody made by hand."
        ),
    ] = ""
    expires_at: Annotated[
        int,
        about(
            "When the access token expires, in ms since 1970; 0: not known.",
            unit="ms",
            ge=0,
        ),
    ] = 0
