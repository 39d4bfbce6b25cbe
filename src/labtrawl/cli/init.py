"""`labtrawl init`: connect a GitLab of one's own. Checks everything first, then writes all or nothing.

The token is asked for hidden or read from a file, never taken from the command line, and leaves this
program only towards its own GitLab and encrypted into the file of settings.
"""

import asyncio
import contextlib
import shlex
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import click
from msgspec.structs import replace
from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

from labtrawl.cli.audited import note
from labtrawl.cli.crawl_ahead import look_ahead_of
from labtrawl.cli.forecast import Forecast
from labtrawl.cli.oauth_sign_in import REDIRECT_URI, SignIn, read_secret
from labtrawl.cli.origins import application_of, http_to, user_agent
from labtrawl.cli.places import PLACE
from labtrawl.cli.settings_file import Access, Draft, tokens_of
from labtrawl.cli.study import check_mode
from labtrawl.cli.token_input import read_token
from labtrawl.clock import Clock, system_clock
from labtrawl.config import Instance, Settings, defaults, load
from labtrawl.config.layers import FILE_NAME
from labtrawl.domain.consent import Mode
from labtrawl.domain.credential import Secret
from labtrawl.errors import ConfigError, Forbidden, LabtrawlError
from labtrawl.gitlab.oauth import Application, revoke
from labtrawl.gitlab.probe import Probe, ProbedAccount, Scope, probe
from labtrawl.http import AddressRefused, Http, Limits, canonical_url, open_http
from labtrawl.logs import escape, mask
from labtrawl.store.secrets import KeyRing, key_path

LARGE_SCOPE = 1000  # projects; a crawl of more is started on purpose only
BASIS = "Why are these data collected? A sentence for the exports, or nothing"
_LARGEST_OFFSET_SECONDS = 60
_LIMITS = Limits(connections=2, connect_seconds=10, total_seconds=30)


@dataclass(frozen=True, slots=True)
class Wish:
    """What the command line says; None is what was left out."""

    url: str | None = None
    token_file: Path | None = None
    data_dir: Path | None = None
    config: Path | None = None
    ca_file: Path | None = None
    proxy: str | None = None
    address_allow: tuple[str, ...] = ()
    contact: str | None = None
    name: str | None = None
    oauth: bool = False
    client_id: str | None = None
    client_secret_file: Path | None = None
    redirect_uri: str | None = None
    add: bool = False
    mode: str = "team"
    basis: str | None = None
    yes: bool = False
    force: bool = False


@dataclass(frozen=True, slots=True)
class Found:
    """What the GitLab said, and the settings and the token that led there."""

    instance: Instance
    access: Access
    probe: Probe
    scope: Scope
    forecast: Forecast | None = None


@click.command("init")
@click.option("--url", help="Address of the GitLab, with its path if it has one.")
@click.option("--token-file", type=PLACE, help="File that holds the token; - reads the input.")
@click.option("--data-dir", type=PLACE, envvar="LABTRAWL_DATA_DIR", help="Folder for the data.")
@click.option("--config", type=PLACE, help=f"File to write; ./{FILE_NAME} if left out.")
@click.option("--ca-file", type=PLACE, help="Certificates (PEM) to trust besides the system's.")
@click.option("--proxy", help="Proxy for this GitLab; none is taken from the environment.")
@click.option(
    "--allow-address",
    "address_allow",
    multiple=True,
    metavar="CIDR",
    help="Address, network or host that may be private or without https; can be repeated.",
)
@click.option("--contact", help="Where the GitLab's administrators reach you (User-Agent).")
@click.option("--name", help="What the GitLab is called here; main if left out.")
@click.option("--oauth", is_flag=True, help="Sign in with GitLab; needs an application there.")
@click.option("--client-id", help="Id of labtrawl's application in that GitLab.")
@click.option(
    "--client-secret-file",
    type=PLACE,
    help="File that holds the application's secret, if it is a confidential one; - reads the input.",
)
@click.option(
    "--redirect-uri", help=f"Redirect URI of the application; {REDIRECT_URI} if left out."
)
@click.option(
    "--mode",
    type=click.Choice(["team", "study"]),
    default="team",
    help="study: from participants, with their consent and pseudonyms.",
)
@click.option("--basis", help="Why these data are collected, in a sentence; exports show it.")
@click.option("--add", is_flag=True, help="Add a GitLab or an account to the file.")
@click.option("--yes", is_flag=True, help=f"Ask nothing; needed above {LARGE_SCOPE:,} projects.")
@click.option("--force", is_flag=True, help="Write the file anew; its accounts are lost.")
def init(**flags: object) -> None:
    """Connect a GitLab: check its address and your token, then write labtrawl.toml.

    \b
    labtrawl init --url https://gitlab.example.org
    labtrawl init --url https://gitlab.example.org --token-file token.txt
    labtrawl init --add --oauth --url https://gitlab.example.org --client-id ID

    The token needs the scope read_api. It is never taken from the command line, where others could
    read it: you are asked for it, or it is read from --token-file. With --oauth there is no token
    to make: you sign in on a page of GitLab, and labtrawl stays signed in.
    """  # noqa: D301 - click reads \b
    wish = Wish(**flags)  # type: ignore[arg-type]
    is_terminal = sys.stdin.isatty() and wish.token_file != Path("-")
    connect(wish, is_terminal, Console(highlight=False), system_clock())


