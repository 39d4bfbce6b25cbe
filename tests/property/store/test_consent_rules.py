"""Whatever people answer in whatever order: nothing is read, nor waits to be, that nobody agreed to."""

import contextlib
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from labtrawl.dispatch import planner
from labtrawl.domain.consent import Areas
from labtrawl.protocol.messages import DiscoveredArea, DiscoveredJob
from labtrawl.store import accounts, areas, consents, leases
from labtrawl.store.engine import Connection, open_engine
from labtrawl.store.migrate import migrate
from tests.rig.consenting import TEXT, agree, begin

TREE = ("lab", "lab/deep", "lab/deep/p1", "lab/p2", "labour", "labour/p3")
USERS = (1, 2)
SEEN = {1: TREE, 2: ("lab", "lab/deep", "lab/deep/p1", "labour")}

users = st.sampled_from(USERS)


@dataclass
class Person:
    """What a participant said: the oracle's memory."""

    signed_in: bool = False
    areas: Areas | None = None
    found: set[str] = field(default_factory=set)
    answers: dict[str, bool] = field(default_factory=dict)

    def reads(self, path: str) -> bool:
        """By the nearest answer, else by what the consent says of all."""
        if self.areas is None or path not in self.found:
            return False
        parts = path.split("/")
        for length in range(len(parts), 0, -1):
            said = self.answers.get("/".join(parts[:length]))
            if said is not None:
                return said
        return self.areas is Areas.ALL


def kind_of(path: str) -> str:
    return "project" if path.rpartition("/")[2].startswith("p") else "group"


class Consenting(RuleBasedStateMachine):
    """A study in which people come, answer, change their minds and go, while a crawler works."""

    def __init__(self) -> None:
        super().__init__()
        self.stack = contextlib.ExitStack()
        folder = self.stack.enter_context(tempfile.TemporaryDirectory())
        path = Path(folder) / "labtrawl.sqlite"
        migrate(path)
        engine = open_engine(path, read_only=False)
        self.stack.callback(engine.dispose)
        self.connection: Connection = self.stack.enter_context(engine.connect())
        self.people = {user: Person() for user in USERS}
        self.claims = 0

    def teardown(self) -> None:
        self.stack.close()

    @contextlib.contextmanager
    def written(self) -> Iterator[Connection]:
        yield self.connection
        self.connection.commit()

    @initialize()
    def study(self) -> None:
        """One takes part already, and is read; the other has not come yet."""
        with self.written() as connection:
            begin(connection)
        self.sign_in(1)
        self.agree(1, Areas.ALL)
        self.discover(1)
        self.claim()

    @rule(user=users)
    def sign_in(self, user: int) -> None:
        found = accounts.VerifiedAccount("main", "http://g", "19", user, f"u{user}", (), "t")
        with self.written() as connection:
            planner.plan_account(connection, found)
        self.people[user].signed_in = True

    def account(self, user: int) -> int:
        row = self.connection.exec_driver_sql(
            "SELECT id FROM account WHERE gitlab_user_id = ?", (user,)
        )
        number: int = row.scalar_one()
        return number

    @precondition(lambda self: any(one.signed_in for one in self.people.values()))
    @rule(user=users, scope=st.sampled_from(Areas))
    def agree(self, user: int, scope: Areas) -> None:
        if self.people[user].signed_in:
            with self.written() as connection:
                agree(connection, self.account(user), scope)
            self.people[user].areas = scope

    @rule(user=users)
    def withdraw(self, user: int) -> None:
        if self.people[user].signed_in:
            with self.written() as connection:
                consents.withdraw(connection, self.account(user))
            self.people[user].areas = None

    @rule(user=users, path=st.sampled_from(TREE), said=st.sampled_from([True, False, None]))
    def choose(self, user: int, path: str, said: bool | None) -> None:
        person = self.people[user]
        if path not in person.found:
            return
        number = TREE.index(path) + 1
        with self.written() as connection:
            area_id = areas.find(connection, 1, kind_of(path), number)
            assert area_id is not None
            consents.choose(connection, self.account(user), area_id, said)
        if kind_of(path) == "group":
            person.answers = {
                each: was for each, was in person.answers.items() if not each.startswith(f"{path}/")
            }
        person.answers.pop(path, None)
        if said is not None:
            person.answers[path] = said

    @rule(user=users)
    def discover(self, user: int) -> None:
        """A discovery tells all that the account sees; only what runs can tell."""
        if self.people[user].areas is None:
            return
        with self.written() as connection:
            for path in SEEN[user]:
                number, kind = TREE.index(path) + 1, kind_of(path)
                told = DiscoveredArea(
                    type=kind, gitlab_id=number, full_path=path, name=path, role=30
                )
                planner.record_area(connection, 1, self.account(user), told)
                if kind == "project":
                    job = DiscoveredJob(command="issues", full_path=path, gitlab_id=number)
                    planner.queue_jobs(connection, 1, None, [job])  # type: ignore[arg-type]
        self.people[user].found |= set(SEEN[user])

    @rule()
    def claim(self) -> None:
        self.claims += 1
        with self.written() as connection:
            leases.claim(connection, "crawler", f"c{self.claims}", 3, 60.0)

    @rule()
    def publish(self) -> None:
        with self.written() as connection:
            consents.publish(connection, TEXT, "admin")
        for person in self.people.values():
            person.areas = None

    @invariant()
    def only_what_was_agreed_to_is_read(self) -> None:
        rows = self.connection.exec_driver_sql(
            "SELECT c.gitlab_user_id, a.full_path FROM area_access AS x"
            " JOIN account AS c ON c.id = x.account_id JOIN area AS a ON a.id = x.area_id"
            " WHERE a.kind <> 'user'"
        ).all()
        assert {(row[0], row[1]) for row in rows} == {
            (user, path)
            for user, person in self.people.items()
            for path in TREE
            if person.reads(path)
        }

    @invariant()
    def account_is_used_exactly_with_consent(self) -> None:
        rows = self.connection.exec_driver_sql("SELECT gitlab_user_id, state FROM account").all()
        for user, state in rows:
            assert (state == "active") == (self.people[user].areas is not None)

    @invariant()
    def job_waits_or_runs_only_for_somebody_who_agreed(self) -> None:
        rows = self.connection.exec_driver_sql(
            "SELECT j.state, a.kind, a.gitlab_id, a.full_path, c.gitlab_user_id FROM job AS j"
            " JOIN area AS a ON a.id = j.area_id LEFT JOIN account AS c ON c.id = j.account_id"
            " WHERE j.state IN ('queued', 'running')"
        ).all()
        for state, kind, number, path, by in rows:
            if kind == "user":
                assert self.people[number].areas is not None
            elif state == "running":
                assert self.people[by].reads(path)
            else:
                assert any(person.reads(path) for person in self.people.values())


TestConsenting = Consenting.TestCase
TestConsenting.settings = settings(max_examples=30, stateful_step_count=15, deadline=None)
