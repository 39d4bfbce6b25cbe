"""How a crawl went: the exit code, a table to read, and the same as JSON for programs."""

import shlex
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from labtrawl.cli.demo_screen import elapsed
from labtrawl.cli.demo_words import command_name, count_of, near
from labtrawl.dataset.layout import dataset_root
from labtrawl.logs import escape, mask
from labtrawl.store import summary
from labtrawl.store.engine import Snapshots

INCOMPLETE_EXIT_CODE = 1
INTERRUPTED_EXIT_CODE = 130
SCHEMA = 1
SHOWN_GAPS = 10
LABEL_WIDTH = 10


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a run left behind; `new` records and `asked` requests are its own, `seconds` it took."""

    is_done: bool
    now: summary.Progress
    totals: list[summary.Total]
    gaps: list[summary.Gap]
    records: dict[str, int]
    new: int
    asked: int
    seconds: float
    failed: summary.Failure | None = None

    @property
    def unexplained(self) -> list[summary.Gap]:
        """Lists that failed, or that miss something and nobody knows why; also that of areas."""
        found = unexplained(self.gaps)
        if self.failed is None:
            return found
        return [summary.Gap("the list of", "areas", "failed", self.failed.message), *found]

    @property
    def exit_code(self) -> int:
        """0 where all is there or has its reason, 1 where not, 130 where it was ended early."""
        if not self.is_done:
            return INTERRUPTED_EXIT_CODE
        return INCOMPLETE_EXIT_CODE if self.unexplained else 0


def unexplained(gaps: Sequence[summary.Gap]) -> list[summary.Gap]:
    """Return the lists that failed, or that miss something and nobody knows why."""
    return [gap for gap in gaps if gap.reason in (None, "failed")]


def look(
    database: Snapshots, before: summary.Progress | None, seconds: float, *, is_done: bool
) -> Outcome:
    """Read how it went from the database; `before` is how far it was at the start of the run."""
    now = database.read_now(summary.progress)
    return Outcome(
        is_done,
        now,
        database.read_now(summary.totals),
        database.read_now(summary.gaps),
        database.read_now(summary.records_by_resource),
        max(0, now.records - (before.records if before else 0)),
        max(0, now.requests - (before.requests if before else 0)),
        seconds,
        database.read_now(summary.discovery_failure),
    )


def in_words(outcome: Outcome, out: Path) -> Iterator[str]:
    """Yield the lines that a person reads at the end."""
    yield ""
    yield from _table(outcome.totals)
    if outcome.totals:
        yield ""
    yield _line(*_headline(outcome))
    yield _line("took", _cost(outcome))
    if outcome.is_done:
        yield from _unexplained(outcome.unexplained)
    yield _line("data", near(dataset_root(out)))
    yield from _next(outcome, out)


def _headline(outcome: Outcome) -> tuple[str, str]:
    areas = outcome.now.areas
    kinds = [count_of(areas[kind], kind) for kind in ("project", "group") if areas.get(kind)]
    new = "" if outcome.new == outcome.now.records else f", {outcome.new:,} of them new"
    where = f" of {' and '.join(kinds)}" if kinds else ""
    held = f"{count_of(outcome.now.records, 'record')}{where}{new}"
    if not outcome.is_done:
        return "ended", f"before all was there: {held}; run the same again to go on"
    if outcome.unexplained:
        return "incomplete", f"{held}; {count_of(len(outcome.unexplained), 'list')} with a gap"
    if not any(areas.values()):
        return "nothing", "no group or project is in this scope"
    return "complete", held


def _cost(outcome: Outcome) -> str:
    """The time and the requests of this run; of all runs where there were others."""
    asked, all_asked = outcome.asked, outcome.now.requests
    whole = "" if asked == all_asked else f" ({all_asked:,} in all runs)"
    retries = f", {outcome.now.retries:,} of them tries again" if outcome.now.retries else ""
    return f"{elapsed(outcome.seconds)}, {count_of(asked, 'request')}{whole}{retries}"


def _table(totals: list[summary.Total]) -> Iterator[str]:
    """A line for each resource; why there is less stands behind it. Empty ones share a line."""
    full = [each for each in totals if each.objects or each.reasons]
    empty = [each for each in totals if not (each.objects or each.reasons)]
    rows = [(t.resource, f"{t.lists:,}", f"{t.objects:,}", _reasons(t)) for t in full]
    if empty:
        lists = sum(each.lists for each in empty)
        name = count_of(len(empty), "other" if full else "resource")
        rows.append((name, f"{lists:,}", "0", ""))
    lines = [("resource", "lists", "objects", "lists with less"), *rows]
    widths = [max(len(line[column]) for line in lines) for column in range(3)]
    for name, lists_, objects, reasons in lines if totals else ():
        cells = (name.ljust(widths[0]), lists_.rjust(widths[1]), objects.rjust(widths[2]), reasons)
        yield "  ".join(cells).rstrip()


def _reasons(total: summary.Total) -> str:
    told = total.reasons.items()
    return ", ".join(f"{lists:,} {reason.replace('_', ' ')}" for reason, lists in told)


def _unexplained(gaps: list[summary.Gap]) -> Iterator[str]:
    for gap in gaps[:SHOWN_GAPS]:
        why = gap.detail or gap.reason or "nobody knows why"
        yield _line("gap", escape(mask(f"{gap.full_path} {gap.resource}: {why}")))
    if len(gaps) > SHOWN_GAPS:
        yield _line("", f"and {len(gaps) - SHOWN_GAPS:,} more")


def _next(outcome: Outcome, out: Path) -> Iterator[str]:
    command, place = command_name(sys.argv[0]), shlex.quote(near(out))
    if (outcome.gaps or outcome.failed) and outcome.is_done:
        yield _line("why less", f"{command} ledger --gaps --data-dir {place}")
        if any(gap.reason is None for gap in outcome.unexplained):
            yield _line(
                "repair", f"{command} ledger --refill --data-dir {place}; then the same again"
            )
        elif outcome.unexplained:
            yield _line("repair", "run the same again: what failed is read anew")
    if outcome.now.records:
        tables = f"{command} dataset export parquet --out tables --data-dir {place}"
        yield _line("tables", tables)


def _line(label: str, sentence: str) -> str:
    return f"{label:<{LABEL_WIDTH}} {sentence}"


def _gaps(outcome: Outcome) -> list[summary.Gap]:
    unexplained = outcome.unexplained
    return [*unexplained, *(gap for gap in outcome.gaps if gap not in unexplained)]


def as_json(outcome: Outcome, out: Path) -> dict[str, object]:
    """Return the figures for `--summary`; docs/how-to/crawl.md tells each of them."""
    return {
        "schema": SCHEMA,
        "complete": outcome.exit_code == 0,
        "exit_code": outcome.exit_code,
        "areas": outcome.now.areas,
        "jobs": outcome.now.jobs,
        "records": outcome.records,
        "new_records": outcome.new,
        "resources": {
            each.resource: {"lists": each.lists, "objects": each.objects, "less": each.reasons}
            for each in outcome.totals
        },
        "requests": outcome.now.requests,
        "new_requests": outcome.asked,
        "retries": outcome.now.retries,
        "gaps": [
            {
                "area": gap.full_path,
                "resource": gap.resource,
                "reason": gap.reason,
                "detail": mask(gap.detail),
            }
            for gap in _gaps(outcome)
        ],
        "seconds": outcome.seconds,
        "dataset": str(dataset_root(out)),
    }
