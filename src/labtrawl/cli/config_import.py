"""`labtrawl config import`: settings of the ancestors become labtrawl.toml, and each key is told."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click

from labtrawl.cli.ancestor_files import read_keys
from labtrawl.cli.ancestors import INSTANCE, Value, Verdict, judge
from labtrawl.cli.lazy import Commands
from labtrawl.cli.places import PLACE
from labtrawl.cli.settings_file import put_file, quoted
from labtrawl.config import SETTINGS, defaults
from labtrawl.config.layers import FILE_NAME
from labtrawl.errors import ConfigError
from labtrawl.logs import escape, mask

_EXPECTED = {row.name: row.expects for row in SETTINGS}
_KINDS = ("taken", "renamed", "secret", "without meaning", "not usable", "unknown")
_SILENCE_FACTOR = 3  # theirs: a heartbeat every 30 s, silence after 90 s


@click.group("config", cls=Commands)
def config_group() -> None:
    """Bring the settings of an earlier system along."""


@config_group.command("import")
@click.argument("files", nargs=-1, required=True, metavar="FILE...", type=PLACE)
@click.option("--config", type=PLACE, help=f"File to write; ./{FILE_NAME}.")
@click.option("--dry-run", is_flag=True, help="Only say what would be written.")
@click.option("--force", is_flag=True, help="Write the file anew; what it held is lost.")
def import_settings(
    files: tuple[Path, ...], config: Path | None, dry_run: bool, force: bool
) -> None:
    """Read settings of the ancestors (YAML, .env) and write labtrawl.toml.

    \b
    labtrawl config import settings.yaml .env --dry-run
    labtrawl config import settings.yaml .env

    Each key is told: taken, renamed, a secret, without meaning, not usable, or unknown. Secrets are
    neither printed nor copied: the line says where they belong. Of two keys that set the same
    thing the first counts.
    """  # noqa: D301 - click reads \b
    target = (config or Path(FILE_NAME)).absolute()
    if target.exists() and not (dry_run or force):
        raise ConfigError(
            f"{target} is there already: --dry-run only tells, --force writes it anew"
        )
    found = Gathered()
    for file in files:
        click.echo(_safe(str(file)))
        for key, value in read_keys(file).items():
            click.echo(_line(found.take(judge(key, value))))
    click.echo(_sum(found.kinds))
    text = found.text(target.parent)
    if not (found.values or found.urls):
        click.echo("There is nothing to write.")
        return
    if dry_run:
        click.echo(f"\n{text}", nl=False)
        return
    try:
        put_file(target, text, may_replace=force)
    except OSError as error:
        raise ConfigError(f"{target} cannot be written: {error.strerror}") from None
    click.echo(_safe(f"Wrote {target}"))
    click.echo(_next_step(found))


@dataclass(slots=True)
class Gathered:
    """The settings gathered so far."""

    values: dict[str, Value] = field(default_factory=dict)
    urls: list[str] = field(default_factory=list)
    kinds: Counter[str] = field(default_factory=Counter)

    def take(self, verdict: Verdict) -> Verdict:
        """Add the values of a verdict; return it as it turned out."""
        for name, value in verdict.values.items():
            verdict = self._add(verdict, name, value)
        self.kinds[verdict.kind] += 1
        return verdict

    def _add(self, verdict: Verdict, name: str, value: Value) -> Verdict:
        said = f"{name} = {_toml(value)}"
        if name == INSTANCE:
            if value not in self.urls:
                self.urls.append(str(value))
            return Verdict(verdict.key, verdict.kind, {}, said)
        if name in self.values:
            same = self.values[name] == value
            why = "" if same else f"; another key before it says {_toml(self.values[name])}"
            return Verdict(verdict.key, verdict.kind if same else "not usable", {}, said + why)
        try:
            self._check({**self.values, name: value})
        except ConfigError:
            why = f"{said}; here it must be {_EXPECTED[name]} and fit the others"
            return Verdict(verdict.key, "not usable", {}, why)
        self.values[name] = value
        return Verdict(verdict.key, verdict.kind, {}, said)

    def _check(self, values: dict[str, Value]) -> None:
        """Raise ConfigError for a value out of its range, or one that breaks a rule with others."""
        made = {name: tuple(v) if isinstance(v, list) else v for name, v in values.items()}
        defaults(Path(), {"data_dir": Path(), **_with_silence(made)})

    def text(self, folder: Path) -> str:
        """Return the file that is to be written; its paths count from the working folder still."""
        values = _with_silence(self.values)
        lines = ["# The settings of labtrawl, made by `labtrawl config import`."]
        for name in (row.name for row in SETTINGS if row.name in values):
            value = values[name]
            if _EXPECTED[name] == "a path" and folder != Path.cwd():
                value = str(Path(str(value)).absolute())
            lines.append(f"{name} = {_toml(value)}")
        for number, url in enumerate(self.urls, 1):
            name = "main" if number == 1 else f"main-{number}"
            lines += ["", "[[instances]]", f"name = {quoted(name)}", f"url = {quoted(url)}"]
        return "\n".join(lines) + "\n"


def _with_silence(values: Mapping[str, Any]) -> dict[str, Any]:
    """Add the silence that goes with a heartbeat of theirs, where only that is told."""
    seconds = values.get("heartbeat.seconds")
    silence = {} if seconds is None else {"heartbeat.silence_seconds": seconds * _SILENCE_FACTOR}
    return {**silence, **values}


def _toml(value: Value) -> str:
    if isinstance(value, list):
        return f"[{', '.join(map(quoted, value))}]"
    return quoted(value) if isinstance(value, str) else str(value)


def _line(verdict: Verdict) -> str:
    return _safe(f"  {verdict.kind:<15}  {verdict.key:<34}  {verdict.words}".rstrip())


def _sum(kinds: Counter[str]) -> str:
    return ", ".join(f"{kinds[kind]} {kind}" for kind in _KINDS if kinds[kind]) or "no settings"


def _next_step(found: Gathered) -> str:
    where = f" --url {found.urls[0]}" if found.urls else ""
    return f"Go on with: labtrawl init --add{where}"


def _safe(text: str) -> str:
    return escape(mask(text))
