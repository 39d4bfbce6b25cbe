"""What signals mean to a supervisor."""

import asyncio
import os
import signal
from collections.abc import Callable


def obey_signals(
    stop: Callable[[], None], kill: Callable[[], None], reload: Callable[[], None]
) -> None:
    """First SIGINT or SIGTERM: stop; second: kill. SIGHUP: reload, or stop if the terminal closed.

    Where SIGHUP is ignored at the start (nohup), a terminal that closes stops nothing: it reloads.
    """
    asked = False
    ends_with_terminal = signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN and _has_terminal()

    def obey() -> None:
        nonlocal asked
        (kill if asked else stop)()
        asked = True

    def obey_hangup() -> None:
        (obey if ends_with_terminal and not _has_terminal() else reload)()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, obey)
    loop.add_signal_handler(signal.SIGHUP, obey_hangup)


def end_by_signals(stopping: asyncio.Event, tell: Callable[[str], None]) -> None:
    """First SIGINT, SIGTERM or SIGHUP: set `stopping`; second: end at once, with exit code 130.

    What is durable stays so either way. A SIGHUP that is ignored at the start stays ignored.
    """

    def obey() -> None:
        if stopping.is_set():
            os.write(2, b"\x1b[?25h" if os.isatty(2) else b"")  # a live screen hides the cursor
            os._exit(130)
        tell("after the pages that are under way; again ends it at once")
        stopping.set()

    numbers = [signal.SIGINT, signal.SIGTERM]
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        numbers.append(signal.SIGHUP)
    for number in numbers:
        asyncio.get_running_loop().add_signal_handler(number, obey)


def _has_terminal() -> bool:
    """Say whether this process has a controlling terminal: /dev/tty opens then (man 4 tty)."""
    try:
        os.close(os.open("/dev/tty", os.O_RDONLY | os.O_NOCTTY))
    except OSError:
        return False
    return True
