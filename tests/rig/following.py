"""A crawl that follows a world while it changes, and how long after each change its record is there."""

import asyncio
import random
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from labtrawl.cli.crawl_place import Target
from labtrawl.cli.crawl_run import Embedded, Plan
from labtrawl.dataset.layout import dataset_root
from labtrawl.dataset.reader import read_segment
from labtrawl.sandbox.changes import Add, Edit, Item, Remove
from labtrawl.store import manifest, summary
from labtrawl.store.engine import Connection, database_path, open_snapshots
from tests.rig.leaping import Leaps
from tests.rig.served import Served

SECOND = 1000


@dataclass(frozen=True, slots=True)
class Made:
    """A change: its kind, when it was made (ms), and what shows it in which list."""

    kind: str
    at: int
    resource: str
    project: int
    id: str
    mark: bytes
    is_gone: bool = False


@dataclass
class Weather:
    """Changes of a world, one after the other; of each kind as many as it has objects."""

    served: Served
    seed: int
    weights: dict[str, float]
    made: list[Made] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._random = random.Random(self.seed)
        self._met: set[tuple[str, int, Any]] = set()

    def sizes(self) -> dict[str, int]:
        """Return how many objects of each kind there are."""
        world = self.served.server.world
        sizes = dict.fromkeys(
            ("issue", "merge_request", "note", "pipeline", "commit", "milestone"), 0
        )
        for one in world.projects:
            sizes["issue"] += len(one.issues)
            sizes["merge_request"] += len(one.merge_requests)
            sizes["note"] += sum(len(each.notes) for each in one.issues)
            sizes["note"] += sum(len(each.notes) for each in one.merge_requests)
            sizes["pipeline"] += len(one.pipelines)
            sizes["commit"] += len(one.commits)
            sizes["milestone"] += len(one.milestones)
        return sizes

    def change(self, now_ms: int) -> None:
        """Make one change, of a kind by its weight."""
        kinds = list(self.weights)
        kind = self._random.choices(kinds, [self.weights[each] for each in kinds])[0]
        made = getattr(self, f"_{kind}")(len(self.made), now_ms)
        if made is not None:
            self.made.append(made)

    def _pick(self, what: str, rows_of: Any) -> tuple[int, Any] | None:
        for _ in range(50):
            project = self._random.choice(self.served.server.world.projects)
            rows = rows_of(project)
            if rows:
                row = self._random.choice(rows)
                key = (what, project.id, getattr(row, "id", None) or getattr(row, "name", ""))
                if key not in self._met:
                    self._met.add(key)
                    return project.id, row
        return None

    def _item(self, what: Item, resource: str, number: int, now: int) -> Made | None:
        found = self._pick(what, lambda one: getattr(one, resource))
        if found is None:
            return None
        project, row = found
        turn = self._random.random()
        mark = f"weather {number}."
        if turn < 0.1:
            self.served.change(Add(what=what, project=project, fields={"title": mark}))
            return Made(what, now, resource, project, "", mark.encode())
        if turn < 0.2:
            self.served.change(Remove(what=what, project=project, key=row.iid))
            return Made(f"{what} gone", now, resource, project, str(row.id), b"", is_gone=True)
        self.served.change(Edit(what=what, project=project, key=row.iid, fields={"title": mark}))
        return Made(what, now, resource, project, str(row.id), mark.encode())

    def _issue(self, number: int, now: int) -> Made | None:
        return self._item("issue", "issues", number, now)

    def _merge_request(self, number: int, now: int) -> Made | None:
        return self._item("merge_request", "merge_requests", number, now)

    def _note(self, number: int, now: int) -> Made | None:
        kinds: tuple[Literal["issue", "merge_request"], ...] = ("issue", "merge_request")
        on = self._random.choice(kinds)
        found = self._pick(f"{on}_note", lambda one: getattr(one, f"{on}s"))
        if found is None:
            return None
        project, row = found
        mark = f"weather {number}."
        self.served.change(
            Add(what="note", project=project, on=on, iid=row.iid, fields={"body": mark})
        )
        return Made("note", now, f"{on}_discussions", project, "", mark.encode())

    def _pipeline(self, number: int, now: int) -> Made | None:
        found = self._pick("pipeline", lambda one: one.pipelines)
        if found is None:
            return None
        project, row = found
        if self._random.random() < 0.5:
            self.served.change(
                Add(
                    what="pipeline",
                    project=project,
                    fields={"ref": row.ref, "sha": row.sha, "source": f"weather{number}x"},
                )
            )
            return Made("pipeline", now, "pipelines", project, "", f"weather{number}x".encode())
        status = f"weather{number}x"
        self.served.change(
            Edit(what="pipeline", project=project, key=row.id, fields={"status": status})
        )
        return Made("pipeline", now, "pipelines", project, str(row.id), status.encode())

    def _milestone(self, number: int, now: int) -> Made | None:
        found = self._pick("milestone", lambda one: one.milestones)
        if found is None:
            return None
        project, row = found
        mark = f"weather {number}."
        self.served.change(
            Edit(what="milestone", project=project, key=row.id, fields={"title": mark})
        )
        return Made("milestone", now, "milestones", project, str(row.id), mark.encode())

    def _commit(self, number: int, now: int) -> Made | None:
        project = self._random.choice(
            [one for one in self.served.server.world.projects if one.commits]
        ).id
        mark = f"weather {number}."
        self.served.change(Add(what="commit", project=project, fields={"title": mark}))
        self.made.append(Made("branch", now, "branches", project, "", mark.encode()))
        return Made("commit", now, "commits", project, "", mark.encode())


