"""SIGHUP in what a test starts: what programs find without nohup, however the tests were started."""

import signal
from collections.abc import Iterator

import pytest


@pytest.fixture(autouse=True, scope="session")
def hangups_end_what_is_started() -> Iterator[None]:
    """Catch SIGHUP where it is ignored: only what is ignored stays so in a program (man 2 execve)."""
    before = signal.getsignal(signal.SIGHUP)
    if before is signal.SIG_IGN:
        signal.signal(signal.SIGHUP, lambda _number, _frame: None)
    yield
    signal.signal(signal.SIGHUP, before)
