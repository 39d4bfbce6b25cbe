"""docs/reference/seeds.md claims what the tests show, no more; its maker refuses what is wrong."""

from pathlib import Path

import pytest

from scripts import seeds
from tests.meta.tree import ROOT


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A checkout with two statements, of which one is shown."""
    (tmp_path / "docs/reference").mkdir(parents=True)
    (tmp_path / "src/labtrawl/supervisor").mkdir(parents=True)
    (tmp_path / "tests/unit").mkdir(parents=True)
    write_statements(tmp_path, "supervisor")
    write_test(tmp_path, '@pytest.mark.seed("S1.2")\nasync def test_it() -> None: ...\n')
    return tmp_path


def write_statements(checkout: Path, where: str, second: str = "S1.2") -> None:
    (checkout / "docs/reference/seeds.toml").write_text(
        '[[sections]]\nseed = "S1"\ntitle = "Overview"\nstatements = [\n'
        '  { id = "S1.1", says = "It starts.", where = [] },\n'
        f'  {{ id = "{second}", says = "It stops.", where = ["{where}"] }},\n]\n'
    )


def write_test(checkout: Path, text: str) -> None:
    (checkout / "tests/unit/test_stop.py").write_text(text)


def refusal(checkout: Path) -> str:
    with pytest.raises(ValueError, match=r"seed") as refused:
        seeds.page(checkout)
    return str(refused.value)


def test_page_names_place_and_tests_of_a_statement_and_admits_what_is_not_shown(
    checkout: Path,
) -> None:
    rows = [line for line in seeds.page(checkout).splitlines() if line.startswith("| S")]
    assert rows == [
        "| S1.1 | It starts. | not met yet | not shown by a test yet |",
        "| S1.2 | It stops. | `supervisor` | [test_it](../../tests/unit/test_stop.py) |",
    ]
    assert "1 of 2 are shown by a test." in seeds.page(checkout)


def test_marker_with_an_unknown_id_is_refused(checkout: Path) -> None:
    write_test(checkout, '@pytest.mark.seed("S1.3")\ndef test_it() -> None: ...\n')
    assert refusal(checkout) == "tests/unit/test_stop.py: seeds.toml has no statement S1.3"


@pytest.mark.parametrize(
    "marker", ["seed()", "seed(ID)", "seed('S1.2', id='S1.1')", "seed(*['S1.2'])"]
)
def test_marker_that_only_a_run_could_read_is_refused(checkout: Path, marker: str) -> None:
    write_test(checkout, f"@pytest.mark.{marker}\ndef test_it() -> None: ...\n")
    assert refusal(checkout) == (
        "tests/unit/test_stop.py: a seed marker takes ids in quotes, as in seed('S1.4')"
    )


def test_marker_for_a_whole_file_is_refused(checkout: Path) -> None:
    write_test(checkout, "pytestmark = pytest.mark.seed('S1.2')\ndef test_it() -> None: ...\n")
    assert refusal(checkout) == (
        "tests/unit/test_stop.py: a seed marker stands elsewhere than above a test"
    )


def test_place_that_is_not_there_is_refused(checkout: Path) -> None:
    write_statements(checkout, "supervisor/stop.py")
    assert refusal(checkout) == (
        "seeds.toml: S1.2 names src/labtrawl/supervisor/stop.py, which is not there"
    )


def test_numbers_with_a_gap_are_refused(checkout: Path) -> None:
    write_statements(checkout, "supervisor", second="S1.3")
    assert refusal(checkout) == "seeds.toml: the ids of S1 do not count from S1.1 on"


def test_page_of_this_checkout_is_what_its_tests_show() -> None:
    written = (ROOT / "docs/reference/seeds.md").read_text()
    assert written == seeds.page(ROOT), "run make docs"


def test_statement_that_a_test_shows_is_met_somewhere() -> None:
    shown = seeds.marked(ROOT)
    nowhere = [
        one.id
        for each in seeds.sections(ROOT)
        for one in each.statements
        if one.id in shown and not one.where
    ]
    assert nowhere == []
