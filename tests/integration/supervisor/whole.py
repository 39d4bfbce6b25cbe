"""A whole supervisor as a process of its own: `python whole.py DATA_DIR KIND [KIND …]`."""

import os
import sys
from pathlib import Path

from labtrawl import config, logs
from labtrawl.cli.start import supervise
from labtrawl.errors import LabtrawlError
from labtrawl.supervisor.process import Program

CHILDREN = Path(__file__).with_name("children.py")


def main(data_dir: str, *kinds: str) -> int:
    settings = config.load(
        None, os.environ, {"data_dir": data_dir, "website.port": 0, "logs.format": "json"}
    )
    logs.set_up(settings.logs)
    programs = [
        Program(
            name=f"{kind}-{number}",
            argv=(sys.executable, str(CHILDREN), kind, str(Path(data_dir) / f"{kind}-{number}")),
            config=b"{}",
            listeners=("api",),
            grace_seconds=0.5,
        )
        for number, kind in enumerate(kinds, 1)
    ]
    return supervise(settings, lambda _: programs)


if __name__ == "__main__":
    try:
        sys.exit(main(*sys.argv[1:]))
    except LabtrawlError as error:
        print(f"labtrawl: {error}", file=sys.stderr)
        sys.exit(2)
