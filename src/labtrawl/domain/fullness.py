"""When a disk will be full, by how what is free went down."""

from collections.abc import Sequence

# So much has to be seen before anything is foretold.
LEAST_MS = 20 * 60_000
LEAST_POINTS = 10
# What goes up and down by less is no filling.
LEAST_BYTES = 8 << 20
# How much of the change has to be a steady one (the coefficient of determination).
STEADY = 0.5
# Beyond this nobody plans, and no pace stays what it is.
FURTHEST_MS = 365 * 86_400_000


def full_at(free: Sequence[tuple[int, int]]) -> int | None:
    """Return when nothing will be free any more, in ms, from (instant in ms, free bytes) in order.

    A straight line through all points (least squares). None where it does not fall, or not steadily,
    where too little was seen, or where it is more than a year until then.
    """
    if len(free) < LEAST_POINTS or free[-1][0] - free[0][0] < LEAST_MS:
        return None
    middle_at = sum(at for at, _ in free) / len(free)
    middle = sum(size for _, size in free) / len(free)
    spread = sum((at - middle_at) ** 2 for at, _ in free)
    slope = sum((at - middle_at) * (size - middle) for at, size in free) / spread
    variation = sum((size - middle) ** 2 for _, size in free)
    fallen = -slope * (free[-1][0] - free[0][0])
    if fallen < LEAST_BYTES or slope**2 * spread < STEADY * variation:
        return None
    now, left = free[-1]
    until_ms = left / -slope
    return None if until_ms > FURTHEST_MS else now + round(until_ms)
