"""Fair shares of what is too little for all. Pure; only `pot` enters."""

from collections.abc import Sequence


def level_of(shares: Sequence[tuple[int, int]], free: int) -> float:
    """Return the level up to which `free` fills all shares (max-min fairness).

    A share is what one had and what it lacks: it takes no more than that, and nothing before the
    others have come to where it is.
    """
    edges = [(had, 1) for had, _ in shares] + [(had + lack, -1) for had, lack in shares]
    level, rising, left = 0.0, 0, float(free)
    for edge, change in sorted(edges):
        if rising * (edge - level) >= left and rising:
            return level + left / rising
        left -= rising * (edge - level)
        level, rising = float(edge), rising + change
    return level
