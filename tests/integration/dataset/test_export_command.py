"""The export command: its formats, what it refuses, and that nothing half-written is left."""

import csv
import json
from pathlib import Path

import duckdb
import pytest

from labtrawl import __version__
from labtrawl.dataset.layout import dataset_root
from labtrawl.dataset.tables import BODY, NEWEST_COLUMNS, SCHEMA_VERSION, TABLES
from labtrawl.domain.consent import Mode
from labtrawl.store.engine import database_path, open_store
from labtrawl.store.mode import pin
from tests.integration.dataset.exported import Line, collected, labtrawl, rows_of

OLD, NEW = "2026-03-01T00:00:00.000Z", "2026-03-02T00:00:00.000Z"
TITLES = (
    *("=1+1", "+1", "-1", "@x", "\t=1", "\r=1", "\n=1", "＝1", "＠1", "'=1", "''-1"),  # noqa: RUF001
    *("plain", "'quoted'", "", 'a "b", c\nd', "عمر"),
)


@pytest.fixture
async def data_dir(tmp_path: Path) -> Path:
    titled = [
        Line("issues", number, {"id": number, "title": title, "labels": ["a,b", "=c"]}, OLD)
        for number, title in enumerate(TITLES)
    ]
    changed = Line("issues", 0, {"id": 0, "title": "=2"}, NEW)
    return await collected(tmp_path, [*titled, changed, Line("labels", 3, {"id": 3, "name": "b"})])


def test_csv_has_no_cell_that_is_a_formula_and_every_text_can_be_restored(
    data_dir: Path, tmp_path: Path
) -> None:
    ran = labtrawl("export", "csv", "--data-dir", data_dir, "--out", tmp_path / "out")
    assert (ran.code, ran.err) == (0, "")
    with (tmp_path / "out" / "issues_history.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [cell for row in rows for cell in row.values() if cell.startswith(FORMULAS)] == []
    marked = [row["title"] for row in rows]
    restored = [title[1:] if title.lstrip("'").startswith(FORMULAS) else title for title in marked]
    assert sorted(restored) == sorted([*TITLES, "=2"])
    assert {row["labels"] for row in rows} == {'["a,b","=c"]', ""}
    assert {row["valid_from"] for row in rows} == {
        "2026-03-01T00:00:00.000000Z",
        "2026-03-02T00:00:00.000000Z",
    }


FORMULAS = ("=", "+", "-", "@", "\t", "\r", "\n", "\0", "＝", "＋", "－", "＠")  # noqa: RUF001


def test_duckdb_file_holds_the_tables_with_types_comments_and_facts(
    data_dir: Path, tmp_path: Path
) -> None:
    out = tmp_path / "lab.duckdb"
    ran = labtrawl("export", "duckdb", "--data-dir", data_dir, "--out", out)
    assert (ran.code, ran.err) == (0, "")
    assert ran.out.startswith(f"written: {out} (")
    assert [row["title"] for row in rows_of(out, "issues", "id")] == ["=2", *TITLES[1:]]
    with duckdb.connect(str(out), read_only=True) as connection:
        types = dict(
            connection.execute(
                "SELECT column_name, data_type FROM duckdb_columns() WHERE table_name = 'issues'"
            ).fetchall()
        )
        comment = connection.execute(
            "SELECT comment FROM duckdb_columns()"
            " WHERE table_name = 'issues' AND column_name = 'time_spent'"
        ).fetchall()
        facts = dict(connection.execute("FROM labtrawl_meta").fetchall())
    [table] = [table for table in TABLES if table.name == "issues"]
    own = {column.name: column.type.value for column in table.columns}
    first = {column.name: column.type.value for column in NEWEST_COLUMNS}
    declared = {**first, **own, "id": table.id_type.value, BODY: "JSON"}
    assert types == declared | {
        name: "TIMESTAMP WITH TIME ZONE" for name, of in declared.items() if of == "TIMESTAMPTZ"
    }
    assert comment == [("time spent (seconds)",)]
    assert facts.pop("exported_at").endswith("+00:00")
    assert {key: facts[key] for key in ("schema_version", "labtrawl", "policy", "wrong_types")} == {
        "schema_version": str(SCHEMA_VERSION),
        "labtrawl": __version__,
        "policy": "as_is",
        "wrong_types": "{}",
    }
    assert json.loads(facts["instances"]) == [{"id": 1, "url": "http://lab"}]
    records = json.loads(facts["records"])
    assert {name: count for name, count in records.items() if count} == {
        "issues": len(TITLES),
        "issues_history": len(TITLES) + 1,
        "labels": 1,
        "labels_history": 1,
    }


def test_parquet_files_carry_the_facts(data_dir: Path, tmp_path: Path) -> None:
    labtrawl("export", "parquet", "--data-dir", data_dir, "--out", tmp_path / "out")
    with duckdb.connect(":memory:") as connection:
        told = connection.execute(
            "SELECT decode(key), decode(value) FROM"
            f" parquet_kv_metadata('{tmp_path}/out/issues.parquet')"
        ).fetchall()
    facts = dict(told)
    assert (facts["labtrawl_meta_schema_version"], facts["labtrawl_meta_records"]) == (
        str(SCHEMA_VERSION),
        str(len(TITLES)),
    )


async def test_every_export_shows_why_the_data_were_collected(
    data_dir: Path, tmp_path: Path
) -> None:
    async with open_store(database_path(data_dir)) as store:
        await store.write(lambda c: pin(c, Mode.TEAM, "", "To learn how we review."))
    shown = {"mode": "team", "basis": "To learn how we review."}
    for form, name in (("duckdb", "lab.duckdb"), ("parquet", "p"), ("csv", "c"), ("jsonl", "j")):
        assert labtrawl("export", form, "--data-dir", data_dir, "--out", tmp_path / name).err == ""
    with duckdb.connect(str(tmp_path / "lab.duckdb"), read_only=True) as connection:
        facts = [connection.execute("FROM labtrawl_meta").fetchall()]
    with duckdb.connect(":memory:") as connection:
        facts += [
            connection.execute(f"FROM '{tmp_path / file}'").fetchall()
            for file in ("p/labtrawl_meta.parquet", "c/labtrawl_meta.csv")
        ]
    facts.append(list(json.loads((tmp_path / "j" / "labtrawl_meta.json").read_text()).items()))
    assert [{name: dict(each)[name] for name in shown} for each in facts] == [shown] * 4


@pytest.mark.parametrize("way", ["--newest", "--history"])
def test_jsonl_is_what_cat_prints(data_dir: Path, tmp_path: Path, way: str) -> None:
    ran = labtrawl("export", "jsonl", "--data-dir", data_dir, "--out", tmp_path / "out")
    assert (ran.code, ran.err) == (0, "")
    printed = labtrawl("cat", way, "--resource", "issues", "--data-dir", data_dir)
    name = "issues" if way == "--newest" else "issues_history"
    assert (tmp_path / "out" / f"{name}.jsonl").read_text() == printed.out
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "issues.jsonl",
        "issues_history.jsonl",
        "labels.jsonl",
        "labels_history.jsonl",
        "labtrawl_meta.json",
    ]