def connect(wish: Wish, is_terminal: bool, console: Console, clock: Clock) -> None:
    """Check and write; LabtrawlError in one sentence where anything is wrong, nothing written then.

    Questions are only asked when `is_terminal`.
    """
    config = (wish.config or Path(FILE_NAME)).absolute()
    existing = _existing(wish, config)
    settings = existing or defaults((wish.data_dir or Path("data.private")).absolute())
    check_mode(settings.data_dir, Mode(existing.mode if existing else wish.mode))
    contact = wish.contact or settings.contact
    instance = _instance(wish, settings, canonical_url(_url(wish, is_terminal)))
    entry = _entry(wish, settings, instance, is_terminal, console)
    agent = user_agent(replace(settings, contact=contact))
    may_ask = None if instance in settings.instances else is_terminal
    found = _look_with_consent(settings, instance, entry, agent, may_ask, clock)
    for line in report(found, clock):
        console.print(line)
    basis = _basis(wish, existing, is_terminal)
    _confirm(wish, found.scope, config, is_terminal)
    account = found.probe.account
    place = (config, settings.data_dir, contact, found.instance, existing)
    draft = Draft(*place, account.username, account.user_id, wish.mode, basis)
    for path in draft.write(found.access, overwrite=wish.force):
        console.print(Text(f"Wrote {path}"), soft_wrap=True)
    who = f"connected @{account.username} ({account.user_id})"
    note(settings, "init", found.instance.url, who)
    flag = "" if config == Path(FILE_NAME).absolute() else f" --config {shlex.quote(str(config))}"
    said = f"The token is stored encrypted only. Go on with: labtrawl start{flag}"
    console.print(Text(said), soft_wrap=True)


def _entry(
    wish: Wish, settings: Settings, instance: Instance, is_terminal: bool, console: Console
) -> Secret | SignIn:
    """How to get in: with a token, or by a sign-in that is still to happen."""
    if wish.oauth:
        if wish.token_file:
            raise ConfigError("--oauth and --token-file exclude each other: leave one out")
        application = _application(wish, settings, instance)
        return SignIn(application, lambda url: _show(console, url))
    if wish.client_id or wish.client_secret_file or wish.redirect_uri:
        raise ConfigError("--client-id, --client-secret-file and --redirect-uri need --oauth")
    token = read_token(wish.token_file, is_terminal=is_terminal)
    if token in tokens_of(settings, instance):
        raise ConfigError("the file of settings has this token already: nothing to add")
    return token


def _show(console: Console, url: str) -> None:
    console.print("Open this address and allow labtrawl to read:")
    console.print(Text(url), soft_wrap=True)
    console.print("Waiting for the answer; Ctrl+C ends it.")