@dataclass(frozen=True, slots=True)
class Followed:
    """What became of each change: milliseconds until it was committed; None where it never was."""

    lags: list[tuple[Made, int | None]]
    requests: list[tuple[int, int]]

    def by_kind(self) -> dict[str, list[float]]:
        """Seconds of lag of each kind, sorted; infinite where nothing came."""
        found: dict[str, list[float]] = defaultdict(list)
        for made, lag in self.lags:
            found[made.kind].append(float("inf") if lag is None else lag / SECOND)
        return {kind: sorted(each) for kind, each in found.items()}

    def requests_a_minute(self) -> float:
        """What following cost on average, the first crawl left out."""
        (began, before), (ended, after) = self.requests[0], self.requests[-1]
        return (after - before) / ((ended - began) / 60_000)


def at_share(lags: Sequence[float], share: float) -> float:
    """The lag that such a share of them does not exceed."""
    ordered = sorted(lags)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


@dataclass
class Finder:
    """Looks for the first committed record that shows a change, before compaction makes it anew."""

    out: Path
    lags: dict[int, int] = field(default_factory=dict)
    _last: int = 0

    def look(self, made: Sequence[Made]) -> None:
        """Read what was committed since the last look."""
        waiting: dict[tuple[str, int], list[Made]] = defaultdict(list)
        for one in made:
            if id(one) not in self.lags:
                waiting[one.resource, one.project].append(one)
        with open_snapshots(database_path(self.out)) as database:
            rows, self._last = database.read_now(self._news)
        for row in rows:
            wanted = waiting.get((row.resource, row.gitlab_id), [])
            if wanted and row.area_kind == "project":
                self._match(row, [one for one in wanted if row.created_at >= one.at])

    def _news(self, connection: Connection) -> tuple[list[manifest.SegmentRow], int]:
        named: dict[str, int] = dict(
            connection.exec_driver_sql(
                "SELECT name, id FROM segment WHERE id > ?", (self._last,)
            ).all()
        )
        rows = [row for row in manifest.segments(connection) if row.name in named]
        return rows, max(named.values(), default=self._last)

    def _match(self, row: manifest.SegmentRow, wanted: list[Made]) -> None:
        for record in read_segment(dataset_root(self.out), row):
            body, is_gone, key = bytes(record.body), record.state != "present", str(record.id)
            for one in wanted:
                if (is_gone and key == one.id) if one.is_gone else one.mark in body:
                    self.lags.setdefault(id(one), row.created_at - one.at)


def target_of(up: Served) -> Target:
    account = up.world.accounts[0]
    return Target(up.url, up.url, "", "19.3.0-ee", account.user_id, account.username)


async def follow(
    up: Served,
    weather: Weather,
    leaps: Leaps,
    plan: Plan,
    per_hour: float,
    hours: float,
    quiet_hours: float = 0.25,
) -> Followed:
    """Crawl, let the world change for some hours, and some more without a change at the end."""
    stopping = asyncio.Event()
    requests: list[tuple[int, int]] = []
    finder = Finder(plan.data_dir)
    with leaps.databases():
        async with Embedded(plan, leaps.clock(), stopping).running() as store:  # noqa: SIM117 - needs the store
            async with leaps.leaping(store, lambda: up.server.living.requests):
                while not (await store.read(summary.progress)).finished:
                    await leaps.sleep(1.0)
                began = leaps.now()
                requests.append((int(began * 1000), up.server.living.requests))
                following, ends = began, began + hours * 3600
                while leaps.now() < ends + quiet_hours * 3600:
                    await leaps.until(following)
                    following += 3600 / per_hour
                    if leaps.now() < ends:
                        now = int(leaps.now() * 1000)
                        await asyncio.to_thread(weather.change, now)
                    if leaps.now() * 1000 - requests[-1][0] >= 60_000:
                        await asyncio.to_thread(finder.look, weather.made)
                        requests.append((int(leaps.now() * 1000), up.server.living.requests))
    finder.look(weather.made)
    return Followed([(one, finder.lags.get(id(one))) for one in weather.made], requests)
