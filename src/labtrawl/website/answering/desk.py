"""What a page needs at hand to answer a request."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from fastapi.responses import HTMLResponse

from labtrawl.store.commands import Worked
from labtrawl.website.figures.sums import Figures
from labtrawl.website.given.site import Site
from labtrawl.website.live.hub import Hub
from labtrawl.website.parts.render import Renderer


@dataclass(frozen=True, slots=True)
class Desk:
    """The site, its templates, its figures and its hub."""

    site: Site
    renderer: Renderer
    figures: Figures
    hub: Hub

    def page(
        self, template: str, *, live: str = "", status: int = 200, **values: Any
    ) -> HTMLResponse:
        """Render a page; `live` is the address of its stream."""
        return HTMLResponse(self.renderer.page(template, live=live, **values), status)

    def tell_stopped(self, stopped: Sequence[Worked]) -> None:
        """Tell the crawlers at once; who is not there hears of it with its next renewal."""
        for work in stopped:
            self.site.crawling.tell("cancel", work.holder, work.job_id)