def _application(wish: Wish, settings: Settings, instance: Instance) -> Application:
    """The application of the flags, or the one that the file has for the instance."""
    given = wish.client_id or wish.client_secret_file or wish.redirect_uri
    if instance.client_id and not given:
        return application_of(instance, KeyRing(key_path(settings.data_dir)))
    if instance.client_id:
        raise ConfigError(
            f"{instance.name!r} has an application in the file already: change it there, and sign in"
            " without --client-id, --client-secret-file and --redirect-uri"
        )
    if not wish.client_id:
        raise ConfigError(
            "--oauth needs --client-id: register an application in GitLab (your profile, "
            f"Applications) with the scope read_api and the redirect URI {REDIRECT_URI}"
        )
    secret = read_secret(wish.client_secret_file) if wish.client_secret_file else None
    return Application(wish.client_id, wish.redirect_uri or REDIRECT_URI, secret)


def _existing(wish: Wish, config: Path) -> Settings | None:
    """The settings to add to; None where a file is written anew."""
    if wish.add and wish.force:
        raise ConfigError("--add and --force exclude each other: leave one out")
    if wish.add and wish.contact:
        raise ConfigError(f"change contact in {config} itself: --add leaves what is there as it is")
    if wish.add:
        if not config.is_file():
            raise ConfigError(f"there is no {config} to add to: leave --add out")
        return load(config, {}, {"data_dir": wish.data_dir})
    if config.exists() and not wish.force:
        raise ConfigError(f"{config} is there already: --add adds to it, --force writes it anew")
    return None


def _instance(wish: Wish, settings: Settings, url: str) -> Instance:
    known = next((each for each in settings.instances if canonical_url(each.url) == url), None)
    if known is None:
        name = wish.name or "main"
        if name in {each.name for each in settings.instances}:
            raise ConfigError(f"another GitLab is called {name!r} already: choose a --name")
        ca_file = wish.ca_file.absolute() if wish.ca_file else None
        return Instance(
            name=name,
            url=url,
            ca_file=ca_file,
            proxy=wish.proxy,
            address_allow=wish.address_allow,
        )
    if wish.ca_file or wish.proxy or wish.address_allow or wish.name not in (None, known.name):
        raise ConfigError(
            f"{url} is in the file already, as {known.name!r}: change its settings there, "
            "and add the account without them"
        )
    return known


def _url(wish: Wish, is_terminal: bool) -> str:
    """The address, also where only the host or the address of the API was written."""
    if wish.url is None and not is_terminal:
        raise ConfigError("there is no terminal to ask on: give the address with --url")
    text = wish.url if wish.url is not None else click.prompt("Address of your GitLab")
    text = text.strip().rstrip("/").removesuffix("/api/v4")
    return text if "://" in text else f"https://{text}"


def _look_with_consent(
    settings: Settings,
    instance: Instance,
    entry: Secret | SignIn,
    agent: str,
    may_ask: bool | None,
    clock: Clock,
) -> Found:
    """Ask the GitLab; an address that is not public only with the user's word for it.

    `may_ask` is None where the answer could not be written: the file has the GitLab already.
    """
    while True:
        try:
            return asyncio.run(_look(settings, instance, entry, agent, clock))
        except AddressRefused as refused:
            if refused.entry is None or may_ask is None:
                raise
            allowed = _allowed_entry(refused, refused.entry, may_ask)
        instance = replace(instance, address_allow=(*instance.address_allow, allowed))


def _allowed_entry(refused: AddressRefused, entry: str, may_ask: bool) -> str:
    if not may_ask:
        raise ConfigError(f"{refused}; --allow-address {entry} does that") from None
    click.echo(f"{escape(str(refused))}.")
    if not click.confirm("Is it yours, and shall labtrawl send the token there?"):
        raise click.Abort
    return entry


async def _look(
    settings: Settings, instance: Instance, entry: Secret | SignIn, agent: str, clock: Clock
) -> Found:
    async with open_http(http_to(instance), _LIMITS, agent) as http:
        access = await _access(http, instance, entry, clock)
        try:
            return await _examine(http, settings, instance, access, clock)
        except LabtrawlError:
            if access.application is not None:  # a sign-in of no use is taken back
                with contextlib.suppress(LabtrawlError):
                    await revoke(http, access.application, access.token)
            raise


