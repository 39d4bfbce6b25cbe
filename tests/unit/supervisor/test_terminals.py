"""What a joined terminal is told, and what happens to one that is too slow."""

from datetime import UTC, datetime

import msgspec

from labtrawl.supervisor.states import ProgramStatus, State
from labtrawl.supervisor.terminals import (
    MAX_WAITING,
    Changed,
    Ended,
    JoinWanted,
    Line,
    Lost,
    Terminal,
    Told,
)

WANTED = JoinWanted(kind="crawler", settings=msgspec.Raw(b"{}"), source=msgspec.Raw(b"{}"))
NOW = datetime(2026, 11, 22, tzinfo=UTC)


def status(name: str, state: State) -> ProgramStatus:
    return ProgramStatus(name=name, state=state, since=NOW)


async def told(terminal: Terminal, count: int) -> list[Told]:
    return [await terminal.next() for _ in range(count)]


async def test_terminal_is_told_lines_and_changes_in_order_and_the_end_once() -> None:
    terminal = Terminal(["a", "b"], WANTED)
    stopped = [status(name, State.STOPPED) for name in ("a", "b")]
    terminal.take_line("a", "x")
    for each in stopped:
        terminal.take_change(each, "here")
    assert await told(terminal, 4) == [
        Line(name="a", kept="x"),
        Changed(status=stopped[0], address="here"),
        Changed(status=stopped[1], address="here"),
        Ended(),
    ]


async def test_terminal_that_is_too_slow_loses_lines_is_told_how_many_and_no_change() -> None:
    terminal = Terminal(["a"], WANTED)
    for number in range(MAX_WAITING + 7):
        terminal.take_line("a", str(number))
    ready = status("a", State.READY)
    terminal.take_change(ready, "")
    assert [line.kept for line in await told(terminal, MAX_WAITING) if isinstance(line, Line)] == [
        str(number) for number in range(MAX_WAITING)
    ]
    terminal.take_line("a", "again")
    assert await told(terminal, 3) == [
        Changed(status=ready, address=""),
        Lost(lines=7),
        Line(name="a", kept="again"),
    ]
