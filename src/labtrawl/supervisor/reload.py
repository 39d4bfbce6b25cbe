"""What a change of the settings does to the set of programs. Pure; `cli` enters."""

from collections.abc import Mapping
from dataclasses import dataclass

from labtrawl.supervisor.process import Program


@dataclass(frozen=True, slots=True)
class Changes:
    """The steps from one set of programs to another; each list in the order of the second set."""

    removed: tuple[str, ...]
    added: tuple[Program, ...]
    restarted: tuple[Program, ...]
    """Something that they read is another now."""
    renewed: tuple[Program, ...]
    """What changed does not matter to them before their next start."""

    def in_words(self) -> list[str]:
        """Return a sentence for each program that is touched."""
        return [
            *(f"{name} removed" for name in self.removed),
            *(f"{each.name} added" for each in self.added),
            *(f"{each.name} restarted" for each in self.restarted),
        ]


def changes(current: Mapping[str, Program], wanted: Mapping[str, Program]) -> Changes:
    """Return how to get from the programs that run to those that are wanted."""
    kept = [each for name, each in wanted.items() if name in current]
    return Changes(
        removed=tuple(name for name in current if name not in wanted),
        added=tuple(each for name, each in wanted.items() if name not in current),
        restarted=tuple(each for each in kept if each.matters != current[each.name].matters),
        renewed=tuple(
            each
            for each in kept
            if each.matters == current[each.name].matters and each != current[each.name]
        ),
    )
