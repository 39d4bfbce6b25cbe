"""From the URL that somebody copied to an instance and a path in it; kept beside what was collected."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

import msgspec
from msgspec.structs import replace

from labtrawl.cli.origins import agent_of, http_to
from labtrawl.cli.whole_file import write_whole
from labtrawl.clock import system_clock
from labtrawl.config import Instance
from labtrawl.domain.credential import Secret
from labtrawl.errors import ConfigError, Forbidden
from labtrawl.gitlab.probe import Probe, probe
from labtrawl.http import Limits, canonical_url, open_http
from labtrawl.supervisor.listeners import make_private_folder

# A GitLab below a path has one or two parts of it before a group begins.
DEEPEST_INSTANCE = 3
SEPARATOR = "/-/"
# The pages of a group lie below this word, and no group is called so.
GROUP_PAGES = "groups"
# What is left out of an instant that is a day.
MIDNIGHT = "T00:00:00+00:00"
# A token that was good is not asked for again within a day: a run that finds no change stays cheap.
TRUST_SECONDS = 86_400
# What is asked at once of a GitLab that is new.
QUESTIONS = 5


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


class Bounds(msgspec.Struct, frozen=True):
    """What else a folder holds, and what it leaves out; `since` is ISO 8601, "" for all."""

    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    since: str = ""

    def hold(self, earlier: "Bounds") -> bool:
        """Say whether all that was collected within earlier bounds is within these too."""
        return (
            set(self.include) >= set(earlier.include)
            and set(self.exclude) <= set(earlier.exclude)
            and self.since == earlier.since
        )

    def flags(self) -> str:
        """Return the flags that say the same."""
        since = [f"--since {self.since.removesuffix(MIDNIGHT)}"] if self.since else []
        named = [f"--include {one}" for one in self.include]
        return " ".join([*named, *(f"--exclude {one}" for one in self.exclude), *since])


class Kept(msgspec.Struct, frozen=True):
    """What a folder says of itself: what it holds, and which token was good when (Unix time).

    `token_mark` is a fingerprint: it tells one token from another, and opens nothing.
    """

    target: Target
    bounds: Bounds
    token_mark: str
    checked_at: int


def parse_url(text: str) -> Place:
    """Take a URL apart, also one of a page inside a project; ConfigError for what is none."""
    whole = text.strip() if "://" in text else f"https://{text.strip()}"
    try:
        found = urlsplit(whole.partition(SEPARATOR)[0])
        is_usable = found.scheme in ("http", "https") and found.hostname and not found.username
        origin = canonical_url(f"{found.scheme}://{found.netloc}") if is_usable else ""
    except (ValueError, ConfigError):
        origin, found = "", urlsplit("")
    if not origin:
        raise ConfigError(
            f"{text!r} is no address of a GitLab, a group or a project: give one like"
            " https://gitlab.example.org/group/project, without a user in it"
        )
    parts = tuple(unquote(part) for part in found.path.removesuffix("/").split("/") if part)
    if any(part in (".", "..") or "/" in part or not part.isprintable() for part in parts):
        raise ConfigError(f"{text!r} has a path that no group or project has")
    return Place(origin, (*parts[:-1], *(part.removesuffix(".git") for part in parts[-1:])))


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


async def find_again(
    kept: Kept, token: Secret, ca_file: Path | None, contact: str, now: float
) -> Target:
    """Return what a folder holds; ask anew for a token that it does not know, or not of late.

    Raises ConfigError for the token of another user, and as `find_target`.
    """
    before = kept.target
    if kept.token_mark == mark_of(token) and 0 <= now - kept.checked_at < TRUST_SECONDS:
        # Nothing is asked; what is wrong with the file of certificates is told all the same.
        async with open_http(http_to(instance_of(before.instance_url, ca_file)), Limits(), ""):
            return before
    found = await _look(before.url, before.instance_url, before.path, token, ca_file, contact)
    if found.user_id != before.user_id:
        raise ConfigError(
            f"this folder holds what @{before.username} may see, and the token is one of"
            f" @{found.username}: choose another folder with --out"
        )
    return found


def mark_of(token: Secret) -> str:
    """Return a fingerprint of a token: too short to be turned back, long enough to tell."""
    return hashlib.sha256(b"labtrawl crawl " + token.reveal().encode()).hexdigest()[:16]


async def _look(
    text: str, url: str, path: str, token: Secret, ca_file: Path | None, contact: str
) -> Target:
    agent = agent_of(contact)
    limits = Limits(connections=QUESTIONS)
    async with open_http(http_to(instance_of(url, ca_file)), limits, agent) as http:
        found: Probe = await probe(http, token, system_clock())
        if found.missing_scopes:
            raise Forbidden(
                f"the token of @{found.account.username} lacks the scope read_api: make another one"
            )
    account, path = found.account, path.removeprefix(f"{GROUP_PAGES}/")
    return Target(text, url, path, found.instance.version, account.user_id, account.username)


def kept_path(out: Path) -> Path:
    """Return where a folder of `labtrawl crawl` says what it holds."""
    return out / "config" / "crawl.json"


def copy_path(out: Path) -> Path:
    """Return where it says the same again: the database does not know the bounds of a crawl."""
    return kept_path(out).with_name("crawl.copy.json")


def keep(out: Path, kept: Kept) -> None:
    """Remember what this folder holds; another GitLab under the same name would be a lie."""
    make_private_folder(kept_path(out).parent)
    # The copy first: it is never behind what it stands for.
    for path in (copy_path(out), kept_path(out)):
        write_whole(path, msgspec.json.encode(kept))


def kept_in(
    out: Path, url: str, bounds: Bounds, say: Callable[[str], object] = lambda _words: None
) -> Kept | None:
    """Return what was crawled into a folder before; ConfigError where that was something else.

    What is damaged or gone is taken from its copy, which `say` hears of; `keep` then mends it.
    """
    kept = _read_kept(out, say)
    if kept is None:
        return None
    if parse_url(kept.target.url) != parse_url(url):
        raise ConfigError(
            f"{out} holds what was crawled from {kept.target.url}: choose another folder with --out"
        )
    if not bounds.hold(kept.bounds):
        raise ConfigError(
            f"{out} was crawled with {kept.bounds.flags() or 'no bounds'}: give the same again, or"
            " choose another folder with --out"
        )
    return replace(kept, bounds=bounds)


def _read_kept(out: Path, say: Callable[[str], object]) -> Kept | None:
    try:
        return _decoded(kept_path(out))
    except (FileNotFoundError, NotADirectoryError):
        if not _holds_others(out):
            return None
        fault: Exception = ConfigError(
            f"{out} holds something else: choose another folder with --out"
        )
    except msgspec.MsgspecError as error:
        fault = ConfigError(
            f"{kept_path(out)} is damaged ({error}), and no good copy ({copy_path(out).name}) lies"
            " beside it: put it back from a backup of the folder, or collect anew into another"
            " folder with --out; what is here can be read and exported"
        )
    try:
        kept = _decoded(copy_path(out))
    except (OSError, msgspec.MsgspecError):
        raise fault from None
    say(f"{kept_path(out)} was damaged or gone: it is put back from its copy; nothing is lost")
    return kept


def _holds_others(out: Path) -> bool:
    """Say whether a folder has more in it than a crawl that was ended before it wrote what it is of.

    A disk of one's own has a `lost+found`, and desktops leave hidden files.
    """
    names = {path.name for path in out.iterdir()} if out.exists() else set()
    return not all(
        name.startswith((".", "crawl")) or name.endswith(".lock") or name == "lost+found"
        for name in names
    )


def _decoded(path: Path) -> Kept:
    return msgspec.json.decode(path.read_bytes(), type=Kept)