async def _examine(
    http: Http, settings: Settings, instance: Instance, access: Access, clock: Clock
) -> Found:
    found = await probe(http, access.token, clock)
    if found.missing_scopes:
        raise Forbidden(
            f"the token of @{found.account.username} has the scopes "
            f"{_listed(found.account.scopes)}, and a crawl needs read_api: make another one"
        )
    version = found.instance.version
    scope, forecast = await look_ahead_of(settings, version, http, access.token)
    return Found(instance, access, found, scope, forecast)


async def _access(http: Http, instance: Instance, entry: Secret | SignIn, clock: Clock) -> Access:
    if isinstance(entry, Secret):
        return Access(entry)
    pair = await entry.run(http, instance.url)
    expires_at = clock.now_ms() + pair.expires_in_seconds * 1000
    return Access(pair.access_token, pair.refresh_token, expires_at, entry.application)


def report(found: Found, clock: Clock) -> Iterator[RenderableType]:
    """Say what the token may see, for people."""
    table = Table.grid(padding=(0, 2))
    for label, value in _rows(found, clock.now().date()):
        table.add_row(Text(label, style="bold"), Text(escape(mask(value))))
    yield table
    offset = found.probe.instance.server_time_offset_seconds
    if abs(offset) > _LARGEST_OFFSET_SECONDS:
        yield f"The clocks differ by {abs(offset):,.0f} s: set the time of this machine right."
    if not found.scope.groups + found.scope.projects:
        yield "The account is a member of nothing: a crawl would find no data."


def _rows(found: Found, today: date) -> Iterator[tuple[str, str]]:
    gitlab, account = found.probe.instance, found.probe.account
    edition = "Enterprise" if gitlab.enterprise else "Community"
    yield "GitLab", f"{found.instance.url} ({gitlab.version}, {edition} Edition)"
    yield "Account", f"{account.name} (@{account.username})"
    yield "Scopes", _scopes_in_words(found.probe)
    renewed = "labtrawl renews it in time" if found.access.refresh_token else ""
    yield "Expires", renewed or _expiry_in_words(account, today)
    at_least = "" if found.scope.is_exact else "at least "
    groups, projects = found.scope.groups, found.scope.projects
    yield "Member of", f"{at_least}{_counted(groups, 'group')}, {_counted(projects, 'project')}"
    yield from zip(("Forecast", ""), _forecast(found), strict=False)


def _forecast(found: Found) -> Iterator[str]:
    """What a first crawl costs at least, where there is anything to collect."""
    if found.forecast is not None and found.forecast.lists:
        yield from found.forecast.words()


def _scopes_in_words(found: Probe) -> str:
    if found.account.scopes is None:
        return "GitLab does not tell; the account and its lists could be read"
    if found.wider_scopes:
        return (
            f"{_listed(found.account.scopes)}: more than needed ({_listed(found.wider_scopes)}); "
            "a token with read_api alone is enough"
        )
    return f"{_listed(found.account.scopes)}: enough, nothing lacks"


def _expiry_in_words(account: ProbedAccount, today: date) -> str:
    if account.expires_at is None:
        return "GitLab does not tell" if account.scopes is None else "no day is set"
    return f"{account.expires_at.isoformat()}, in {(account.expires_at - today).days} days"


def _counted(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def _listed(scopes: Iterable[str] | None) -> str:
    return ", ".join(scopes or ()) or "none"


def _basis(wish: Wish, existing: Settings | None, is_terminal: bool) -> str:
    """Why the data are collected, asked once; "" where nobody says so."""
    if existing is not None and (wish.basis is not None or wish.mode != "team"):
        raise ConfigError("--mode and --basis are of the whole file: change them there")
    if wish.basis is not None or existing is not None or wish.yes or not is_terminal:
        return " ".join((wish.basis or "").split())
    said = click.prompt(BASIS, default="", show_default=False)
    return " ".join(str(said).split())


def _confirm(wish: Wish, scope: Scope, config: Path, is_terminal: bool) -> None:
    if wish.yes:
        return
    if scope.projects > LARGE_SCOPE:
        raise ConfigError(
            f"these are {scope.projects:,} projects, and a crawl of all takes long: give --yes to "
            "go on (scope.exclude in the file leaves areas out)"
        )
    if is_terminal and not click.confirm(f"Write {config}?", default=True):
        raise click.Abort
