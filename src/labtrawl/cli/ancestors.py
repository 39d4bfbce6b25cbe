"""What each setting of the ancestors is here: ours, by what conversion, or why it means nothing.

Pure; `config_import` reads the files and writes ours. Their settings were YAML of the website and
the crawlers, and environment variables; a key stands here as both wrote it, with dots for nesting.
"""

from collections.abc import Callable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import get_args
from urllib.parse import urlsplit

from labtrawl.config import SETTINGS, Setting
from labtrawl.domain.credential import Secret
from labtrawl.errors import ConfigError
from labtrawl.http import canonical_url

Value = str | int | float | list[str]
INSTANCE = "url of [[instances]]"

_OUR_VARIABLES = {name: row for row in SETTINGS for name in row.environment}


@dataclass(frozen=True, slots=True)
class Verdict:
    """What becomes of one key. `values` are settings of ours; `words` never hold a secret."""

    key: str
    kind: str
    """taken, renamed, secret, without meaning, not usable or unknown"""
    values: dict[str, Value]
    words: str = ""


@dataclass(frozen=True, slots=True)
class _Move:
    setting: str
    make: Callable[[object], Value]


def judge(key: str, value: object) -> Verdict:
    """Say what a key of the ancestors is here."""
    for pattern, why in _SECRETS.items():
        if _fits(key, pattern):
            return Verdict(key, "secret", {}, why)
    for pattern, move in _MOVES.items():
        if _fits(key, pattern):
            return _moved(key, value, move)
    for why, patterns in _GONE.items():
        if any(_fits(key, pattern) for pattern in patterns):
            return Verdict(key, "without meaning", {}, why)
    if key in _OUR_VARIABLES and _is_secret(_OUR_VARIABLES[key]):
        return Verdict(key, "secret", {}, _KEPT)
    if key in _OUR_VARIABLES:
        return _moved(key, value, _own(_OUR_VARIABLES[key]))
    return Verdict(key, "unknown", {})


def _fits(key: str, pattern: str) -> bool:
    """A pattern stands for its key and all that is nested below it."""
    return fnmatchcase(key, pattern) or fnmatchcase(key, f"{pattern}.*")


def _moved(key: str, value: object, move: _Move) -> Verdict:
    try:
        made = move.make(value)
    except (ValueError, TypeError, KeyError, ConfigError):
        return Verdict(key, "not usable", {}, f"its value cannot become {move.setting}")
    is_ours = key in _OUR_VARIABLES and _OUR_VARIABLES[key].name == move.setting
    return Verdict(key, "taken" if is_ours else "renamed", {move.setting: made})


def _is_secret(row: Setting) -> bool:
    return Secret in get_args(get_args(row.annotation)[0])


def _own(row: Setting) -> _Move:
    """A variable of ours, which their environment may hold already."""
    if row.is_list:
        return _Move(row.name, _patterns)
    if row.expects.startswith("a whole number"):
        return _Move(row.name, _count)
    return _Move(row.name, _number if row.expects.startswith("a number") else _word)


def _number(value: object) -> Value:
    return float(str(value))


def _word(value: object) -> Value:
    if not isinstance(value, str) or not value:
        raise ValueError
    return value


def _count(value: object) -> Value:
    return int(str(value))


def _one_more(value: object) -> Value:
    """They counted retries, we count tries."""
    return int(str(value)) + 1


def _seconds(value: object) -> Value:
    """They counted milliseconds."""
    return float(str(value)) / 1000


def _a_minute(value: object) -> Value:
    """They counted requests a second."""
    return round(float(str(value)) * 60)


def _level(value: object) -> Value:
    return _LEVELS[str(value).lower()]


def _form(value: object) -> Value:
    return {"json": "json", "pretty": "console", "text": "console"}[str(value).lower()]


def _patterns(value: object) -> Value:
    if isinstance(value, str):
        value = [each.strip() for each in value.split(",")]
    if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
        raise ValueError
    return [each for each in value if each]


def _url(value: object) -> Value:
    """An address with a user or a password in it is refused: it would be kept in clear."""
    text = str(_word(value)).rstrip("/").removesuffix("/api/v4")
    text = text if "://" in text else f"https://{text}"
    parts = urlsplit(text)
    if parts.username or parts.password or parts.query or parts.fragment:
        raise ValueError
    return canonical_url(text)


_LEVELS = {
    **dict.fromkeys(("trace", "silly", "verbose", "debug"), "debug"),
    **dict.fromkeys(("info", "notice"), "info"),
    **dict.fromkeys(("warn", "warning"), "warning"),
    **dict.fromkeys(("error", "fatal", "critical"), "error"),
}

_KEPT = "not copied; keep it in the environment, where labtrawl reads it"
_TOKEN = "not copied; give it to `labtrawl init --add`, which checks and encrypts it"  # noqa: S105
_OAUTH = "not copied; `labtrawl init --oauth` takes it and encrypts it"
_CRAWLER_TOKEN = "not copied; better make one for each client: `labtrawl token create`"  # noqa: S105
_SECRETS: dict[str, str] = {
    **dict.fromkeys(
        (
            *("gitlab.accessToken", "gitlab.refreshToken", "gitlab.token", "auth.token"),
            *("auth.accessToken", "auth.refreshToken", "GITLAB_TOKEN", "GITLAB_ACCESS_TOKEN"),
            *("GITLAB_REFRESH_TOKEN", "GITLAB_API_TOKEN"),
        ),
        _TOKEN,
    ),
    **dict.fromkeys(
        (
            *("auth.providers.*.clientId", "auth.providers.*.clientSecret", "auth.clientId"),
            *("auth.clientSecret", "GITLAB_CLIENT_ID", "GITLAB_CLIENT_SECRET"),
            *("oauth2.providers.*.clientId", "oauth2.providers.*.clientSecret"),
        ),
        _OAUTH,
    ),
    **dict.fromkeys(("app.CRAWLER_API_TOKEN", "CRAWLER_API_TOKEN"), _CRAWLER_TOKEN),
}

