"""The mode at a start: pinned, never back, and the key of a study is there or nothing begins."""

import stat
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from labtrawl.cli.settings_file import Access, Draft
from labtrawl.cli.study import AS_IS, open_mode, study_key_path
from labtrawl.config import Instance, Settings, defaults, load
from labtrawl.domain.credential import Secret
from labtrawl.errors import ConfigError
from labtrawl.store.engine import Connection, Store
from labtrawl.store.mode import pinned
from tests.integration.store import table


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    async with table.store(tmp_path / "labtrawl.sqlite") as opened:
        yield opened


def _settings(tmp_path: Path, **changed: Any) -> Settings:
    return replace(defaults(tmp_path), **changed)


async def _pinned(store: Store) -> tuple[str, str]:
    found = await store.read(pinned)
    assert found is not None
    return str(found.mode), found.basis


async def test_team_needs_no_key_and_its_reason_is_recorded(tmp_path: Path, store: Store) -> None:
    assert await open_mode(_settings(tmp_path, basis="Our own history."), store) == AS_IS
    assert await open_mode(_settings(tmp_path), store) == AS_IS
    assert await _pinned(store) == ("team", "Our own history.")
    assert not study_key_path(tmp_path).exists()


async def test_study_keeps_its_first_key(tmp_path: Path, store: Store) -> None:
    wanted = _settings(tmp_path, mode="study")
    first = await open_mode(wanted, store)
    again = await open_mode(wanted, store)
    path = study_key_path(tmp_path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o400
    assert first.key is not None
    assert again.key is not None
    assert (first.name, first.key.reveal()) == ("study", path.read_text().strip())
    assert again.key.reveal() == first.key.reveal()


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"mode": "team"}, "never becomes a team"),
        ({"mode": "study", "credentials": "environment"}, "each participant's token"),
    ],
)
async def test_study_refuses_what_would_undo_it(
    tmp_path: Path, store: Store, changed: dict[str, str], says: str
) -> None:
    await open_mode(_settings(tmp_path, mode="study"), store)
    with pytest.raises(ConfigError, match=says):
        await open_mode(_settings(tmp_path, **changed), store)
    assert (await _pinned(store))[0] == "study"


async def test_team_folder_that_a_study_is_refused_gets_no_key(
    tmp_path: Path, store: Store
) -> None:
    def collect(connection: Connection) -> None:
        table.planned(connection)
        connection.exec_driver_sql(
            "INSERT INTO segment (job_id, area_id, resource, fence, name, length, sha256, records,"
            " created_at) VALUES (1, 1, 'issues', 1, 'x', 1, 'y', 1, 1)"
        )

    await open_mode(_settings(tmp_path), store)
    await store.write(collect)
    with pytest.raises(ConfigError, match="a folder of its own"):
        await open_mode(_settings(tmp_path, mode="study"), store)
    assert not study_key_path(tmp_path).exists()


async def test_study_without_its_key_or_with_another_does_not_begin(
    tmp_path: Path, store: Store
) -> None:
    wanted = _settings(tmp_path, mode="study")
    await open_mode(wanted, store)
    path = study_key_path(tmp_path)
    path.rename(tmp_path / "lost")
    with pytest.raises(ConfigError, match=r"put .* back"):
        await open_mode(wanted, store)
    path.write_text("ab" * 32)
    path.chmod(0o400)
    with pytest.raises(ConfigError, match="not the key"):
        await open_mode(wanted, store)


def test_init_writes_mode_and_reason_as_settings(tmp_path: Path) -> None:
    instance = Instance(name="main", url="https://gitlab.example.org")
    config = tmp_path / "labtrawl.toml"
    reason = 'To "learn" how\\teams review.'
    draft = Draft(config, tmp_path / "data", "", instance, None, "jane", 7, "study", reason)
    draft.write(Access(Secret("token")), overwrite=False)
    settings = load(config, {}, {})
    assert (settings.mode, settings.basis) == ("study", reason)
