"""The child's side of supervision: what website, crawler and sandbox do to be good children.

    async with Child.from_environment() as child:
        settings = config.restore(child.begin.settings)
        ...
        await child.ready(address=url)
        await child.stopping.wait()

`cli` enters, and hands the parts of it down as values.
"""

import asyncio
import os
import select
import signal
import socket
import threading
from collections.abc import AsyncIterator, Callable
from types import TracebackType
from typing import Self

from labtrawl import logs
from labtrawl.domain.credential import Secret
from labtrawl.errors import BadMessage, ConfigError, ProtocolError
from labtrawl.supervisor import linux
from labtrawl.supervisor.channel import (
    DOWN_DECODER,
    VARIABLE,
    Begin,
    Channel,
    Down,
    Heartbeat,
    Hello,
    Peer,
    PeerGone,
    Ready,
    Stop,
    Stopping,
    Told,
)

_BEGIN_SECONDS = 10.0


def protect() -> None:
    """Tie this process to its supervisor and close it to inspection; the first thing a child does.

    Before anything secret is read, so that nobody of the same user can take it from /proc.
    """
    linux.forbid_inspection()
    linux.die_with_parent()
    # What a descendant leaves behind stays below this process, where its end can find it.
    linux.adopt_strays()
    signal.signal(signal.SIGINT, signal.SIG_IGN)


class Child:
    """A supervised process: its first frame, its signs of life, the wish that it stops.

    `begin` is there after entering. `stopping` is set by a Stop frame, by the end of the
    supervisor, and by SIGTERM; SIGINT is the supervisor's business and ignored.
    """

    begin: Begin

    def __init__(
        self,
        sock: socket.socket,
        on_orphaned: Callable[[], None] = lambda: None,
        *,
        is_process: bool = False,
    ) -> None:
        """`on_orphaned` is called after the drain when the supervisor is gone.

        A child that `is_process` also takes SIGTERM, and is killed when its drain takes too long.
        """
        self.stopping = asyncio.Event()
        self._sock = sock
        self._on_orphaned = on_orphaned
        self._is_process = is_process
        self._is_orphan = False
        self._peers: asyncio.Queue[Peer | PeerGone | None] = asyncio.Queue()
        self._channel: Channel[Down]
        self._tasks: list[asyncio.Task[None]] = []

    @classmethod
    def from_environment(cls) -> Self:
        """Take over the inherited channel; ConfigError when no supervisor started this process."""
        protect()
        number = os.environ.pop(VARIABLE, "")
        try:
            sock = socket.socket(fileno=int(number))
        except (ValueError, OSError) as error:
            raise ConfigError(
                "this command is for the supervisor's children; run `labtrawl start`"
            ) from error
        sock.set_inheritable(False)
        if os.getppid() != linux.peer_of(sock).pid:
            raise ConfigError("the supervisor ended before this process had begun")
        return cls(sock, linux.kill_descendants, is_process=True)

    async def __aenter__(self) -> Self:
        self._channel = await Channel.open(self._sock, DOWN_DECODER)
        self.begin = await self._first_frame()
        logs.conceal(Secret(self.begin.token))
        for descriptor in (*self.begin.listeners.values(), *self.begin.holds):
            os.set_inheritable(descriptor, False)
        if self._is_process:
            _Watchdog(self._sock, self.begin.grace_seconds).start()
            asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, self._stop)
        self._channel.send(Hello(pid=os.getpid()))
        self._tasks = [asyncio.create_task(self._listen()), asyncio.create_task(self._beat())]
        return self

    async def _first_frame(self) -> Begin:
        try:
            async with asyncio.timeout(_BEGIN_SECONDS):
                frame = await self._channel.receive()
        except TimeoutError:
            frame = None
        if not isinstance(frame, Begin):
            await self._channel.close()
            raise ProtocolError("the supervisor ended before this process had begun")
        return frame

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._channel.close()
        if self._is_orphan:
            self._on_orphaned()

    async def ready(self, **details: str) -> None:
        """Say that the work has begun; `details` are shown by `labtrawl status`, so no secrets."""
        self._channel.send(Ready(details=details))

    def tell(self, **details: str) -> None:
        """Change what `labtrawl status` shows of this process; an empty text takes it away."""
        self._channel.send(Told(details=details))

    def listener(self, name: str) -> socket.socket:
        """Return an inherited listening socket; it outlives this process, so never unlink it.

        From Python 3.13 on, servers over the Unix one need `cleanup_socket=False`.
        """
        if name not in self.begin.listeners:
            raise ConfigError(f"the supervisor gave {self.begin.name} no listener {name!r}")
        return socket.socket(fileno=self.begin.listeners[name])

    async def peers(self) -> AsyncIterator[Peer | PeerGone]:
        """Yield crawlers as they start and end; ends with the supervisor."""
        while (frame := await self._peers.get()) is not None:
            yield frame

    async def _listen(self) -> None:
        try:
            while (frame := await self._channel.receive()) is not None:
                self._take(frame)
        except BadMessage as error:
            # Without this channel nobody can stop us: as good as orphaned.
            logs.get("supervisor.child").error("control_channel_broken", error=str(error))
        self._is_orphan = True
        self._peers.put_nowait(None)
        self._stop()

    def _take(self, frame: Down) -> None:
        if isinstance(frame, Stop):
            self._stop()
        elif isinstance(frame, Peer | PeerGone):
            self._peers.put_nowait(frame)

    async def _beat(self) -> None:
        while not self._is_orphan:
            self._channel.send(Heartbeat())
            await asyncio.sleep(self.begin.heartbeat_seconds)

    def _stop(self) -> None:
        if not self.stopping.is_set():
            self.stopping.set()
            self._channel.send(Stopping())


class _Watchdog(threading.Thread):
    """Kills all descendants and itself when the supervisor is gone and the grace time is over.

    A thread of its own: it works even if the event loop is stuck.
    """

    def __init__(self, sock: socket.socket, grace_seconds: float) -> None:
        super().__init__(name="supervisor-watchdog", daemon=True)
        self._line = sock.dup()
        self._grace_seconds = grace_seconds

    def run(self) -> None:
        poll = select.poll()
        poll.register(self._line, select.POLLRDHUP)
        poll.poll()
        threading.Event().wait(self._grace_seconds)
        linux.kill_descendants()
        os.killpg(0, signal.SIGKILL)
