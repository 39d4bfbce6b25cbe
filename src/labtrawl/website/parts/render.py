"""Templates and their filters. Everything is escaped; what GitLab wrote cannot become markup."""

import re
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from labtrawl import __version__
from labtrawl.domain.consent import Mode
from labtrawl.domain.waits import Around, Job, Wait, left, why
from labtrawl.website.access import Who
from labtrawl.website.parts import words
from labtrawl.website.parts.addresses import address_of_cause, address_with_state
from labtrawl.website.parts.assets import Asset
from labtrawl.website.parts.navigation import bar

# Control characters have no place on a page; a tab and a line break have.
CONTROLS = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")

NOTHING = "\N{EN DASH}"

# Set at the door for each request: the frame of every page, of failures too, depends on it.
ROLES: ContextVar[frozenset[Who]] = ContextVar("roles", default=frozenset())


def clean(value: object) -> object:
    """Make what a template writes harmless: texts lose their control characters."""
    if isinstance(value, str) and not isinstance(value, Markup):
        return CONTROLS.sub("\N{REPLACEMENT CHARACTER}", value)
    return value


def number(value: float | None) -> str:
    """Write a number with thousands marks."""
    return NOTHING if value is None else f"{value:,.0f}"


def size(value: int) -> str:
    """Write a number of bytes for people."""
    amount = float(value)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if amount < 1024:
            return f"{amount:,.0f} {unit}" if unit == "B" else f"{amount:,.1f} {unit}"
        amount /= 1024
    return f"{amount:,.1f} TiB"


def instant(value: datetime | int | None, form: str = "%d %b %Y, %H:%M:%S UTC") -> Markup:
    """Write an instant (aware, or milliseconds since the epoch) as a <time> in UTC."""
    if value is None:
        return Markup('<span class="none">&ndash;</span>')
    when = datetime.fromtimestamp(value / 1000, UTC) if isinstance(value, int) else value
    exact = f"{when:%Y-%m-%d %H:%M:%S} UTC"
    shown = when.strftime(form)
    return Markup('<time datetime="{}" title="{}">{}</time>').format(
        f"{when:%Y-%m-%dT%H:%M:%SZ}", exact, shown
    )


def short_instant(value: datetime | int | None) -> Markup:
    """Write an instant for a narrow column: its head says that it is UTC."""
    return instant(value, "%d %b, %H:%M:%S")


def brief_instant(milliseconds: int, form: str) -> Markup:
    """Write an instant for a table with many: its head says that it is UTC."""
    when = datetime.fromtimestamp(milliseconds / 1000, UTC)
    return Markup('<time datetime="{}">{}</time>').format(
        f"{when:%Y-%m-%dT%H:%MZ}", when.strftime(form)
    )


def measure(value: float | None) -> str:
    """Write a figure of a chart: whole from 100 on, three digits below."""
    if value is None:
        return NOTHING
    return f"{value:,.0f}" if value >= 100 or value == int(value) else f"{value:.3g}"


def duration(milliseconds: int | None) -> str:
    """Write a length of time for people."""
    if milliseconds is None:
        return NOTHING
    if milliseconds < 100:
        return f"{max(milliseconds, 0)} ms"
    seconds = milliseconds / 1000
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02} min" if hours else f"{minutes} min {rest:02} s"


def percent(part: int, whole: int) -> int:
    """Return the share in whole percent; 100 only when all of it is there."""
    if whole <= 0:
        return 0
    return 100 if part >= whole else min(99, part * 100 // whole)


def breakable(path: str) -> Markup:
    """Let a long path break after its slashes."""
    return Markup("/<wbr>").join(escape(clean(part)) for part in path.split("/"))


# What every template may use.
KNOWN: Mapping[str, Any] = {
    "version": __version__,
    "for_admin": lambda: Who.ADMIN in ROLES.get(),
    "address_of_cause": address_of_cause,
    "address_with_state": address_with_state,
    "states": words.STATES,
    "holds": words.HOLDS,
    "explain": words.explain,
    "is_refusal": words.is_refusal,
    "resource_title": words.resource_title,
    "kind_title": words.kind_title,
    "endpoints_title": words.endpoints_title,
    "role_title": words.role_title,
    "left": left,
}


class Renderer:
    """Renders templates; `page` is a whole page, `part` a macro of it."""

    def __init__(
        self,
        assets: Mapping[str, Asset],
        contact: str,
        mode: str = Mode.TEAM,
        wait_of: Callable[[Job], Wait | None] = lambda job: why(job, Around()),
    ) -> None:
        self._environment = Environment(
            loader=PackageLoader("labtrawl.website"),
            autoescape=True,
            auto_reload=False,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            finalize=clean,
        )
        filters = (
            *(number, size, instant, short_instant, brief_instant, measure),
            *(duration, percent, breakable),
        )
        self._environment.filters |= {each.__name__: each for each in filters}
        self._environment.globals |= {
            "asset": lambda name: f"/static/{name}?v={assets[name].version}",
            "contact": contact,
            "bar": lambda: bar(ROLES.get(), mode),
            "wait_of": wait_of,
            **KNOWN,
        }

    def page(self, template: str, **values: Any) -> str:
        """Render a template file."""
        return self._environment.get_template(template).render(**values)

    def part(self, template: str, macro: str, *values: Any) -> str:
        """Render one macro of a template, the same that its page uses."""
        module = self._environment.get_template(template).module
        return str(getattr(module, macro)(*values))
