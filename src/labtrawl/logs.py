"""Logs: one snake_case event plus keys, secrets masked, one line each, on stderr.

Set up once by `cli` (or by a supervised child with the settings it was handed); every room may call
`get` with its category: "supervisor", "website", "crawler", "messaging.direct-client", …
info = a state changed; warning = look when you can; error = a person must act.
"""

import io
import logging
import re
import sys
import unicodedata
from collections.abc import Mapping
from typing import Any, Literal, TextIO

from labtrawl.config import Logs
from labtrawl.domain.credential import Secret

# structlog imports rich where it is installed, for a renderer that is not used here: 5 MB in every
# process. It takes an absent rich as it should, so rich is absent while structlog is imported.
_hidden = "rich" not in sys.modules
if _hidden:
    sys.modules["rich"] = None  # type: ignore[assignment]  # as documented for sys.modules
import structlog  # noqa: E402
from structlog.typing import EventDict, FilteringBoundLogger, Processor, WrappedLogger  # noqa: E402

if _hidden:
    del sys.modules["rich"]

Stream = TextIO | io.TextIOBase
MASK = "[secret]"
_SHORTEST_SECRET = 8
_PLAIN = (int, float, bool, type(None))
# GitLab's token prefixes: docs.gitlab.com/security/tokens/#token-prefixes
_PATTERNS = re.compile(
    r"\b(?:gl(?:pat|oas|dt|rtr?|cbt|ptt|ft|imt|agent|wt|soat|ffct)-|GR1348941)[A-Za-z0-9_.=-]{8,}"
    r"|\beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{4,}\.[A-Za-z0-9_-]*"
    r"|(?<=\bBearer )[^\s\"',;\\]{8,}"
    r"|(?<=://)[^/\s:@\"']+:[^/\s@\"']+(?=@)",
    re.IGNORECASE,
)


class _Concealed:
    """The exact texts that must never be written; grows during a run, one for the process."""

    def __init__(self) -> None:
        self._texts: set[str] = set()
        self._pattern: re.Pattern[str] | None = None

    def add(self, text: str) -> None:
        if text not in self._texts:
            self._texts.add(text)
            self._compile()

    def remove(self, text: str) -> None:
        self._texts.discard(text)
        self._compile()

    def _compile(self) -> None:
        longest_first = sorted(self._texts, key=len, reverse=True)
        joined = "|".join(map(re.escape, longest_first))
        self._pattern = re.compile(joined) if joined else None

    def mask(self, text: str) -> str:
        return self._pattern.sub(MASK, text) if self._pattern else text


_concealed = _Concealed()


def conceal(secret: Secret) -> None:
    """Never write this text, wherever it turns up; texts under 8 characters are no secrets."""
    if len(secret.reveal()) >= _SHORTEST_SECRET:
        _concealed.add(secret.reveal())


def forget(secret: Secret) -> None:
    """Take back `conceal`, for what is of no use to anybody any more."""
    _concealed.remove(secret.reveal())


def mask(text: str) -> str:
    """Return the text with concealed values and whatever looks like a token replaced."""
    return _PATTERNS.sub(MASK, _concealed.mask(text))


def escape(text: str) -> str:
    """Return the text on one line, without characters that steer a terminal or its direction."""
    if text.isprintable():
        return text
    return "".join(each if _is_harmless(each) else _escaped(each) for each in text)


def _is_harmless(character: str) -> bool:
    return unicodedata.category(character) not in {"Cc", "Cf", "Cs", "Zl", "Zp"}


