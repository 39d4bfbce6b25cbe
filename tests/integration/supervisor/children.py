"""Small programs that the supervisor's tests run as children; `python children.py KIND [ARG …]`."""

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

from labtrawl.supervisor.authentication import Credentials, announce_credentials
from labtrawl.supervisor.channel import Peer
from labtrawl.supervisor.child import Child

# Ends by a signal, long before its time is over.
SLEEPER = [sys.executable, "-c", "import time; print(flush=True); time.sleep(300)"]


def note(path: str, **values: object) -> None:
    """Add a line for the test to read."""
    with Path(path).open("a") as stream:
        stream.write(json.dumps(values) + "\n")


async def good(path: str) -> None:
    """Works until it is told to stop, and says what it was given."""
    async with Child.from_environment() as child:
        begin = child.begin
        environment = sorted(os.environ)
        variables = {name: os.environ[name] for name in environment if name.startswith("GITLAB")}
        note(
            path,
            event="begin",
            pid=os.getpid(),
            name=begin.name,
            token=begin.token,
            variables=variables,
        )
        await child.ready(environment=",".join(environment))
        print(f"{begin.name} is here", flush=True)
        await child.stopping.wait()
        note(path, event="stopped", name=begin.name)


async def website(path: str) -> None:
    """Announces credentials and answers each connection on its listener; notes its peers."""
    async with Child.from_environment() as child:
        server = await asyncio.start_unix_server(answer, sock=child.listener("api"))
        noting = asyncio.create_task(note_peers(child, path))
        note(path, event="begin", pid=os.getpid(), name=child.begin.name)
        await child.ready(pid=str(os.getpid()))
        await announce_credentials(
            Path(child.begin.auth_socket), Credentials(verified_at="2026-11-22T00:00:00Z")
        )
        await child.stopping.wait()
        note(path, event="stopped", name=child.begin.name)
        noting.cancel()
        server.close()


async def ancestor(path: str) -> None:
    """Announces credentials in the form of old, then as updated, then withdraws them, on request."""
    async with Child.from_environment() as child:
        await child.ready()
        lines = Path(path).with_suffix(".lines").read_text().splitlines()
        reader, writer = await asyncio.open_unix_connection(child.begin.auth_socket)
        for line in lines:
            writer.write(line.encode() + b"\n")
            note(path, answer=json.loads(await reader.readline()))
        await child.ready(said=str(len(lines)))
        await child.stopping.wait()
        writer.close()


async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"%d\n" % os.getpid())
    writer.close()


async def note_peers(child: Child, path: str) -> None:
    async for frame in child.peers():
        note(path, event="peer" if isinstance(frame, Peer) else "peer_gone", name=frame.name)


async def silent(path: str) -> None:
    """Runs, and never becomes ready."""
    async with Child.from_environment():
        note(path, event="begin", pid=os.getpid())
        await asyncio.Event().wait()


async def rubbish(path: str) -> None:
    """Writes what is no frame into its control channel."""
    async with Child.from_environment() as child:
        note(path, event="begin", pid=os.getpid())
        child._sock.send(b"what?\n")
        await child.stopping.wait()


async def stuck(path: str) -> None:
    """Becomes ready, and then its event loop no longer turns; ignores TERM."""
    async with Child.from_environment() as child:
        asyncio.get_running_loop().remove_signal_handler(signal.SIGTERM)
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        start_grandchildren(path)
        await child.ready()
        await asyncio.sleep(0)
        time.sleep(300)  # noqa: ASYNC251 - a loop that no longer turns is what is tried


async def parent(path: str) -> None:
    """Starts a grandchild, and waits to be stopped."""
    async with Child.from_environment() as child:
        start_grandchildren(path)
        await child.ready()
        await child.stopping.wait()


def start_grandchildren(path: str) -> None:
    """Start one in our own group, and one that left it, as a daemon does."""
    near = subprocess.Popen(SLEEPER, stdout=subprocess.PIPE)
    far = subprocess.Popen(SLEEPER, stdout=subprocess.PIPE, start_new_session=True)
    for each in (near, far):
        assert each.stdout is not None
        each.stdout.readline()
    note(path, event="begin", pid=os.getpid(), near=near.pid, far=far.pid)


def crash(path: str, code: str) -> None:
    """Ends at once."""
    note(path, event="begin", pid=os.getpid())
    print("out of order", file=sys.stderr, flush=True)
    sys.exit(int(code))


def crash_1(path: str) -> None:
    """Ends at once, with exit code 1."""
    crash(path, "1")


def unusable(path: str) -> None:
    """Cannot work with its settings, and says why."""
    print("labtrawl: the key is damaged", file=sys.stderr, flush=True)
    sys.exit(78)


def ignorant(path: str) -> None:
    """Knows nothing of channels and signals; only the system can end it with its supervisor."""
    note(path, event="begin", pid=os.getpid())
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    time.sleep(300)  # until the system ends it


def intruder(path: str, auth_socket: str) -> None:
    """Speaks on the authentication socket without being the website."""
    with socket.socket(socket.AF_UNIX) as sock:
        sock.connect(auth_socket)
        sock.sendall(b'{"type":"credentials","verifiedAt":"x"}\n')
        note(path, answer=sock.makefile().readline())


if __name__ == "__main__":
    chosen = globals()[sys.argv[1]]
    if asyncio.iscoroutinefunction(chosen):
        asyncio.run(chosen(*sys.argv[2:]))
    else:
        chosen(*sys.argv[2:])
