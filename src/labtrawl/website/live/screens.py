"""From what changed to the parts of pages that show it; each part is rendered once for all."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from labtrawl.store.pages.jobs import PAGE, JobFilter
from labtrawl.store.pages.live import JobsView, JobView, Reading, View, any_state
from labtrawl.website.figures.sums import Overview
from labtrawl.website.parts.addresses import jobs_address
from labtrawl.website.parts.render import Renderer


@dataclass(frozen=True, slots=True)
class ListView(JobsView):
    """A page of the list of jobs, and how many rows whoever looks at it wants on a page."""

    size: int = PAGE


# (the element's selector, the lines of an event that morph it)
Part = tuple[str, bytes]


class Screens:
    """The parts of one reading."""

    def __init__(self, renderer: Renderer, reading: Reading) -> None:
        self._renderer = renderer
        self._reading = reading
        self._overview = b""
        self._rows: dict[int, bytes] = {}
        self._facets: dict[tuple[JobFilter, int], bytes] = {}
        self._bulks: dict[JobFilter, bytes] = {}
        self._parts: dict[tuple[View, int], Sequence[Part]] = {}

    @property
    def top(self) -> int:
        """The newest change of the reading."""
        return self._reading.top

    def add_overview(self, overview: Overview) -> None:
        """Render the overview for all who look at it."""
        self._overview = self._part("#overview", "_overview.html", "overview", overview)

    def of(self, view: View, since: int) -> Sequence[Part]:
        """Return the parts of a view that changed after `since`; found once for all who share it."""
        if (view, since) not in self._parts:
            self._parts[view, since] = tuple(self._changed(view, since))
        return self._parts[view, since]

    def _changed(self, view: View, since: int) -> Iterator[Part]:
        if isinstance(view, ListView):
            yield from self._changed_rows(view, since)
            yield from self._list(view)
        elif isinstance(view, JobView):
            if (detail := self._reading.details.get(view)) is not None:
                yield "#job", self._part("#job", "_job.html", "job", detail)
        else:
            yield "#overview", self._overview

    def _changed_rows(self, view: JobsView, since: int) -> Iterator[Part]:
        for job_id in view.ids:
            row = self._reading.rows.get(job_id)
            if row is not None and row.change > since:
                yield f"#job-{job_id}", self._row(job_id)

    def _row(self, job_id: int) -> bytes:
        if job_id not in self._rows:
            row = self._reading.rows[job_id]
            self._rows[job_id] = self._part(f"#job-{job_id}", "_jobs.html", "row", row)
        return self._rows[job_id]

    def _list(self, view: ListView) -> Iterator[Part]:
        counts = self._reading.facets.get(any_state(view.wanted))
        if counts is not None:
            yield "#facets", self._counts(view.wanted, view.size)
        if counts is not None and view.ids:
            yield "#bulk-all", self._matching(view.wanted)
        if view.is_first and view.wanted in self._reading.first_ids:
            fresh = set(self._reading.first_ids[view.wanted][: view.size]) - set(view.ids)
            address = jobs_address(view.wanted, size=view.size)
            yield "#fresh", self._part("#fresh", "_jobs.html", "fresh", len(fresh), address)

    def _counts(self, wanted: JobFilter, size: int) -> bytes:
        if (wanted, size) not in self._facets:
            counts = self._reading.facets[any_state(wanted)]
            part = self._part("#facets", "_jobs.html", "facets", wanted, counts, size)
            self._facets[wanted, size] = part
        return self._facets[wanted, size]

    def _matching(self, wanted: JobFilter) -> bytes:
        if wanted not in self._bulks:
            counts = self._reading.facets[any_state(wanted)]
            matching = counts[wanted.state.value if wanted.state else ""]
            self._bulks[wanted] = self._part("#bulk-all", "_jobs.html", "bulk_all", matching)
        return self._bulks[wanted]

    def _part(self, target: str, template: str, macro: str, *values: object) -> bytes:
        html = self._renderer.part(template, macro, *values)
        return lines(f'<hx-partial hx-target="{target}" hx-swap="outerMorph">{html}</hx-partial>')


def changed_page(commits: int) -> bytes:
    """Return the lines that tell a page to ask for itself again."""
    return lines(str(commits))


def lines(text: str) -> bytes:
    """Return a text as lines of an event: each is announced (HTML, 9.2.6)."""
    whole = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    return "".join(f"data: {line}\n" for line in whole).encode()


def message(change: int, parts: Sequence[bytes]) -> bytes:
    """Write one server-sent event of these parts; its id is the change."""
    return f"id: {change}\n".encode() + b"".join(parts) + b"\n"
