"""The files of the repository: nothing of a build machine, complete locks, a complete package."""

import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from tests.meta.tree import PACKAGE, ROOT, text_files, tracked_files

MACHINE_PATH = re.compile(r"(^|[^A-Za-z0-9_.])/(work|farm|root)/", re.MULTILINE)
# In parts, so that this file does not hold what it forbids.
REGISTRIES = [
    f"{name}.{domain}"
    for name, domain in [
        ("pypi", "org"),
        ("files.pythonhosted", "org"),
        ("registry.npmjs", "org"),
        ("deb.debian", "org"),
        ("security.debian", "org"),
        ("static.crates", "io"),
        ("proxy.golang", "org"),
        ("pkg", "dev"),
    ]
]
PINNED = re.compile(r"^([a-z0-9-]+)==(\S+)", re.MULTILINE)
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())


def locked(kind: str) -> dict[str, str]:
    return dict(PINNED.findall((ROOT / "requirements" / f"{kind}.lock").read_text()))


def test_files_hold_no_path_of_a_build_machine() -> None:
    assert [name for name, text in text_files() if MACHINE_PATH.search(text)] == []


def test_files_name_no_package_registry() -> None:
    assert [
        f"{name}: {host}" for name, text in text_files() for host in REGISTRIES if host in text
    ] == []


def test_locks_hold_no_address() -> None:
    texts = {path.name: path.read_text() for path in (ROOT / "requirements").glob("*.lock")}
    assert [name for name, text in texts.items() if "//" in text or "file:" in text] == []
    assert sorted(texts) == ["dev.lock", "proof.lock", "runtime.lock"]


def test_locks_pin_every_package_with_hashes() -> None:
    for kind in ("runtime", "dev", "proof"):
        blocks = re.split(r"\n(?=\S)", (ROOT / "requirements" / f"{kind}.lock").read_text())
        assert [b for b in blocks if PINNED.match(b) and "--hash=sha256:" not in b] == []
        # The first line says who made the file; a package has a block for each range of Pythons.
        assert len([b for b in blocks if PINNED.match(b)]) == len(blocks) - 1


def test_locks_agree_with_the_project_and_each_other() -> None:
    groups = PROJECT["dependency-groups"]
    development = [entry for entry in groups["dev"] if isinstance(entry, str)]
    asked = {
        "runtime": [*PROJECT["project"]["dependencies"], *groups["build"]],
        "dev": [*PROJECT["project"]["dependencies"], *groups["build"], *development],
    }
    for kind, wanted in asked.items():
        pins = locked(kind)
        assert [
            text
            for text in wanted
            if not (need := Requirement(text)).specifier.contains(pins.get(need.name, "0"))
        ] == []
    assert locked("runtime").items() <= locked("dev").items()


def test_wheel_ships_every_file_of_the_package(tmp_path: Path) -> None:
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True, timeout=60)
    (wheel,) = tmp_path.glob("*.whl")
    shipped = {n for n in zipfile.ZipFile(wheel).namelist() if n.startswith("labtrawl/")}
    ours = {
        path.relative_to(PACKAGE.parent).as_posix()
        for path in tracked_files()
        if path.is_relative_to(PACKAGE)
    }
    assert shipped == ours


def test_scripts_can_be_run() -> None:
    scripts = [*(ROOT / "scripts").glob("*.sh"), ROOT / ".ci" / "run"]
    assert [path.name for path in scripts if not path.stat().st_mode & 0o100] == []


@pytest.mark.seed("S2.87")
def test_types_are_checked_strictly_in_code_and_tests() -> None:
    settings = PROJECT["tool"]["mypy"]
    assert (settings["strict"], settings["files"]) == (True, ["src", "tests"])
