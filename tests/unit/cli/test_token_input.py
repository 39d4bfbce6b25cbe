"""A token's file: who else may read it is told, whatever else is said."""

from pathlib import Path

import pytest

from labtrawl.cli.token_input import read_token
from labtrawl.errors import ConfigError


@pytest.mark.parametrize(
    ("mode", "is_told"),
    [
        *((mode, False) for mode in (0o600, 0o400, 0o700, 0o622)),
        *((mode, True) for mode in (0o644, 0o640, 0o604)),
    ],
)
def test_token_is_taken_and_whoever_else_can_read_it_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], mode: int, is_told: bool
) -> None:
    file = tmp_path / "my token"
    file.write_text("glpat-1\n")
    file.chmod(mode)
    assert read_token(file, is_terminal=False).reveal() == "glpat-1"
    said = f"labtrawl: others on this machine can read the token: chmod 600 '{file}'\n"
    assert capsys.readouterr() == ("", said if is_told else "")


def test_file_without_a_token_is_refused_in_one_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "token"
    file.write_text("\n")
    file.chmod(0o644)
    with pytest.raises(ConfigError, match="is empty"):
        read_token(file, is_terminal=False)
    assert capsys.readouterr() == ("", "")
