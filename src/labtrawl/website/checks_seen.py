"""Whether the records of a GitLab's version hold other fields than those of the version before."""

from collections.abc import Sequence
from dataclasses import dataclass

from labtrawl.store.seen import SeenFields

# Fewer records say nothing: many fields are there only at times.
ENOUGH = 20
# A field that was in so many of a hundred records and is in none now is gone.
USUAL = 90
# How the version of what came by GraphQL ends (`dataset.sampling`).
GRAPHQL = " by GraphQL"


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

    `seen` is ordered as `store.seen.fields` returns it. What GraphQL gave is compared with that.
    """
    versions: dict[tuple[str, str, bool], list[SeenFields]] = {}
    for each in seen:
        place = (each.instance, each.resource, each.version.endswith(GRAPHQL))
        versions.setdefault(place, []).append(each)
    found = [
        _drift(each[-2], each[-1])
        for each in versions.values()
        if len(each) > 1 and min(each[-2].records, each[-1].records) >= ENOUGH
    ]
    return [each for each in found if each.added or each.gone]


def _drift(before: SeenFields, after: SeenFields) -> Drift:
    added = sorted(after.fields.keys() - before.fields.keys())
    usual = {name for name, times in before.fields.items() if times * 100 >= USUAL * before.records}
    gone = sorted(usual - after.fields.keys())
    return Drift(after.instance, after.resource, after.version, tuple(added), tuple(gone))
