"""What the supervisor logs of its programs: each change of state once."""

import io
import json
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from labtrawl import logs
from labtrawl.config import Logs
from labtrawl.supervisor.states import ProgramStatus, State
from labtrawl.supervisor.supervisor import Narrator

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)


@pytest.fixture
def stream() -> Iterator[io.StringIO]:
    written = io.StringIO()
    logs.set_up(Logs(format="json"), written)
    yield written
    logs.set_up()


def test_figures_that_a_program_tells_of_itself_are_no_change_of_state(
    stream: io.StringIO,
) -> None:
    narrator = Narrator()
    steps = [
        (State.STARTING, {}),
        (State.READY, {"jobs": "0"}),
        (State.READY, {"jobs": "5"}),
        (State.BACKOFF, {}),
        (State.STARTING, {}),
        (State.READY, {"jobs": "5"}),
    ]
    for state, details in steps:
        told = ProgramStatus(name="website", state=state, since=NOW, pid=7, details=details)
        narrator.tell(told)
    written = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert [(line["event"], line["program"], line["pid"]) for line in written] == [
        (f"program_{state}", "website", 7) for state in ("starting", "ready") * 2
    ]
