"""How much memory an export takes, as the kernel counts it."""

import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.long

RECORDS, BODY_BYTES = 40_000, 10_000
# 190 MB for DuckDB's buffers, the program itself, and what a writer and a chunk hold.
LIMIT_MB = 330

_PROGRAM = """
import sys
from pathlib import Path
from labtrawl.dataset.export import Plan, all_names, export
from labtrawl.dataset.export_lines import export_lines
from labtrawl.dataset.tables import BY_NAME
from tests.integration.dataset.samples import gated, sink_at

def peak_mb():
    # Not getrusage: a child counts what its parent had when it was forked.
    status = Path("/proc/self/status").read_text()
    return next(int(line.split()[1]) for line in status.splitlines() if "VmHWM" in line) >> 10

form, folder = sys.argv[1], Path(sys.argv[2])
records, body_bytes = int(sys.argv[3]), int(sys.argv[4])
root = folder / "dataset"
sink = sink_at(root)
for first in range(0, records, 100):
    numbers = range(first, min(first + 100, records))
    sink.write([gated(n, body=b'{"id":%d,"title":"%0*d"}' % (n, body_bytes, n)) for n in numbers])
rows = [sink.close_segment()]
plan = Plan(root, rows, all_names([BY_NAME["issues"]], history=True), {}, {})
if form == "jsonl":
    more = {"history": True, "instances": {}, "stamps": {}}
    report = export_lines(root, rows, folder / "out", force=False, told=lambda _: None, **more)
else:
    report = export(plan, form, folder / "out", force=False, told=lambda _: None)
assert set(report.records.values()) == {records}, report
print(peak_mb())
"""


def _peak_mb(folder: Path, form: str, records: int, body_bytes: int) -> int:
    command = [sys.executable, "-c", _PROGRAM, form, str(folder), str(records), str(body_bytes)]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    return int(ran.stdout)


@pytest.mark.parametrize("form", ["parquet", pytest.param("jsonl", marks=pytest.mark.proof)])
def test_export_of_400_mb_stays_within_its_limit(tmp_path: Path, form: str) -> None:
    assert _peak_mb(tmp_path, form, RECORDS, BODY_BYTES) < LIMIT_MB


@pytest.mark.parametrize(("records", "body_bytes"), [(40, 4_000_000), (2, 30_000_000)])
def test_export_of_records_of_megabytes_takes_what_they_need(
    tmp_path: Path, records: int, body_bytes: int
) -> None:
    assert _peak_mb(tmp_path, "parquet", records, body_bytes) < 1000
