"""The listening sockets, which the supervisor binds and holds: they outlive every child.

`cli` makes them, `process` hands them down.
"""

import errno
import os
import socket
import stat
from pathlib import Path

from labtrawl.errors import ConfigError

BACKLOG = 1024
_PORTS_TO_TRY = 100


def make_private_folder(folder: Path) -> None:
    """Make a folder for sockets, mode 0700; one that exists must keep others from writing in it.

    Its mode is never changed: it may be a folder like /tmp. ConfigError where it cannot be used.
    """
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        status = folder.stat()
        owners = {status.st_uid, folder.lstat().st_uid}
    except OSError as error:
        raise ConfigError(
            f"the folder {folder} cannot be made: {error.strerror}; name another one"
        ) from error
    if owners - {os.getuid(), 0}:
        raise ConfigError(f"{folder} belongs to another user; set another folder for the sockets")
    if status.st_mode & 0o022 and not status.st_mode & stat.S_ISVTX:
        raise ConfigError(f"others can write in {folder}; run: chmod go-w '{folder}'")


def bind_unix(path: Path) -> socket.socket:
    """Listen on a Unix socket, mode 0600 from the first moment, in a folder of mode 0700.

    A stale file (its connect is refused) is replaced, a live socket never stolen; ConfigError for
    that, and for a link, another user's file or anything that is no socket.
    """
    make_private_folder(path.parent)
    _clear(path)
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    before = os.umask(0o177)
    try:
        sock.bind(os.fspath(path))
        sock.listen(BACKLOG)
    except OSError as error:
        sock.close()
        raise ConfigError(f"cannot listen on {path}: {error.strerror}") from error
    finally:
        os.umask(before)
    return sock


def _clear(path: Path) -> None:
    try:
        status = path.lstat()
    except FileNotFoundError:
        return
    if stat.S_ISLNK(status.st_mode):
        raise ConfigError(f"{path} is a link; remove it, a socket is needed there")
    if not stat.S_ISSOCK(status.st_mode):
        raise ConfigError(f"{path} is no socket; move it away, a socket is needed there")
    if status.st_uid != os.getuid():
        raise ConfigError(f"{path} belongs to another user; remove it or set another path")
    if _is_live(path):
        raise ConfigError(f"another process listens on {path}; stop it or set another path")
    path.unlink(missing_ok=True)


def _is_live(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.setblocking(False)
        number = probe.connect_ex(os.fspath(path))
    # EAGAIN: somebody listens whose queue is full.
    return number not in {errno.ECONNREFUSED, errno.ENOENT}


def bind_tcp(host: str, port: int, *, may_move: bool) -> socket.socket:
    """Listen on host and port; where `may_move`, on the next free port when it is taken.

    ConfigError when the port is taken, not allowed, or the host is none of this machine's.
    """
    last = min(port + _PORTS_TO_TRY, 65536) if may_move and port else port + 1
    for candidate in range(port, last):
        try:
            return _bind_tcp(host, candidate)
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise ConfigError(_tcp_refusal(host, candidate, error)) from error
    if last - port == 1:
        raise ConfigError(
            f"port {port} on {host} is in use; stop what uses it or choose another by --port"
        )
    raise ConfigError(f"ports {port} to {last - 1} on {host} are all in use; choose one by --port")


def _bind_tcp(host: str, port: int) -> socket.socket:
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP)
    family, kind, protocol, _, address = found[0]
    # With the protocol named, asyncio sees a TCP socket and sends answers without delay.
    sock = socket.socket(family, kind, protocol)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(address)
        sock.listen(BACKLOG)
    except OSError:
        sock.close()
        raise
    return sock


def _tcp_refusal(host: str, port: int, error: OSError) -> str:
    if isinstance(error, socket.gaierror) or error.errno == errno.EADDRNOTAVAIL:
        return f"website.host {host!r} is no address of this machine"
    if error.errno == errno.EACCES:
        return f"port {port} needs more rights than this user has; choose one above 1023 by --port"
    return f"cannot listen on {host} port {port}: {error.strerror}"


def address_of(sock: socket.socket) -> str:
    """Return the http address at which a TCP listener is reached from this machine."""
    host, port = sock.getsockname()[:2]
    return f"http://{reachable(host)}:{port}"


def reachable(host: str) -> str:
    """Return how a host that is listened on is reached from here, as it stands in an address."""
    if host in {"0.0.0.0", "::"}:  # noqa: S104 - compared, not bound
        host = "127.0.0.1" if host == "0.0.0.0" else "::1"  # noqa: S104
    return f"[{host}]" if ":" in host else host
