"""A website with two GitLabs to sign in with, and browsers that keep their cookies."""

import asyncio
import contextlib
import html
import re
import socket
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

import msgspec

from labtrawl import config
from labtrawl.cli.gitlab_sign_in import GitLabSignIn
from labtrawl.cli.sign_ins import SignIns
from labtrawl.clock import system_clock
from labtrawl.domain.consent import Mode
from labtrawl.sandbox import Application, Options, Server, World, build_world, running
from labtrawl.sandbox.model import Account
from labtrawl.store import mode as modes
from labtrawl.store.engine import Store, open_store
from labtrawl.store.migrate import migrate
from labtrawl.store.secrets import create_key_file, key_path
from labtrawl.website.app import build
from labtrawl.website.serve import serve
from tests.integration.sandbox.caller import Caller
from tests.integration.website.conftest import Client, Reply
from tests.integration.website.running import Surroundings, site_of

TEAM, STUDY = "team", "study"


def people() -> World:
    """A small world in which three users have a token, and a fourth one that may write."""
    world = build_world("small", 1, {}, [])
    first = world.accounts[0]
    others = [user for user in world.users if user.id != first.user_id][:3]
    made = [
        Account(username=user.username, user_id=user.id, token=f"glpat-sandbox-{user.id:020}")
        for user in others
    ]
    made[2] = msgspec.structs.replace(made[2], scopes=("api",))
    return msgspec.structs.replace(world, accounts=(first, *made))


@dataclass
class Browser:
    """Keeps its cookies, follows nothing by itself."""

    client: Client
    jar: dict[str, str] = field(default_factory=dict)

    async def _ask(self, method: str, path: str, headers: dict[str, str], body: str) -> Reply:
        cookies = "; ".join(f"{name}={value}" for name, value in self.jar.items())
        reply = await self.client.ask(method, path, headers | {"Cookie": cookies}, body)
        for line in reply.cookies:
            name, _, value = line.partition(";")[0].partition("=")
            if "Max-Age=0" in line or value in {"", '""'}:
                self.jar.pop(name, None)
            else:
                self.jar[name] = value
        return reply

    async def get(self, path: str) -> Reply:
        return await self._ask("GET", path, {}, "")

    async def post(self, path: str, **fields: str) -> Reply:
        return await self._ask("POST", path, {"Sec-Fetch-Site": "same-origin"}, urlencode(fields))

    @property
    def session(self) -> str | None:
        """The session's token, if there is one."""
        found = [value for name, value in self.jar.items() if not name.endswith("_entering")]
        return found[0] if found else None


