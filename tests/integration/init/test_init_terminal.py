"""`labtrawl init` on a terminal: it asks, hides the token, and takes no for an answer."""

from pathlib import Path

import pytest

from labtrawl.config import load
from tests.integration.http.wire import listening
from tests.integration.init.gitlab import TOKEN, FakeGitLab
from tests.integration.init.program import Terminal, files, tokens
from tests.rig.private import write_private


async def test_init_on_a_terminal_asks_hides_the_token_and_asks_for_a_private_address(
    tmp_path: Path,
) -> None:
    async with listening(FakeGitLab()) as wire, Terminal(tmp_path) as terminal:
        await terminal.sees("Address of your GitLab: ")
        await terminal.types(wire.base())
        await terminal.sees("Access token with the scope read_api (stays hidden): ")
        await terminal.types(TOKEN)
        await terminal.sees("shall labtrawl send the token there? [y/N]: ")
        assert wire.connections == 0
        await terminal.types("y")
        await terminal.sees("or nothing: ")
        await terminal.types("To learn how we review.")
        await terminal.sees("[Y/n]: ")
        assert "12 groups, 60 projects" in terminal.shown
        await terminal.types("")
        assert await terminal.ends() == 0
    assert TOKEN not in terminal.shown
    assert tokens(tmp_path) == [("main", TOKEN)]
    settings = load(tmp_path / "labtrawl.toml", {}, {})
    assert settings.instances[0].address_allow == ("127.0.0.1",)
    assert (settings.mode, settings.basis) == ("team", "To learn how we review.")


@pytest.mark.parametrize("refused_at", ["address", "write"])
async def test_init_on_a_terminal_that_is_answered_no_writes_nothing(
    tmp_path: Path, refused_at: str
) -> None:
    async with listening(FakeGitLab()) as wire:
        write_private(tmp_path / "token", TOKEN)
        flags = ("--url", wire.base(), "--token-file", "token")
        async with Terminal(tmp_path, *flags) as terminal:
            await terminal.sees("[y/N]: ")
            await terminal.types("n" if refused_at == "address" else "y")
            if refused_at == "write":
                await terminal.sees("or nothing: ")
                await terminal.types("")
                await terminal.sees("[Y/n]: ")
                await terminal.types("n")
            assert await terminal.ends() != 0
    assert "Traceback" not in terminal.shown
    assert files(tmp_path) == {"token"}
