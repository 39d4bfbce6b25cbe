"""Secrets are in no environment, command line, file, log or answer while everything runs."""

import asyncio
import html
import json
import os
from pathlib import Path

import pytest

from labtrawl.cli.sign_ins import IN_ENVIRONMENT
from labtrawl.store.secrets import key_path
from labtrawl.supervisor import linux
from labtrawl.supervisor.supervisor import SAFER
from tests.integration.supervisor.commands import folder_with_gitlab, overview


def family(pid: int) -> list[int]:
    """A process and all its descendants."""
    below = [each.pid for each in linux.processes() if each.parent == pid]
    return [pid, *(one for each in below for one in family(each))]


def read(path: Path) -> bytes:
    """What a file holds; one of another's that is closed to us holds nothing to be seen."""
    try:
        return path.read_bytes()
    except OSError:
        return b""


def files_below(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


def shown_by_the_system(pids: list[int]) -> dict[str, bytes]:
    places = (f"/proc/{pid}/{name}" for pid in pids for name in ("environ", "cmdline"))
    return {place: read(Path(place)) for place in places}


@pytest.mark.seed("S1.5", "S1.16")
async def test_canary_token_and_key_are_seen_nowhere(folder: Path) -> None:
    async with folder_with_gitlab(folder) as place:
        key = key_path(place.data_dir)
        canaries = {place.token.encode(), key.read_bytes().strip()}
        whole = await place.open("start", "--log-level", "debug")
        await whole.until("program_ready", program="crawler-1")
        told = [await place.run(*each) for each in (("status", "--json"), ("status",), ("logs",))]
        pids = family(whole.process.pid)
        seen = shown_by_the_system(pids)
        whole.interrupt()
        assert await whole.end() == 0
        seen |= {str(path): read(path) for path in files_below(folder) if path != key}
        seen["commands"] = json.dumps([told, whole.lines]).encode()
    assert len(pids) == 3
    assert [where for where, text in seen.items() if any(each in text for each in canaries)] == []


@pytest.mark.seed("S1.14")
async def test_token_in_the_environment_is_used_there_and_seen_nowhere_else(folder: Path) -> None:
    async with folder_with_gitlab(folder) as place:
        settings = (folder / "labtrawl.toml").read_text()
        (folder / "labtrawl.toml").write_text('credentials = "environment"\n' + settings)
        whole = await place.open("start", "--log-level", "debug")
        crawler = (await whole.until("program_starting", program="crawler-1"))["pid"]
        await whole.until("job_started", resource="project")
        told = [await place.run(*each) for each in (("status", "--json"), ("status",), ("logs",))]
        seen = shown_by_the_system(family(whole.process.pid))
        page = await asyncio.to_thread(overview, (await place.run("admin", "link"))[1][0])
        whole.interrupt()
        assert await whole.end() == 0
        seen |= {str(path): read(path) for path in files_below(folder)}
        seen["commands and page"] = json.dumps([told, whole.lines, page]).encode()
    found = [where for where, text in seen.items() if place.token.encode() in text]
    # Only root may read the environment of a process that is closed to inspection.
    assert found == ([f"/proc/{crawler}/environ"] if os.getuid() == 0 else [])
    assert html.unescape(page).count(IN_ENVIRONMENT[1:]) == 1
    assert told[1][1][1] == f"warning: crawlers have a GitLab token in their environment; {SAFER}"


# Root may look at everything; without its rights (man 7 capabilities) it is a user like others.
PLAIN_USER = ("setpriv", "--inh-caps=-all", "--bounding-set=-all") if os.getuid() == 0 else ()


async def look(pid: int, name: str) -> bytes:
    """Do as a process of the same user that reads from /proc."""
    looking = await asyncio.create_subprocess_exec(
        *(*PLAIN_USER, "head", "-c", "1", f"/proc/{pid}/{name}"),
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )
    return (await looking.communicate())[1].strip().rpartition(b": ")[2]


async def test_process_of_the_same_user_cannot_read_environment_or_memory(folder: Path) -> None:
    async with folder_with_gitlab(folder) as place:
        place.program = (*PLAIN_USER, *place.program)
        whole = await place.open("start")
        await whole.until("program_ready", program="crawler-1")
        pids = family(whole.process.pid)
        answers = {await look(pid, name) for pid in pids for name in ("environ", "maps", "auxv")}
    assert (len(pids), answers) == (3, {b"Permission denied"})
    open_to_its_user = await asyncio.create_subprocess_exec(
        *(*PLAIN_USER, "sh", "-c", "echo begun; exec sleep 60"), stdout=asyncio.subprocess.PIPE
    )
    assert open_to_its_user.stdout is not None
    await open_to_its_user.stdout.readline()
    assert await look(open_to_its_user.pid, "maps") == b""
    open_to_its_user.kill()
    await open_to_its_user.wait()