_MOVES: dict[str, _Move] = {
    **dict.fromkeys(
        ("paths.dataRoot", "DATA_ROOT", "DATA_DIR", "outputDir", "output.rootDir"),
        _Move("data_dir", _word),
    ),
    **dict.fromkeys(("SOCKET_PATH", "socketPath", "socket.path"), _Move("socket.path", _word)),
    **dict.fromkeys(("HOST",), _Move("website.host", _word)),
    **dict.fromkeys(("PORT",), _Move("website.port", _count)),
    **dict.fromkeys(
        ("SOCKET_HEARTBEAT_INTERVAL", "heartbeatInterval", "socket.heartbeatInterval"),
        _Move("heartbeat.seconds", _seconds),
    ),
    **dict.fromkeys(
        ("socket.heartbeatTimeout", "heartbeatTimeout"),
        _Move("heartbeat.silence_seconds", _seconds),
    ),
    **dict.fromkeys(
        ("SOCKET_MAX_CONCURRENT_JOBS", "socket.maxConcurrentJobs", "concurrency"),
        _Move("crawler.jobs", _count),
    ),
    **dict.fromkeys(
        ("gitlab.maxConcurrency", "GITLAB_MAX_CONCURRENCY"), _Move("crawler.requests", _count)
    ),
    "maxRetries": _Move("retry.attempts", _one_more),
    "socket.retryAttempts": _Move("retry.attempts", _count),
    **dict.fromkeys(("retryDelayMs", "socket.retryDelay"), _Move("retry.base_seconds", _seconds)),
    **dict.fromkeys(
        ("LOG_LEVEL", "SOCKET_LOG_LEVEL", "logLevel", "logging.level"), _Move("logs.level", _level)
    ),
    **dict.fromkeys(("LOG_FORMAT", "logFormat", "logging.format"), _Move("logs.format", _form)),
    "requestsPerSecond": _Move("budget.requests_per_minute", _a_minute),
    **dict.fromkeys(
        ("maxMessageSize", "socket.maxMessageSize"), _Move("socket.max_message_bytes", _count)
    ),
    "includeResources.paths": _Move("scope.include", _patterns),
    **dict.fromkeys(
        (
            *("gitlabUrl", "gitlab.host", "gitlab.url", "auth.providers.gitlab*.baseUrl"),
            *("GITLAB_HOST", "GITLAB_URL", "GITLAB_BASE_URL"),
        ),
        _Move(INSTANCE, _url),
    ),
}

_GONE: dict[str, tuple[str, ...]] = {
    "there is one way to run, with no mode for development": ("dev", "enableHotReload"),
    "the website is at website.host and website.port": ("baseUrl", "oauth2.server"),
    "labtrawl sends no mail": ("email",),
    "everything has its fixed place below data_dir": (
        *("paths", "LOOKUP_DB_PATH", "BACKUP_PATH", "database", "DATABASE_*", "stateFile"),
        *("output.directory", "output.fileNaming", "fileNamingStrategy", "OUTPUT_*"),
    ),
    "labtrawl makes its own keys": (
        *("hashing", "ANONYMIZATION_SECRET", "LOOKUP_DB_DISABLE_IO", "auth.secret"),
        "BETTER_AUTH_SECRET",
    ),
    "the first sign-in is by the link that `labtrawl admin link` prints": (
        *("auth.initCode", "INIT_CODE", "auth.admins", "auth.allowDifferentEmails"),
        *("auth.trustedOrigins", "auth.trustedProviders"),
    ),
    "it follows from the address of the GitLab, or is for another system": ("auth.providers",),
    "failed jobs are tried again as retry.* says": (
        *("app.sendFailedJobsToCrawler", "backoffFactor", "jitter", "socket.jobTimeout"),
    ),
    "settings are in labtrawl.toml, or where --config says": ("SETTINGS_FILE", "COPIMA_CONFIG_*"),
    "the socket is a file, never a port, and checked at the start": (
        *("SOCKET_HOST", "SOCKET_PORT", "CHECK_SOCKET", "useUnixSocketsOnly"),
    ),
    "the protocol sets these bounds itself": (
        *("SOCKET_*", "socket", "maxQueueLength", "circuitBreaker"),
        "batchSize",
    ),
    "GitLab's own limits are kept: they are read from its answers": (
        *("resourceSpecificRateLimits", "gitlab.rateLimit"),
        *("GITLAB_RATE_LIMIT", "gitlab.timeout", "GITLAB_TIMEOUT", "timeout", "maxPageSize"),
        "concurrencyPerType",
    ),
    "the crawl is bounded in memory whatever its size": ("memoryLimitMB",),
    "only what an account may see is collected": ("includeExternalData",),
    "areas are named by their path, in scope.include": ("includeResources",),
    "no code of others runs inside a crawl": ("hooks", "callbacks", "CALLBACK_*"),
    "the status is on the website and in `labtrawl status`": (
        *("monitoringPort", "OTEL_EXPORTER_OTLP_ENDPOINT", "progress", "PROGRESS_*"),
    ),
    "log files are kept in data_dir/logs and rotated": (*("log*", "logging", "LOG_*"),),
    "the supervisor knows what it runs and restarts it": ("processes", "groups", "rollingUpdate"),
    "a crawl always goes on where it stopped": ("resume", "RESUME_*"),
    "the dataset has one form: JSON lines in zstd": ("output",),
}
