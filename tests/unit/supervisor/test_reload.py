"""What changed settings do to the set of programs."""

from pathlib import Path

import msgspec

from labtrawl import config
from labtrawl.cli.programs import crawler_program, named_program, programs_of
from labtrawl.config import Account, Crawler, Instance, Scope, Settings, Website
from labtrawl.supervisor.process import Program
from labtrawl.supervisor.reload import changes


def program(name: str, matters: bytes = b"", settings: bytes = b"") -> Program:
    return Program(name=name, argv=("x",), config=settings, matters=matters)


def by_name(*programs: Program) -> dict[str, Program]:
    return {each.name: each for each in programs}


def settings(**changed: object) -> Settings:
    made = config.defaults(Path("/nowhere"))
    given = {
        "instances": (Instance(name="a", url="https://a.example"),),
        "accounts": (Account(instance="a", token="enc:v1:x"),),
        **changed,
    }
    return config.restore(config.dump(msgspec.structs.replace(made, **given)))


def touched(old: Settings, new: Settings) -> list[str]:
    return changes(by_name(*programs_of(old)), by_name(*programs_of(new))).in_words()


def test_programs_are_removed_added_restarted_or_renewed() -> None:
    current = by_name(program("a"), program("b"), program("c", b"1"), program("d"), program("e"))
    changed, renewed = program("c", b"2"), program("d", settings=b"other")
    found = changes(current, by_name(program("b"), changed, renewed, program("f"), program("e")))
    assert (found.removed, found.added) == (("a",), (program("f"),))
    assert (found.restarted, found.renewed) == ((changed,), (renewed,))
    assert found.in_words() == ["a removed", "f added", "c restarted"]


def test_same_settings_touch_nothing() -> None:
    assert touched(settings(), settings()) == []


def test_count_of_crawlers_touches_no_other() -> None:
    assert touched(settings(), settings(crawler=Crawler(count=2))) == ["crawler-2 added"]


def test_what_only_one_side_reads_restarts_only_that_side() -> None:
    accounts = (Account(instance="a", token="enc:v1:y"),)
    assert touched(settings(), settings(accounts=accounts)) == ["website restarted"]
    assert touched(settings(), settings(scope=Scope(include=("a/*",)))) == ["crawler-1 restarted"]
    assert touched(settings(), settings(website=Website(port=1))) == ["website restarted"]
    assert touched(settings(), settings(contact="me")) == [
        "website restarted",
        "crawler-1 restarted",
    ]


def test_crawler_is_given_no_account_and_is_found_by_its_name() -> None:
    made = settings()
    assert config.restore(crawler_program(made, 3).config).accounts == ()
    assert named_program("crawler-3", made) == crawler_program(made, 3)
    assert named_program("website", made).name == "website"
