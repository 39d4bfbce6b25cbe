"""What the demo shows in the terminal: a live bar, or plain lines where there is no terminal."""

import contextlib
import sys
import time
from collections.abc import Iterator

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from labtrawl.store import summary

PLAIN_SECONDS = 2.0


class Screen:
    """Plain lines: one every two seconds, and what there is to say."""

    def __init__(self) -> None:
        self._shown_at = 0.0
        self._shown: tuple[int, int] | None = None

    def say(self, sentence: str) -> None:
        """Tell one thing that stays."""
        click.echo(sentence)

    def show(self, now: summary.Progress, expected: int, seconds: float) -> None:
        """Tell how far it is."""
        figures = (now.records, now.open_jobs)
        if time.monotonic() - self._shown_at < PLAIN_SECONDS or figures == self._shown:
            return
        self._shown_at, self._shown = time.monotonic(), figures
        click.echo(
            f"{seconds:5.1f} s   {now.records:,} of {expected:,} records, {_jobs(now)}, "
            f"{now.requests:,} requests"
        )


class LiveScreen(Screen):
    """A bar that moves, with the sentences above it."""

    def __init__(self, progress: Progress) -> None:
        super().__init__()
        self._progress = progress
        self._task = progress.add_task("records", total=None, jobs="starting")

    def say(self, sentence: str) -> None:
        """Tell one thing that stays."""
        self._progress.console.print(sentence, markup=False, highlight=False, soft_wrap=True)

    def show(self, now: summary.Progress, expected: int, seconds: float) -> None:  # noqa: ARG002
        """Move the bar; it counts the seconds itself."""
        jobs = f"{_jobs(now)}, {now.requests:,} requests"
        self._progress.update(self._task, total=expected, completed=now.records, jobs=jobs)


def _jobs(now: summary.Progress) -> str:
    done = sum(now.jobs.values()) - now.open_jobs
    return f"{done:,} of {sum(now.jobs.values()):,} jobs"


@contextlib.contextmanager
def open_screen() -> Iterator[Screen]:
    """Open a live screen on a terminal, a plain one elsewhere."""
    if not sys.stdout.isatty():
        yield Screen()
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[jobs]}"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=Console()) as progress:
        yield LiveScreen(progress)