def _escaped(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")


def get(name: str) -> FilteringBoundLogger:
    """Return the logger of a category; loggers made before `set_up` follow it as well."""
    logger: FilteringBoundLogger = structlog.get_logger(name)
    return logger


def name(**keys: object) -> None:
    """Put these keys into each later event of this task and of those that it starts.

    An event of its own word wins. Outside of a task it lasts as long as the process.
    """
    structlog.contextvars.bind_contextvars(**keys)


def chosen_format(
    wanted: Literal["auto", "console", "json"], stream: Stream
) -> Literal["console", "json"]:
    """Resolve `auto`: console on a terminal, JSON lines otherwise."""
    if wanted == "auto":
        return "console" if stream.isatty() else "json"
    return wanted


def is_set_up() -> bool:
    """Say whether `set_up` was called in this process."""
    return structlog.is_configured()


def set_up(wanted: Logs | None = None, stream: Stream | None = None) -> None:
    """Send every log of the process, those of libraries too, to `stream` (default stderr)."""
    settings = wanted or Logs()
    out = sys.stderr if stream is None else stream
    form = chosen_format(settings.format, out)
    number = logging.getLevelNamesMapping()[settings.level.upper()]
    structlog.configure(
        processors=_processors(form, colors=out.isatty()),
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=lambda *names: _Writer(out, *names),
        cache_logger_on_first_use=False,
    )
    _adopt_library_logs(number)


def _processors(form: Literal["console", "json"], *, colors: bool) -> list[Processor]:
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        _add_category,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
    ]
    if form == "json":
        return [*shared, _mask_values, structlog.processors.JSONRenderer(default=str)]
    return [*shared, _mask_values, _Console(colors=colors)]


def _add_category(logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    event["logger"] = logger.name
    return event


def _mask_values(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    first = {key: event.pop(key) for key in ("timestamp", "level", "logger", "event")}
    return {key: _masked(value) for key, value in (first | dict(event)).items()}


def _masked(value: object) -> Any:
    if isinstance(value, _PLAIN):
        return value
    if isinstance(value, Mapping):
        return {mask(str(key)): _masked(each) for key, each in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [_masked(each) for each in value]
    return mask(str(value))


_COLORS = {"debug": "2", "info": "32", "warning": "33", "error": "31;1", "critical": "31;1"}


class _Console:
    """Renders an event for people; always one line."""

    def __init__(self, *, colors: bool) -> None:
        self._colors = colors

    def __call__(self, _logger: WrappedLogger, _method: str, event: EventDict) -> str:
        return in_words(event, colors=self._colors)


def in_words(event: Mapping[str, object], *, colors: bool) -> str:
    """Return an event, such as a JSON line of a log holds, as one line for people.

    Time of day (UTC), level, category, event, keys; what an event lacks is left out.
    """
    rest = dict(event)
    time = escape(str(rest.pop("timestamp", "")))[11:23]
    level = escape(str(rest.pop("level", "info")))
    shown = f"\x1b[{_COLORS[level]}m{level:<7}\x1b[0m" if colors and level in _COLORS else level
    head = [*([time] if time else []), f"{shown:<7}"]
    head.append(f"{escape(str(rest.pop('logger', '')))}: {escape(str(rest.pop('event', '')))}")
    return " ".join([*head, *(f"{escape(key)}={_shown(value)}" for key, value in rest.items())])


def _shown(value: object) -> str:
    text = escape(str(value))
    return f'"{text}"' if " " in text or not text else text


class _Writer:
    """Writes a finished line; a reader that went away does not stop the work that is logged."""

    def __init__(self, stream: Stream, name: str = "") -> None:
        self._stream = stream
        self.name = name

    def msg(self, message: str) -> None:
        try:
            self._stream.write(message + "\n")
            self._stream.flush()
        except (OSError, ValueError):
            return  # the terminal or the supervisor is gone: there is nobody left to tell

    debug = info = warning = error = critical = exception = log = msg


class _LibraryHandler(logging.Handler):
    """Passes what libraries log through the same masks, as the event `library_message`."""

    def emit(self, record: logging.LogRecord) -> None:
        logger = structlog.get_logger(record.name)
        logger.log(
            record.levelno,
            "library_message",
            message=record.getMessage(),
            **({"exc_info": record.exc_info} if record.exc_info else {}),
        )


# These tell of every request, statement or step at info; the house has its own events for that.
_TALKATIVE = ("uvicorn.access", "uvicorn.error", "sqlalchemy.engine", "asyncio", "alembic")


def _adopt_library_logs(level: int) -> None:
    root = logging.getLogger()
    root.handlers[:] = [_LibraryHandler()]
    root.setLevel(level)
    for name in _TALKATIVE:
        logging.getLogger(name).setLevel(max(level, logging.WARNING))
    for name in ("uvicorn", "uvicorn.error", "uvicorn.access"):
        logging.getLogger(name).handlers.clear()
        logging.getLogger(name).propagate = True
    logging.captureWarnings(capture=True)
