"""Kill -9 at seeded random points: whatever dies, each record is there exactly once at the end.

A failure tells its seed; LABTRAWL_PROVE_SEED=<seed> draws the same kills again.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from random import Random

import pytest

from tests.prove.kills import VICTIMS, Blow, blows, crawl, side_by_side, strike
from tests.prove.lookalike import GitLab
from tests.prove.oracle import verdict

# The supervisor gives up a program that crashes more than five times a minute (RestartPolicy).
SAME_VICTIM = 3
WANTED = 100
MOST_CRAWLS = 9


def hit(folder: Path, served: GitLab, planned: Sequence[Blow], seed: str) -> Counter[str]:
    """Run one crawl through its blows, judge it, and return how often each victim was killed."""
    with crawl(folder, served) as one:
        one.note(f"seed {seed}")
        strike(one, planned)
        found = verdict(one)
        assert found.clean, "\n".join([*one.log, str(found)])
        return Counter(one.kills)


def hit_all(
    folder: Path, served: GitLab, seed: int, crawls: Mapping[int, Sequence[str]]
) -> Counter[str]:
    """Do so with every numbered crawl and its victims; return all kills."""

    def one(numbered: tuple[int, Sequence[str]]) -> Counter[str]:
        number, victims = numbered
        planned = blows(Random(f"{seed}/{number}"), victims)
        return hit(folder, served, planned, f"{seed}, crawl {number}")

    return sum(side_by_side(one, crawls.items()), Counter())


def mixed(chance: Random) -> list[str]:
    """All victims in any order, and one of them again."""
    victims = [*VICTIMS, chance.choice(VICTIMS)]
    chance.shuffle(victims)
    return victims


def tell(capsys: pytest.CaptureFixture[str], made: int, killed: Counter[str], seed: int) -> None:
    """Print the figures; a crawl with a fault has failed the test before."""
    parts = ", ".join(f"{times} of the {victim}" for victim, times in sorted(killed.items()))
    with capsys.disabled():
        print(
            f"\n  seed {seed}: {killed.total()} kills at random points ({parts}) in {made} crawls:"
            " 0 lost, 0 twice, 0 torn"
        )


@pytest.mark.prove
@pytest.mark.timeout(240)
@pytest.mark.seed("S1.27")
def test_crawl_killed_at_random_points_holds_each_record_once(
    tmp_path: Path, slow_gitlab: GitLab, prove_seed: int, capsys: pytest.CaptureFixture[str]
) -> None:
    chance = Random(prove_seed)
    victims = {number: mixed(chance) for number in range(3)}
    killed = hit_all(tmp_path, slow_gitlab, prove_seed, victims)
    made = len(victims)
    # A crawl that ended before its next blow spared a victim; that one is first in another crawl.
    while (spared := set(VICTIMS) - set(killed)) and made < MOST_CRAWLS:
        killed += hit_all(tmp_path, slow_gitlab, prove_seed, {made: sorted(spared)})
        made += 1
    tell(capsys, made, killed, prove_seed)
    assert set(killed) == set(VICTIMS)


@pytest.mark.prove_full
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("victim", VICTIMS)
def test_crawl_with_a_victim_killed_a_hundred_times_holds_each_record_once(
    victim: str,
    tmp_path: Path,
    slow_gitlab: GitLab,
    prove_seed: int,
    capsys: pytest.CaptureFixture[str],
) -> None:
    made, killed = 0, Counter[str]()
    while killed[victim] < WANTED:
        more = -(-(WANTED - killed[victim]) // SAME_VICTIM)
        victims = {made + number: [victim] * SAME_VICTIM for number in range(more)}
        killed += hit_all(tmp_path, slow_gitlab, prove_seed, victims)
        made += more
    tell(capsys, made, killed, prove_seed)
