"""The files that the website ships: read once, served from memory, named by their content."""

import gzip
import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.resources import files
from importlib.resources.abc import Traversable

TYPES = {
    "css": "text/css; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "svg": "image/svg+xml",
    "txt": "text/plain; charset=utf-8",
}
SMALL = 500
# One file, one request. The streams are a file of their own too, for the worker that pages share.
BUNDLE = "live.js"
BUNDLED = ("vendor/htmx.js", "streams.js", "app.js")


@dataclass(frozen=True, slots=True)
class Asset:
    """One file; `packed` is the same with gzip where that is worth it."""

    content: bytes
    packed: bytes | None
    media_type: str
    version: str


def _walk(folder: Traversable, prefix: str = "") -> Iterator[tuple[str, bytes]]:
    for entry in folder.iterdir():
        if entry.is_dir():
            yield from _walk(entry, f"{prefix}{entry.name}/")
        elif entry.name.rpartition(".")[2] in TYPES:
            yield prefix + entry.name, entry.read_bytes()


def _asset(name: str, content: bytes) -> Asset:
    packed = gzip.compress(content, mtime=0) if len(content) > SMALL else None
    version = hashlib.sha256(content).hexdigest()[:12]
    return Asset(content, packed, TYPES[name.rpartition(".")[2]], version)


def load() -> Mapping[str, Asset]:
    """Read every asset of the package; the key is its path below /static/."""
    found = dict(_walk(files("labtrawl.website") / "static"))
    found[BUNDLE] = b";\n".join(found[name] for name in BUNDLED)
    return {name: _asset(name, content) for name, content in found.items()}
