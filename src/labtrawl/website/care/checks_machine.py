"""Checks of this machine: database, disk, keys, programs, sockets, crawlers. Pure."""

from labtrawl.website.care.verdicts import MIB, Check, bad, checked, fine, size_of, some, warned
from labtrawl.website.given.facts import Facts

# Below this a full disk is near; jobs wait from 64 MiB on.
ROOM_BYTES = 512 * MIB
FULL_DAYS = 14
WAL_BYTES = 1024 * MIB
SILENT_MS = 60_000


def database(facts: Facts) -> Check:
    """Say whether the database is whole and of this version."""
    found = facts.database
    restore = "stop labtrawl and restore a backup: labtrawl restore --help tells how"
    if not found.answers:
        result = bad("it does not answer", "look into the website's log: labtrawl logs website")
    elif found.fault:
        result = bad(f"it is damaged: {found.fault}", restore)
    elif found.wal_bytes > WAL_BYTES:
        result = warned(
            f"{size_of(found.wal_bytes)} wait in its log of changes",
            "a reader keeps them from being folded in: restart labtrawl; look for programs that"
            " have the file open",
        )
    else:
        looked = "whole" if found.fault == "" else "it answers"
        result = fine(f"{looked}, {size_of(found.bytes)}")
    return checked("database", "Database", "Every job and every result is kept in it.", result)


def migrations(facts: Facts) -> Check:
    """Say whether the database is of this version of labtrawl."""
    if facts.database.answers and not facts.database.is_newest:
        found = bad(
            "the database is of another version",
            "restart labtrawl, which brings it up to date: labtrawl stop, labtrawl start",
        )
    else:
        found = fine("of this version of labtrawl")
    return checked("migrations", "Schema", "The form in which the database keeps things.", found)


def disk(facts: Facts) -> Check:
    """Say how much room is left, and for how long."""
    means = "Jobs wait when it is full; nothing that was collected is lost."
    title = "Disk"
    found = facts.disk
    if found is None:
        return checked(
            "disk", title, means, bad("the data folder cannot be read", "look at its rights")
        )
    told = f"{size_of(found.free)} of {size_of(found.total)} are free"
    advice = "free some space, or move the data folder to a larger disk"
    if not found.is_writable:
        return checked(
            "disk", title, means, bad("the data folder cannot be written", "look at its rights")
        )
    if found.free < ROOM_BYTES:
        return checked("disk", title, means, bad(told, advice))
    days = found.free / found.grown_last_day if found.grown_last_day > 0 else None
    if days is not None and days < FULL_DAYS:
        told += f"; at the pace of the last day it is full in {max(days, 0.1):.1f} days"
        return checked("disk", title, means, warned(told, advice))
    if found.grown_last_day:
        told += f"; {size_of(found.grown_last_day)} came within the last day"
    return checked("disk", title, means, fine(told))


def keys(facts: Facts) -> Check:
    """Say whether the keys open, for their owner only."""
    if facts.key_problem:
        found = bad(
            facts.key_problem, "put the key file back from where `labtrawl backup --keys` wrote it"
        )
    elif facts.open_files:
        names = " ".join(f"'{each}'" for each in facts.open_files)
        found = bad(f"others may read {some(facts.open_files)}", f"run: chmod go-rwx {names}")
    else:
        found = fine("in order, and for their owner only")
    return checked("keys", "Keys", "Without its key no token can be opened.", found)


def programs(facts: Facts) -> Check:
    """Say whether what the supervisor runs does run."""
    means = "The supervisor runs website and crawlers, and starts again what ends."
    if facts.programs is None:
        found = warned("labtrawl does not run on this data folder", "start it: labtrawl start")
        return checked("programs", "Programs", means, found)
    broken = [each for each in facts.programs if each.state in {"failed", "backoff"}]
    if broken:
        told = [f"{each.name} is {each.state} ({each.reason or 'it ended'})" for each in broken]
        loops = any(each.state == "failed" for each in broken)
        advice = f"look into its log: labtrawl logs {broken[0].name}"
        found = (bad if loops else warned)(some(told), advice)
    else:
        found = fine(f"{len(facts.programs)} run" if facts.programs else "nobody watches over them")
    return checked("programs", "Programs", means, found)


def sockets(facts: Facts) -> Check:
    """Say whether the sockets are there."""
    if facts.missing_sockets:
        found = bad(
            f"there is no socket at {some(facts.missing_sockets)}",
            "labtrawl stop, then labtrawl start makes it",
        )
    elif facts.missing_sockets is None:
        found = fine("labtrawl does not run: there need not be any")
    else:
        found = fine("they are there")
    means = "Crawlers and commands of this machine reach the website by them."
    return checked("sockets", "Sockets", means, found)


def crawlers(facts: Facts) -> Check:
    """Say whether crawlers are there and speak."""
    means = "Nothing is collected without a crawler."
    if facts.crawlers is None:
        return checked("crawlers", "Crawlers", means, fine("labtrawl does not run: there is none"))
    there = [each for each in facts.crawlers if each.connected]
    silent = [
        each.name for each in there if each.silent_ms is not None and each.silent_ms > SILENT_MS
    ]
    if not there:
        found = bad(
            "no crawler is there",
            "`labtrawl status` says why, `labtrawl start crawler` starts one",
        )
        if facts.wanted_crawlers == 0:
            found = warned("no crawler is there, and crawler.count is 0", "set crawler.count")
    elif silent:
        found = warned(f"silent for over a minute: {some(silent)}", "look into its log")
    elif len(there) < facts.wanted_crawlers:
        found = warned(
            f"{len(there)} of {facts.wanted_crawlers} are connected", "labtrawl status says why"
        )
    else:
        found = fine(f"{len(there)} connected")
    return checked("crawlers", "Crawlers", means, found)
