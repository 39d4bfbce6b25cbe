"""Memory that was freed among what is in use goes back to the kernel."""

import platform
import subprocess
import sys

import pytest

# Rows of 2.5 kB, as an issue is, of which one in a hundred lives on; what is resident is told in kB.
PROGRAM = """
import asyncio
import re
from labtrawl.cli.allocator import giving_back, return_freed
from labtrawl.clock import Clock
def resident():
    return int(re.search("VmRSS:\\\\s+(\\\\d+)", open("/proc/self/status").read())[1])
async def a_second_later():
    waits, is_over = [], asyncio.Event()
    async def sleep(seconds):
        waits.append(seconds)
        if len(waits) > 1:
            is_over.set()
            await asyncio.Event().wait()
    async with giving_back(Clock(None, None, sleep)):
        await is_over.wait()
    assert waits == [1.0, 1.0]
return_freed()
rows = [bytes([1]) * 2500 for _ in range(20_000)]
full = resident()
kept = rows[::100]
del rows
freed = resident()
asyncio.run(a_second_later())
print(full, freed, resident())
"""


@pytest.mark.skipif(
    platform.libc_ver()[0] != "glibc", reason="other C libraries are left as they are"
)
def test_memory_that_lies_free_between_what_is_in_use_is_given_back() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, check=True)
    full, freed, left = map(int, done.stdout.split())
    assert full - freed < 10_000
    assert full - left > 40_000
