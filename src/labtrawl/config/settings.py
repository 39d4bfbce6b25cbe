"""The settings themselves: each with its type, range, default, unit and reason, in this one place.

The reference page, the environment names and the checks are all derived from these structs
(`labtrawl.config.table`). Everybody may read; `labtrawl.config.load` makes them.
"""

from pathlib import Path
from typing import Annotated, Literal

import msgspec

from labtrawl.config.about import about
from labtrawl.config.care import Backup, Notices
from labtrawl.config.connections import Account, Instance
from labtrawl.config.talking import Breaker, Dedup, Flood, Heartbeat
from labtrawl.config.timetable import Timetable
from labtrawl.domain.credential import Secret

MEBIBYTE = 1024 * 1024


class Website(msgspec.Struct, frozen=True, kw_only=True):
    """Where the website listens."""

    host: Annotated[str, about("The address to listen on; another one lets other machines in.")] = (
        "127.0.0.1"
    )
    port: Annotated[
        int,
        about(
            "The port; 0 takes any free one. Only the default moves on when it is taken.",
            ge=0,
            le=65535,
        ),
    ] = 3000
    public_url: Annotated[
        str,
        about(
            "The site's address for others: GitLab sends people back to it who sign in, and its "
            "administrators find it in our requests."
        ),
    ] = ""
    admins: Annotated[
        tuple[str, ...],
        about(
            "Who signs in with GitLab as an admin, each as INSTANCE:USER-ID, like main:42: the name "
            "of an instance and GitLab's number of the user."
        ),
    ] = ()
    operators: Annotated[
        tuple[str, ...],
        about("Who signs in with GitLab as an operator, in the same form."),
    ] = ()
    trusted_proxies: Annotated[
        tuple[str, ...],
        about(
            "Addresses or networks (CIDR) of proxies whose X-Forwarded-For and -Proto are believed; "
            "they never make a caller more trusted."
        ),
    ] = ()
    crawler_token: Annotated[
        Secret | None,
        about(
            "A token that crawlers of earlier systems share, at least 32 characters; each use is "
            "warned of. `labtrawl token create` makes better ones.",
            alias="CRAWLER_API_TOKEN",
        ),
    ] = None


class Socket(msgspec.Struct, frozen=True, kw_only=True):
    """The Unix socket between website and crawlers."""

    path: Annotated[
        Path,
        about(
            "The socket file; at most 107 bytes, the limit of the system.",
            default="<data_dir>/config/api.sock",
            alias="SOCKET_PATH",
        ),
    ]
    role: Annotated[
        Literal["listen", "dial"],
        about(
            "listen: any number of crawlers dial the website; dial: the website dials the one "
            "crawler, which listens."
        ),
    ] = "listen"
    http_path: Annotated[
        Path,
        about(
            "The socket file on which the website speaks HTTP to programs of the same user; at most"
            " 107 bytes.",
            default="<data_dir>/config/http.sock",
        ),
    ]
    process_id: Annotated[
        str,
        about("The website's name on the wire (`origin`).", alias="COPILOT_PROCESS_ID"),
    ] = "copilot-study"
    allow_users: Annotated[
        tuple[str, ...],
        about(
            "Numbers of users (uid) besides ours whose processes may speak; the rights of the socket"
            " file must let them connect, too."
        ),
    ] = ()
    legacy_peers: Annotated[
        Literal["refuse", "accept"],
        about(
            "accept: peers of dialect 1 may speak, which prove nothing; only processes of the same "
            "user, and each is warned of."
        ),
    ] = "refuse"
    max_message_bytes: Annotated[
        int,
        about("A longer message is refused.", unit="bytes", ge=512 * 1024, le=256 * MEBIBYTE),
    ] = 16 * MEBIBYTE


class Lease(msgspec.Struct, frozen=True, kw_only=True):
    """How long a crawler owns a job without saying so again."""

    seconds: Annotated[
        float,
        about(
            "After this time without renewal another crawler takes the job.",
            unit="s",
            ge=1,
            le=3600,
        ),
    ] = 15.0
    renew_seconds: Annotated[
        float,
        about(
            "How often a crawler renews; a third of the lease outlives two losses.",
            unit="s",
            gt=0,
            le=3600,
        ),
    ] = 5.0
    legacy_seconds: Annotated[
        float,
        about(
            "The lease of a peer of dialect 1, which never renews: each of its words prolongs it.",
            unit="s",
            ge=1,
            le=86_400,
        ),
    ] = 300.0


class Crawler(msgspec.Struct, frozen=True, kw_only=True):
    """How much is done at once."""

    count: Annotated[int, about("How many crawler processes run.", ge=0, le=64)] = 1
    jobs: Annotated[int, about("How many jobs a crawler works on at once.", ge=1, le=256)] = 8
    requests: Annotated[
        int,
        about(
            "The most requests of a crawler that are under way to one GitLab at once. How many they "
            "are follows GitLab's answers: more while they come fast, fewer when they fail or slow "
            "down.",
            ge=1,
            le=256,
        ),
    ] = 32
    graphql: Annotated[
        Literal["auto", "off"],
        about("off: what REST has is read by REST: some more fields, many more requests."),
    ] = "auto"


