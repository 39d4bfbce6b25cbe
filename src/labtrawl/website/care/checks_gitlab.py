"""Checks of the GitLabs: whether they answer, their clocks, accounts and credentials. Pure."""

from labtrawl.website.care.verdicts import Check, bad, checked, fine, some, warned
from labtrawl.website.given.facts import Facts

DAY_MS = 86_400_000
# GitLab's tokens and leases bear a minute; signed times of webhooks five.
OFFSET_MS = 60_000
THRESHOLDS = (1, 7, 30)


def gitlabs(facts: Facts) -> Check:
    """Say whether each GitLab answers."""
    means = "What is asked of each GitLab: one small request every 15 minutes, without a token."
    looked = [each for each in facts.gitlabs if each.looked_at is not None]
    broken = [f"{each.name}: {each.problem}" for each in looked if each.problem]
    if broken:
        found = bad(
            some(broken), "look at the network, DNS, the proxy, and whether that GitLab is up"
        )
    elif not facts.gitlabs and facts.accounts:
        found = fine("not asked: the settings of this command name none")
    elif not facts.gitlabs:
        found = warned("none is connected", "connect one: labtrawl init")
    elif not looked:
        quiet = any(each.is_quiet for each in facts.gitlabs)
        found = fine("not asked: these are quiet hours" if quiet else "not asked yet")
    else:
        found = fine(f"{some([each.name for each in looked])} answered")
    return checked("gitlabs", "GitLab", means, found)


def clock(facts: Facts) -> Check:
    """Compare this machine's clock with GitLab's."""
    off = [
        f"{each.name} is {abs(each.offset_ms) / 1000:.0f} s"
        f" {'ahead' if each.offset_ms > 0 else 'behind'}"
        for each in facts.gitlabs
        if each.offset_ms is not None and abs(each.offset_ms) > OFFSET_MS
    ]
    if off:
        found = warned(some(off), "let this machine keep its time: timedatectl set-ntp true")
    elif any(each.offset_ms is not None for each in facts.gitlabs):
        found = fine("within a minute of GitLab's")
    else:
        found = fine("not compared yet")
    return checked("clock", "Clock", "Tokens and changes are told by it.", found)


def accounts(facts: Facts) -> Check:
    """Say whether each account is accepted."""
    refused = [
        f"{each.username} on {each.instance}" for each in facts.accounts if each.state == "refused"
    ]
    again = "connect it again: labtrawl init --add"
    if facts.problems:
        found = bad(some(facts.problems), again)
    elif refused:
        found = bad(f"refused by its GitLab: {some(refused)}", again)
    elif not facts.accounts:
        found = warned("none is connected", "connect one: labtrawl init")
    else:
        accepted = sum(each.state == "active" for each in facts.accounts)
        found = fine(f"{accepted} accepted")
    return checked("accounts", "Accounts", "What only this account sees waits without it.", found)


def days_left(expires_at: int, now: int) -> int:
    """Return the whole days until an instant; negative after it."""
    return (expires_at - now) // DAY_MS


def threshold(expires_at: int, now: int) -> int | None:
    """Return which of 1, 7 and 30 days a credential's end is within; None where it is later."""
    left = days_left(expires_at, now)
    return next((days for days in THRESHOLDS if left < days), None)


def expiry(facts: Facts) -> Check:
    """Say which credential ends soon."""
    ending = [
        (each.expires_at, f"{each.username} on {each.instance} {_ends(each.expires_at, facts.now)}")
        for each in facts.accounts
        if not each.renews_itself
        and each.expires_at is not None
        and threshold(each.expires_at, facts.now) is not None
    ]
    if ending:
        told = some([text for _, text in sorted(ending)])
        soon = any(days_left(at, facts.now) < THRESHOLDS[0] for at, _ in ending)
        advice = "make a new token in GitLab and give it to labtrawl init --add"
        found = (bad if soon else warned)(told, advice)
    else:
        found = fine("none ends within 30 days, or they renew themselves")
    means = "It is told of 30, 7 and 1 days before a token ends."
    return checked("expiry", "End of credentials", means, found)


def discovery(facts: Facts) -> Check:
    """Say which account could not list what it may see; one that nobody may use has its own check."""
    lost = [
        f"{each.full_path} on {each.instance}: {each.detail or each.reason}"
        for each in facts.discoveries
        if each.is_used
    ]
    if lost:
        advice = (
            "mend what it says (give the account its right back, or take what is gone out of the"
            " scope); labtrawl ledger --refill then looks again"
        )
        found = warned(some(lost), advice)
    else:
        found = fine("none has failed")
    means = "What an account may see and was not listed is not collected."
    return checked("discovery", "Discovery", means, found)


def _ends(expires_at: int | None, now: int) -> str:
    left = days_left(expires_at or 0, now)
    if left < 0:
        return "has ended"
    return f"ends in {left} days" if left > 1 else "ends within two days" if left else "ends today"
