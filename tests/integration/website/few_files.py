"""A website in a process of its own that may open few files: `python -m ... FOLDER SOFT HARD`.

It tells its port, logs to standard error, and ends with its standard input.
"""

import asyncio
import resource
import socket
import sys
from pathlib import Path

import uvloop

from labtrawl import logs
from labtrawl.store.engine import open_store
from labtrawl.store.migrate import migrate
from tests.integration.website.running import Serving, Surroundings


async def run(path: Path, sock: socket.socket) -> None:
    """Serve until nobody holds the other end of standard input."""
    port = sock.getsockname()[1]
    async with open_store(path) as store:
        serving = Serving(store, sock, Surroundings(base_url=f"http://127.0.0.1:{port}"))
        print(port, flush=True)
        await asyncio.to_thread(sys.stdin.read)
        await serving.stop()


def main() -> None:
    """Run with these limits."""
    path = Path(sys.argv[1]) / "labtrawl.sqlite"
    migrate(path)
    logs.set_up()
    resource.setrlimit(resource.RLIMIT_NOFILE, (int(sys.argv[2]), int(sys.argv[3])))
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        sock.listen(2048)
        uvloop.run(run(path, sock))


if __name__ == "__main__":
    main()
