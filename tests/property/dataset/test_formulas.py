"""F22: no text becomes a formula in a cell of CSV, and every text can be had back."""

import csv
import io

import duckdb
from hypothesis import example, given
from hypothesis import strategies as st

from labtrawl.dataset.export_formats import harmless as harmless_query
from labtrawl.dataset.formulas import harmless

# OWASP, CSV Injection; a spreadsheet takes the full-width forms for the same, and some skip a NUL.
TRIGGERS = ("=", "+", "-", "@", "\t", "\r", "\n", "\x00", "＝", "＋", "－", "＠")  # noqa: RUF001
# Any text, and those near the rule: quotes and triggers in any order before anything.
texts = st.text() | st.builds(
    "{}{}".format, st.text(st.sampled_from(["'", *TRIGGERS]), max_size=5), st.text(max_size=5)
)


def restored(cell: str) -> str:
    """The text of a cell: one quote less where it stands before a trigger, or before such quotes."""
    return cell[1:] if cell.startswith("'") and cell.lstrip("'").startswith(TRIGGERS) else cell


@given(texts)
@example("=1+1")
@example("'=1+1")
@example("''")
def test_no_cell_begins_a_formula_and_the_text_comes_back(text: str) -> None:
    file = io.StringIO(newline="")
    csv.writer(file).writerow(["number", harmless(text)])
    file.seek(0)
    ((_, cell),) = csv.reader(file, strict=True)
    assert not cell.startswith(TRIGGERS)
    assert restored(cell) == text


def test_export_and_pages_make_the_same_cells() -> None:
    with duckdb.connect() as connection:

        @given(st.lists(texts, max_size=20))
        def same(found: list[str]) -> None:
            connection.execute(
                "CREATE OR REPLACE TABLE told AS"
                " SELECT unnest(?::VARCHAR[]) AS cell, generate_subscripts(?, 1) AS place",
                (found, found),
            )
            query = harmless_query(connection, "SELECT * FROM told")
            cells = connection.execute(f"SELECT cell FROM ({query}) ORDER BY place").fetchall()
            assert [cell for (cell,) in cells] == [harmless(text) for text in found]

        same()
