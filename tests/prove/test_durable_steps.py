"""Kill -9 at the durable steps of a crawl: each call that makes something last, or says so.

strace kills right before the call. Where it cannot look into our programs, their children run
through `stepping`, which has a hook at each durable step; the output says which way it went.
A failure tells its seed and its points; LABTRAWL_PROVE_SEED=<seed> draws the same again.
"""

import contextlib
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from random import Random

import pytest

from tests.prove import stepping, strace
from tests.prove.kills import Crawl, crawl, side_by_side
from tests.prove.lookalike import GitLab
from tests.prove.oracle import verdict

# One job at a time and segments by size alone: every crawl makes the same calls.
PACE = {"jobs": 1, "segment_bytes": 4096, "segment_seconds": 30.0}
# Single writes of a segment or of the write-ahead log: a frame or page of many; only what follows
# them makes them last, so these are sampled.
STRIDE = {"write": 10, "pwrite64": 40}
# The website syncs so often, at most, while it makes its tables.
TABLES = 15
# The calls at the end of a crawl come a few earlier or later: a sample leaves them out.
SURE = 0.8


@dataclass(frozen=True, slots=True, order=True)
class Step:
    """Right before the `number`-th `call` of a thread of `program`, counted from `since` on."""

    program: str
    since: str
    call: str
    number: int

    def __str__(self) -> str:
        return f"{self.program}, {self.call} {self.number} since its {self.since}"


# What strikes: plays a crawl to its end with these steps, and returns those that it struck.
Player = Callable[[Crawl, Sequence[Step]], list[Step]]


# ---------------------------------------------------------------- with strace


def traced_steps(folder: Path, served: GitLab) -> dict[str, list[Step]]:
    """Count the durable calls of an undisturbed crawl.

    It is the second one: the first after an installation writes the programs' bytecode, too,
    hundreds of files that no later crawl writes.
    """
    with crawl(folder, served, **PACE) as one:
        play_traced(one, ())
    with crawl(folder, served, **PACE) as one, contextlib.ExitStack() as tracers:
        logs = {}
        one.start()
        for name in ("website", "crawler"):
            log, pid = one.folder / f"{name}.trace", one.wait_for(name)
            tracers.enter_context(strace.attached(pid, log))
            logs[name] = (log, pid)
        one.wait_until_finished()
        return {name: _steps(name, strace.numbers(*log)) for name, log in logs.items()}


def _steps(program: str, numbers: dict[str, list[int]]) -> list[Step]:
    return [
        Step(program, since, call, number)
        for call, found in sorted(numbers.items())
        for number in found[:: STRIDE.get(call, 1)]
        for since in _since(program, call, number)
    ]


def _since(program: str, call: str, number: int) -> list[str]:
    """Both threads of the website sync: the one that starts it, a few times; then the writer."""
    if (program, call) == ("website", "fsync") and number <= TABLES:
        return ["start", "work"]
    return ["start"]


def play_traced(one: Crawl, steps: Sequence[Step]) -> list[Step]:
    """Attach to each program as early as its step asks for; restarted ones are left alone."""
    one.start()
    with contextlib.ExitStack() as tracers:
        order = sorted(steps, key=lambda step: (step.since == "work", step.program < "w"))
        armed = [(step, tracers.enter_context(_armed(one, step))) for step in order]
        one.wait_until_finished()
        return [step for step, tracer in armed if tracer.has_struck()]


def _armed(one: Crawl, step: Step) -> contextlib.AbstractContextManager[strace.Tracer]:
    """The website is at work once it lets a crawler start."""
    if step.since == "work":
        one.wait_for("crawler")
    is_report = step.call == "report"
    call = "write" if is_report else step.call
    log = one.folder / f"{step.program}.trace"
    pid = one.wait_for(step.program)
    return strace.attached(pid, log, call, step.number, main_only=is_report)


# ---------------------------------------------------------------- with hooks


def hooked_steps(folder: Path, served: GitLab) -> dict[str, list[Step]]:
    """Count the durable steps of an undisturbed crawl."""
    with crawl(folder, served, **PACE) as one:
        play_hooked(one, ())
        return {
            name: [
                Step(name, "start", "step", number + 1)
                for number in range(stepping.counted(one.folder, name))
            ]
            for name in ("crawler", "website")
        }


