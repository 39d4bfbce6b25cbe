"""A whole crawl of a small world: what is collected equals the truth, each item once."""

from pathlib import Path

import pytest

from labtrawl.dataset.layout import dataset_root
from labtrawl.sandbox import Options, build_world, running, truth
from labtrawl.store import manifest
from tests.rig.compare import collected_items, expected_items
from tests.rig.crawl import rig


async def test_crawl_small_world_equals_truth(tmp_path: Path) -> None:
    world = build_world("small", seed=7)
    async with running(world, Options()) as server, rig(tmp_path, server.url) as website:
        await website.plan(world)
        async with website.crawler():
            await website.finished()
        rows = list(await website.store.read(manifest.segments))
        items, twice = collected_items(dataset_root(tmp_path), rows)
        assert items == expected_items(truth(world, external_url=server.url))
        assert twice == []
