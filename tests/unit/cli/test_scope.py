"""What may be added to the scope: paths of groups and projects, and no other patterns."""

import pytest
from click.testing import CliRunner

from labtrawl.cli.main import labtrawl
from labtrawl.cli.scope import included
from labtrawl.errors import ConfigError


def test_group_with_all_below_it_is_the_group() -> None:
    assert included(("open-source/*", "lab/one", "a/b/*")) == ("open-source", "lab/one", "a/b")


@pytest.mark.parametrize("path", ["open-*", "*", "lab/*/x", "lab/?", "lab/[ab]"])
def test_pattern_that_no_request_can_find_is_refused(path: str) -> None:
    with pytest.raises(ConfigError) as refused:
        included((path,))
    assert str(refused.value) == (
        f"scope.include: {path!r} is a pattern, and GitLab finds a group or project by its path"
        " only; name a group, and all below it is taken (exclude takes patterns)"
    )


@pytest.mark.parametrize(
    ("words", "name"),
    [
        (("crawl", "http://127.0.0.1:9", "--include", "open-*"), "--include"),
        (("start", "--include", "open-*"), "scope.include"),
        (("start", "crawler", "--include", "open-*"), "scope.include"),
    ],
)
def test_each_command_refuses_it_at_once(words: tuple[str, ...], name: str) -> None:
    done = CliRunner().invoke(labtrawl, words, standalone_mode=False)
    assert isinstance(done.exception, ConfigError)
    assert str(done.exception).startswith(f"{name}: 'open-*' is a pattern, and GitLab finds")
