"""From what changed to the parts of pages that show it; each part is rendered once for all."""

from collections.abc import Iterator, Mapping

from labtrawl.store.pages.live import JobsView, JobView, Reading, View, any_state
from labtrawl.website.addresses import jobs_address
from labtrawl.website.figures import Overview
from labtrawl.website.render import Renderer

# (the element's selector, its new HTML)
Part = tuple[str, str]


class Screens:
    """The parts of one reading."""

    def __init__(self, renderer: Renderer, reading: Reading) -> None:
        self._renderer = renderer
        self._reading = reading
        self._overview = ""
        self._rows: dict[int, str] = {}

    def add_overview(self, overview: Overview) -> None:
        """Render the overview for all who look at it."""
        self._overview = self._renderer.part("_overview.html", "overview", overview)

    def of(self, view: View, since: int) -> Iterator[Part]:
        """Return the parts of a view that changed after `since`."""
        if isinstance(view, JobsView):
            yield from self._changed_rows(view, since)
            yield from self._list(view)
        elif isinstance(view, JobView):
            if (detail := self._reading.details.get(view)) is not None:
                yield "#job", self._renderer.part("_job.html", "job", detail)
        else:
            yield "#overview", self._overview

    def _changed_rows(self, view: JobsView, since: int) -> Iterator[Part]:
        for job_id in view.ids:
            row = self._reading.rows.get(job_id)
            if row is not None and row.change > since:
                yield f"#job-{job_id}", self._row(job_id)

    def _row(self, job_id: int) -> str:
        if job_id not in self._rows:
            row = self._reading.rows[job_id]
            self._rows[job_id] = self._renderer.part("_jobs.html", "row", row)
        return self._rows[job_id]

    def _list(self, view: JobsView) -> Iterator[Part]:
        counts = self._reading.facets.get(any_state(view.wanted))
        if counts is not None:
            yield "#facets", self._renderer.part("_jobs.html", "facets", view.wanted, counts)
        if view.is_first and view.wanted in self._reading.first_ids:
            fresh = set(self._reading.first_ids[view.wanted]) - set(view.ids)
            address = jobs_address(view.wanted)
            yield "#fresh", self._renderer.part("_jobs.html", "fresh", len(fresh), address)


def message(change: int, parts: Mapping[str, str]) -> bytes:
    """Write one server-sent event that morphs each part in place; its id is the change."""
    partials = (
        f'<hx-partial hx-target="{target}" hx-swap="outerMorph">{html}</hx-partial>'
        for target, html in parts.items()
    )
    text = "\n".join(partials).replace("\r\n", "\n").replace("\r", "\n")
    lines = "\n".join(f"data: {line}" for line in text.split("\n"))
    return f"id: {change}\n{lines}\n\n".encode()
