"""The table of settings, derived from the structs: names, types, ranges, environment names.

The loader checks against it and the reference page is written from it.
"""

import types
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

import msgspec

from labtrawl.config.connections import Account, Instance
from labtrawl.config.settings import Settings
from labtrawl.domain.credential import Secret


@dataclass(frozen=True, slots=True)
class Setting:
    """One row: what a user can set, and everything that a page or a check needs to know of it."""

    name: str
    expects: str
    default: str
    unit: str
    reason: str
    environment: tuple[str, ...]
    annotation: Any

    @property
    def is_list(self) -> bool:
        """Say whether several values can be given, with commas between them in the environment."""
        return get_origin(get_args(self.annotation)[0]) is tuple


def _rows(struct: type[msgspec.Struct], prefix: str, *, env: bool = True) -> Iterator[Setting]:
    hints = get_type_hints(struct, include_extras=True)
    for field in msgspec.structs.fields(struct):
        annotation = hints[field.name]
        if get_origin(annotation) is Annotated:
            yield _row(f"{prefix}{field.name}", annotation, field.default, env)
        elif isinstance(annotation, type) and issubclass(annotation, msgspec.Struct):
            yield from _rows(annotation, f"{prefix}{field.name}.")


def _row(name: str, annotation: Any, default: object, env: bool) -> Setting:
    kind, meta = get_args(annotation)
    extra: dict[str, str] = meta.extra
    own = "LABTRAWL_" + name.upper().replace(".", "_")
    return Setting(
        name=name,
        expects=_expectation(kind, meta),
        default=extra["default"] or _default_text(default),
        unit=extra["unit"],
        reason=meta.description,
        environment=tuple(each for each in (own, extra["alias"]) if env and each),
        annotation=annotation,
    )


def _default_text(default: object) -> str:
    if default is msgspec.NODEFAULT:
        return "(required)"
    if default in (None, (), ""):
        return "(none)"
    return ", ".join(default) if isinstance(default, tuple) else str(default)


_WORDS: dict[object, str] = {
    int: "a whole number",
    float: "a number",
    str: "a text",
    Path: "a path",
    Secret: "a text",
}


def _expectation(kind: Any, meta: msgspec.Meta) -> str:
    if get_origin(kind) is Literal:
        return "one of " + ", ".join(get_args(kind))
    if get_origin(kind) is tuple:
        return "a list of texts"
    if get_origin(kind) in (Union, types.UnionType):
        return _WORDS[get_args(kind)[0]]
    return _WORDS[kind] + _range(meta)


def _range(meta: msgspec.Meta) -> str:
    if meta.ge is not None and meta.le is not None:
        return f" from {meta.ge} to {meta.le}"
    if meta.gt is not None and meta.le is not None:
        return f" above {meta.gt}, at most {meta.le}"
    if meta.gt is not None:
        return f" above {meta.gt}"
    return "" if meta.ge is None else f" of at least {meta.ge}"


SETTINGS: tuple[Setting, ...] = tuple(_rows(Settings, ""))
"""What file, environment and flags can set, in the order of the structs."""

TABLES: dict[str, tuple[Setting, ...]] = {
    "instances": tuple(_rows(Instance, "", env=False)),
    "accounts": tuple(_rows(Account, "", env=False)),
}
"""What the file can hold several times; neither environment nor flags reach these."""

BY_NAME: dict[str, Setting] = {setting.name: setting for setting in SETTINGS}
BY_VARIABLE: dict[str, Setting] = {
    variable: setting for setting in SETTINGS for variable in setting.environment
}
