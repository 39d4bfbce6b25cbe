"""The world that a server shows, and how it changes while it is shown.

Entered by the app and, through `Server`, by tests and benchmarks.
"""

from collections.abc import Callable, Sequence

from labtrawl.sandbox.changes import Change, Planned, Script
from labtrawl.sandbox.changes_apply import apply_changes
from labtrawl.sandbox.changes_board import Numbers
from labtrawl.sandbox.instants import instant_text
from labtrawl.sandbox.model import World
from labtrawl.sandbox.shelf import Shelf
from labtrawl.sandbox.truth import Truth, truth_of


class LivingWorld:
    """A shelf whose world changes; `now` is the server's clock (seconds since 1970)."""

    def __init__(
        self, shelf: Shelf, now: Callable[[], float], script: tuple[Planned, ...] = ()
    ) -> None:
        self.script = Script(script)
        self.requests = 0
        self._shelf = shelf
        self._now = now
        self._numbers = Numbers()

    @property
    def world(self) -> World:
        """The world as it is now."""
        return self._shelf.world

    def change(self, changes: Sequence[Change]) -> list[dict[str, object]]:
        """Make the changes at once; a row for each. Raises Unfit, and changes nothing then."""
        now = instant_text(int(self._now() * 1000))
        outcome = apply_changes(self._shelf.world, tuple(changes), now, self._numbers)
        touched = outcome.touched
        self._shelf.replace_world(outcome.world, touched.projects, touched.relocated)
        return outcome.done

    def asked(self, target: str) -> None:
        """Count a request for the script, once its answer is made. Raises Unfit."""
        self.requests += 1
        due = self.script.due(target)
        if due:
            self.change(due)

    def truth(self, username: str | None = None, *, commit_discussions: bool = False) -> Truth:
        """What a perfect crawl would hold now. Raises KeyError for an unknown account."""
        return truth_of(self._shelf, username, commit_discussions=commit_discussions)
