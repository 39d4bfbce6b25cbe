"""A fresh machine that lacks something gets one sentence and exit code 2; stand-ins play it."""

import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

TOOLS = ("awk", "cat", "cksum", "dirname", "env", "grep", "rm", "sh", "tail", "tee")


@dataclass(frozen=True, slots=True)
class Machine:
    """A checkout in a folder with a space, and the only programs that PATH offers there."""

    checkout: Path
    programs: Path

    def offer(self, name: str, script: str) -> None:
        """Put a stand-in program on PATH."""
        program = self.programs / name
        program.write_text(f"#!/bin/sh\n{script}\n")
        program.chmod(0o755)

    def bootstrap(self, **environment: str) -> tuple[int, str]:
        """(exit code, what it said on standard error)."""
        done = subprocess.run(
            ["scripts/bootstrap.sh", "runtime"],
            cwd=self.checkout,
            env={"PATH": str(self.programs), **environment},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        return done.returncode, done.stderr


@pytest.fixture
def machine(tmp_path: Path, repository: Path) -> Machine:
    fresh = Machine(tmp_path / "a fresh clone", tmp_path / "programs")
    shutil.copytree(repository / "scripts", fresh.checkout / "scripts")
    shutil.copytree(repository / "requirements", fresh.checkout / "requirements")
    (fresh.checkout / "src" / "labtrawl").mkdir(parents=True)
    for name in ("pyproject.toml", "src/labtrawl/__init__.py"):
        shutil.copy(repository / name, fresh.checkout / name)
    fresh.programs.mkdir()
    for tool in TOOLS:
        (fresh.programs / tool).symlink_to(str(shutil.which(tool)))
    fresh.offer("uname", "echo Linux")
    fresh.offer("id", "echo 1000")
    fresh.offer("python3", f'exec "{sys.executable}" "$@"')
    return fresh


def without_ensurepip() -> str:
    return f'case "$*" in *"import ensurepip"*) exit 1;; esac\nexec "{sys.executable}" "$@"'


def version() -> str:
    return f"{sys.version_info.major}.{sys.version_info.minor}"


def test_bootstrap_on_another_system_says_so(machine: Machine) -> None:
    machine.offer("uname", "echo Darwin")
    assert machine.bootstrap() == (2, "labtrawl: labtrawl runs on Linux; this is Darwin.\n")


def test_bootstrap_with_an_old_python_asks_for_a_newer_one(machine: Machine) -> None:
    machine.offer("python3", "exit 1")
    assert machine.bootstrap() == (
        2,
        "labtrawl: Python 3.11 or newer is needed and none was found; install one, "
        "or name it: make install PYTHON=/path/to/python3\n",
    )


def test_bootstrap_with_an_old_python_named_refuses_it(machine: Machine) -> None:
    machine.offer("old-python", "exit 1")
    assert machine.bootstrap(PYTHON="old-python") == (
        2,
        "labtrawl: PYTHON=old-python is no Python 3.11 or newer; name another one.\n",
    )


def test_bootstrap_without_ensurepip_names_the_command(machine: Machine) -> None:
    machine.offer("python3", without_ensurepip())
    machine.offer("apt-get", "exit 100")
    assert machine.bootstrap() == (
        2,
        "labtrawl: python3 lacks the module ensurepip; run this, then the command again: "
        f"sudo apt-get install python{version()}-venv\n",
    )
    assert not (machine.checkout / ".venv").exists()


def test_bootstrap_without_ensurepip_as_root_installs_it(machine: Machine, tmp_path: Path) -> None:
    machine.offer("python3", without_ensurepip())
    machine.offer("id", "echo 0")
    machine.offer("mktemp", f'echo "{tmp_path}/words"')
    machine.offer("apt-get", f'echo "$*" >> "{tmp_path}/asked"')
    code, said = machine.bootstrap()
    assert (tmp_path / "asked").read_text().splitlines() == [
        "update -qq",
        f"install -y -qq --no-install-recommends -o DPkg::Lock::Timeout=300 python{version()}-venv",
    ]
    assert code == 2  # the stand-in installs nothing
    assert "still lacks ensurepip" in said


def test_bootstrap_without_ensurepip_and_apt_says_what_lacks(machine: Machine) -> None:
    machine.offer("python3", without_ensurepip())
    assert machine.bootstrap() == (
        2,
        "labtrawl: python3 lacks the modules venv and ensurepip; install them with your "
        "system's package manager, then run the command again.\n",
    )


def play_venv(machine: Machine, python: str) -> None:
    """A .venv that was made here and whose Python is the given script."""
    programs = machine.checkout / ".venv" / "bin"
    programs.mkdir(parents=True)
    (programs / "activate").write_text(f"VIRTUAL_ENV='{programs.parent}'\n")
    (programs / "python").write_text(f"#!/bin/sh\n{python}\n")
    (programs / "python").chmod(0o755)


@pytest.mark.parametrize(
    ("pip_says", "sentence"),
    [
        ("NewConnectionError: Connection refused", "pip could not fetch the dependencies"),
        ("OSError: No space left on device", "the disk is full"),
        ("ERROR: something else", "pip could not install the dependencies: ERROR: something"),
    ],
)
def test_bootstrap_with_a_failing_pip_says_one_sentence(
    machine: Machine, pip_says: str, sentence: str
) -> None:
    play_venv(machine, f'case "$*" in *"pip install"*) echo "{pip_says}"; exit 1;; esac')
    code, said = machine.bootstrap()
    assert (code, said.startswith(f"labtrawl: {sentence}"), said.count("\n")) == (2, True, 1)


def test_browser_where_none_can_be_installed_names_the_command(machine: Machine) -> None:
    done = subprocess.run(
        ["scripts/browser.sh"],
        cwd=machine.checkout,
        env={"PATH": str(machine.programs)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 2
    assert "sudo apt-get install chromium fonts-liberation" in done.stderr


def test_bootstrap_a_second_time_installs_nothing(machine: Machine, tmp_path: Path) -> None:
    play_venv(machine, f'echo "$*" >> "{tmp_path}/calls"')
    assert machine.bootstrap() == (0, "")
    first = (tmp_path / "calls").read_text()
    assert machine.bootstrap() == (0, "")
    second = (tmp_path / "calls").read_text().removeprefix(first)
    assert (first.count("pip install"), second.count("pip install")) == (2, 0)


def test_bootstrap_after_a_change_of_the_lock_installs_again(
    machine: Machine, tmp_path: Path
) -> None:
    play_venv(machine, f'echo "$*" >> "{tmp_path}/calls"')
    assert machine.bootstrap() == (0, "")
    with (machine.checkout / "requirements" / "runtime.lock").open("a") as lock:
        lock.write("# another line\n")
    assert machine.bootstrap() == (0, "")
    assert (tmp_path / "calls").read_text().count("pip install") == 4


def test_bootstrap_with_a_venv_from_elsewhere_makes_it_anew(machine: Machine) -> None:
    play_venv(machine, "exit 0")
    activate = machine.checkout / ".venv" / "bin" / "activate"
    activate.write_text("VIRTUAL_ENV='/somewhere/else/.venv'\n")
    machine.offer("python3", 'case "$*" in *"-m venv"*) exit 1;; esac')
    assert machine.bootstrap() == (
        2,
        "labtrawl: python3 could not make .venv; its words are above.\n",
    )
    assert not (machine.checkout / ".venv").exists()
