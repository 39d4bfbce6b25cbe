"""Asking for the supervisor where there is none, and for the memory of processes."""

import asyncio
import os
from pathlib import Path

import pytest

from labtrawl.cli.supervisor_desk import SupervisorDesk, memory_of
from labtrawl.errors import Conflict


async def test_website_that_was_started_alone_has_no_supervisor(tmp_path: Path) -> None:
    desk = SupervisorDesk(tmp_path, asyncio.Event())
    assert await desk.status() is None
    with pytest.raises(Conflict, match="no supervisor keeps crawler-1"):
        await desk.restart("crawler-1")


def test_memory_is_known_of_a_process_that_lives() -> None:
    own, gone = memory_of(os.getpid()), memory_of(2**22 + 1)
    assert own is not None
    assert own > 1 << 20
    assert gone is None
