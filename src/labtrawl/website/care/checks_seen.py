"""Whether the records of a GitLab's version hold other fields than those of the version before."""

from collections.abc import Sequence
from dataclasses import dataclass

from labtrawl.store.seen import SeenFields

# Fewer records say nothing: many fields are there only at times.
ENOUGH = 20
# A field that was in so many of a hundred records and is in none now is gone.
USUAL = 90
# How the version of what came by GraphQL ends, and the kinds of values (`dataset.sampling`).
GRAPHQL = " by GraphQL"
KINDS = ("text", "number", "yes or no", "list", "object")


@dataclass(frozen=True, slots=True)
class Drift:
    """How the records of a resource changed with a version."""

    instance: str
    resource: str
    version: str
    added: tuple[str, ...]
    gone: tuple[str, ...]
    changed: tuple[str, ...] = ()
    """What is of another kind now, with both."""

    @property
    def sentence(self) -> str:
        """All of it in words."""
        named = {"new": self.added, "gone": self.gone, "changed": self.changed}
        told = "; ".join(f"{word} {', '.join(names)}" for word, names in named.items() if names)
        return f"{self.resource} of {self.instance} {self.version}: {told}"


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
    return [each for each in found if each.added or each.gone or each.changed]


def _drift(before: SeenFields, after: SeenFields) -> Drift:
    old, new = _names(before), _names(after)
    added = [name for name in new - old if _is_telling(before, after, name)]
    gone = [
        name
        for name in old - new
        if _is_telling(before, after, name)
        and before.fields[name] * 100 >= USUAL * _times(before, name)
    ]
    changed = [told for name in sorted(old & new) if (told := _other_kind(before, after, name))]
    return Drift(
        after.instance,
        after.resource,
        after.version,
        tuple(sorted(added)),
        tuple(sorted(gone)),
        tuple(changed),
    )


def _names(seen: SeenFields) -> set[str]:
    """Return the names of fields, without what counts objects and kinds (`dataset.sampling`)."""
    return {name for name in seen.fields if not name.endswith(".") and ":" not in name}


def _times(seen: SeenFields, name: str) -> int:
    """Return in how many records a field could have been: all, or those with its object."""
    parent, dot, _ = name.rpartition(".")
    return seen.fields.get(parent + dot, 0) if dot else seen.records


def _is_telling(before: SeenFields, after: SeenFields, name: str) -> bool:
    """Say whether both versions had enough places for a field; of new objects only the object is told."""
    return min(_times(before, name), _times(after, name)) >= ENOUGH


def _other_kind(before: SeenFields, after: SeenFields, name: str) -> str:
    old, new = (
        {kind: times for kind in KINDS if (times := seen.fields.get(f"{name}:{kind}", 0))}
        for seen in (before, after)
    )
    is_other = not old.keys() & new.keys() and min(sum(old.values()), sum(new.values())) >= ENOUGH
    return f"{name} ({' or '.join(old)} became {' or '.join(new)})" if is_other else ""
