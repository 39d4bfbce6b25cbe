"""Changes one [[table]] of a file of settings and leaves every other byte as its owner wrote it."""

import re
from collections.abc import Mapping
from itertools import pairwise

from labtrawl.errors import ConfigError

_HEADER = re.compile(r"^\s*\[")


class Blocks:
    """The text of a TOML file, cut at its table headers."""

    def __init__(self, text: str) -> None:
        self._parts: list[list[str]] = [[]]
        for line in text.splitlines(keepends=True):
            if _HEADER.match(line):
                self._parts.append([])
            self._parts[-1].append(line)

    @property
    def text(self) -> str:
        """The file as it is now."""
        return "".join(line for part in self._parts for line in part)

    def append(self, text: str) -> None:
        """Add text at the end."""
        self._parts.append([text])

    def replace(self, table: str, index: int, block: str) -> None:
        """Put a block, header and keys, in the place of the `index`-th [[table]]."""
        part = self._part(table, index)
        part[: _end_of_keys(part)] = [block]

    def remove(self, table: str, index: int) -> None:
        """Take a block out, header and keys, with the comment that stands right above it."""
        part = self._part(table, index)
        before = next(one for one, other in pairwise(self._parts) if other is part)
        while before and before[-1].lstrip().startswith("#"):
            before.pop()
        del part[: _end_of_keys(part)]

    def extend(self, table: str, index: int, lines: str) -> None:
        """Add keys to the `index`-th [[table]]."""
        part = self._part(table, index)
        part.insert(_end_of_keys(part), lines)

    def _part(self, table: str, index: int) -> list[str]:
        header = re.compile(rf"^\s*\[\[\s*{table}\s*\]\]")
        found = [part for part in self._parts if part and header.match(part[0])]
        if index >= len(found):
            raise ConfigError(f"write the {table} of the file as [[{table}]], then do this again")
        return found[index]


def replace_texts(text: str, replacements: Mapping[str, str]) -> str:
    """Return a file with each text in the place of another; ConfigError where one is not there."""
    for old, new in replacements.items():
        if old not in text:
            raise ConfigError(
                "an encrypted text of the file of settings is written with escapes: write it plainly"
            )
        text = text.replace(old, new)
    return text


def _end_of_keys(part: list[str]) -> int:
    """Where the keys of a block end; comments after them belong to what follows."""
    last = 0
    for number, line in enumerate(part):
        if line.strip() and not line.lstrip().startswith("#"):
            last = number
    return last + 1
