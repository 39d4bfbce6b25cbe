"""The notebook of the docs: stored without outputs, and its cells run on an export."""

import json
from pathlib import Path
from typing import Any

import matplotlib as mpl
import pytest

from tests.integration.dataset.exported import collected, labtrawl
from tests.integration.dataset.test_export_tables import world_lines
from tests.meta.tree import ROOT

pytestmark = pytest.mark.long

NOTEBOOK = ROOT / "docs" / "notebooks" / "first-look.ipynb"
PLOTS = [
    "Activity by week",
    "Time to merge",
    "First response to issues",
    "Pipelines that succeeded",
]


def code_cells() -> list[dict[str, Any]]:
    cells = json.loads(NOTEBOOK.read_text())["cells"]
    return [cell for cell in cells if cell["cell_type"] == "code"]


def test_notebook_is_stored_without_outputs() -> None:
    kept = [(cell["outputs"], cell["execution_count"]) for cell in code_cells()]
    assert kept == [([], None)] * len(kept)


def test_notebook_without_tables_says_where_it_looked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LABTRAWL_TABLES", str(tmp_path))
    with pytest.raises(FileNotFoundError) as raised:
        exec("".join(code_cells()[0]["source"]), {})
    told = f"no tables are in {tmp_path}: set LABTRAWL_TABLES to their folder"
    assert str(raised.value) == told


async def test_notebook_goes_from_an_export_to_four_plots(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await collected(tmp_path, world_lines())
    out = tmp_path / "tables"
    assert labtrawl("export", "parquet", "--data-dir", tmp_path, "--out", out).code == 0
    mpl.use("agg")
    import matplotlib.pyplot as plt

    monkeypatch.setenv("LABTRAWL_TABLES", str(out))
    told: dict[str, Any] = {}
    try:
        for cell in code_cells():
            exec(compile("".join(cell["source"]), str(NOTEBOOK), "exec"), told)
        drawn = [plt.figure(number).axes[0] for number in plt.get_fignums()]
        assert [axes.get_title() for axes in drawn] == PLOTS
        assert all(axes.lines or axes.patches for axes in drawn)
        assert (len(told["hours_to_merge"]) > 5, len(told["hours_to_response"]) > 5) == (True, True)
        assert min(told["hours_to_merge"] + told["hours_to_response"]) >= 0
    finally:
        plt.close("all")
        told["lab"].close()
