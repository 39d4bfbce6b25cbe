"""What a run of the supervisor or of a crawl listens on: its own doors, and what children inherit."""

import contextlib
import os
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

from labtrawl.config import Settings
from labtrawl.config.checks import MAX_SOCKET_PATH
from labtrawl.supervisor.listeners import address_of, bind_tcp, bind_unix, make_private_folder


@contextlib.contextmanager
def listening_in(data_dir: Path) -> Iterator[tuple[Path, socket.socket]]:
    """Listen for a crawl's own crawlers in its data folder: the next run replaces what a kill left.

    Where a socket cannot lie there (its path would be too long) it has a folder among the
    temporary files. Raises ConfigError.
    """
    path = data_dir / "config" / "crawl.sock"
    with contextlib.ExitStack() as stack:
        if len(os.fsencode(path)) > MAX_SOCKET_PATH:
            folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="labtrawl-"))
            path = Path(folder, "crawl.sock")
        sock = stack.enter_context(bind_unix(path))
        stack.callback(path.unlink, missing_ok=True)
        yield path, sock


class Sockets:
    """The listening sockets of a run, bound on entering; at the end the files of theirs go."""

    def __init__(self, settings: Settings) -> None:
        self.inherited: dict[str, int] = {}
        """For children: "api", "http" and, once it is bound, "web"; name to descriptor."""
        self._settings = settings
        self._stack = contextlib.ExitStack()
        self._web: socket.socket | None = None
        self.control: socket.socket
        self.authentication: socket.socket

    def __enter__(self) -> Self:
        settings = self._settings
        make_private_folder(settings.data_dir / "config")
        try:
            self.control = self._bind(settings.runtime_dir / "control.sock")
            self.authentication = self._bind(settings.auth_socket.path)
            self.inherited["api"] = self._bind(settings.socket.path).fileno()
            self.inherited["http"] = self._bind(settings.socket.http_path).fileno()
        except BaseException:  # no `__exit__` comes: Ctrl+C too leaves no socket behind
            self._stack.close()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stack.close()

    def _bind(self, path: Path) -> socket.socket:
        sock = self._stack.enter_context(bind_unix(path))
        self._stack.callback(path.unlink, missing_ok=True)
        return sock

    def bind_web(self, settings: Settings) -> bool:
        """Listen for the website where nothing does yet; say whether that was so.

        The listener outlives every website. ConfigError where the address cannot be used.
        """
        if self._web is not None:
            return False
        may_move = "website.port" not in settings.named
        web = bind_tcp(settings.website.host, settings.website.port, may_move=may_move)
        self._web = self._stack.enter_context(web)
        self.inherited["web"] = web.fileno()
        return True

    @property
    def address(self) -> str:
        """Where the website is reached; empty as long as nothing listens for one."""
        return "" if self._web is None else address_of(self._web)

    @property
    def port(self) -> int | None:
        """The website's port, as it turned out."""
        return None if self._web is None else int(self._web.getsockname()[1])
