"""Completeness: what a list that was read to its end says of itself. Pure; `run` enters here."""

from labtrawl.crawler.cursor import Cursor
from labtrawl.domain.failure import GapReason
from labtrawl.gitlab.catalog import Resource
from labtrawl.protocol.messages import LedgerReport, LedgerWindow


def report_of(resource: Resource, cursor: Cursor) -> LedgerReport:
    """Say what was expected, and why there is less where that is known.

    Fewer rows than the total of a list that stood still have no reason: that gap is unexplained.
    """
    reason, detail = _why_less(resource, cursor)
    return LedgerReport(
        expected=cursor.expected,
        expected_by="end of list" if cursor.expected is None else cursor.expected_by or "x-total",
        reason=reason,
        detail=detail,
        windows=[
            LedgerWindow(since=one.since, until=one.until, collected=one.items)
            for one in cursor.windows
        ],
    )


def _why_less(resource: Resource, cursor: Cursor) -> tuple[GapReason | None, str]:
    if cursor.gone:
        return GapReason.DELETED, f"{cursor.gone} of {resource.parent} were gone before their lists"
    if cursor.changed and resource.parent:
        return GapReason.CHANGED, f"the list of {resource.parent} changed while it was read"
    if cursor.changed and cursor.expected is not None and cursor.items != cursor.expected:
        said = f"{cursor.items} rows were read of a list that had up to {cursor.expected}"
        return GapReason.CHANGED, f"it changed while it was read: {said}"
    return None, ""
