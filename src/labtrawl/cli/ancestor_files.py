"""Reads the settings files of the ancestors, YAML or environment, into keys with dots.

The files come from elsewhere: size, depth, number of nodes and aliases are bounded before anything
is built of them (an alias of aliases grows without end).
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from labtrawl.errors import ConfigError

LARGEST_BYTES = 256 * 1024
MOST_NODES = 2000
MOST_ALIASES = 10
DEEPEST = 20

_LINE = re.compile(r"\s*(?:export\s+)?([A-Za-z_][\w.]*)\s*=\s*(.*?)\s*")
_QUOTED = re.compile(r"(['\"])(.*?)\1\s*(?:#.*)?")


class _TooMuch(yaml.YAMLError):  # type: ignore[misc]
    """More than a file of settings holds."""


class _BoundedLoader(yaml.SafeLoader):  # type: ignore[misc]
    """Refuses what would grow, while the file is read and before values are made of it."""

    _nodes = _aliases = _depth = 0

    def compose_node(self, parent: Any, index: Any) -> Any:
        self._nodes += 1
        self._depth += 1
        self._aliases += self.check_event(yaml.AliasEvent)
        if self._nodes > MOST_NODES or self._aliases > MOST_ALIASES or self._depth > DEEPEST:
            raise _TooMuch("it is too large, too deep or has too many aliases for settings")
        node = super().compose_node(parent, index)
        self._depth -= 1
        return node


def read_keys(path: Path) -> dict[str, object]:
    """Return each key with its value, in the order of the file; ConfigError in one sentence."""
    text = _read(path)
    if _is_environment(path, text):
        return dict(_variables(path, text))
    try:
        document = yaml.load(text, Loader=_BoundedLoader)  # noqa: S506 - a SafeLoader
    except yaml.YAMLError as error:
        raise ConfigError(f"{path} is no YAML that can be read: {_said(error)}") from None
    except (ValueError, RecursionError, TypeError, OverflowError):
        raise ConfigError(f"{path} is no YAML that can be read: a value of no known form") from None
    if not isinstance(document, dict):
        raise ConfigError(f"{path} holds no settings: neither YAML keys nor NAME=value lines")
    return dict(_leaves(document, ""))


def _read(path: Path) -> str:
    try:
        with path.open("rb") as file:
            content = file.read(LARGEST_BYTES + 1)
        if len(content) > LARGEST_BYTES:
            raise ConfigError(f"{path} is over {LARGEST_BYTES // 1024} KiB: no file of settings")
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise ConfigError(f"{path} is no text in UTF-8") from None
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}") from None


def _is_environment(path: Path, text: str) -> bool:
    """By its name, else by its first line that says something."""
    if path.suffix in {".yaml", ".yml", ".json"}:
        return False
    if path.name.startswith(".env") or path.suffix == ".env":
        return True
    told = (
        line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")
    )
    return _LINE.fullmatch(next(told, "")) is not None


def _variables(path: Path, text: str) -> Iterator[tuple[str, object]]:
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        found = _LINE.fullmatch(line)
        if found is None:
            raise ConfigError(f"line {number} of {path} is not of the form NAME=value")
        yield found[1], _value(found[2])


def _value(text: str) -> str:
    quoted = _QUOTED.fullmatch(text)
    return quoted[2] if quoted else re.sub(r"(^|\s+)#.*", "", text)


def _leaves(document: dict[Any, Any], prefix: str) -> Iterator[tuple[str, object]]:
    for key, value in document.items():
        if isinstance(value, dict) and value:
            yield from _leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _said(error: yaml.YAMLError) -> str:
    """The problem and its line, never the text around it: it may hold a secret."""
    if not isinstance(error, yaml.MarkedYAMLError):
        return str(error) if isinstance(error, _TooMuch) else "it holds letters that YAML does not"
    where = f" in line {error.problem_mark.line + 1}" if error.problem_mark else ""
    return f"it is malformed{where}"
