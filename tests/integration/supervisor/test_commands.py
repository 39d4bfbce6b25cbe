"""The command line around the supervisor: help, sentences, exit codes."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import click
import pytest

from labtrawl import __version__
from labtrawl.cli import main
from labtrawl.cli.main import execute
from labtrawl.cli.sandbox import kept_port, sandbox_url
from labtrawl.errors import ConfigError


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def labtrawl(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "labtrawl", *arguments], capture_output=True, text=True, check=False
    )


def test_version_and_help_are_there(capsys: pytest.CaptureFixture[str]) -> None:
    assert execute(["--version"]) == 0
    assert capsys.readouterr().out == f"labtrawl {__version__}\n"
    assert execute(["--help"]) == 0
    assert "  start " in capsys.readouterr().out


def test_help_imports_no_command() -> None:
    code = (
        "import sys; from labtrawl.cli.main import execute; execute(['--help']);"
        "print([m for m in sys.modules if m.startswith('labtrawl.cli.')])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "['labtrawl.cli.lazy', 'labtrawl.cli.main']"


def test_supervisor_imports_nothing_heavy_and_rich_stays_usable() -> None:
    code = (
        "import sys, labtrawl.cli.start;"
        "heavy = {'rich', 'sqlalchemy', 'fastapi', 'uvicorn', 'uvloop', 'pyreqwest', 'cryptography'};"
        "print(sorted(heavy & set(sys.modules)));"
        "import rich.console"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


@pytest.mark.parametrize(
    "name",
    [
        *("start", "stop", "restart", "status", "logs", "reload", "sandbox", "supervisor"),
        *("start website", "start crawler"),
    ],
)
def test_every_command_of_ours_has_help_with_an_example(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert execute([*name.split(), "--help"]) == 0
    assert f"labtrawl {name}" in capsys.readouterr().out


@pytest.mark.seed("S1.7")
@pytest.mark.parametrize("name", ["start", "stop", "restart", "status", "logs", "reload"])
def test_command_under_supervisor_is_the_same(name: str) -> None:
    context = click.Context(main.labtrawl)
    found = [group.get_command(context, name) for group in (main.labtrawl, main.supervisor)]
    assert found[0] is not None
    assert found[0] is found[1]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["strat"], "labtrawl: there is no command 'strat'; the nearest is 'start'"),
        (["start", "--prot", "1"], "labtrawl: No such option '--prot'"),
        (
            ["start", "--port", "x"],
            "labtrawl: website.port on the command line must be a whole number from 0 to 65535",
        ),
        (
            ["start", "--config", "no.toml"],
            "labtrawl: there is no file of settings at no.toml; name another by --config",
        ),
        (["start", "--data-dir", "file/x"], None),
        (
            ["sandbox", "truth", "--size", "issues"],
            "labtrawl: --size 'issues' is not of the form issues=500",
        ),
        (["sandbox", "serve", "--fault", "{"], None),
        (["sandbox", "truth", "--world", "nowhere"], None),
        (["run", "crawler"], "labtrawl: this command is for the supervisor's children; "),
    ],
)
def test_bad_input_is_one_sentence_without_a_traceback(
    elsewhere: Path, arguments: list[str], sentence: str | None
) -> None:
    (elsewhere / "file").write_text("")
    done = labtrawl(*arguments)
    assert done.returncode == (78 if arguments[0] == "run" else 2)
    assert len(done.stderr.splitlines()) == 1
    assert done.stderr.startswith(sentence or "labtrawl: ")


def test_port_that_the_user_named_and_is_taken_is_refused() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = labtrawl("start", "--port", str(port), "--data-dir", "d")
    assert (done.returncode, done.stderr) == (
        2,
        f"labtrawl: port {port} on 127.0.0.1 is in use; "
        "stop what uses it or choose another by --port\n",
    )


def test_failure_of_ours_inside_a_group_is_told_in_its_sentence(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    @click.command("fails")
    def fails() -> None:
        raise ExceptionGroup("tasks", [ConfigError("first glpat-abcdefghijklmnop\nline")])

    main.labtrawl.add_command(fails)
    monkeypatch.setattr(main.labtrawl, "commands", {"fails": fails})
    assert execute(["fails"]) == 2
    assert capsys.readouterr().err == "labtrawl: first [secret]\\nline\n"


def test_system_that_is_not_linux_gets_one_sentence(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("platform.system", lambda: "Darwin")
    assert execute(["--help"]) == 2
    assert capsys.readouterr().err == "labtrawl: labtrawl runs on Linux only, this is Darwin\n"


def test_port_of_the_sandbox_is_chosen_once_and_kept(elsewhere: Path) -> None:
    port = kept_port(elsewhere / "data")
    kept = elsewhere / "data" / "config" / "sandbox.json"
    assert json.loads(kept.read_text()) == {"port": port}
    with socket.create_server(("127.0.0.1", port)):
        assert kept_port(elsewhere / "data") == port
    assert sandbox_url(elsewhere / "data") == f"http://127.0.0.1:{port}"
    kept.write_text("{")
    with pytest.raises(ConfigError, match="is damaged; remove it to choose a new port"):
        kept_port(elsewhere / "data")


def test_output_into_a_closed_pipe_ends_quietly() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(
        [sys.executable, "-m", "labtrawl", "--help"],
        stdout=writer,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    os.close(writer)
    assert done.stderr == ""


# What a crawl waits for at its start, or holds in memory twice, without need.
FORK = "sqlalchemy alembic rich cryptography labtrawl.dispatch labtrawl.crawler labtrawl.website"
LATER = "alembic rich cryptography fastapi jinja2 labtrawl.store.schema labtrawl.crawler"


@pytest.mark.parametrize(("module", "unwanted"), [("crawl", FORK), ("crawl_follow", LATER)])
def test_start_imports_nothing_before_it_is_needed(module: str, unwanted: str) -> None:
    code = f"import sys, labtrawl.cli.main, labtrawl.cli.{module}; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert set(done.stdout.split()) & set(unwanted.split()) == set()
