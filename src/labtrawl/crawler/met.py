"""What a whole reading met before it was given back, small enough for a cursor. Pure.

A bit for each object that the dataset holds of the list, in the order of their ids. Lists that were
read in order give long runs of equal bits, which are packed.
"""

import base64
import hashlib
import zlib
from collections.abc import Collection, Set
from dataclasses import dataclass, field
from typing import Final

from labtrawl.crawler.cursor import Met

# With it a report stays below 64 KiB; a list of more objects is read anew.
MOST_LETTERS: Final = 40_000

Ids = Set[int | str]


def packed(known: Ids, met: Ids, suspects: Ids | None, by: str) -> Met | None:
    """Return what account `by` met and missed of the known objects; None where it is too much."""
    order = _ordered(known)
    missed = None if suspects is None else _pack(order, suspects)
    told = Met(_mark(order), by, _pack(order, met), missed)
    return told if len(told.met) + len(missed or "") <= MOST_LETTERS else None


@dataclass(frozen=True, slots=True)
class Recalled:
    """What a reading met, and what its visit missed before; None before a reading came to its end."""

    met: set[int | str] = field(default_factory=set)
    suspects: set[int | str] | None = None


def unpacked(told: Met, known: Ids) -> Recalled | None:
    """Return what was met and missed; None where other objects are known by now."""
    order = _ordered(known)
    if told.known != _mark(order):
        return None
    missed = None if told.suspects is None else _unpack(order, told.suspects)
    return Recalled(_unpack(order, told.met), missed)


def _ordered(ids: Collection[int | str]) -> list[int | str]:
    numbers = sorted(each for each in ids if isinstance(each, int))
    return [*numbers, *sorted(each for each in ids if isinstance(each, str))]


def _mark(order: list[int | str]) -> str:
    spoken = "\0".join(f"{type(each).__name__} {each}" for each in order)
    return hashlib.blake2b(spoken.encode(), digest_size=16).hexdigest()


def _pack(order: list[int | str], chosen: Ids) -> str:
    bits = bytearray(-(-len(order) // 8))
    for at, each in enumerate(order):
        if each in chosen:
            bits[at // 8] |= 1 << at % 8
    return base64.b64encode(zlib.compress(bytes(bits))).decode()


def _unpack(order: list[int | str], text: str) -> set[int | str]:
    bits = zlib.decompress(base64.b64decode(text))
    return {each for at, each in enumerate(order) if bits[at // 8] >> at % 8 & 1}
