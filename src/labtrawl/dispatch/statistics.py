"""What is counted while messages come and go; shown by `GET /api/admin/statistics`."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

# What peers say is counted by their own words: only so many different ones are kept apart.
MOST_KINDS = 100
LONGEST_KIND = 64
OTHER = "other"


def count(counter: Counter[str], kind: str) -> None:
    """Count one of a kind that a peer named."""
    kind = kind[:LONGEST_KIND]
    counter[kind if kind in counter or len(counter) < MOST_KINDS else OTHER] += 1


@dataclass(slots=True)
class Statistics:
    """Counters since the start of the website."""

    received: Counter[str] = field(default_factory=Counter)
    sent: Counter[str] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)
    # Messages to somebody else, or with a key that nobody here knows.
    ignored: Counter[str] = field(default_factory=Counter)
    duplicates: int = 0
    merged: int = 0
    cooldowns: int = 0
    flooders: int = 0
    connects: Counter[str] = field(default_factory=Counter)
    rejected: Counter[str] = field(default_factory=Counter)
    # Committed, by resource.
    records: Counter[str] = field(default_factory=Counter)

    @property
    def reconnects(self) -> int:
        """How often a client came that had come before."""
        return self.connects.total() - len(self.connects)

    def shown(self) -> dict[str, Any]:
        """Return the groups of figures that need nothing but these counters."""
        return {
            "messages": {
                "received": self.received.total(),
                "sent": self.sent.total(),
                "refused": dict(self.refused),
                "ignored": dict(self.ignored),
                "byKey": dict(self.received),
            },
            "reconnects": {"total": self.reconnects, "byClient": dict(self.connects)},
            "records": dict(self.records),
        }
