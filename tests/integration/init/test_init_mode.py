"""`labtrawl init` into a folder that was used before: what its mode rules out is refused at once."""

from pathlib import Path

import pytest

from labtrawl.cli.study import open_mode
from labtrawl.config import load
from labtrawl.store.engine import Connection, database_path, open_store
from labtrawl.store.migrate import migrate
from tests.integration.http.wire import listening
from tests.integration.init.gitlab import FakeGitLab
from tests.integration.init.program import ALLOW, files, init, one_sentence
from tests.integration.store import table

STUDY = ("--mode", "study", "--basis", "Our ethics board said yes.")


async def used(folder: Path, *, has_data: bool) -> None:
    """Do what a start does with the folder of `init`, and what a crawl leaves there."""
    settings = load(folder / "labtrawl.toml", {}, {})

    def collect(connection: Connection) -> None:
        table.planned(connection)
        connection.exec_driver_sql(
            "INSERT INTO segment (job_id, area_id, resource, fence, name, length, sha256, records,"
            " created_at) VALUES (1, 1, 'issues', 1, 'x', 1, 'y', 1, 1)"
        )

    migrate(database_path(settings.data_dir))
    async with open_store(database_path(settings.data_dir)) as store:
        await open_mode(settings, store)
        if has_data:
            await store.write(collect)


@pytest.mark.parametrize(
    ("before", "then", "says"),
    [
        ((), STUDY, "a study needs a folder of its own (data_dir)"),
        (STUDY, (), "this data folder belongs to a study and never becomes a team's"),
    ],
)
async def test_mode_that_a_start_would_refuse_is_refused_before_anything_is_asked_or_written(
    tmp_path: Path, before: tuple[str, ...], then: tuple[str, ...], says: str
) -> None:
    async with listening(FakeGitLab()) as wire:
        assert (await init(tmp_path, wire, *ALLOW, *before)).code == 0
        await used(tmp_path, has_data=not before)
        written, asked = (tmp_path / "labtrawl.toml").read_bytes(), len(wire.heads)
        there = files(tmp_path)
        refused = await init(tmp_path, wire, *ALLOW, "--force", *then)
        assert says in one_sentence(refused)
        assert (tmp_path / "labtrawl.toml").read_bytes() == written
        assert len(wire.heads) == asked
    assert {each for each in files(tmp_path) if "sqlite" not in each} == {
        each for each in there if "sqlite" not in each
    }


async def test_folder_of_a_team_without_data_may_become_a_study(tmp_path: Path) -> None:
    async with listening(FakeGitLab()) as wire:
        assert (await init(tmp_path, wire, *ALLOW)).code == 0
        await used(tmp_path, has_data=False)
        ended = await init(tmp_path, wire, *ALLOW, "--force", *STUDY)
    assert (ended.code, ended.err) == (0, "")
    assert load(tmp_path / "labtrawl.toml", {}, {}).mode == "study"


@pytest.mark.parametrize(
    ("content", "code", "says"),
    [
        (b"no database", 2, "is damaged, it is no database"),
        (b"SQLite format 3\0" + bytes(range(256)), 2, "the database refused: "),
        (b"", 0, ""),
    ],
)
async def test_damaged_database_is_refused_before_anything_is_written_and_an_empty_one_is_fine(
    tmp_path: Path, content: bytes, code: int, says: str
) -> None:
    async with listening(FakeGitLab()) as wire:
        assert (await init(tmp_path, wire, *ALLOW)).code == 0
        database = database_path(load(tmp_path / "labtrawl.toml", {}, {}).data_dir)
        database.write_bytes(content)
        ended = await init(tmp_path, wire, *ALLOW, "--force", *STUDY)
    assert (ended.code, says in ended.err, bool(ended.err)) == (code, True, bool(says))
    is_written = load(tmp_path / "labtrawl.toml", {}, {}).mode == "study"
    assert is_written is (code == 0)
