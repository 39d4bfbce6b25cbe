"""F6: what lies outside of the dataset is on no page and in no download, whatever leads there."""

import io
import json
import shutil
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from labtrawl.dataset.layout import dataset_root
from tests.integration.website.own import Own, plant
from tests.integration.website.running import running_site

NAMES = (
    "../outside/{name}",
    "i1/../../outside/{name}",
    "{outside}/{name}",
    "i1/project-4/issues/..",
    "i1/project-4/issues/\N{FULLWIDTH FULL STOP}\N{FULLWIDTH FULL STOP}/{name}",
    "i1/project-4/issues/%2e%2e/{name}",
    "i1/project-4/issues/x\x00{name}",
    "",
)


@pytest.fixture(scope="module")
def mine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Own]:
    with running_site(tmp_path_factory.mktemp("outside") / "labtrawl.db") as site:
        yield plant(site)


@pytest.fixture
def theirs(mine: Own) -> Iterator[Path]:
    """The one file of B's own area; afterwards it is as it was."""
    query = "SELECT id, name FROM segment WHERE area_id = ?"
    area = mine.areas["theirs"]
    number, name = mine.site.write(lambda c: c.exec_driver_sql(query, (area,)).one())
    path = dataset_root(mine.site.around.data_dir) / name
    content = path.read_bytes()
    yield path
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    path.write_bytes(content)
    rename(mine, number, name)


def rename(mine: Own, number: int, name: str) -> None:
    """Let the manifest say that a file lies elsewhere."""
    query = "UPDATE segment SET name = ? WHERE id = ?"
    mine.site.write(lambda c: c.exec_driver_sql(query, (name, number)))


def number_of(mine: Own) -> int:
    query = "SELECT id FROM segment WHERE area_id = ?"
    area = mine.areas["theirs"]
    return int(mine.site.write(lambda c: c.exec_driver_sql(query, (area,)).scalar_one()))


def moved_out(mine: Own, path: Path) -> Path:
    """Move a whole, undamaged file to a place beside the dataset; return the folder there."""
    outside = mine.site.around.data_dir / "outside"
    outside.mkdir(exist_ok=True)
    shutil.move(path, outside / path.name)
    return outside


def rows(mine: Own) -> list[list[object]]:
    """What B's page and the operator's show of it; both say what is wrong."""
    area = mine.areas["theirs"]
    own = mine.told("B", f"/me/records?area={area}&resource=issues")
    operators = mine.told("O", f"/areas/{area}/records?resource=issues")
    assert [len(each["problems"]) for each in (own, operators)] == [1, 1]
    return [own["rows"], operators["rows"]]


def packed(mine: Own) -> tuple[bool, bytes]:
    """Whether B's archive says that it is whole, and what it has of the area."""
    status, _, body = mine.ask("B", "POST", "/me/download")
    assert status == 200
    with zipfile.ZipFile(io.BytesIO(body)) as archive:
        is_complete = json.loads(archive.read("manifest.json"))["is_complete"]
        names = [each for each in archive.namelist() if "project-4/" in each]
        return is_complete, b"".join(archive.read(each) for each in names)


@pytest.mark.parametrize("name", NAMES)
def test_file_that_the_manifest_names_outside_of_the_dataset_is_not_read(
    mine: Own, theirs: Path, name: str
) -> None:
    outside = moved_out(mine, theirs)
    rename(mine, number_of(mine), name.format(name=theirs.name, outside=outside))
    assert rows(mine) == [[], []]


def test_link_that_leads_to_a_file_outside_is_not_followed(mine: Own, theirs: Path) -> None:
    theirs.symlink_to(moved_out(mine, theirs) / theirs.name)
    assert (rows(mine), packed(mine)) == ([[], []], (False, b""))


def test_link_that_leads_to_a_folder_outside_is_not_followed(mine: Own, theirs: Path) -> None:
    outside = moved_out(mine, theirs)
    theirs.parent.rmdir()
    theirs.parent.symlink_to(outside)
    try:
        assert (rows(mine), packed(mine)) == ([[], []], (False, b""))
    finally:
        theirs.parent.unlink()
