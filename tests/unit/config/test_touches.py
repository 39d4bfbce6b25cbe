"""What the page of settings says a change touches is what a reload does."""

from pathlib import Path
from typing import Literal, get_args, get_origin

import pytest
from msgspec.structs import replace

from labtrawl import config
from labtrawl.cli.programs import is_fixed, programs_of, restarts
from labtrawl.cli.settings_desk import value_of, with_setting
from labtrawl.config import SETTINGS, Account, Instance, Setting, Settings
from labtrawl.supervisor.process import Program
from labtrawl.supervisor.reload import changes

CHANGEABLE = [row for row in SETTINGS if not is_fixed(row.name)]


def changed(settings: Settings, row: Setting) -> Settings:
    kind, value = get_args(row.annotation)[0], value_of(settings, row.name)
    another: object = ("a/*",)
    if get_origin(kind) is Literal:
        another = next(each for each in get_args(kind) if each != value)
    elif isinstance(value, int | float):
        another = value * 0.9 if isinstance(value, float) and 0 < value < 1 else value + 1
    elif isinstance(value, str):
        another = "somebody"
    table, _, last = row.name.rpartition(".")
    if not table:
        return replace(settings, **{last: another})
    return replace(settings, **{table: replace(getattr(settings, table), **{last: another})})


def programs(settings: Settings) -> dict[str, Program]:
    return {each.name: each for each in programs_of(settings)}


@pytest.mark.seed("S2.105")
@pytest.mark.parametrize("row", CHANGEABLE, ids=[row.name for row in CHANGEABLE])
def test_restarts_are_those_of_a_reload(tmp_path: Path, row: Setting) -> None:
    account = Account(instance="main", token="enc:v2:x")
    before = replace(
        config.defaults(tmp_path),
        instances=(Instance(name="main", url="https://gitlab.example.org"),),
        accounts=(account,),
    )
    steps = changes(programs(before), programs(changed(before, row)))
    who = {"website": "website", "crawler-1": "crawlers"}
    assert tuple(who[each.name] for each in steps.restarted) == restarts(row.name)
    assert [each.name for each in steps.added] == (
        ["crawler-2"] if row.name == "crawler.count" else []
    )


def test_where_the_settings_came_from_restarts_nothing(tmp_path: Path) -> None:
    account = Account(instance="main", token="enc:v2:x")
    before = replace(config.defaults(tmp_path), accounts=(account,))
    told = {"crawler.count": "crawler.count on the command line"}
    after = replace(before, file=tmp_path / "labtrawl.toml", overrides=told)
    assert changes(programs(before), programs(after)).restarted == ()


@pytest.mark.parametrize(
    ("text", "made"),
    [
        ("[crawler]\ncount = 1 # c\n", "[crawler]\ncount = 2 # c\n"),
        ("crawler.count = 1 # c\n", "crawler.count = 2 # c\n"),
        ("crawler = { count = 1, jobs = 3 }\n", "crawler = { count = 2, jobs = 3 }\n"),
        ("[crawler]\n# none\njobs = 3\n", "[crawler]\n# none\njobs = 3\ncount = 2\n"),
        ("[[accounts]]\na = 1", "[[accounts]]\na = 1\n[crawler]\ncount = 2\n"),
    ],
)
def test_file_keeps_its_form(text: str, made: str) -> None:
    assert with_setting(text, "crawler.count", 2) == made


def test_setting_above_all_tables_stays_above_them() -> None:
    made = with_setting("# head\n\n[crawler]\njobs = 3\n", "contact", "me")
    assert made == '# head\ncontact = "me"\n\n[crawler]\njobs = 3\n'
