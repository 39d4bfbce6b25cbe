"""What a page needs at hand to answer a request."""

from dataclasses import dataclass
from typing import Any

from fastapi.responses import HTMLResponse

from labtrawl.website.figures import Figures
from labtrawl.website.live import Hub
from labtrawl.website.render import Renderer
from labtrawl.website.site import Site


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
