"""The settings themselves: each with its type, range, default, unit and reason, in this one place.

The reference page, the environment names and the checks are all derived from these structs
(`labtrawl.config.table`). Everybody may read; `labtrawl.config.load` makes them.
"""

from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

MEBIBYTE = 1024 * 1024


def _about(
    reason: str, *, unit: str = "", default: str = "", alias: str = "", **limits: float
) -> Any:
    """Describe one setting; `default` is the text for a default that depends on others."""
    extra = {"unit": unit, "default": default, "alias": alias}
    return Meta(description=reason, extra=extra, **limits)  # type: ignore[call-overload]


class Website(msgspec.Struct, frozen=True, kw_only=True):
    """Where the website listens."""

    host: Annotated[
        str, _about("The address to listen on; another one lets other machines in.")
    ] = "127.0.0.1"
    port: Annotated[
        int,
        _about(
            "The port; 0 takes any free one. Only the default moves on when it is taken.",
            ge=0,
            le=65535,
        ),
    ] = 3000


class Socket(msgspec.Struct, frozen=True, kw_only=True):
    """The Unix socket between website and crawlers."""

    path: Annotated[
        Path,
        _about(
            "The socket file; at most 107 bytes, the limit of the system.",
            default="<data_dir>/config/api.sock",
            alias="SOCKET_PATH",
        ),
    ]
    process_id: Annotated[
        str,
        _about("The website's name on the wire (`origin`).", alias="COPILOT_PROCESS_ID"),
    ] = "copilot-study"


class Lease(msgspec.Struct, frozen=True, kw_only=True):
    """How long a crawler owns a job without saying so again."""

    seconds: Annotated[
        float,
        _about(
            "After this time without renewal another crawler takes the job.",
            unit="s",
            ge=1,
            le=3600,
        ),
    ] = 15.0
    renew_seconds: Annotated[
        float,
        _about(
            "How often a crawler renews; a third of the lease outlives two losses.",
            unit="s",
            gt=0,
            le=3600,
        ),
    ] = 5.0


class Heartbeat(msgspec.Struct, frozen=True, kw_only=True):
    """Signs of life, on the socket and on the control channel."""

    seconds: Annotated[
        float, _about("How often a process says that it lives.", unit="s", gt=0, le=60)
    ] = 5.0
    silence_seconds: Annotated[
        float, _about("A connection silent for so long is closed.", unit="s", gt=0, le=600)
    ] = 15.0


class Crawler(msgspec.Struct, frozen=True, kw_only=True):
    """How much is done at once."""

    count: Annotated[int, _about("How many crawler processes run.", ge=0, le=64)] = 1
    jobs: Annotated[int, _about("How many jobs a crawler works on at once.", ge=1, le=256)] = 8
    requests: Annotated[
        int, _about("How many requests of a crawler are under way at once.", ge=1, le=256)
    ] = 16


class Segment(msgspec.Struct, frozen=True, kw_only=True):
    """When a file of the dataset is closed and committed."""

    max_bytes: Annotated[
        int, _about("A segment of this size is closed.", unit="bytes", ge=4096, le=1 << 30)
    ] = 8 * MEBIBYTE
    max_seconds: Annotated[
        float,
        _about(
            "A segment of this age is closed: the most work that a crash repeats.",
            unit="s",
            gt=0,
            le=3600,
        ),
    ] = 5.0


class Scope(msgspec.Struct, frozen=True, kw_only=True):
    """What is collected beyond, or less than, the areas of which an account is a member."""

    include: Annotated[
        tuple[str, ...],
        _about(
            "Path patterns (`group/*`) of areas to add, public ones too; they are only asked for "
            "when named here."
        ),
    ] = ()
    exclude: Annotated[
        tuple[str, ...], _about("Path patterns of areas to leave out; it wins over include.")
    ] = ()