@dataclass(frozen=True)
class Entered:
    """The website, the GitLabs, and what lies between."""

    client: Client
    gitlabs: dict[str, Server]
    world: World
    entrance: GitLabSignIn
    sign_ins: SignIns
    store: Store
    announced: "asyncio.Queue[object]"
    """What the supervisor is told of accounts."""

    def browser(self) -> Browser:
        return Browser(self.client)

    async def leave(
        self, browser: Browser, place: str = "main", wish: str = "take_part", to: str = ""
    ) -> str:
        """Begin in a browser; the address at GitLab that it is sent to."""
        reply = await browser.post(f"/sign-in/gitlab/{place}", wish=wish, to=to)
        assert reply.status == 200, reply.text
        found = re.search(r'id="go-on" href="([^"]+)"', reply.text)
        assert found is not None
        refreshed = re.search(r'content="0; url=([^"]+)"', reply.text)
        assert refreshed is not None
        assert refreshed[1] == found[1]
        return html.unescape(found[1])

    async def allow(self, address: str, who: int = 0) -> str:
        """Say yes at GitLab; the path at the website that it sends the browser to."""
        location = await self.decide(f"{address}&sandbox_user={self.world.accounts[who].username}")
        return location.removeprefix(self.client.url)

    async def decide(self, address: str) -> str:
        """Open an address at a GitLab; where it sends the browser."""
        parts = urlsplit(address)
        async with Caller(f"{parts.scheme}://{parts.netloc}") as caller:
            answer = await caller.call("GET", f"{parts.path}?{parts.query}")
        return answer.headers["location"]

    async def sign_in(
        self, browser: Browser, who: int = 0, wish: str = "take_part", to: str = ""
    ) -> Reply:
        """Begin, say yes, come back."""
        back = await self.allow(await self.leave(browser, wish=wish, to=to), who)
        return await browser.get(back)

    async def told(self, place: str = "main") -> dict[str, Any]:
        """What a GitLab counts: requests for tokens, and pairs that are good."""
        async with Caller(self.gitlabs[place].url) as caller:
            found: dict[str, Any] = (await caller.call("GET", "/-/sandbox/oauth")).json
        return found

    async def rule(self, place: str = "main", **rules: object) -> None:
        """Let a GitLab behave otherwise from now on."""
        async with Caller(self.gitlabs[place].url) as caller:
            answer = await caller.call("POST", "/-/sandbox/oauth", msgspec.json.encode(rules))
        assert answer.status < 300, answer.body

    async def fault(self, *faults: dict[str, object]) -> None:
        """Plan faults of the first GitLab."""
        async with Caller(self.gitlabs["main"].url) as caller:
            answer = await caller.call("POST", "/-/sandbox/faults", msgspec.json.encode(faults))
        assert answer.status < 300, answer.body

    async def rows(self, query: str) -> list[tuple[Any, ...]]:
        found = await self.store.read(lambda c: c.exec_driver_sql(query).all())
        return [tuple(row) for row in found]


def settings_of(folder: Path, gitlabs: dict[str, Server]) -> config.Settings:
    """Settings that name the GitLabs, each with an application."""
    text = f'data_dir = "{folder}"\n'
    for name, server in gitlabs.items():
        text += f'[[instances]]\nname = "{name}"\nurl = "{server.url}"\nclient_id = "labtrawl"\n'
        text += 'address_allow = ["127.0.0.0/8"]\n'
    path = folder / "labtrawl.toml"
    path.write_text(text, "utf-8")
    return config.load(path, {}, {})


@contextlib.asynccontextmanager
async def entered(
    folder: Path,
    world: World,
    mode: str = STUDY,
    admins: Sequence[str] = (),
    operators: Sequence[str] = (),
) -> AsyncIterator[Entered]:
    """Serve a website and two GitLabs, `main` and `other`, with the same users."""
    await asyncio.to_thread(migrate, folder / "labtrawl.sqlite")
    create_key_file(key_path(folder))
    async with contextlib.AsyncExitStack() as stack:
        sock = stack.enter_context(socket.socket())
        sock.bind(("127.0.0.1", 0))
        sock.listen()
        url = f"http://127.0.0.1:{sock.getsockname()[1]}"
        gitlabs = {}
        for name in ("main", "other"):
            uris = (f"{url}/sign-in/gitlab/{name}/answer",)
            options = Options(applications=(Application(client_id="labtrawl", redirect_uris=uris),))
            gitlabs[name] = await stack.enter_async_context(running(world, options))
        store = await stack.enter_async_context(open_store(folder / "labtrawl.sqlite"))
        await store.write(lambda c: modes.pin(c, Mode(mode), "", ""))
        told: asyncio.Queue[object] = asyncio.Queue()
        sign_ins = SignIns(settings_of(folder, gitlabs), store, system_clock(), told.put)
        entrance = sign_ins.entrance(url)
        around = Surroundings(base_url=url, data_dir=folder, mode=mode, entrance=entrance)
        around.admins, around.operators = frozenset(admins), frozenset(operators)
        stopping = asyncio.Event()
        serving = asyncio.create_task(serve(build(site_of(store, around)), sock, stopping))
        client = Client(url, store, around, stopping, serving)
        try:
            yield Entered(client, gitlabs, world, entrance, sign_ins, store, told)
        finally:
            stopping.set()
            await serving
            await client.close()
