"""Runs a program so that Ctrl+C reaches it and not the `make` around it.

A make that gets SIGINT ends with an error whatever its recipe does. So on a terminal the program
gets a process group of its own in the foreground: Ctrl+C stops the program alone, and make sees
its exit code. Without a terminal the program simply takes this one's place.
"""

import os
import signal
import subprocess
import sys


def open_terminal() -> int | None:
    """The terminal's descriptor if this process may hand it on, else None."""
    try:
        terminal = os.open("/dev/tty", os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return None
    return terminal if os.tcgetpgrp(terminal) == os.getpgrp() else None


def run_in_foreground(argv: list[str], terminal: int) -> int:
    """The exit code of `argv`, which owns the terminal until it ends or is stopped (Ctrl+Z)."""
    child = subprocess.Popen(argv, process_group=0)
    signal.signal(signal.SIGTTOU, signal.SIG_IGN)  # tcsetpgrp from the background would stop us
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) != signal.SIG_IGN:  # nohup stays nohup
            signal.signal(number, lambda received, _frame: os.kill(child.pid, received))
    try:
        return wait_for(child.pid, terminal)
    finally:
        os.tcsetpgrp(terminal, os.getpgrp())


def wait_for(pid: int, terminal: int) -> int:
    """The exit code of `pid`; each time it is stopped, its caller is stopped with it."""
    while True:
        os.tcsetpgrp(terminal, pid)
        os.kill(pid, signal.SIGCONT)  # it may have touched the terminal before it was given
        _, status = os.waitpid(pid, os.WUNTRACED)
        if not os.WIFSTOPPED(status):
            return os.waitstatus_to_exitcode(status)
        os.tcsetpgrp(terminal, os.getpgrp())
        os.killpg(os.getpgrp(), signal.SIGSTOP)


def main() -> int:
    """Run the program that the arguments name."""
    argv = sys.argv[1:]
    terminal = open_terminal()
    if terminal is None:
        os.execv(argv[0], argv)
    code = run_in_foreground(argv, terminal)
    return code if code >= 0 else 128 - code


if __name__ == "__main__":
    sys.exit(main())
