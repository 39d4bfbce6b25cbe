"""One account's areas as a tree, each with the sums of all below it. Pure."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from labtrawl.domain.eta import Part, Told
from labtrawl.domain.learned import Queued
from labtrawl.store.pages.mine import Figures, MyArea

# A branch shows so many at once.
BRANCH = 100


@dataclass(slots=True)
class Node:
    """An area: what was done for it, and for it with all `below` it."""

    area: MyArea
    own: Figures
    whole: Figures
    below: int = 0
    parent: int | None = None
    children: list[int] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Row:
    """A line of the tree as it is shown; `depth` counts from 0."""

    node: Node
    depth: int
    is_open: bool


@dataclass(frozen=True, slots=True)
class Forest:
    """All of an account's areas, and what is open in each of them."""

    nodes: Mapping[int, Node]
    roots: Sequence[int]
    whole: Figures
    parts: Mapping[int, Part]
    told: dict[int, Told] = field(default_factory=dict)
    """When what is open in an area and below it will be done, as far as somebody asked."""

    def rows(
        self, branch: Sequence[int], opened: frozenset[int], after: int | None = None
    ) -> tuple[list[Row], int | None]:
        """Return the lines of a branch behind the area `after`, and of those in it that are open.

        Also the area behind which more follow, None at the end. An open one shows its first
        children; its own page has the others.
        """
        begin = branch.index(after) + 1 if after in branch else 0
        shown = branch[begin : begin + BRANCH]
        more = shown[-1] if len(branch) > begin + BRANCH else None
        return list(self._lines(shown, opened, 0)), more

    def _lines(self, branch: Iterable[int], opened: frozenset[int], depth: int) -> Iterable[Row]:
        for each in branch:
            node = self.nodes[each]
            is_open = each in opened and bool(node.children)
            yield Row(node, depth, is_open)
            if is_open:
                yield from self._lines(node.children[:BRANCH], opened, depth + 1)

    def under(self, area_id: int) -> list[int]:
        """Return an area and all below it."""
        found = [area_id]
        for each in found:
            found += self.nodes[each].children
        return found

    def above(self, area_id: int) -> list[Node]:
        """Return the areas that an area is in, the outermost first."""
        found: list[Node] = []
        parent = self.nodes[area_id].parent
        while parent is not None:
            found.insert(0, self.nodes[parent])
            parent = self.nodes[parent].parent
        return found

    def part(self, area_ids: Iterable[int]) -> Part:
        """Return all that is open in these areas."""
        parts = [self.parts[each] for each in area_ids if each in self.parts]
        running = [one for part in parts for one in part.running]
        queued = _together(one for part in parts for one in part.queued)
        return Part(running, queued, sum(part.done for part in parts))


def grow(
    areas: Sequence[MyArea], figures: Mapping[int, Figures], parts: Mapping[int, Part]
) -> Forest:
    """Make the tree: an area hangs below the nearest group above it that the account has too.

    What an account reads no more lacks nothing: somebody chose that.
    """
    none = Figures()
    ordered = sorted(areas, key=lambda one: (one.full_path.replace("/", " "), one.id))
    nodes = {}
    for one in ordered:
        own = figures.get(one.id, none)
        own = own if one.is_read else replace(own, gaps={})
        nodes[one.id] = Node(one, own, own)
    groups = {(one.instance_id, one.full_path): one.id for one in areas if one.kind == "group"}
    roots: list[int] = []
    for one in ordered:
        parent = _nearest(one, groups)
        nodes[one.id].parent = parent
        (roots if parent is None else nodes[parent].children).append(one.id)
    for one in sorted(ordered, key=lambda each: -each.full_path.count("/")):
        node = nodes[one.id]
        if node.parent is not None:
            above = nodes[node.parent]
            above.whole = plus(above.whole, node.whole)
            above.below += node.below + 1
    whole = none
    for each in roots:
        whole = plus(whole, nodes[each].whole)
    return Forest(nodes, roots, whole, parts)


def _nearest(one: MyArea, groups: Mapping[tuple[int, str], int]) -> int | None:
    path = one.full_path
    while "/" in path:
        path = path.rpartition("/")[0]
        if (found := groups.get((one.instance_id, path))) is not None:
            return found
    return None


def plus(one: Figures, other: Figures) -> Figures:
    """Add two figures up; the newest instant counts."""
    last = max((each for each in (one.last_at, other.last_at) if each is not None), default=None)
    return Figures(
        lists=one.lists + other.lists,
        ended=one.ended + other.ended,
        records=one.records + other.records,
        open=one.open + other.open,
        running=one.running + other.running,
        held=one.held + other.held,
        last_at=last,
        gaps=dict(Counter(one.gaps) + Counter(other.gaps)),
    )


def _together(queued: Iterable[Queued]) -> list[Queued]:
    """Put together what waits of the same kind: a forecast asks for the place of each."""
    found: dict[tuple[object, int], Queued] = {}
    for one in queued:
        key = (one.kind, one.priority)
        known = found.get(key)
        found[key] = one if known is None else _both(known, one)
    return sorted(found.values())


def _both(one: Queued, other: Queued) -> Queued:
    return one._replace(
        first_id=min(one.first_id, other.first_id),
        last_id=max(one.last_id, other.last_id),
        jobs=one.jobs + other.jobs,
        known=one.known + other.known,
        units=one.units + other.units,
        largest=max(one.largest, other.largest),
        not_before=min(one.not_before, other.not_before),
    )
