"""Kill -9 at seeded random points: whatever dies, each record is there exactly once at the end.

A failure tells its seed; LABTRAWL_PROVE_SEED=<seed> draws the same kills again.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import count
from pathlib import Path
from random import Random

import pytest

from tests.prove.kills import VICTIMS, Blow, GitLab, blows, crawl, strike
from tests.prove.oracle import verdict

# The supervisor gives up a program that crashes more than five times a minute (RestartPolicy).
SAME_VICTIM = 3


def hit(folder: Path, served: GitLab, planned: Sequence[Blow], seed: str) -> Counter[str]:
    """Run one crawl through its blows, judge it, and return how often each victim was killed."""
    with crawl(folder, served) as one:
        strike(one, planned)
        found = verdict(one)
        assert found.clean, "\n".join([f"seed {seed}", *one.log, str(found)])
        return Counter(one.kills)


def mixed(chance: Random) -> list[str]:
    """All victims in any order, and one of them again."""
    victims = [*VICTIMS, chance.choice(VICTIMS)]
    chance.shuffle(victims)
    return victims


def crawls(
    folder: Path, served: GitLab, seed: int, victims: Iterator[list[str]], wanted: Counter[str]
) -> tuple[int, Counter[str]]:
    """Crawl again and again until each victim was killed as often as wanted."""
    killed: Counter[str] = Counter()
    for number in count():
        if all(killed[victim] >= times for victim, times in wanted.items()):
            return number, killed
        chance = Random(f"{seed}/{number}")
        killed += hit(folder, served, blows(chance, next(victims)), f"{seed}, crawl {number}")
    raise AssertionError


@pytest.mark.prove
@pytest.mark.timeout(240)
def test_crawl_killed_at_random_points_holds_each_record_once(
    tmp_path: Path, slow_gitlab: GitLab, prove_seed: int, capsys: pytest.CaptureFixture[str]
) -> None:
    order = Random(prove_seed)
    killed: Counter[str] = Counter()
    for number in range(3):
        planned = blows(Random(f"{prove_seed}/{number}"), mixed(order))
        killed += hit(tmp_path, slow_gitlab, planned, f"{prove_seed}, crawl {number}")
    _tell(capsys, 3, killed, prove_seed)
    assert set(killed) == set(VICTIMS)


@pytest.mark.prove_full
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("victim", VICTIMS)
def test_crawl_with_victim_killed_a_hundred_times_holds_each_record_once(
    victim: str,
    tmp_path: Path,
    slow_gitlab: GitLab,
    prove_seed: int,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def victims() -> Iterator[list[str]]:
        while True:
            yield [victim] * SAME_VICTIM

    made, killed = crawls(tmp_path, slow_gitlab, prove_seed, victims(), Counter({victim: 100}))
    _tell(capsys, made, killed, prove_seed)


def _tell(capsys: pytest.CaptureFixture[str], made: int, killed: Counter[str], seed: int) -> None:
    """Print the figures; a crawl with a fault has failed the test before."""
    with capsys.disabled():
        parts = ", ".join(f"{times} of the {victim}" for victim, times in sorted(killed.items()))
        print(
            f"\n  seed {seed}: {killed.total()} kills ({parts}) in {made} crawls: "
            "0 lost, 0 twice, 0 torn"
        )
