"""The settings, for admins: what is set and why, changed one at a time, then applied."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from fastapi import FastAPI, Request
from fastapi.responses import HTMLResponse, RedirectResponse
from starlette.responses import Response

from labtrawl.errors import ConfigError, Conflict, LabtrawlError
from labtrawl.store import audit
from labtrawl.store.audit import Entry
from labtrawl.store.engine import Connection
from labtrawl.website.asking import SettingName, form_fields
from labtrawl.website.callers import visitor_of
from labtrawl.website.desk import Desk
from labtrawl.website.sheet import Change, Sheet

CHANGED, APPLIED = "settings change", "settings apply"
HISTORY = 20
LONGEST_REASON = 200
LONGEST_VALUE = 300
DEFAULT = "default"


@dataclass(frozen=True, slots=True)
class Wish:
    """What a form asked for: a value in words, and why."""

    name: str
    words: str
    seen: str
    because: str
    wants_default: bool

    @classmethod
    async def read(cls, name: str, request: Request) -> "Wish":
        """Return the wish of a form."""
        fields = await form_fields(request)
        return cls(
            name,
            fields.get("value", ""),
            fields.get("seen", ""),
            " ".join(fields.get("because", "").split()),
            fields.get("to") == DEFAULT,
        )


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a wish is not done, one sentence, told at its field."""

    wish: Wish
    sentence: str


@dataclass(frozen=True, slots=True)
class Outcome:
    """What an apply did, a sentence each, or why it was refused."""

    sentences: Sequence[str]
    refused: bool = False


def add(app: FastAPI, desk: Desk) -> None:
    """Add /settings, a change of one, and their apply."""

    @app.get("/settings")
    async def show(saved: SettingName = "") -> HTMLResponse:
        return await _page(desk, saved=saved)

    @app.post("/settings/apply")
    async def apply(request: Request) -> HTMLResponse:
        outcome = await _apply(desk, request)
        return await _page(desk, status=409 if outcome.refused else 200, outcome=outcome)

    @app.post("/settings/{setting}")
    async def change(setting: str, request: Request) -> Response:
        wish = await Wish.read(setting, request)
        try:
            await _save(desk, request, wish)
        except (ConfigError, Conflict) as error:
            status = 409 if isinstance(error, Conflict) else 422
            return await _page(desk, status=status, refusal=Refusal(wish, str(error)))
        return RedirectResponse(f"/settings?saved={setting}#{setting}", 303)


async def _save(desk: Desk, request: Request, wish: Wish) -> None:
    """Write the change into the file and the audit log: both, or neither."""
    settings, keys = desk.site.settings, desk.site.audit_keys()
    words = None if wish.wants_default else wish.words
    change = await asyncio.to_thread(settings.prepare, wish.name, words, wish.seen)
    _check_reason(wish.because)
    entry = _entry(request, CHANGED, wish.name, _told(change), wish.because)

    def both(connection: Connection) -> None:
        audit.append(connection, keys, entry)
        settings.put(change)

    await desk.site.store.write(both)


def _check_reason(because: str) -> None:
    if not because:
        raise ConfigError("say why it is changed: whoever looks at it later will want to know")
    if len(because) > LONGEST_REASON:
        raise ConfigError(f"say why it is changed in at most {LONGEST_REASON} characters")


async def _apply(desk: Desk, request: Request) -> Outcome:
    try:
        outcome = Outcome(await desk.site.settings.apply() or ("nothing else had to change",))
    except LabtrawlError as error:
        outcome = Outcome((str(error),), refused=True)
    told = "; ".join(outcome.sentences)
    said = f"refused: {told}" if outcome.refused else told
    entry = _entry(request, APPLIED, "all that was saved", said[:LONGEST_VALUE], "")
    keys = desk.site.audit_keys()
    await desk.site.store.write(lambda connection: audit.append(connection, keys, entry))
    return outcome


def _entry(request: Request, action: str, target: str, outcome: str, detail: str) -> Entry:
    visitor = visitor_of(request)
    tier = visitor.tier.value if visitor.tier else "none"
    return Entry(tier, visitor.client, visitor.level, action, target, outcome, detail)


def _told(change: Change) -> str:
    return f"{_short(change.old)} -> {_short(change.now)}"


def _short(value: str) -> str:
    told = ", ".join(value.splitlines()) or "nothing"
    return told if len(told) <= LONGEST_VALUE else f"{told[:LONGEST_VALUE]} …"


async def _page(
    desk: Desk,
    *,
    status: int = 200,
    saved: str = "",
    refusal: Refusal | None = None,
    outcome: Outcome | None = None,
) -> HTMLResponse:
    sheet = await asyncio.to_thread(desk.site.settings.read)
    history = await desk.site.store.read(
        lambda connection: audit.newest_of(connection, (CHANGED, APPLIED), HISTORY)
    )
    return desk.page(
        "settings.html",
        status=status,
        sheet=sheet,
        saved=_known(sheet, saved),
        refusal=refusal,
        outcome=outcome,
        history=history,
        longest_reason=LONGEST_REASON,
    )


def _known(sheet: Sheet, name: str) -> str:
    """Return the name of a setting as it is, nothing for what is none."""
    return name if any(row.name == name for row in sheet.rows) else ""
