"""For the administrators of a GitLab that is crawled: who does it, how fast, and how to stop it."""

from dataclasses import dataclass
from typing import Any

from fastapi import FastAPI, Request
from starlette.responses import RedirectResponse, Response

from labtrawl.store import notices
from labtrawl.store.engine import Connection
from labtrawl.website.answering import twins
from labtrawl.website.answering.desk import Desk
from labtrawl.website.answering.twins import Shown
from labtrawl.website.care import noticing
from labtrawl.website.parts.asking import form_fields

MOST_AN_HOUR = 10
LONGEST_CONTACT, LONGEST_WORDS = 200, 2000
MANY = "many requests came within the last hour: please write to the contact above"


@dataclass(frozen=True, slots=True)
class AboutTold:
    """What anybody may know of this crawl; a limit of 0 is GitLab's own."""

    contact: str
    basis: str
    user_agent: str
    requests_per_minute: int
    left_to_people_percent: int
    requests_at_once: int
    quiet_hours: list[str]


def add(app: FastAPI, desk: Desk) -> None:
    """Add /about, and the request to stop."""

    @twins.page(app, desk, "/about", AboutTold, "Who crawls, how fast, and whom to ask")
    async def show(asked: bool = False) -> Shown:
        return Shown("about.html", _told(desk), values=_form(asked=asked))

    @app.post("/about/stop")
    async def stop(request: Request) -> Response:
        fields = await form_fields(request)
        contact = " ".join(fields.get("contact", "").split())
        words = fields.get("words", "").strip()
        status, wrong = 422, _wrong(contact, words)
        if not wrong:
            if await _written(desk, contact, words):
                return RedirectResponse("/about?asked=true", 303)
            status, wrong = 429, MANY
        form = _form(wrong=wrong, contact=contact, words=words)
        return desk.page("about.html", status=status, told=_told(desk), **form)


def _form(*, asked: bool = False, wrong: str = "", contact: str = "", words: str = "") -> Any:
    """Return what the form shows: what was typed stays in it."""
    return {
        "asked": asked,
        "wrong": wrong,
        "fields": {"contact": contact, "words": words},
        "longest_contact": LONGEST_CONTACT,
        "longest_words": LONGEST_WORDS,
    }


def _wrong(contact: str, words: str) -> str:
    """Say what is wrong with a request to stop, "" where nothing is."""
    if not contact or len(contact) > LONGEST_CONTACT:
        return f"say how to reach you, in at most {LONGEST_CONTACT} characters"
    if not words or len(words) > LONGEST_WORDS:
        return f"say what is wrong, in at most {LONGEST_WORDS} characters"
    return ""


async def _written(desk: Desk, contact: str, words: str) -> bool:
    """Write it down, and tell the operators at once; False where too many came within an hour."""
    care, now = desk.site.care, desk.site.clock.now_ms()

    def both(connection: Connection) -> bool:
        number = notices.ask_to_stop(connection, contact, words, MOST_AN_HOUR)
        if number is not None and noticing.STOP_REQUESTS in care.kinds:
            wanted = noticing.of_stop_request(number, contact, words, now)
            notices.raise_notice(connection, wanted, care.channels)
        return number is not None

    if not await desk.site.store.write(both):
        return False
    care.notice_wanted.set()
    return True


def _told(desk: Desk) -> AboutTold:
    about = desk.site.care.about
    return AboutTold(
        contact=about.contact,
        basis=about.basis,
        user_agent=about.user_agent,
        requests_per_minute=about.requests_per_minute,
        left_to_people_percent=round(about.reserved_share * 100),
        requests_at_once=about.crawlers * about.requests_at_once,
        quiet_hours=list(about.quiet_hours),
    )
