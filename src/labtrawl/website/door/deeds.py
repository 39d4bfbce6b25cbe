"""What a row of the audit log means, in plain words."""

from collections.abc import Mapping
from http import HTTPStatus

from labtrawl.store.audit import Entry
from labtrawl.website.access import VERSION

# By the action as it is written down: a route, or what the command line calls it.
DEEDS: Mapping[str, str] = {
    "POST /sign-in": "Signed in with a one-time link",
    "POST /sign-in/gitlab/{place}": "Began to sign in with a GitLab",
    "GET /sign-in/gitlab/{place}/answer": "Came back from a GitLab to sign in",
    "POST /sign-in/token": "Signed in with an access token of a GitLab",
    "POST /me/account/sessions/{session_id}/end": "Ended one of their sessions",
    "POST /me/account/sessions/end-others": "Ended their other sessions",
    "POST /me/account/disconnect": "Disconnected their account at a GitLab",
    "POST /sessions/{session_id}/end": "Ended somebody's session",
    "POST /sign-out": "Signed out",
    "POST /about/stop": "Asked labtrawl to stop, on the public page",
    "POST /jobs/{job_id}/retry": "Queued a job again",
    "POST /areas/{area_id}/refill": "Had the gaps of an area read again",
    "POST /coverage/refill": "Had every gap read again",
    "POST /me/areas/{area_id}/choice": "Chose or excluded an area of their own",
    "POST /me/download": "Downloaded everything that is collected in their name",
    "POST /settings/apply": "Asked to apply the settings",
    "POST /settings/{setting}": "Asked to change a setting",
    "POST /crawlers/order": "Told crawlers what to do",
    "POST /supervisor/restart": "Restarted a program",
    "POST /accounts/{account_id}/verify": "Had an account checked at its GitLab",
    "POST /accounts/{account_id}/switch": "Switched an account on or off",
    "POST /accounts/{account_id}/remove": "Removed the credential of an account",
    "POST /audit/check": "Had every row of this log checked",
    "POST /api/internal/jobs/progress": "A crawler told how far a job is",
    "POST /api/internal/refresh-token": "A crawler asked for the token that is valid now",
    "GET /api/internal/jobs/open": "Looked up what could be claimed",
    "GET /api/internal2/health": "A crawler looked whether it can work here",
    "POST /api/internal2/connect": "A crawler registered",
    "POST /api/internal2/heartbeat": "A crawler gave a sign of life",
    "POST /api/internal2/budget": "A crawler asked for requests to GitLab",
    "GET /api/internal2/tasks": "Looked up jobs",
    "POST /api/internal2/tasks": "Claimed jobs, or added one",
    "GET /api/internal2/tasks/{task_id}": "Looked up a job",
    "PUT /api/internal2/tasks/{task_id}": "Renewed a lease, or changed a job",
    "DELETE /api/internal2/tasks/{task_id}": "Gave a job back, or cancelled it",
    "GET /api/internal2/tasks/{task_id}/progress": "Looked up how far a job is",
    "POST /api/internal2/tasks/{task_id}/progress": "A crawler told how far a job is",
    "POST /api/internal2/tasks/{task_id}/discovered": "A crawler told what it discovered",
    "POST /api/internal2/tasks/{task_id}/manifest": "A crawler asked what was committed",
    "WEBSOCKET /api/internal2/tasks/{task_id}/websocket": "Watched a job",
    "GET /api/admin/crawler": "Looked up the crawlers",
    "POST /api/admin/crawler": "Told crawlers or a job what to do",
    "POST /api/admin/ledger/refill": "Had gaps read again",
    "GET /api/admin/statistics": "Looked up the figures of the communication",
    "GET /api/admin/health": "Looked up the health checks",
    "GET /api/openapi.json": "Looked up the description of the API",
    "settings change": "Changed a setting",
    "settings apply": "Applied the settings that were saved",
    "admin link": "Made a one-time link to sign in",
    "token create": "Made an API token",
    "token revoke": "Revoked an API token",
    "keys rotate": "Changed the key that tokens are encrypted under",
    "keys retire": "Retired an old key",
    "consent text": "Published a text of consent",
    "ledger refill": "Had gaps read again",
    "backup": "Made a backup",
    "init": "Connected an account of a GitLab",
    "refused": "Strangers were refused",
}
CALLED: Mapping[str, str] = {
    "authorised_socket": "over the local socket",
    "admin_session": "in a browser",
    "api_token": "with an API token",
    "command_line": "at the command line",
    "none": "without signing in",
}


def meaning(entry: Entry, summaries: Mapping[tuple[str, str], str]) -> str:
    """Return what somebody did, one sentence without an end; an unknown action speaks for itself.

    `summaries` are those of the pages' twins, by method and path.
    """
    method, _, path = entry.action.partition(" ")
    page = path.removeprefix(VERSION)
    if path == "no route":
        return "Asked for what is not there"
    if known := DEEDS.get(entry.action) or DEEDS.get(f"{method} {page}"):
        return known
    if summary := summaries.get((method, VERSION + page)):
        return f"Looked up: {_lower(summary)}" if method == "GET" else summary
    return entry.action


def _lower(text: str) -> str:
    return text[:1].lower() + text[1:]


def ending(outcome: str) -> str:
    """Return how it ended, in words; what is no status of HTTP speaks for itself."""
    if not (len(outcome) == 3 and outcome.isdecimal()):
        return outcome
    number = int(outcome)
    if number < 400:
        return "done"
    refused = {401: "refused: not signed in", 403: "refused: not allowed", 404: "not there"}
    refused |= {409: "not possible then", 422: "not understood", 413: "too large"}
    try:
        phrase = HTTPStatus(number).phrase.lower()
    except ValueError:
        phrase = "refused"
    return f"{refused.get(number, phrase)} ({outcome})"


def way(tier: str) -> str:
    """Return how somebody came, in words."""
    return CALLED.get(tier, tier.replace("_", " "))
