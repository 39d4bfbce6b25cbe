"""What the flags of `labtrawl crawl` mean, and which cannot be meant."""

import click
import pytest

from labtrawl.cli.crawl_place import Bounds, Place, parse_url
from labtrawl.cli.crawl_wish import chosen, read_day
from labtrawl.cli.main import labtrawl
from labtrawl.errors import ConfigError

SINCE = click.Option(["--since"])
CONTEXT = click.Context(labtrawl)


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("gitlab.example.org", ("https://gitlab.example.org",)),
        ("HTTPS://GitLab.Example.ORG:443/Lab/", ("https://gitlab.example.org", "Lab")),
        ("http://[::1]:3000/a/b/-/tree/x", ("http://[::1]:3000", "a", "b")),
        ("https://h.example/a/b.git", ("https://h.example", "a", "b")),
        ("https://h.example/a%2Db", ("https://h.example", "a-b")),
    ],
)
def test_url_is_taken_apart(text: str, place: tuple[str, ...]) -> None:
    assert parse_url(text) == Place(place[0], place[1:])


@pytest.mark.parametrize(
    "text",
    ["", "ftp://h.example/a", "https://", "git@h.example:a/b.git", "https://me:pw@h.example/a"],
)
def test_url_that_is_none_is_refused_without_its_password(text: str) -> None:
    with pytest.raises(ConfigError, match="is no address of a GitLab, a group or a project"):
        parse_url(text)


def test_path_that_climbs_is_refused() -> None:
    for path in ("a/../b", "a%2F..%2Fb", "a/b%0A"):
        with pytest.raises(ConfigError, match="a path that no group or project has"):
            parse_url(f"https://h.example/{path}")


def test_resource_that_is_unknown_is_told_with_the_nearest() -> None:
    names = ["issues", "labels", "issue_discussions", "merge_request_discussions"]
    assert chosen("issues, *_discussions,!labels", names) == ("issues", "*_discussions", "!labels")
    assert chosen("", names) == ()
    for wrong in ("isues", "!isues", "isues,labels"):
        with pytest.raises(ConfigError, match=r"no 'isues'; the nearest is 'issues'"):
            chosen(wrong, names)


@pytest.mark.parametrize(
    ("text", "instant"),
    [
        ("2026-06-01", "2026-06-01T00:00:00+00:00"),
        (" 2026-06-01 12:30 ", "2026-06-01T12:30:00+00:00"),
        ("2026-06-01T12:30:00+02:00", "2026-06-01T10:30:00+00:00"),
        ("2026-06-01T12:30:00Z", "2026-06-01T12:30:00+00:00"),
    ],
)
def test_day_is_an_instant_in_utc(text: str, instant: str) -> None:
    found = read_day(CONTEXT, SINCE, text)
    assert found is not None
    assert found.isoformat() == instant


@pytest.mark.parametrize("text", ["yesterday", "2026-13-01", "", "0001-01-01T00:00:00+14:00"])
def test_day_that_is_none_is_told_with_one_that_would_do(text: str) -> None:
    with pytest.raises(click.BadParameter) as refused:
        read_day(CONTEXT, SINCE, text)
    assert refused.value.message == f"{text!r} is no day; give one like 2026-06-01"


def test_bounds_are_told_as_the_flags_that_give_them() -> None:
    bounds = Bounds(("lab/a",), ("lab/old-*",), "2026-06-01T00:00:00+00:00")
    assert bounds.flags() == "--include lab/a --exclude lab/old-* --since 2026-06-01"
    assert Bounds(since="2026-06-01T10:30:00+00:00").flags() == "--since 2026-06-01T10:30:00+00:00"
