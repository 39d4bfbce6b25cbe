"""Files that their owner alone may read, as a token's should be."""

from pathlib import Path


def write_private(path: Path, text: str) -> None:
    """Write a text that nobody else may read."""
    path.touch(mode=0o600)
    path.write_text(text)