class Budget(msgspec.Struct, frozen=True, kw_only=True):
    """How much of GitLab's patience is used: one budget an account, for all crawlers together."""

    requests_per_minute: Annotated[
        int,
        about(
            "The most requests of an account, beside what GitLab itself allows; 0 leaves it to "
            "GitLab.",
            ge=0,
            le=1_000_000,
        ),
    ] = 0
    reserved_share: Annotated[
        float,
        about(
            "The share of GitLab's limit that is left to the people whose accounts are used.",
            ge=0,
            le=0.95,
        ),
    ] = 0.2
    grant_seconds: Annotated[
        float,
        about(
            "How long a crawler may use what it was granted: so long it goes on without the "
            "website. Crawlers tell what they sent of it; what none tells of counts so much longer.",
            unit="s",
            ge=2,
            le=60,
        ),
    ] = 5.0
    first_wait_seconds: Annotated[
        float,
        about(
            "How long an account rests when GitLab refuses and does not say for how long; it "
            "doubles with each time in a row up to a day, and begins anew after 30 quiet minutes.",
            unit="s",
            gt=0,
            le=86_400,
        ),
    ] = 60.0
    quiet_hours: Annotated[
        tuple[str, ...],
        about(
            "Times in which no crawler asks anything of any GitLab, like "
            "Mon-Fri 08:00-18:00 Europe/Stockholm; each GitLab can have more of its own."
        ),
    ] = ()


class Segment(msgspec.Struct, frozen=True, kw_only=True):
    """When a file of the dataset is closed and committed."""

    max_bytes: Annotated[
        int, about("A segment of this size is closed.", unit="bytes", ge=4096, le=1 << 30)
    ] = 8 * MEBIBYTE
    max_seconds: Annotated[
        float,
        about(
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
        about(
            "Paths of groups, with all below them, and of projects to add, public ones too; they "
            "are only asked for when named here."
        ),
    ] = ()
    exclude: Annotated[
        tuple[str, ...], about("Path patterns of areas to leave out; it wins over include.")
    ] = ()


class Retry(msgspec.Struct, frozen=True, kw_only=True):
    """What happens to a job after a failure that can pass."""

    attempts: Annotated[int, about("Tries before a job counts as failed.", ge=1, le=100)] = 5
    base_seconds: Annotated[
        float,
        about("The ceiling of the first wait; it doubles with each try.", unit="s", gt=0, le=3600),
    ] = 0.5
    ceiling_seconds: Annotated[
        float,
        about("No wait is longer, except where GitLab asks for it.", unit="s", gt=0, le=3600),
    ] = 60.0


class Logs(msgspec.Struct, frozen=True, kw_only=True):
    """What is logged, and how it looks."""

    format: Annotated[
        Literal["auto", "console", "json"],
        about("auto: console on a terminal, JSON lines otherwise."),
    ] = "auto"
    level: Annotated[
        Literal["debug", "info", "warning", "error"],
        about("The least urgent kind of event that is written."),
    ] = "info"


class AuthSocket(msgspec.Struct, frozen=True, kw_only=True):
    """The socket on which the website tells the supervisor that credentials are there."""

    path: Annotated[
        Path,
        about(
            "The socket file; at most 107 bytes.",
            default="<runtime_dir>/auth.sock",
            alias="AUTH_IPC_SOCKET_PATH",
        ),
    ]


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """All settings, and where they came from.

    `named` lists those that the user set (dotted names), the rest are defaults. `file` is the one
    that was read, and `overrides` has the place of each that environment or flag set over it.
    """

    data_dir: Annotated[
        Path, about("Everything that labtrawl keeps lies below it.", default="data.private")
    ]
    runtime_dir: Annotated[
        Path,
        about(
            "Sockets of the running supervisor (mode 0700).",
            default="$XDG_RUNTIME_DIR/labtrawl-<hash of data_dir>, else <data_dir>/run",
        ),
    ]
    mode: Annotated[
        Literal["team", "study"],
        about(
            "For whom data are collected. team: from your own accounts, as GitLab sends them; study: "
            "from participants, with their consent and pseudonyms. A data folder keeps its first."
        ),
    ] = "team"
    basis: Annotated[
        str,
        about("Why these data are collected, in a sentence; shown on exports."),
    ] = ""
    contact: Annotated[
        str, about("An address that GitLab's administrators find in our User-Agent.")
    ] = ""
    credentials: Annotated[
        Literal["task", "environment"],
        about(
            "How crawlers get tokens. task: each with its job; environment: the first account's as "
            "GITLAB_TOKEN and GITLAB_URL, which is less safe and warned of."
        ),
    ] = "task"
    socket: Socket
    auth_socket: AuthSocket
    website: Website = Website()
    lease: Lease = Lease()
    heartbeat: Heartbeat = Heartbeat()
    dedup: Dedup = Dedup()
    flood: Flood = Flood()
    breaker: Breaker = Breaker()
    crawler: Crawler = Crawler()
    budget: Budget = Budget()
    segment: Segment = Segment()
    scope: Scope = Scope()
    retry: Retry = Retry()
    schedule: Timetable = Timetable()
    backup: Backup = Backup()
    notices: Notices = Notices()
    logs: Logs = Logs()
    instances: tuple[Instance, ...] = ()
    accounts: tuple[Account, ...] = ()
    named: tuple[str, ...] = ()
    file: Path | None = None
    overrides: dict[str, str] = {}


def dump(settings: Settings) -> bytes:
    """Return the settings as JSON, for a child's control channel."""
    return msgspec.json.encode(settings, enc_hook=_to_text)


def _to_text(value: object) -> str:
    return value.reveal() if isinstance(value, Secret) else str(value)


def restore(text: bytes | msgspec.Raw) -> Settings:
    """Return the settings that `dump` wrote; msgspec.ValidationError for anything else."""
    return msgspec.json.decode(text, type=Settings, dec_hook=from_text)


def from_text(wanted: type, value: object) -> Path | Secret:
    """Make a Path or a Secret of a text, for msgspec, which knows texts only."""
    if isinstance(value, str) and value and "\0" not in value:
        if wanted is Path:
            return Path(value)
        if wanted is Secret:
            return Secret(value)
    raise ValueError(f"cannot make {wanted.__name__} of {type(value).__name__}")
