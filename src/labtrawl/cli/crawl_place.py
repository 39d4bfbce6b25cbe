"""From the URL that somebody copied to an instance and a path in it; kept beside what was collected."""

from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

import msgspec

from labtrawl.cli.origins import agent_of, http_to
from labtrawl.cli.whole_file import write_whole
from labtrawl.clock import system_clock
from labtrawl.config import Instance
from labtrawl.domain.credential import Secret
from labtrawl.errors import ConfigError, Forbidden
from labtrawl.gitlab.probe import Probe, measure_scope, probe
from labtrawl.http import Limits, canonical_url, open_http
from labtrawl.supervisor.listeners import make_private_folder

# A GitLab below a path has one or two parts of it before a group begins.
DEEPEST_INSTANCE = 3
SEPARATOR = "/-/"


@dataclass(frozen=True, slots=True)
class Place:
    """A URL taken apart: the server, and the parts of the path."""

    origin: str
    parts: tuple[str, ...]

    @property
    def folder(self) -> str:
        """A name for the folder of what is collected from there."""
        host = urlsplit(self.origin).netloc.replace(":", "-").strip("[]")
        return "-".join((host, *self.parts))


class Target(msgspec.Struct, frozen=True):
    """What is crawled: an instance, a path in it (empty: all that the account is a member of)."""

    url: str
    instance_url: str
    path: str
    version: str
    user_id: int
    username: str
    groups: int = 0
    projects: int = 0


def parse_url(text: str) -> Place:
    """Take a URL apart, also one of a page inside a project; ConfigError for what is none."""
    whole = text.strip() if "://" in text else f"https://{text.strip()}"
    try:
        found = urlsplit(whole.partition(SEPARATOR)[0])
        is_usable = found.scheme in ("http", "https") and found.hostname and not found.username
        origin = f"{found.scheme}://{found.netloc}"
    except ValueError:
        is_usable, origin, found = None, "", urlsplit("")
    if not is_usable:
        raise ConfigError(
            f"{text!r} is no address of a GitLab, a group or a project: give one like"
            " https://gitlab.example.org/group/project, without a user in it"
        )
    parts = tuple(unquote(part).removesuffix(".git") for part in found.path.split("/") if part)
    if any(part in (".", "..") or "/" in part or not part.isprintable() for part in parts):
        raise ConfigError(f"{text!r} has a path that no group or project has")
    return Place(origin, parts)


def instance_of(url: str, ca_file: Path | None) -> Instance:
    """Return the settings of an instance that its operator named: its address may be private."""
    host = (urlsplit(url).hostname or "").strip("[]")
    return Instance(name="main", url=url, ca_file=ca_file, address_allow=(host,))


async def find_target(text: str, token: Secret, ca_file: Path | None, contact: str) -> Target:
    """Find where the instance ends and the path begins, and whose token it is.

    A GitLab may lie below a path; the shortest address that answers as one is taken. Raises
    ConfigError where none does, Unauthorized, Forbidden, Unavailable.
    """
    place = parse_url(text)
    failure: ConfigError | None = None
    for depth in range(min(DEEPEST_INSTANCE, len(place.parts) + 1)):
        url = canonical_url("/".join((place.origin, *place.parts[:depth])))
        try:
            return await _look(text, url, "/".join(place.parts[depth:]), token, ca_file, contact)
        except ConfigError as error:
            failure = failure or error
    raise failure or ConfigError(f"there is no GitLab at {text}")


async def _look(
    text: str, url: str, path: str, token: Secret, ca_file: Path | None, contact: str
) -> Target:
    agent = agent_of(contact)
    async with open_http(http_to(instance_of(url, ca_file)), Limits(connections=2), agent) as http:
        found: Probe = await probe(http, token, system_clock())
        if found.missing_scopes:
            raise Forbidden(
                f"the token of @{found.account.username} lacks the scope read_api: make another one"
            )
        groups = projects = 0
        if not path:
            scope = await measure_scope(http, token)
            groups, projects = scope.groups, scope.projects
    account = found.account
    return Target(
        text, url, path, found.instance.version, account.user_id, account.username, groups, projects
    )


def _file(out: Path) -> Path:
    return out / "config" / "crawl.json"


def keep_target(out: Path, target: Target) -> None:
    """Remember what this folder holds; another GitLab under the same name would be a lie."""
    make_private_folder(_file(out).parent)
    write_whole(_file(out), msgspec.json.encode(target))


def kept_target(out: Path, url: str) -> Target | None:
    """Return what was crawled into a folder before; ConfigError where that was something else."""
    try:
        kept = msgspec.json.decode(_file(out).read_bytes(), type=Target)
    except FileNotFoundError:
        if (out / "config").exists() or (out / "dataset").exists():
            raise ConfigError(
                f"{out} holds something else: choose another folder with --out"
            ) from None
        return None
    except msgspec.MsgspecError as error:
        raise ConfigError(f"{_file(out)} is damaged ({error}): choose another folder") from error
    if parse_url(kept.url) != parse_url(url):
        raise ConfigError(
            f"{out} holds what was crawled from {kept.url}: choose another folder with --out"
        )
    return kept
