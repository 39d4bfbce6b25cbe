"""The settings, for admins: what is set and why, changed one at a time, then applied."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import msgspec
from fastapi import FastAPI, Request
from fastapi.responses import HTMLResponse, RedirectResponse
from starlette.responses import Response

from labtrawl.errors import BadMessage, ConfigError, Conflict, LabtrawlError
from labtrawl.store import audit
from labtrawl.store.audit import AuditRow, Entry
from labtrawl.store.engine import Connection
from labtrawl.website.access import twin_of
from labtrawl.website.answering import twins
from labtrawl.website.answering.desk import Desk
from labtrawl.website.answering.speaking import answer, asked
from labtrawl.website.answering.twins import Described, Shown
from labtrawl.website.door.callers import visitor_of
from labtrawl.website.given.sheet import Change, SettingRow, Sheet
from labtrawl.website.parts.asking import SettingName, form_fields
from labtrawl.website.parts.reasons import LONGEST_REASON

CHANGED, APPLIED = "settings change", "settings apply"
HISTORY = 20
LONGEST_VALUE = 300
DEFAULT = "default"
ARROW = " -> "


@dataclass(frozen=True, slots=True)
class Wish:
    """What was asked for: a value in words, and why; `seen` is None where nobody looked before."""

    name: str
    words: str
    seen: str | None
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


class ChangeWanted(msgspec.Struct, frozen=True, kw_only=True):
    """A change of one setting by a program: `value` as the page's form takes it, null: the default.

    `seen` is the value that it was made for; left out, whatever is there now.
    """

    because: str
    value: str | None
    seen: str | None = None


class Saved(msgspec.Struct, frozen=True):
    """What was written into the file; it counts once it is applied."""

    name: str
    old: str
    now: str


class Applied(msgspec.Struct, frozen=True):
    """What an apply did, a sentence each."""

    done: tuple[str, ...]


class PastChange(msgspec.Struct, frozen=True, kw_only=True):
    """A change or an apply that was made here; an apply has no values, but what it did as `now`."""

    at: datetime
    who: str
    setting: str
    old: str
    now: str
    because: str
    is_apply: bool


class SettingsTold(msgspec.Struct, frozen=True, kw_only=True):
    """Every setting, with no secret in it; `problem` is why none can be changed now."""

    file: str
    problem: str
    settings: tuple[SettingRow, ...]
    history: tuple[PastChange, ...]


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

    @twins.page(app, desk, "/settings", SettingsTold, "Every setting, and who changed which")
    async def show(saved: SettingName = "") -> Shown:
        return await _shown(desk, saved=saved)

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

    _add_for_programs(app, desk)


def _add_for_programs(app: FastAPI, desk: Desk) -> None:
    """Add the twins of the forms, which answer with the page itself where they refuse."""
    apply_twin = twin_of("POST", "/settings/apply")
    change_twin = twin_of("POST", "/settings/{setting}")
    twins.described(app)["POST", apply_twin] = Described(
        "Have what runs read the settings again", Applied
    )
    twins.described(app)["POST", change_twin] = Described(
        "Write a change of a setting into the file", Saved, ChangeWanted
    )

    @app.post(apply_twin)
    async def apply(request: Request) -> Response:
        outcome = await _apply(desk, request)
        if outcome.refused:
            raise Conflict("; ".join(outcome.sentences))
        return answer(Applied(tuple(outcome.sentences)))

    @app.post(change_twin)
    async def change(setting: str, request: Request) -> Response:
        wanted = await asked(request, ChangeWanted)
        because = " ".join(wanted.because.split())
        words, is_default = wanted.value or "", wanted.value is None
        try:
            done = await _save(
                desk, request, Wish(setting, words, wanted.seen, because, is_default)
            )
        except ConfigError as error:
            raise BadMessage(str(error)) from error
        return answer(Saved(done.name, done.old, done.now))


async def _save(desk: Desk, request: Request, wish: Wish) -> Change:
    """Write the change into the file and the audit log: both, or neither."""
    settings, keys = desk.site.settings, desk.site.audit_keys()
    words = None if wish.wants_default else wish.words
    seen = wish.seen
    if seen is None:
        sheet = await asyncio.to_thread(settings.read)
        seen = next((row.value for row in sheet.rows if row.name == wish.name), "")
    change = await asyncio.to_thread(settings.prepare, wish.name, words, seen)
    _check_reason(wish.because)
    entry = _entry(request, CHANGED, wish.name, _told(change), wish.because)

    def both(connection: Connection) -> None:
        audit.append(connection, keys, entry)
        settings.put(change)

    await desk.site.store.write(both)
    return change


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
    return f"{_short(change.old)}{ARROW}{_short(change.now)}"


def _short(value: str) -> str:
    told = ", ".join(value.splitlines()) or "nothing"
    return told if len(told) <= LONGEST_VALUE else f"{told[:LONGEST_VALUE]} …"


async def _page(
    desk: Desk, *, status: int, refusal: Refusal | None = None, outcome: Outcome | None = None
) -> HTMLResponse:
    shown = await _shown(desk, refusal=refusal, outcome=outcome)
    return desk.page(shown.template, status=status, told=shown.told, **shown.values)


async def _shown(
    desk: Desk, *, saved: str = "", refusal: Refusal | None = None, outcome: Outcome | None = None
) -> Shown:
    sheet = await asyncio.to_thread(desk.site.settings.read)
    rows = await desk.site.store.read(
        lambda connection: audit.newest_of(connection, (CHANGED, APPLIED), HISTORY)
    )
    told = SettingsTold(
        file=str(sheet.file or ""),
        problem=sheet.problem,
        settings=sheet.rows,
        history=tuple(_past(row) for row in rows),
    )
    values = {
        "sheet": sheet,
        "saved": _known(sheet, saved),
        "refusal": refusal,
        "outcome": outcome,
        "longest_reason": LONGEST_REASON,
    }
    return Shown("settings.html", told, values=values)


def _past(row: AuditRow) -> PastChange:
    entry = row.entry
    is_apply = entry.action == APPLIED
    old, _, now = ("", "", entry.outcome) if is_apply else entry.outcome.partition(ARROW)
    return PastChange(
        at=datetime.fromtimestamp(row.at / 1000, UTC),
        who=entry.client,
        setting="" if is_apply else entry.target,
        old=old,
        now=now,
        because=entry.detail,
        is_apply=is_apply,
    )


def _known(sheet: Sheet, name: str) -> str:
    """Return the name of a setting as it is, nothing for what is none."""
    return name if any(row.name == name for row in sheet.rows) else ""
