"""Times the crawl of the default world, each time in a new data folder: scripts/bench.py [RUNS].

Prints a line for each run and the median. The crawl is undisturbed: no crawler is killed.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

LABTRAWL = Path(sys.executable).parent / "labtrawl"


def crawl_once(folder: Path) -> tuple[float, int, int]:
    """(seconds, records, requests) of one crawl, as labtrawl's own summary says."""
    summary = folder / "summary.json"
    command = [str(LABTRAWL), "demo", "--once", "--no-chaos", "--summary", str(summary)]
    environment = {**os.environ, "LABTRAWL_DATA_DIR": str(folder / "data")}
    subprocess.run(command, env=environment, check=True, stdout=subprocess.DEVNULL)
    said = json.loads(summary.read_text())
    return said["seconds"], sum(said["records"].values()), said["requests"]


def main() -> int:
    """Crawl as often as asked (three times unless told)."""
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else 3
    taken = []
    for number in range(1, runs + 1):
        with tempfile.TemporaryDirectory() as folder:
            seconds, records, requests = crawl_once(Path(folder))
        rate = records / seconds
        print(
            f"run {number}: {seconds:.1f} s, {records} records ({rate:.0f}/s), {requests} requests"
        )
        taken.append(seconds)
    print(f"median of {runs}: {statistics.median(taken):.1f} s on {os.cpu_count()} cores")
    return 0


if __name__ == "__main__":
    sys.exit(main())
