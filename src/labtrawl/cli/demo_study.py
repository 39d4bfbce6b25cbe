"""`labtrawl demo --study`: a study with participants, played with people of the GitLab look-alike."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import click
import msgspec
from msgspec.structs import replace

from labtrawl import config
from labtrawl.cli.audited import audited
from labtrawl.cli.origins import http_to, user_agent
from labtrawl.cli.sandbox import sandbox_url
from labtrawl.config import Instance, Settings
from labtrawl.domain.consent import EVERYTHING, Wording, end_of_day
from labtrawl.errors import UnexpectedReply
from labtrawl.http import Limits, open_http
from labtrawl.sandbox import World
from labtrawl.store import consents, sessions
from labtrawl.store.engine import Connection
from labtrawl.store.secrets import create_key_file, key_path
from labtrawl.supervisor.states import State
from labtrawl.supervisor.supervisor import Supervisor

NAME = "sandbox"
APPLICATION = "labtrawl-study"
CONTROL = "/-/sandbox/oauth"
SHOWN = 3
DAYS = 365
BASIS = "A demo: nobody's real data are collected."
TITLE = "How teams work together (a demo)"
BODY = """We study how people develop software together, with data of the GitLab look-alike.

What is collected: the issues, merge requests, discussions, commits and pipelines of the areas that \
you choose, as you may see them yourself. Names, numbers, e-mail addresses and addresses of people are \
replaced by pseudonyms before anything is written; free texts are left out.

You can exclude areas, look at all that was collected in your name, download it, and withdraw at any \
time. Then nothing more is collected."""


def study_folder(data_dir: Path) -> Path:
    """Return where the demo of a study keeps everything: a data folder has one mode for ever."""
    return data_dir / "demo-study"


def as_study(settings: Settings) -> Settings:
    """Return the settings of a study at the look-alike, where nobody takes part yet."""
    key = key_path(settings.data_dir)
    if not key.exists():
        create_key_file(key)
    url = sandbox_url(settings.data_dir)
    instance = Instance(name=NAME, url=url, address_allow=("127.0.0.1/32",), client_id=APPLICATION)
    # Who comes back to the demo sees what changed soon.
    often = config.Timetable()
    return replace(
        settings, instances=(instance,), accounts=(), mode="study", basis=BASIS, schedule=often
    )


class StudyDemo:
    """Gets a study ready beside its programs, and tells what there is to try."""

    def __init__(self, settings: Settings, world: World) -> None:
        self.settings = settings
        self._names = [each.username for each in world.accounts]

    async def beside(self, supervisor: Supervisor, address: str) -> None:
        """Register the website at the look-alike, publish a text, print the addresses."""
        await supervisor.wait_for("website", lambda status: status.state is State.READY)
        await self._register(f"{address}/sign-in/gitlab/{NAME}/answer")
        await self._publish()
        link = await audited(self.settings, "admin link", _link)
        for label, sentence in last_words(address, link, self._names):
            click.echo(f"{label:<12}{sentence}")

    async def _register(self, redirect_uri: str) -> None:
        application = {"client_id": APPLICATION, "redirect_uris": [redirect_uri]}
        body = msgspec.json.encode({"applications": [application]})
        origin, headers = http_to(self.settings.instances[0]), {"content-type": "application/json"}
        async with open_http(origin, Limits(), user_agent(self.settings)) as http:
            answer = await http.request("POST", CONTROL, headers, body)
        if answer.status != 200:
            raise UnexpectedReply(f"the look-alike took no application: {answer.status}")

    async def _publish(self) -> None:
        until = end_of_day(datetime.now(UTC).date() + timedelta(days=DAYS))
        text = Wording(TITLE, BODY, (EVERYTHING,), until)

        def first(connection: Connection) -> tuple[None, str, str]:
            if consents.newest_text(connection) is not None:
                return None, "consent text", "is there already"
            version, _ = consents.publish(connection, text, "labtrawl demo")
            return None, "consent text", f"published version {version}"

        await audited(self.settings, "consent text", first)


def _link(connection: Connection) -> tuple[str, str, str]:
    return sessions.create_link(connection), "admin", "created"


def last_words(address: str, link: str, names: Sequence[str]) -> list[tuple[str, str]]:
    """Return (label, sentence): what a person opens, as whom."""
    people = ", ".join(names[:SHOWN])
    return [
        ("site", address),
        ("take part", f"{address}/sign-in   with the GitLab look-alike, as {people} …"),
        ("operate", f"{address}/sign-in?token={link}   in another browser, or a private window"),
        ("", "The site stays up until Ctrl+C; run the same again to go on."),
    ]
