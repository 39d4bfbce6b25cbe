"""From what is so to what operators are told of: what, how often, in which words. Pure.

A cause is told at most once a day; a threshold that was passed, once and for all. What is said in
a study is discreet: no names of people or places leave the site, which has them on its pages.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from labtrawl import logs
from labtrawl.domain.failure import RetryPolicy
from labtrawl.domain.visit import DISCOVERY
from labtrawl.store.care import FailedJobs, Week
from labtrawl.store.notices import Notice
from labtrawl.website.care.checks_gitlab import threshold
from labtrawl.website.care.checks_seen import drift_of
from labtrawl.website.care.verdicts import Check, State, size_of
from labtrawl.website.given.facts import Facts
from labtrawl.website.parts.words import is_refusal

DAY_MS = 86_400_000
# Eleven tries within fifteen hours.
CURVE = RetryPolicy(attempts=11, base_seconds=60.0, ceiling_seconds=6 * 3600.0)
LONGEST_BODY = 4000
DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
DIGEST_HOUR = 8
STOP_REQUESTS = "stop_requests"

# Which kind of notice (`notices.kinds`) a check belongs to; the others are health.
KINDS: Mapping[str, str] = {
    "disk": "disk",
    "programs": "crawlers",
    "crawlers": "crawlers",
    "accounts": "credentials",
    "backup": "backup",
    "stop_requests": STOP_REQUESTS,
}
# What may be so for a moment, as at a start: it is told when it stays so, in seconds.
PATIENCE: Mapping[str, float] = {
    "crawlers": 300.0,
    "programs": 60.0,
    "sockets": 60.0,
    "gitlabs": 1800.0,
    "database": 30.0,
}
# These are told of although nobody must act at once.
WARNED = frozenset({"disk", "programs"})
# These name accounts, areas, or what GitLab said of them.
PERSONAL = frozenset({"accounts", "expiry", "shares", "programs"})
# Told in another form, or by what they count: not as checks.
APART = frozenset({"expiry", "fields", "shares", "notices"})


@dataclass(slots=True)
class Steady:
    """Since when each check is as it is, by a monotonic clock in seconds."""

    since: dict[str, float] = field(default_factory=dict)

    def lasting(self, checks: Sequence[Check], now: float) -> list[Check]:
        """Return the checks that are to be told of, and have been so for long enough."""
        bad = [each for each in checks if _is_told(each)]
        self.since = {each.name: self.since.get(each.name, now) for each in bad}
        return [each for each in bad if now - self.since[each.name] >= PATIENCE.get(each.name, 0.0)]


def _is_told(check: Check) -> bool:
    if check.name in APART:
        return False
    return check.state is State.BAD or (check.state is State.WARN and check.name in WARNED)


def day_of(now_ms: int) -> str:
    """Return the day of an instant, UTC."""
    return f"{datetime.fromtimestamp(now_ms / 1000, UTC):%Y-%m-%d}"


def of_check(check: Check, now_ms: int, *, discreet: bool = False) -> Notice:
    """Return what is told of a check that is not as it should be."""
    says = _said(check, discreet)
    body = f"{says}.\n\nWhat to do: {check.advice}.\n\n{check.means}"
    subject = f"{check.title}: {says}"
    return made(
        f"check:{check.name}", day_of(now_ms), KINDS.get(check.name, "health"), subject, body
    )


def _said(check: Check, discreet: bool) -> str:
    return "see the page Health" if discreet and check.name in PERSONAL else check.says


def of_stop_request(number: int, contact: str, words: str, now_ms: int) -> Notice:
    """Return what is told of one request to stop, when it comes."""
    body = f"{contact} asks on the page About to stop:\n\n{words}"
    subject = f"somebody asks to stop: {contact}"
    return made(f"stop_request:{number}", day_of(now_ms), STOP_REQUESTS, subject, body)


def of_expiries(facts: Facts, *, discreet: bool = False) -> list[Notice]:
    """Return what is told of credentials that end within 30, 7 or 1 days: each of them once."""
    found = []
    for each in facts.accounts:
        if each.renews_itself or each.expires_at is None:
            continue
        days = threshold(each.expires_at, facts.now)
        if days is not None:
            name = f"account {each.id}" if discreet else each.username
            who, when = f"{name} on {each.instance}", day_of(each.expires_at)
            subject = f"the token of {who} ends on {when}"
            body = (
                f"The token of {who} ends on {when}, UTC. What only this account sees waits from then"
                " on.\n\nWhat to do: make a new token in GitLab and give it to labtrawl init --add."
            )
            period = f"{days} days before {each.expires_at}"
            found.append(made(f"expiry:{each.id}", period, "credentials", subject, body))
    return found


def of_changes(facts: Facts, *, discreet: bool = False) -> list[Notice]:
    """Return what is told of records that changed with a version, and of shares that fell."""
    found = []
    for drift in drift_of(facts.fields):
        # By resource: the records of one may come days after those of another.
        cause = f"fields:{drift.instance}:{drift.resource}"
        subject = f"{drift.resource} of {drift.instance} {drift.version} hold other fields"
        found.append(made(cause, drift.version, "health", subject, drift.sentence))
    fresh = [each for each in facts.fallen if facts.now - each.fell_at < DAY_MS]
    if fresh:
        lines = [
            f"{f'area {each.area_id}' if discreet else each.full_path}: {each.best / 10:.1f} % became"
            f" {each.latest / 10:.1f} %"
            for each in fresh
        ]
        subject = f"less is collected than before in {len(fresh)} areas"
        found.append(made("shares", day_of(facts.now), "gaps", subject, "\n".join(lines)))
    return found


def of_failures(
    failed: Sequence[FailedJobs], now_ms: int, *, discreet: bool = False
) -> Notice | None:
    """Return what is told of jobs that failed; what GitLab does not give is no failure."""
    told = [each for each in failed if not is_refusal(each.reason)]
    if not told:
        return None
    lines = [f"{each.number} for {each.reason}{_why(each, discreet)}" for each in told]
    subject = f"{sum(each.number for each in told)} jobs failed"
    body = "\n".join([*lines, "", "The page Jobs lists them: /jobs?state=failed"])
    return made("failures", day_of(now_ms), "failures", subject, body)


def _why(failed: FailedJobs, discreet: bool) -> str:
    return f": {failed.message}" if failed.message and not discreet else ""


def of_gaps(gaps: Mapping[str, int], now_ms: int) -> Notice | None:
    """Return what is told of lists that got a gap."""
    if not gaps:
        return None
    lines = [f"{_lists(number)}: {_called(reason)}" for reason, number in gaps.items()]
    total = sum(gaps.values())
    subject = f"{_lists(total)} {'has' if total == 1 else 'have'} a gap"
    body = "\n".join([*lines, "", "The page Coverage shows them, and reads them again."])
    return made("gaps", day_of(now_ms), "gaps", subject, body)


def _lists(number: int) -> str:
    return "1 list" if number == 1 else f"{number} lists"


def _called(reason: str) -> str:
    if reason != DISCOVERY:
        return reason
    return "discovery, what an account may see; the page Health says whose, and what to do"


def digest_period(now_ms: int, weekday: str) -> str | None:
    """Return the week that a digest is due for, from its day at 08:00 UTC on for two days."""
    now = datetime.fromtimestamp(now_ms / 1000, UTC)
    back = (now.weekday() - DAYS.index(weekday)) % 7
    at = (now - timedelta(days=back)).replace(hour=DIGEST_HOUR, minute=0, second=0, microsecond=0)
    if not at <= now < at + timedelta(days=2):
        return None
    return f"week until {at:%Y-%m-%d}"


def of_week(
    week: Week, period: str, left: str, checks: Sequence[Check], *, discreet: bool = False
) -> Notice:
    """Return the weekly digest; `left` says in words how long the rest will take."""
    total = sum(week.records.values())
    lines = [f"Collected: {total:,} records, {size_of(week.bytes)}."]
    lines += [f"  {name}: {number:,}" for name, number in list(week.records.items())[:15]]
    ended = ", ".join(f"{number:,} {state}" for state, number in week.ended.items()) or "none"
    lines += ["", f"Jobs that ended: {ended}. Open: {week.open_jobs:,}."]
    if left:
        lines.append(f"Time left: {left}.")
    gaps = ", ".join(f"{number:,} {reason}" for reason, number in week.gaps.items())
    lines += ["", f"Lists with less than GitLab holds, and why: {gaps or 'none'}."]
    open_ones = [each for each in checks if each.state is not State.OK]
    lines += ["", "Checks that are not fine:" if open_ones else "All checks are fine."]
    lines += [f"  {each.title}: {_said(each, discreet)}" for each in open_ones]
    return made("digest", period, "digest", f"the week: {total:,} records", "\n".join(lines))


def made(cause: str, period: str, kind: str, subject: str, body: str) -> Notice:
    """Return a notice whose texts hold no token, no control character, and no end of lines."""
    subject = " ".join(_clean(subject).split())
    if len(subject) > 150:
        subject = f"{subject[:149]}\N{HORIZONTAL ELLIPSIS}"
    return Notice(cause, period, kind, subject, _clean(body)[:LONGEST_BODY])


def _clean(text: str) -> str:
    return "".join(each for each in logs.mask(text) if each == "\n" or each.isprintable())
