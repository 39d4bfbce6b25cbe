import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path

from labtrawl.dataset.policy import GatedRecord
from labtrawl.dataset.reader import newest, read
from labtrawl.dataset.sink import Segment
from tests.integration.dataset.samples import gated, sink_at

RECORDS, PAGE, BODY_BYTES = 6000, 100, 5000
MEBIBYTE = 1 << 20


def pages() -> Iterator[list[GatedRecord]]:
    """30 MB in pages of 500 kB, no two bodies alike."""
    for first in range(0, RECORDS, PAGE):
        numbers = range(first, first + PAGE)
        yield [gated(each, body=b'{"x":"%0*d"}' % (BODY_BYTES, each)) for each in numbers]


def write_all(root: Path) -> Segment:
    sink = sink_at(root)
    for page in pages():
        sink.write(page)
    segment = sink.close_segment()
    assert segment is not None
    return segment


def peak_bytes(work: Callable[[], object]) -> int:
    tracemalloc.start()
    try:
        work()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_sink_holds_little_more_than_a_frame_and_a_page(tmp_path: Path) -> None:
    assert peak_bytes(lambda: write_all(tmp_path)) < 6 * MEBIBYTE


def test_reader_holds_a_buffer_and_the_hashes_of_a_folder(tmp_path: Path) -> None:
    segment = write_all(tmp_path)

    def read_all() -> None:
        for records in (read(tmp_path, [segment]), newest(tmp_path, [segment])):
            assert sum(1 for _ in records) == RECORDS

    assert peak_bytes(read_all) < 6 * MEBIBYTE
