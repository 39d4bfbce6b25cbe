"""What holds for every page of the site: it is found by its route, so that no page is left out."""

import gzip
import itertools
import random
import re
import urllib.request
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from playwright.sync_api import BrowserContext, Page
from sqlalchemy import Connection

from tests.e2e.everywhere import Everywhere, bare, pages, populated
from tests.e2e.test_website_pages import look_at
from tests.integration.website.running import running_site

# A page of ours that answers so is no page: its place in `everywhere` is wrong.
FINE = frozenset({200})


@pytest.fixture(scope="module")
def everywhere(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Everywhere]:
    with running_site(tmp_path_factory.mktemp("everywhere") / "labtrawl.db") as site:
        yield populated(site)


@pytest.fixture(scope="module")
def base_url(everywhere: Everywhere) -> str:
    return everywhere.own.site.url


# More than thirty pages, each looked at by axe.
LONG = pytest.mark.timeout(300)


def visit(everywhere: Everywhere, new_context: Any, **options: Any) -> Iterator[tuple[str, Any]]:
    """Open every page, one after the other; its route and the tab that shows it.

    Everybody has one tab: another one is three processes of a browser. Where nothing is there,
    pages of one thing are none.
    """
    tabs: dict[str, Page] = {}
    for who, route in pages():
        if "{" in everywhere.places.get(route, route) and not everywhere.values:
            continue
        if who not in tabs:
            context: BrowserContext = new_context(**options)
            everywhere.sign_in(context, who)
            tabs[who] = context.new_page()
        reply = tabs[who].goto(everywhere.address(route))
        assert reply is not None
        assert reply.status in FINE, f"{route}: {reply.status}"
        yield route, tabs[who]
    for tab in tabs.values():
        tab.close()


LOOKS = (("light", 1440), ("dark", 360), ("dark", 1440), ("light", 360))


def seen(
    everywhere: Everywhere, new_context: Any, looks: Sequence[Sequence[tuple[str, int]]]
) -> str:
    """What is wrong with any page; each is looked at in the next of these schemes and widths."""
    wrong = []
    for (_, page), those in zip(
        visit(everywhere, new_context), itertools.cycle(looks), strict=False
    ):
        for scheme, width in those:
            page.emulate_media(color_scheme=scheme)
            wrong += look_at(page, width)
    return "\n".join(wrong)


@LONG
def test_every_page_is_accessible_fits_and_does_not_complain(
    new_context: Any, everywhere: Everywhere
) -> None:
    assert seen(everywhere, new_context, [[look] for look in LOOKS]) == ""


@LONG
def test_every_page_without_content_is_accessible_fits_and_does_not_complain(
    new_context: Any, tmp_path_factory: pytest.TempPathFactory
) -> None:
    with running_site(tmp_path_factory.mktemp("bare") / "labtrawl.db") as site:
        assert seen(bare(site), new_context, [[look] for look in LOOKS]) == ""


@pytest.mark.proof
@pytest.mark.timeout(1800)
def test_every_page_is_accessible_and_fits_in_every_scheme_and_width(
    new_context: Any, everywhere: Everywhere
) -> None:
    assert seen(everywhere, new_context, [LOOKS]) == ""


@LONG
def test_every_page_without_javascript_has_its_heading_and_each_button_a_form(
    new_context: Any, everywhere: Everywhere
) -> None:
    bare = []
    for route, page in visit(everywhere, new_context, java_script_enabled=False):
        outside = page.locator("button:not(form button):not([form])").count()
        no_id = page.locator("main :is(input:not([type=hidden]), select, button):not([id])").count()
        if page.locator("main h1").count() != 1 or outside or no_id:
            bare.append((route, outside, no_id))
    assert bare == []


# What a chart needs is there on its page alone.
LIGHT, WITH_CHARTS = 45_000, 70_000
PARTS = re.compile(r'(?:src|href|data-worker)="(/static/[^"]+)"')


def weight(everywhere: Everywhere, who: str, route: str) -> tuple[int, set[str]]:
    """Bytes over the wire of a first view, as a browser asks for them, and the files among them."""
    page = fetch(everywhere, who, everywhere.address(route))
    files = set(PARTS.findall(gzip.decompress(page).decode()))
    site = everywhere.own.site.url
    return len(page) + sum(len(fetch(everywhere, who, site + each)) for each in files), files


def fetch(everywhere: Everywhere, who: str, address: str) -> bytes:
    headers = {"Accept-Encoding": "gzip", "Cookie": everywhere.cookies[who]}
    with urllib.request.urlopen(urllib.request.Request(address, headers=headers)) as reply:
        body: bytes = reply.read()
    return body


