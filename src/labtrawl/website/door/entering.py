"""What every way in shares: the cookies, the pace of tries, and where one may be sent afterwards."""

import re

from fastapi import HTTPException, Request
from starlette.responses import Response

from labtrawl.clock import Clock
from labtrawl.store.sessions import SESSION_SECONDS
from labtrawl.store.sign_in_attempts import LIFE_SECONDS
from labtrawl.website.door.throttle import Throttle
from labtrawl.website.given.site import Site

# Many who sit behind one address may begin at once; each of them is let in only once.
STARTS = 30
MOST_STARTS = 600
_OWN = re.compile(r"/(?![/\\])[!-\[\]-~]{0,500}\Z")
_ELSEWHERE = ("/sign-in", "/sign-out", "/api/", "/static/", "/live")


def own_path(text: str) -> str:
    """Return an address of a page of ours as it was given, "" for any other text."""
    is_own = _OWN.match(text) is not None and not text.startswith(_ELSEWHERE)
    return text if is_own else ""


def remember(site: Site, response: Response, token: str) -> None:
    """Give the browser its session."""
    _set(site, response, site.cookie, token, SESSION_SECONDS)


def forget(site: Site, response: Response) -> None:
    """Take the session from the browser."""
    _drop(site, response, site.cookie)


def entering(site: Site) -> str:
    """Return the name of the cookie that ties a sign-in to the browser that began it."""
    return f"{site.cookie}_entering"


def begin(site: Site, response: Response, browser: str) -> None:
    """Let the browser prove that it began."""
    _set(site, response, entering(site), browser, LIFE_SECONDS)


def finish(site: Site, response: Response) -> None:
    """Take that proof from the browser."""
    _drop(site, response, entering(site))


def _set(site: Site, response: Response, name: str, value: str, seconds: int) -> None:
    # Lax, not Strict: the browser comes back from GitLab, which is another site.
    response.set_cookie(
        name,
        value,
        max_age=seconds,
        path="/",
        secure=site.is_https,
        httponly=True,
        samesite="lax",
    )


def _drop(site: Site, response: Response, name: str) -> None:
    response.delete_cookie(name, path="/", secure=site.is_https, httponly=True, samesite="lax")


class Gate:
    """Slows down who tries too often; HTTPException 429 says for how long."""

    def __init__(self, clock: Clock) -> None:
        self._tries = Throttle(clock)
        self._starts = Throttle(clock, STARTS, MOST_STARTS)

    def check_tries(self, request: Request) -> None:
        """Refuse an address of which too much failed."""
        _check(self._tries, request)

    def failed(self, request: Request) -> None:
        """Count a try that failed."""
        self._tries.tried(_address(request))

    def start(self, request: Request) -> None:
        """Count the beginning of a sign-in; refuse it where there were too many."""
        self.check_tries(request)
        _check(self._starts, request)
        self._starts.tried(_address(request))


def _check(throttle: Throttle, request: Request) -> None:
    if wait := throttle.wait_seconds(_address(request)):
        raise HTTPException(429, headers={"Retry-After": str(wait)})


def _address(request: Request) -> str:
    """Return where a request comes from, as a trusted proxy says; the local socket has no address."""
    return request.client.host if request.client else ""
