"""The mode of a data folder is written once; what would change it for the worse is refused."""

from collections.abc import AsyncIterator

import pytest

from labtrawl.domain.consent import Mode
from labtrawl.errors import ConfigError
from labtrawl.store import mode
from labtrawl.store.engine import Connection, Database, Store
from tests.integration.store import table
from tests.rig.consenting import begin


@pytest.fixture
async def store(database: Database) -> AsyncIterator[Store]:
    async with table.store(database) as opened:
        yield opened


async def test_study_never_becomes_a_team_nor_another_study(store: Store) -> None:
    await store.write(begin)
    for wanted, key in ((Mode.TEAM, ""), (Mode.STUDY, "ffffffff")):
        with pytest.raises(ConfigError, match="study"):
            await store.write(lambda c, w=wanted, k=key: mode.pin(c, w, k, ""))  # type: ignore[misc]
    found = await store.read(mode.pinned)
    assert found is not None
    assert (found.mode, found.key_id) == (Mode.STUDY, "abcd1234")


async def test_folder_with_a_teams_records_never_becomes_a_study(store: Store) -> None:
    def team(connection: Connection) -> None:
        mode.pin(connection, Mode.TEAM, "", "")
        table.planned(connection)
        connection.exec_driver_sql(
            "INSERT INTO segment (job_id, area_id, resource, fence, name, length, sha256, records,"
            " created_at) VALUES (1, 1, 'issues', 1, 'x', 1, 'y', 1, 1)"
        )

    await store.write(team)
    with pytest.raises(ConfigError, match="a folder of its own"):
        await store.write(begin)