def test_export_replaces_only_with_force(data_dir: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "mine.txt").write_text("keep")
    ran = labtrawl("export", "csv", "--data-dir", data_dir, "--out", out)
    assert (ran.code, ran.out, ran.err) == (
        2,
        "",
        f"labtrawl: {out} is there already; --force replaces it, --out names another place\n",
    )
    assert [path.name for path in out.iterdir()] == ["mine.txt"]
    (out / "mine.txt").unlink()
    for form in ("parquet", "jsonl", "duckdb", "csv"):
        ran = labtrawl("export", form, "--force", "--data-dir", data_dir, "--out", out)
        assert (ran.code, ran.err) == (0, "")
    assert (out / "issues.csv").is_file()
    assert not [path for path in out.iterdir() if path.suffix != ".csv"]


@pytest.mark.parametrize(
    ("form", "what"),
    [
        ("csv", "own data"),
        ("csv", "above it"),
        ("duckdb", "a file"),
        ("jsonl", "a file beside the tables"),
    ],
)
def test_force_deletes_nothing_but_an_earlier_export(
    data_dir: Path, tmp_path: Path, form: str, what: str
) -> None:
    out = {"own data": data_dir, "above it": data_dir.parent}.get(what, tmp_path / "out")
    if what == "a file":
        out.write_text("keep this, it is long enough")
    elif what == "a file beside the tables":
        out.mkdir()
        (out / "labtrawl_meta.csv").touch()
        (out / "mine.txt").write_text("keep")
    before = {path: path.is_file() and path.read_bytes() for path in tmp_path.rglob("*")}
    ran = labtrawl("export", form, "--force", "--data-dir", data_dir, "--out", out)
    assert (ran.code, ran.out, ran.err) == (
        2,
        "",
        f"labtrawl: {out} is no earlier export, or holds other things too, and --force replaces"
        " nothing else; --out names another place\n",
    )
    assert {path: path.is_file() and path.read_bytes() for path in tmp_path.rglob("*")} == before


@pytest.mark.parametrize("form", ["parquet", "duckdb", "csv", "jsonl"])
def test_corrupt_segment_is_one_sentence_and_leaves_nothing(
    data_dir: Path, tmp_path: Path, form: str
) -> None:
    [segment] = dataset_root(data_dir).glob("*/*/labels/*")
    with segment.open("r+b") as file:
        file.write(b"\0\0")
    before = sorted(path.name for path in tmp_path.iterdir())
    ran = labtrawl("export", form, "--data-dir", data_dir, "--out", tmp_path / "out")
    name = segment.relative_to(dataset_root(data_dir))
    assert (ran.code, ran.out, ran.err) == (
        2,
        "",
        f"labtrawl: {name} has other bytes than were committed (sha256 differs)\n",
    )
    assert sorted(path.name for path in tmp_path.iterdir()) == before


def test_export_of_an_area_and_a_resource_holds_just_these(data_dir: Path, tmp_path: Path) -> None:
    ran = labtrawl(
        *("export", "csv", "--no-history", "--resource", "labels", "--area", "crew"),
        *("--data-dir", data_dir, "--out", tmp_path / "out"),
    )
    assert (ran.code, sorted(path.name for path in (tmp_path / "out").iterdir())) == (
        0,
        ["labels.csv", "labtrawl_meta.csv", "users.csv"],
    )


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--resource", "isues"), "nothing of 'isues' was collected; there is: issues, labels"),
        (
            ("--area", "elsewhere"),
            "nothing of the area 'elsewhere' was collected; `labtrawl dataset ls --areas` lists them",
        ),
    ],
)
def test_export_of_what_is_not_there_says_what_is(
    data_dir: Path, tmp_path: Path, arguments: tuple[str, ...], told: str
) -> None:
    ran = labtrawl("export", "csv", *arguments, "--data-dir", data_dir, "--out", tmp_path / "out")
    assert (ran.code, ran.out, ran.err) == (2, "", f"labtrawl: {told}\n")


def test_export_into_a_missing_folder_says_so(data_dir: Path, tmp_path: Path) -> None:
    ran = labtrawl("export", "csv", "--data-dir", data_dir, "--out", tmp_path / "no" / "out")
    assert (ran.code, ran.err) == (
        2,
        f"labtrawl: {tmp_path / 'no'} is no folder; make it first\n",
    )
