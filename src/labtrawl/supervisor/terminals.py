"""Programs that belong to a terminal: added to the running set, shown there, stopped with it.

`labtrawl start website` in one terminal and `labtrawl start crawler` in another share one
supervisor in this way. `control` serves the terminals, `cli` says what a joined program is.
"""

import asyncio
from collections.abc import Callable, Collection, Sequence
from typing import Literal

import msgspec

from labtrawl.supervisor.process import Program
from labtrawl.supervisor.states import ProgramStatus, State
from labtrawl.supervisor.supervisor import Supervisor

MAX_WAITING = 1000
"""Lines that a terminal may be behind; a terminal that is slower than its program loses lines."""


class JoinWanted(msgspec.Struct, frozen=True, kw_only=True, tag_field="request", tag="join"):
    """Add programs that end with this connection; answered with their names, then with `Told`."""

    kind: Literal["website", "crawler"]
    count: int = 1
    settings: msgspec.Raw
    """As `config.dump` wrote them."""
    source: msgspec.Raw
    """From what the terminal read them, for a reload; the supervisor only keeps it."""


class Line(msgspec.Struct, frozen=True, kw_only=True, tag_field="told", tag="line"):
    """A line of a program, as its file keeps it."""

    name: str
    kept: str


class Changed(msgspec.Struct, frozen=True, kw_only=True, tag_field="told", tag="changed"):
    """A program of the terminal is in another state now; `address` is the website's."""

    status: ProgramStatus
    address: str


class Lost(msgspec.Struct, frozen=True, kw_only=True, tag_field="told", tag="lost"):
    """The terminal was too slow for so many lines; the files have them."""

    lines: int


class Ended(msgspec.Struct, frozen=True, kw_only=True, tag_field="told", tag="ended"):
    """All programs of the terminal have ended; the last that it is told."""

    killed: tuple[str, ...] = ()


Told = Line | Changed | Lost | Ended


class Terminal:
    """One joined terminal: its programs, and what it is still to be told."""

    def __init__(self, names: Sequence[str], wanted: JoinWanted) -> None:
        self.names = tuple(names)
        self.wanted = wanted
        self.killed: tuple[str, ...] = ()
        self._running = set(names)
        self._waiting: asyncio.Queue[Told] = asyncio.Queue()
        self._lost = 0

    def take_line(self, name: str, kept: str) -> None:
        """Pass a line on, or count it where too many wait already."""
        if self._waiting.qsize() >= MAX_WAITING:
            self._lost += 1
            return
        if self._lost:
            self._waiting.put_nowait(Lost(lines=self._lost))
            self._lost = 0
        self._waiting.put_nowait(Line(name=name, kept=kept))

    def take_change(self, status: ProgramStatus, address: str) -> None:
        """Pass a change on; the end of the last program is the end of the terminal."""
        self._waiting.put_nowait(Changed(status=status, address=address))
        if status.state is State.STOPPED:
            self._running.discard(status.name)
            if not self._running:
                self._waiting.put_nowait(Ended())

    async def next(self) -> Told:
        """Return what comes next."""
        return await self._waiting.get()


class Terminals:
    """All joined terminals of a supervisor."""

    def __init__(
        self,
        supervisor: Supervisor,
        make: Callable[[JoinWanted, Collection[str]], Sequence[Program]],
        emptied: Callable[[], None],
    ) -> None:
        """`make` is given the names that run; `emptied` is called when no program is left."""
        self._supervisor = supervisor
        self._make = make
        self._emptied = emptied
        self._owners: dict[str, Terminal] = {}

    def owned(self) -> dict[str, JoinWanted]:
        """Return the programs that belong to terminals, and what their terminals wanted."""
        return {name: terminal.wanted for name, terminal in self._owners.items()}

    def join(self, wanted: JoinWanted) -> Terminal:
        """Add what a terminal wants; Conflict or ConfigError where that is not possible."""
        try:
            programs = self._make(wanted, self._supervisor.programs())
            self._supervisor.add(programs)
        except BaseException:  # a supervisor without programs ends, however the joining failed
            self._tell_if_empty()
            raise
        terminal = Terminal([each.name for each in programs], wanted)
        self._owners.update(dict.fromkeys(terminal.names, terminal))
        return terminal

    async def leave(self, terminal: Terminal, *, by_force: bool = False) -> None:
        """Stop the terminal's programs; called again `by_force`, kill them."""
        killed = await self._supervisor.remove(terminal.names, by_force=by_force)
        terminal.killed = terminal.killed or killed
        self._disown(terminal)
        self._tell_if_empty()

    def _tell_if_empty(self) -> None:
        if not self._supervisor.programs():
            self._emptied()

    def take_line(self, name: str, kept: str) -> None:
        """Show a program's line where it belongs to a terminal."""
        if name in self._owners:
            self._owners[name].take_line(name, kept)

    def take_change(self, status: ProgramStatus, address: str) -> None:
        """Tell of a change where the program belongs to a terminal."""
        if status.name in self._owners:
            self._owners[status.name].take_change(status, address)

    def _disown(self, terminal: Terminal) -> None:
        for name in terminal.names:
            if self._owners.get(name) is terminal:
                del self._owners[name]