def play_hooked(one: Crawl, steps: Sequence[Step]) -> list[Step]:
    """Start the programs with the hooks, through the tests' own supervisor."""
    wanted = {step.program: step.number for step in steps}
    numbers = [str(wanted.get(name, 0)) for name in ("crawler", "website")]
    script = (str(Path(stepping.__file__).resolve()), "supervisor", str(one.folder), *numbers)
    one.command = (*one.command[:2], *script)
    one.start()
    one.wait_until_finished()
    return [step for step in steps if stepping.was_killed(one.folder, step.program)]


# ---------------------------------------------------------------- the proof


@pytest.fixture(scope="module")
def way(tmp_path_factory: pytest.TempPathFactory, quick_gitlab: GitLab) -> "Way":
    reason = strace.why_not()
    folder = tmp_path_factory.mktemp("count")
    if reason:
        return Way(f"hooks ({reason})", play_hooked, hooked_steps(folder, quick_gitlab))
    return Way("strace", play_traced, traced_steps(folder, quick_gitlab))


@dataclass(frozen=True, slots=True)
class Way:
    """How programs are killed at a step, and all the steps that there are."""

    name: str
    play: Player
    steps: dict[str, list[Step]]


def prove(
    folder: Path, served: GitLab, way: Way, seed: int, plays: Sequence[Sequence[Step]]
) -> Counter[str]:
    """Play a crawl for each group of steps and judge each; return what was struck."""

    def play(steps: Sequence[Step]) -> list[str]:
        with crawl(folder, served, **PACE) as one:
            one.note(f"seed {seed}, by {way.name}: {'; '.join(map(str, steps))}")
            struck = way.play(one, steps)
            found = verdict(one)
            assert found.clean, "\n".join([*one.log, str(found)])
            return [step.program for step in struck]

    return Counter(program for struck in side_by_side(play, plays) for program in struck)


def pairs(way: Way, chance: Random, share: float, most: int | None) -> list[list[Step]]:
    """Put a step of the crawler and one of the website into each crawl, in any order."""
    drawn = [
        chance.sample(likely, min(most or len(likely), len(likely)))
        for steps in way.steps.values()
        for likely in [[step for step in steps if step.number <= share * _last(steps, step)]]
    ]
    return [[step for step in pair if step] for pair in zip_longest(*drawn)]


def _last(steps: Sequence[Step], like: Step) -> int:
    same = [s.number for s in steps if (s.since, s.call) == (like.since, like.call)]
    return max(same)


def tell(capsys: pytest.CaptureFixture[str], way: Way, struck: Counter[str], made: int) -> None:
    with capsys.disabled():
        parts = ", ".join(f"{struck[name]} of the {name}" for name in sorted(struck))
        print(
            f"\n  by {way.name}: {struck.total()} kills at durable steps ({parts}) in {made} "
            "crawls: 0 lost, 0 twice, 0 torn"
        )


@pytest.mark.prove
@pytest.mark.timeout(240)
def test_crawl_killed_at_sampled_durable_steps_holds_each_record_once(
    tmp_path: Path,
    quick_gitlab: GitLab,
    way: Way,
    prove_seed: int,
    capsys: pytest.CaptureFixture[str],
) -> None:
    plays = pairs(way, Random(prove_seed), SURE, 6)
    struck = prove(tmp_path, quick_gitlab, way, prove_seed, plays)
    tell(capsys, way, struck, len(plays))
    assert min(struck["crawler"], struck["website"]) >= 3


@pytest.mark.prove_full
@pytest.mark.timeout(6 * 3600)
def test_crawl_killed_at_every_durable_step_holds_each_record_once(
    tmp_path: Path,
    quick_gitlab: GitLab,
    way: Way,
    prove_seed: int,
    capsys: pytest.CaptureFixture[str],
) -> None:
    plays = pairs(way, Random(prove_seed), 1.0, None)
    struck = prove(tmp_path, quick_gitlab, way, prove_seed, plays)
    tell(capsys, way, struck, len(plays))
    steps = sum(map(len, way.steps.values()))
    assert struck.total() >= SURE * steps
