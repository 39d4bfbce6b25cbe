"""Malformed input by the thousand, and what a read may cost: nothing breaks, nothing grows."""

import itertools
import json
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from labtrawl.protocol.codec import Decoder, Refused, encode
from labtrawl.protocol.messages import Envelope
from tests.unit.protocol.malformed import BOMBS, CAP, WHOLE, inputs, outcome

MILLION = 1_000_000


def _outcomes(seed: int, count: int) -> Counter[str]:
    """What became of so many inputs; the detail of a refusal is left out."""
    return Counter(one for data in itertools.islice(inputs(seed), count) for one in outcome(data))


def test_wounded_messages_are_taken_or_refused_with_a_reason() -> None:
    found = _outcomes(1, 2000)
    reasons = {"bad_message", "message_too_large", "too_deep"}
    assert {one for one in found if one in reasons} == reasons
    assert found["PROGRESS_UPDATE"] > 100


@pytest.mark.proof
@pytest.mark.timeout(1800)
def test_million_inputs_of_a_fuzzer_break_nothing_and_grow_nothing(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """libFuzzer ends with another code at an exception, a hang or more memory than it may have."""
    pytest.importorskip("atheris", reason="`make proof` installs it")
    # A shell between: libFuzzer would count the memory of whoever starts it (getrusage(2), ru_maxrss).
    begun = ("sh", "-c", '"$@"; exit $?', "sh")
    command = (sys.executable, "-m", "tests.unit.protocol.malformed", str(MILLION))
    ran = subprocess.run((*begun, *command), capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr[-3000:]
    told = [line for line in ran.stderr.splitlines() if line.startswith("Done ")]
    with capsys.disabled():
        print(f"\n  atheris: {told}")
    assert [line.split(" runs")[0] for line in told] == [f"Done {MILLION}"]


@pytest.mark.proof
@pytest.mark.timeout(1800)
def test_million_wounded_messages_break_nothing_and_grow_nothing(
    capsys: pytest.CaptureFixture[str],
) -> None:
    _outcomes(2, 10_000)
    # Forget what tests before this one took (proc(5), clear_refs).
    Path("/proc/self/clear_refs").write_text("5")
    before = _peak_kib()
    found = _outcomes(3, MILLION)
    grown = _peak_kib() - before
    with capsys.disabled():
        print(f"\n  {MILLION} wounded messages: {grown} KiB more memory at most; {dict(found)}")
    assert grown < 16 * 1024


def _peak_kib() -> int:
    """The most that was resident since it was forgotten (proc(5), VmHWM)."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))


STREAMS = st.lists(
    st.sampled_from([*WHOLE, *(bomb + b"\n" for bomb in BOMBS if len(bomb) < CAP), b"\r\n"]),
    max_size=8,
)


@settings(max_examples=200)
@given(STREAMS, st.lists(st.integers(0, 4000), max_size=5))
@pytest.mark.long
def test_whole_lines_and_the_same_bytes_one_by_one_give_the_same(
    parts: list[bytes], cuts: list[int]
) -> None:
    """Lines are decoded at once, the rest is scanned: nobody outside can tell which it was."""
    data = b"".join(parts)
    edges = sorted({0, len(data), *(min(cut, len(data)) for cut in cuts)})
    in_reads, by_bytes = Decoder(max_bytes=CAP), Decoder(max_bytes=CAP)
    found = [one for a, b in itertools.pairwise(edges) for one in in_reads.feed(data[a:b])]
    assert found == [one for n in range(len(data)) for one in by_bytes.feed(data[n : n + 1])]


def _nested(depth: int, text: str) -> bytes:
    payload = b"[" * depth + json.dumps(text).encode() + b"]" * depth
    raw = msgspec.Raw(payload)
    return encode(Envelope(origin="o", type="m", key="k", payload=raw))


@pytest.mark.parametrize("text", ["", '}]"\\', "{[" * 40, "\\" * 7])
@pytest.mark.parametrize(("depth", "is_message"), [(30, True), (31, True), (32, False)])
def test_depth_is_counted_outside_of_texts_only(text: str, depth: int, is_message: bool) -> None:
    """The envelope is a level of its own; the limit is 32."""
    (found,) = Decoder().feed(_nested(depth, text))
    assert isinstance(found, Envelope) == is_message
    if isinstance(found, Refused):
        assert found.reason == "too_deep"


def test_number_of_five_thousand_digits_is_refused_or_kept_as_text_of_its_payload() -> None:
    """A number that no field asks for costs its bytes; one that a field asks for is refused."""
    line = b'{"origin":"o","type":"m","key":"k","timestamp":%s}\n' % (b"9" * 5000)
    (found,) = Decoder().feed(line)
    assert isinstance(found, Refused)
    assert found.reason == "bad_message"
    (found,) = Decoder().feed(line.replace(b"timestamp", b"payload"))
    assert isinstance(found, Envelope)
    assert bytes(found.payload) == b"9" * 5000


class _Counting(Decoder):
    """Counts the bytes that its scanner goes over."""

    examined = 0

    def _scan(self) -> Envelope | Refused | None:
        before = self._position
        found = super()._scan()
        self.examined += (self._position or len(self._buffer)) - before
        return found


@pytest.mark.seed("S2.89", "S2.118")
def test_half_a_mebibyte_in_reads_of_four_kibibytes_is_examined_once() -> None:
    data = encode(
        Envelope(origin="o", type="m", key="k", payload=msgspec.Raw(b'"%s"' % (b"x" * (512 << 10))))
    )
    decoder, found = _Counting(), []
    for start in range(0, len(data), 4096):
        position = decoder._position
        found += decoder.feed(data[start : start + 4096])
        assert found or decoder._position > position
    assert [type(one) for one in found] == [Envelope]
    assert decoder.examined <= len(data)


@pytest.mark.proof
@pytest.mark.parametrize(
    "body",
    [b'"%s"', b"[%s0]"],
    ids=["one text", "many numbers"],
)
def test_four_times_the_size_takes_at_most_five_times_as_long(body: bytes) -> None:
    """By the processor's time and by turns: what else the machine does counts for neither."""

    def whole(size: int) -> bytes:
        inner = b"x" * size if b'"' in body else b"0," * (size // 2)
        return encode(Envelope(origin="o", type="m", key="k", payload=msgspec.Raw(body % inner)))

    def seconds(data: bytes) -> float:
        decoder, began = Decoder(), time.process_time()
        for start in range(0, len(data), 4096):
            decoder.feed(data[start : start + 4096])
        return time.process_time() - began

    small, large = whole(1 << 20), whole(4 << 20)
    turns = [(seconds(small), seconds(large)) for _ in range(15)]
    assert min(one for _, one in turns) <= 5 * min(one for one, _ in turns)
