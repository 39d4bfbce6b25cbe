"""`labtrawl dataset compact`: fewer, larger files; what they hold stays the same."""

import asyncio

import click

from labtrawl.cli.options import settings_options
from labtrawl.config import Settings

# Two small files that follow each other are enough for who asks for it.
LEAST = 2
PATIENCE_SECONDS = 5.0


@click.command()
@settings_options
def compact(settings: Settings) -> None:
    """Make few large segments of many small ones. Nothing may run on the data folder meanwhile.

    A website that runs does this by itself, where a list has many. The replaced files go at a later
    start, when nobody can be reading them any more.

    \b
    labtrawl dataset compact
    """  # noqa: D301 - click reads \b
    made = asyncio.run(_compact(settings))
    click.echo(
        f"{made} segments were made of many."
        if made
        else "There is nothing to do: no list has small segments that follow each other."
    )


async def _compact(settings: Settings) -> int:
    from labtrawl.cli.audited import database_of
    from labtrawl.clock import system_clock
    from labtrawl.dataset.disk import LocalDisk
    from labtrawl.dataset.layout import dataset_root
    from labtrawl.dispatch.leasing import Leasing
    from labtrawl.domain.failure import RetryPolicy
    from labtrawl.store.engine import open_store
    from labtrawl.store.migrate import migrate
    from labtrawl.supervisor.instance import hold

    path, clock = database_of(settings), system_clock()
    control = settings.runtime_dir / "control.sock"
    async with hold(settings.data_dir, control, clock, PATIENCE_SECONDS):
        migrate(path)
        async with open_store(path) as store:
            root = dataset_root(settings.data_dir)
            care = Leasing(store, RetryPolicy(), clock, LocalDisk(), root, lambda: 0)
            return await care.compact(LEAST)