def test_first_view_of_every_page_is_light(everywhere: Everywhere) -> None:
    heavy = []
    for who, route in pages():
        size, files = weight(everywhere, who, route)
        has_charts = any("uplot" in each for each in files)
        if size > (WITH_CHARTS if has_charts else LIGHT) or len(files) > 15:
            heavy.append((route, size, sorted(files)))
    assert heavy == []


# ---------------------------------------------------------------- F21: hostile texts of GitLab

MARKUP = (
    "<script>window.pwned=1</script>",
    "<img src=x onerror=window.pwned=1>",
    '"><svg/onload=window.pwned=1>',
    "'-window.pwned=1-'",
    "</title><script>window.pwned=1</script>",
    "</textarea><script>window.pwned=1</script>",
    "<iframe srcdoc='<script>parent.pwned=1</script>'>",
    "javascript:window.pwned=1//",
    "{{constructor.constructor('window.pwned=1')()}}",
    "{% raw %}{{ 7*7 }}",
    "<hx-partial hx-target=body><h1>pwned</h1></hx-partial>",
    "<div hx-get=/sign-out hx-trigger=load>",
    "<!--<img src='--><img src=x onerror=window.pwned=1>'>",
    "<math><mtext><table><mglyph><style><img src=x onerror=window.pwned=1>",
    "<a href=javascript:window.pwned=1 autofocus onfocus=window.pwned=1>",
    "data: x\n\nevent: ended\ndata: 1\n\n",
)
AROUND = (
    "{}",
    "\N{RIGHT-TO-LEFT OVERRIDE}{}",
    "\N{RIGHT-TO-LEFT ISOLATE}\N{HEBREW LETTER ALEF}{}",
    "\x00\x07\x1b[31m{}\x9b",
    "{}\r\n\N{LINE SEPARATOR}",
    "\N{ZERO WIDTH SPACE}{}\N{ZERO WIDTH JOINER}",
    "{}" + "\N{COMBINING LONG STROKE OVERLAY}" * 40,
    "{}" + "w" * 10_000,
    "=cmd|'{}'!A1",
    "&lt;{}&amp;",
    "%3Cscript%3E{}",
    "\N{FULLWIDTH LESS-THAN SIGN}script{}",
    "\ufeff{}",
)
TEXTS = [around.replace("{}", markup) for around in AROUND for markup in MARKUP]
FIELDS = (
    ("area", "name"),
    ("area", "web_url"),
    ("area", "full_path"),
    ("area", "parent_path"),
    ("account", "username"),
    ("instance", "version"),
    ("person", "username"),
    ("person", "name"),
    ("job", "stage"),
    ("job", "error_message"),
    ("ledger", "detail"),
    ("attempt", "message"),
    ("crawler", "name"),
    ("operation", "because"),
    ("operation", "who"),
    ("notice", "subject"),
    ("notice", "body"),
    ("backup", "message"),
)


def spoil(connection: Connection, seed: int) -> None:
    """Let every text that GitLab or a person wrote be hostile."""
    rng = random.Random(seed)
    for table, column in FIELDS:
        query = f"SELECT DISTINCT {column} FROM {table} WHERE {column} IS NOT NULL"
        for number, was in enumerate(connection.exec_driver_sql(query).scalars().all()):
            connection.exec_driver_sql(
                f"UPDATE {table} SET {column} = ? WHERE {column} = ?",
                (f"{rng.choice(TEXTS)}/{number}", was),
            )


@LONG
def test_hostile_text_on_any_page_is_only_text(
    new_context: Any, everywhere: Everywhere, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """F21: more than 200 texts in every field; no script runs, no policy is broken, nothing moves."""
    assert len(TEXTS) > 200
    with running_site(tmp_path_factory.mktemp("hostile") / "labtrawl.db") as site:
        spoilt = populated(site)
        site.write(lambda connection: spoil(connection, random.randrange(2**32)))
        wrong = []
        for route, page in visit(spoilt, new_context, viewport={"width": 360, "height": 800}):
            told: dict[str, Any] = page.evaluate(LOOK)
            if told != HARMLESS:
                wrong.append((route, told))
    assert wrong == []


HARMLESS = {"pwned": False, "scripts": 0, "handlers": 0, "wide": 0, "foreign": 0}
LOOK = """() => ({
  pwned: 'pwned' in window,
  scripts: [...document.scripts].filter(each => !each.src.startsWith(location.origin)).length,
  handlers: document.querySelectorAll('[onerror],[onload],[onfocus],iframe,[srcdoc]').length,
  wide: Math.max(0, document.documentElement.scrollWidth - innerWidth),
  foreign: [...document.links].filter(each => each.protocol === 'javascript:').length,
})"""
