"""For the administrators of a GitLab that is crawled: who does it, how fast, and how to stop it."""

from dataclasses import dataclass

from fastapi import FastAPI, HTTPException, Request
from starlette.responses import RedirectResponse, Response

from labtrawl.store import notices
from labtrawl.store.engine import Connection
from labtrawl.website import noticing, twins
from labtrawl.website.asking import form_fields
from labtrawl.website.desk import Desk
from labtrawl.website.twins import Shown

MOST_AN_HOUR = 10
LONGEST_CONTACT, LONGEST_WORDS = 200, 2000


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
        values = {
            "asked": asked,
            "wrong": "",
            "fields": {},
            "longest_contact": LONGEST_CONTACT,
            "longest_words": LONGEST_WORDS,
        }
        return Shown("about.html", _told(desk), values=values)

    @app.post("/about/stop")
    async def stop(request: Request) -> Response:
        fields = await form_fields(request)
        contact = " ".join(fields.get("contact", "").split())
        words = fields.get("words", "").strip()
        if wrong := _wrong(contact, words):
            return desk.page(
                "about.html",
                status=422,
                told=_told(desk),
                asked=False,
                wrong=wrong,
                fields={"contact": contact, "words": words},
                longest_contact=LONGEST_CONTACT,
                longest_words=LONGEST_WORDS,
            )
        await _write(desk, contact, words)
        return RedirectResponse("/about?asked=true", 303)


def _wrong(contact: str, words: str) -> str:
    """Say what is wrong with a request to stop, "" where nothing is."""
    if not contact or len(contact) > LONGEST_CONTACT:
        return f"say how to reach you, in at most {LONGEST_CONTACT} characters"
    if not words or len(words) > LONGEST_WORDS:
        return f"say what is wrong, in at most {LONGEST_WORDS} characters"
    return ""


async def _write(desk: Desk, contact: str, words: str) -> None:
    """Write it down, and tell the operators at once; 429 where too many came within an hour."""
    care, now = desk.site.care, desk.site.clock.now_ms()

    def both(connection: Connection) -> int | None:
        number = notices.ask_to_stop(connection, contact, words, MOST_AN_HOUR)
        if number is not None:
            body = f"{contact} asks on the page About to stop:\n\n{words}"
            subject = f"somebody asks to stop: {contact}"
            period = noticing.day_of(now)
            wanted = noticing.made("stop_request", period, "stop_requests", subject, body)
            notices.raise_notice(connection, wanted, care.channels)
        return number

    if await desk.site.store.write(both) is None:
        raise HTTPException(429, "Many requests came within the last hour. Please write a mail.")
    care.notice_wanted.set()


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
