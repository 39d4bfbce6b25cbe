"""Where settings came from, for whoever reads them again."""

from pathlib import Path

import pytest

from labtrawl.cli.options import Source


def test_source_becomes_flags_again() -> None:
    flags = {
        "website.port": "0",
        "scope.include": ("a/*", "b"),
        "data_dir": "d",
        "logs.level": None,
    }
    assert Source(Path("x.toml"), flags).arguments() == [
        *("--config", "x.toml", "--port", "0"),
        *("--include", "a/*", "--include", "b", "--data-dir", "d"),
    ]


def test_source_for_another_process_does_not_depend_on_the_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    kept = Source(Path("x.toml"), {"data_dir": "d", "scope.exclude": ("a",)}).dump()
    assert Source.restore(kept) == Source(
        tmp_path / "x.toml", {"data_dir": str(tmp_path / "d"), "scope.exclude": ("a",)}
    )
    assert Source.restore(Source(None, {"data_dir": None}).dump()) == Source(
        None, {"data_dir": None}
    )
