"""The command line around the supervisor: help, sentences, exit codes."""

import json
import os
import re
import shlex
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from labtrawl import __version__
from labtrawl.cli import main
from labtrawl.cli.main import execute
from labtrawl.cli.options import folder_flag
from labtrawl.cli.sandbox import kept_port, sandbox_url
from labtrawl.config import defaults
from labtrawl.errors import ConfigError

# As a shell has to be told of it.
PYTHON = shlex.quote(sys.executable)


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


def groups(group: click.Group, words: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """The words of each group of commands that a user meets."""
    yield words
    context = click.Context(group)
    for name in group.list_commands(context):
        found = group.get_command(context, name)
        if isinstance(found, click.Group) and not found.hidden:
            yield from groups(found, (*words, name))


def test_group_lists_each_of_its_commands_in_a_whole_sentence(
    capsys: pytest.CaptureFixture[str],
) -> None:
    found = [*groups(main.labtrawl)]
    assert {("dataset",), ("start",), ("supervisor", "start")} <= {*found}
    for words in found:
        assert execute([*words, "--help"]) == 0
        told = capsys.readouterr().out
        group: click.Command | None = main.labtrawl
        for word in words:
            assert isinstance(group, click.Group)
            group = group.get_command(click.Context(group), word)
        assert isinstance(group, click.Group)
        listed = set(re.findall(r"^  ([a-z]+) +[A-Z]", told, re.MULTILINE))
        context = click.Context(group)
        below = {name: group.get_command(context, name) for name in group.list_commands(context)}
        shown = {name for name, command in below.items() if command and not command.hidden}
        is_cut = re.search(r"\w\.\.\.", told) is not None
        assert (words, listed, is_cut) == (words, shown, False)


@pytest.mark.parametrize("words", [(), ("dataset",), ("supervisor",), ("notices",)])
def test_group_without_a_command_shows_its_help(
    words: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    assert execute([*words, "--help"]) == 0
    told = capsys.readouterr().out
    assert execute(words) == 2
    assert capsys.readouterr() == ("", told)


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
        (["stat"], "labtrawl: there is no command 'stat'; the nearest is 'status'. `labtrawl"),
        (["foo"], "labtrawl: there is no command 'foo'. `labtrawl --help` tells more."),
        (["logs", "--data-dir", "/none"], "labtrawl: there is no folder /none; --data-dir names"),
        (
            ["dataset", "qery"],
            "labtrawl: there is no command 'qery'; the nearest is 'query'."
            " `labtrawl dataset --help` tells more.",
        ),
        (
            ["dataset", "export"],
            "labtrawl: Missing argument 'FORMAT'. Choose from: parquet, duckdb, csv, jsonl."
            " `labtrawl dataset export --help` tells more.",
        ),
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
        (
            ["sandbox", "truth", "--size", "issues=99999999999"],
            "labtrawl: --size 'issues=99999999999' is more than this machine can hold; give less",
        ),
        (["sandbox", "serve", "--port", "99999"], "labtrawl: Invalid value for '--port': 99999 is"),
        (["sandbox", "serve", "--latency-ms", "-1"], "labtrawl: Invalid value for '--latency-ms'"),
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
    Path("d").mkdir()  # of one that is not there it would say that no GitLab is connected
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

    monkeypatch.setattr(main.labtrawl, "commands", {"fails": fails})
    assert execute(["fails"]) == 2
    assert capsys.readouterr().err == "labtrawl: first [secret]\\nline\n"


def test_fault_of_ours_is_told_where_the_log_is_elsewhere(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    @click.command("fails")
    def fails() -> None:
        raise RuntimeError("no sentence for anybody")

    monkeypatch.setattr(main.labtrawl, "commands", {"fails": fails})
    assert execute(["fails"]) == main.BUG_EXIT_CODE
    assert capsys.readouterr().err.splitlines()[-1] == (
        "labtrawl: a fault of labtrawl itself, a RuntimeError; its log says where. Nothing that was"
        " committed is lost"
    )


def test_word_that_is_no_text_is_one_sentence() -> None:
    done = labtrawl("ledger", "--area", "a\udcffb")
    assert (done.returncode, done.stdout, done.stderr) == (
        2,
        "",
        r"labtrawl: 'a\udcffb' is not written in UTF-8: give it another name" + "\n",
    )


def test_working_folder_that_is_gone_is_one_sentence(elsewhere: Path) -> None:
    (elsewhere / "gone").mkdir()
    typed = f"cd gone; rmdir ../gone; exec {PYTHON} -m labtrawl status"
    done = subprocess.run(["sh", "-c", typed], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (
        2,
        "labtrawl: the working folder is gone: change to one that is there\n",
    )


@pytest.mark.parametrize(("closed", "told"), [(">&-", ""), (">&- 2>&-", ""), ("<&-", "Missing")])
def test_standard_file_that_is_closed_is_no_fault(closed: str, told: str) -> None:
    typed = f"exec {PYTHON} -m labtrawl {'logs --data-dir .' if told == '' else 'restart'} {closed}"
    done = subprocess.run(["sh", "-c", typed], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0 if told == "" else 2, "")
    assert told in done.stderr
    assert "fault" not in done.stderr


def test_commands_that_are_proposed_name_the_folder_where_it_is_not_the_usual_one(
    elsewhere: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("LABTRAWL_DATA_DIR", raising=False)
    assert folder_flag(defaults(elsewhere / "data.private")) == ""
    assert folder_flag(defaults(elsewhere / "my lab")) == " --data-dir 'my lab'"
    assert folder_flag(defaults(Path("/srv/labtrawl"))) == " --data-dir /srv/labtrawl"
    monkeypatch.setenv("LABTRAWL_DATA_DIR", "/srv/labtrawl")
    assert folder_flag(defaults(Path("/srv/labtrawl"))) == ""


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
