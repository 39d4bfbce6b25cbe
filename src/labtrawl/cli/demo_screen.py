"""What the demo and a crawl show in the terminal: a live bar, or plain lines where there is no terminal."""

import contextlib
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from rich.progress import Progress

    from labtrawl.store import summary

PLAIN_SECONDS = 2.0
LABEL_WIDTH = 10
BAR_WIDTH = 24
_NARROW = 80


class Screen:
    """Plain lines: one every two seconds, and what there is to say."""

    def __init__(self) -> None:
        self._shown_at = 0.0
        self._shown: tuple[int, int] = (0, 0)

    def say(self, label: str, sentence: str, style: str = "") -> None:  # noqa: ARG002
        """Tell one thing that stays; `style` is rich's, for terminals."""
        click.echo(f"{label:<{LABEL_WIDTH}}{sentence}")

    def show(self, now: "summary.Progress", expected: int, seconds: float, left: str = "") -> None:
        """Tell how far it is, and how long it will still take."""
        figures = (now.records, now.open_jobs)
        if time.monotonic() - self._shown_at < PLAIN_SECONDS or figures == self._shown:
            return
        self._shown_at, self._shown = time.monotonic(), figures
        words = ", ".join(progress_words(now, expected, left))
        click.echo(f"{elapsed(seconds):<{LABEL_WIDTH}}{words}")

    def show_open(self, now: "summary.Progress", seconds: float, left: str = "") -> None:
        """Tell how far a crawl is of which nobody knows the end."""
        self.show(now, 0, seconds, left)

    def finish(self) -> None:
        """Nothing is shown any more; what is said from now on stands below."""


class LiveScreen(Screen):
    """A bar that moves, with the sentences above it."""

    def __init__(self, progress: "Progress", room: int) -> None:
        super().__init__()
        self._progress = progress
        self._room = room
        self._task = progress.add_task("", total=None, figures="starting", elapsed="")

    def say(self, label: str, sentence: str, style: str = "") -> None:
        """Tell one thing that stays, its label in bold."""
        from rich.text import Text

        line = Text.assemble((f"{label:<{LABEL_WIDTH}}", "bold"), (sentence, style))
        self._progress.console.print(line, soft_wrap=True)

    def show(self, now: "summary.Progress", expected: int, seconds: float, left: str = "") -> None:
        """Move the bar."""
        self._progress.update(
            self._task,
            total=max(expected, 1),
            completed=now.records if expected else 1,
            figures=fitting(progress_words(now, expected, left), self._room),
            elapsed=elapsed(seconds),
        )

    def show_open(self, now: "summary.Progress", seconds: float, left: str = "") -> None:
        """Move the bar by the lists that have ended."""
        jobs = sum(now.jobs.values())
        self._progress.update(
            self._task,
            total=max(jobs, 1),
            completed=jobs - now.open_jobs,
            figures=fitting(progress_words(now, 0, left), self._room),
            elapsed=elapsed(seconds),
        )

    def finish(self) -> None:
        """Leave the bar as it is."""
        self._progress.stop()


def progress_words(now: "summary.Progress", expected: int = 0, left: str = "") -> list[str]:
    """How far it is, the most wanted first; without an end in sight each job is a list to read."""
    jobs = sum(now.jobs.values())
    done = f"{jobs - now.open_jobs:,} of {jobs:,}"
    if expected:
        told = [f"{now.records:,} of {expected:,} records", f"{done} jobs", left]
    else:
        records, requests = f"{now.records:,} records", f"{now.requests:,} requests"
        told = [records, f"{done} lists", left, requests]
    return [each for each in told if each]


def fitting(words: Sequence[str], room: int) -> str:
    """Return as many of the words as a line has room for, the first always."""
    line = words[0]
    for each in words[1:]:
        if len(line) + len(each) + 2 <= room:
            line += f", {each}"
    return line


def elapsed(seconds: float) -> str:
    """Say a time in at most nine letters: 43.9 s, 12:03 min, 2:02 h."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(int(seconds), 60)
    return f"{minutes}:{rest:02} min" if minutes < 60 else f"{minutes // 60}:{minutes % 60:02} h"


@contextlib.contextmanager
def open_screen() -> Iterator[Screen]:
    """Open a live screen on a terminal, a plain one elsewhere."""
    if not sys.stdout.isatty():
        yield Screen()
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn

    console = Console(highlight=False)
    bar = [BarColumn(bar_width=BAR_WIDTH)] if console.width >= _NARROW else []
    spent = TextColumn(f"{{task.fields[elapsed]:<{LABEL_WIDTH - 1}}}", style="bold")
    columns = (spent, *bar, TextColumn("{task.fields[figures]}"))
    room = console.width - LABEL_WIDTH - len(bar) * (BAR_WIDTH + 1)
    with Progress(*columns, console=console) as progress:
        yield LiveScreen(progress, room)


def tell(say: Callable[[], None]) -> None:
    """Say it where somebody reads; a reader that went away (`| head`) ends no crawl."""
    try:
        say()
    except OSError:
        with contextlib.suppress(OSError):
            sys.stdout.close()
        sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115, PTH123
