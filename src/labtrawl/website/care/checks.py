"""The checks of the health page, `/api/admin/health` and `labtrawl doctor`: pure judgements.

Each says in plain words how it is, what that means, and what to do where something is wrong.
"""

from labtrawl.website.care import checks_gitlab, checks_machine
from labtrawl.website.care.checks_seen import drift_of
from labtrawl.website.care.verdicts import Check, bad, checked, fine, some, warned
from labtrawl.website.given.facts import Facts

MINUTE_MS = 60_000
HOUR_MS = 60 * MINUTE_MS
NEWS_MS = 7 * 24 * HOUR_MS


def judge(facts: Facts) -> list[Check]:
    """Return every check, in the order of the page."""
    return [
        checks_machine.database(facts),
        checks_machine.migrations(facts),
        checks_machine.disk(facts),
        checks_machine.keys(facts),
        checks_machine.programs(facts),
        checks_machine.sockets(facts),
        checks_machine.crawlers(facts),
        checks_gitlab.gitlabs(facts),
        checks_gitlab.clock(facts),
        checks_gitlab.accounts(facts),
        checks_gitlab.expiry(facts),
        checks_gitlab.discovery(facts),
        _backup(facts),
        _versions(facts),
        _drift(facts),
        _shares(facts),
        _requests(facts),
        _deliveries(facts),
    ]


def _backup(facts: Facts) -> Check:
    found, newest = facts.backup, facts.backup.newest
    how = "labtrawl backup makes one; backup.path and backup.every_hours make it regular"
    if found.failed is not None:
        result = bad(f"the last one failed: {found.failed.message}", how)
    elif newest is None:
        result = warned("there is none", how)
    else:
        age = facts.now - (newest.ended_at or newest.began_at)
        told = f"the newest whole one is {_age(age)} old"
        if found.most_hours and age > found.most_hours * HOUR_MS:
            result = bad(told, how)
        elif not found.is_scheduled and age > NEWS_MS:
            result = warned(told, how)
        else:
            result = fine(told)
    means = "What is lost with this disk is what came after the newest backup."
    return checked("backup", "Backup", means, result)


def _age(milliseconds: int) -> str:
    hours = milliseconds / HOUR_MS
    if hours < 1:
        return f"{milliseconds // MINUTE_MS} minutes"
    return f"{hours:.0f} hours" if hours < 72 else f"{hours / 24:.0f} days"


def _versions(facts: Facts) -> Check:
    newest: dict[str, list[str]] = {}
    fresh: set[str] = set()
    for each in facts.versions:
        newest.setdefault(each.component, []).append(each.version)
        if len(newest[each.component]) > 1 and facts.now - each.seen_at < NEWS_MS:
            fresh.add(each.component)
    changed = [f"{name}: {newest[name][-2]} became {newest[name][-1]}" for name in sorted(fresh)]
    if changed:
        gitlab = any(name.startswith("GitLab") for name in fresh)
        advice = "look at the check of fields below" if gitlab else "nothing, where it was you"
        found = warned(some(changed), advice)
    else:
        told = some([f"{name} {texts[-1]}" for name, texts in sorted(newest.items())])
        found = fine(told or "none is known yet")
    return checked("versions", "Versions", "What changed within the last seven days.", found)


def _drift(facts: Facts) -> Check:
    changes = drift_of(facts.fields)
    if changes:
        found = warned(
            some([each.sentence for each in changes]),
            "new fields are kept as they come; where one is gone, look at what uses it, and at the"
            " release notes of that GitLab",
        )
    else:
        found = fine("records look as before")
    means = "A few records of each kind are compared with those of the GitLab's version before."
    return checked("fields", "Fields of records", means, found)


def _shares(facts: Facts) -> Check:
    if facts.fallen:
        told = [
            f"{each.full_path or 'the instance'}: {each.best / 10:.1f} % became"
            f" {each.latest / 10:.1f} %"
            for each in facts.fallen
        ]
        found = warned(some(told), "look at its page, and read its gaps again there")
    else:
        found = fine("no area has less than it had")
    means = "How much of what GitLab announces is there, area by area."
    return checked("shares", "Collected share", means, found)


def _requests(facts: Facts) -> Check:
    if facts.stop_requests:
        found = bad(
            f"{facts.stop_requests} wait for an answer", "read and answer them on the page Notices"
        )
    else:
        found = fine("none waits for an answer")
    means = "GitLab's administrators can ask for a stop on the page About."
    return checked("stop_requests", "Requests to stop", means, found)


def _deliveries(facts: Facts) -> Check:
    if facts.failed_deliveries:
        found = warned(
            f"{facts.failed_deliveries} of the last week did not arrive",
            "the page Notices says why; labtrawl notices test sends one now",
        )
    else:
        found = fine("none failed within a week")
    return checked("notices", "Notices", "Webhook and mail tell operators what needs them.", found)
