"""Whether the records of a GitLab's version hold other fields than those of the version before."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from labtrawl.store.seen import SeenFields

# Fewer records say nothing: many fields are there only at times.
ENOUGH = 20
# A field that was in so many of a hundred records and is in none now is gone.
USUAL = 90


@dataclass(frozen=True, slots=True)
class Drift:
    """How the records of a resource changed with a version."""

    instance: str
    resource: str
    version: str
    added: tuple[str, ...]
    gone: tuple[str, ...]

    @property
    def sentence(self) -> str:
        """All of it in words."""
        parts = []
        if self.added:
            parts.append("new " + ", ".join(self.added))
        if self.gone:
            parts.append("gone " + ", ".join(self.gone))
        return f"{self.resource} of {self.instance} {self.version}: {'; '.join(parts)}"


def drift_of(seen: Sequence[SeenFields]) -> list[Drift]:
    """Compare the newest version of each resource with the one before it.

    `seen` is ordered as `store.seen.fields` returns it.
    """
    found = []
    for index, (before, after) in enumerate(pairwise(seen)):
        is_same = (before.instance, before.resource) == (after.instance, after.resource)
        is_last = index + 2 == len(seen) or (
            (seen[index + 2].instance, seen[index + 2].resource) != (after.instance, after.resource)
        )
        if is_same and is_last and min(before.records, after.records) >= ENOUGH:
            found.append(_drift(before, after))
    return [each for each in found if each.added or each.gone]


def _drift(before: SeenFields, after: SeenFields) -> Drift:
    added = sorted(after.fields.keys() - before.fields.keys())
    usual = {name for name, times in before.fields.items() if times * 100 >= USUAL * before.records}
    gone = sorted(usual - after.fields.keys())
    return Drift(after.instance, after.resource, after.version, tuple(added), tuple(gone))