class Retry(msgspec.Struct, frozen=True, kw_only=True):
    """What happens to a job after a failure that can pass."""

    attempts: Annotated[int, _about("Tries before a job counts as failed.", ge=1, le=100)] = 5
    base_seconds: Annotated[
        float,
        _about("The ceiling of the first wait; it doubles with each try.", unit="s", gt=0, le=3600),
    ] = 0.5
    ceiling_seconds: Annotated[
        float,
        _about("No wait is longer, except where GitLab asks for it.", unit="s", gt=0, le=3600),
    ] = 60.0


class Logs(msgspec.Struct, frozen=True, kw_only=True):
    """What is logged, and how it looks."""

    format: Annotated[
        Literal["auto", "console", "json"],
        _about("auto: console on a terminal, JSON lines otherwise."),
    ] = "auto"
    level: Annotated[
        Literal["debug", "info", "warning", "error"],
        _about("The least urgent kind of event that is written."),
    ] = "info"


class AuthSocket(msgspec.Struct, frozen=True, kw_only=True):
    """The socket on which the website tells the supervisor that credentials are there."""

    path: Annotated[
        Path,
        _about(
            "The socket file; at most 107 bytes.",
            default="<runtime_dir>/auth.sock",
            alias="AUTH_IPC_SOCKET_PATH",
        ),
    ]


class Instance(msgspec.Struct, frozen=True, kw_only=True):
    """A GitLab: `[[instances]]` in the file; `labtrawl init` writes it."""

    name: Annotated[str, _about("What accounts and pages call it; unique.")]
    url: Annotated[str, _about("Its address, with the sub-path if it has one.")]
    ca_file: Annotated[Path | None, _about("Certificates (PEM) to trust besides the system's.")] = (
        None
    )
    proxy: Annotated[
        str | None, _about("The proxy to use; none is taken from the environment.")
    ] = None
    address_allow: Annotated[
        tuple[str, ...],
        _about(
            "Networks (CIDR) or host names that may be private, loopback or without TLS; "
            "everything else must be a public address with https."
        ),
    ] = ()


class Account(msgspec.Struct, frozen=True, kw_only=True):
    """Somebody's access to an instance: `[[accounts]]`; `labtrawl init` writes it."""

    instance: Annotated[str, _about("The name of the instance.")]
    token: Annotated[
        str, _about("The access token as `labtrawl init` encrypted it: enc:v1:…, never in clear.")
    ]


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """All settings; `named` lists those that the user set (dotted names), the rest are defaults."""

    data_dir: Annotated[
        Path, _about("Everything that labtrawl keeps lies below it.", default="data.private")
    ]
    runtime_dir: Annotated[
        Path,
        _about(
            "Sockets of the running supervisor (mode 0700).",
            default="$XDG_RUNTIME_DIR/labtrawl-<hash of data_dir>, else <data_dir>/run",
        ),
    ]
    contact: Annotated[
        str, _about("An address that GitLab's administrators find in our User-Agent.")
    ] = ""
    socket: Socket
    auth_socket: AuthSocket
    website: Website = Website()
    lease: Lease = Lease()
    heartbeat: Heartbeat = Heartbeat()
    crawler: Crawler = Crawler()
    segment: Segment = Segment()
    scope: Scope = Scope()
    retry: Retry = Retry()
    logs: Logs = Logs()
    instances: tuple[Instance, ...] = ()
    accounts: tuple[Account, ...] = ()
    named: tuple[str, ...] = ()


def dump(settings: Settings) -> bytes:
    """Return the settings as JSON, for a child's control channel."""
    return msgspec.json.encode(settings, enc_hook=str)


def restore(text: bytes | msgspec.Raw) -> Settings:
    """Return the settings that `dump` wrote; msgspec.ValidationError for anything else."""
    return msgspec.json.decode(text, type=Settings, dec_hook=to_path)


def to_path(wanted: type, value: object) -> Path:
    """Make a Path of a text, for msgspec, which knows texts only."""
    if wanted is Path and isinstance(value, str) and value and "\0" not in value:
        return Path(value)
    raise ValueError(f"cannot make {wanted.__name__} of {type(value).__name__}")
