"""The `labtrawl` command: the table of commands, and how failures are told.

An error of ours is one sentence on stderr and exit code 2 (78, EX_CONFIG, where a supervised child
cannot work with its settings); no traceback. Everything else is a bug and is logged as one.
"""

import errno
import gc
import io
import os
import platform
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import click

from labtrawl import __version__
from labtrawl.cli.lazy import Commands, Row
from labtrawl.errors import ConfigError, LabtrawlError, StoreError

CONFIG_EXIT_CODE = 78
BUG_EXIT_CODE = 70
_ROOM = "free some space, then run the same again"
_RIGHTS = "choose another folder, or change its rights"
_ADVICE = {
    errno.ENOSPC: _ROOM,
    errno.EDQUOT: _ROOM,
    errno.EROFS: _RIGHTS,
    errno.EACCES: _RIGHTS,
    errno.EPERM: _RIGHTS,
}

_TRY = "Try it"
_FOLDER = "Collect into a folder"
_SITE = "Collect, with a website"
_LOOK = "Look at what was collected"
_CARE = "Look after it"

_SUPERVISOR = {
    name: Row(target, summary, heading=_SITE)
    for name, target, summary in (
        ("start", "labtrawl.cli.start:start", "Start website and crawlers, and watch over them."),
        ("stop", "labtrawl.cli.stop:stop", "Stop what runs on a data folder."),
        ("restart", "labtrawl.cli.stop:restart", "Stop and start one program."),
        ("status", "labtrawl.cli.status:status", "Say what runs, and how it is."),
        ("logs", "labtrawl.cli.journal:journal", "Print or follow what the programs logged."),
        ("reload", "labtrawl.cli.stop:reload", "Read the settings again; change what changed."),
    )
}

_BACKGROUND = {
    "serve": Row("labtrawl.cli.start:serve", "Be the supervisor in the background.", hidden=True)
}

_COMMANDS = {
    "demo": Row("labtrawl.cli.demo:demo", "Crawl a GitLab look-alike and prove the result.", _TRY),
    "sandbox": Row(
        "labtrawl.cli.sandbox:sandbox", "Serve a GitLab look-alike; print its truth.", _TRY
    ),
    "crawl": Row(
        "labtrawl.cli.crawl:crawl", "Collect a GitLab, group or project into a folder.", _FOLDER
    ),
    "init": Row("labtrawl.cli.init:init", "Connect a GitLab of your own.", _SITE),
    **_SUPERVISOR,
    "supervisor": Row("labtrawl.cli.main:supervisor", "The same start, stop, status, …", _SITE),
    "config": Row(
        "labtrawl.cli.config_import:config_group",
        "Bring the settings of an earlier system along.",
        _SITE,
    ),
    "dataset": Row(
        "labtrawl.cli.dataset:dataset", "List, print, verify, export it, and ask in SQL.", _LOOK
    ),
    "ledger": Row("labtrawl.cli.ledger:ledger", "Say how much is there, and why not more.", _LOOK),
    "doctor": Row("labtrawl.cli.doctor:doctor", "Check everything, and say what to do.", _CARE),
    "backup": Row(
        "labtrawl.cli.backup:backup", "Copy everything but the keys, while it runs.", _CARE
    ),
    "restore": Row("labtrawl.cli.restore:restore", "Make a data folder out of a backup.", _CARE),
    "admin": Row("labtrawl.cli.admin:admin", "Print a link to sign in to the website.", _CARE),
    "token": Row("labtrawl.cli.token:token", "Make, list and revoke API tokens.", _CARE),
    "audit": Row(
        "labtrawl.cli.audit:audit", "List the audit log and verify that it is whole.", _CARE
    ),
    "keys": Row("labtrawl.cli.keys:keys", "Change the key that encrypts tokens.", _CARE),
    "notices": Row(
        "labtrawl.cli.notices:notices", "What operators are told, and over what.", _CARE
    ),
    "run": Row("labtrawl.cli.main:run", "What the supervisor starts.", hidden=True),
}

_PROGRAMS = {
    "website": Row("labtrawl.cli.website:run", "The website."),
    "crawler": Row("labtrawl.cli.crawler:run", "A crawler."),
    "sandbox": Row("labtrawl.cli.sandbox:run", "The GitLab look-alike."),
}


def _protect_child() -> None:
    """Tie a child to its supervisor before the long imports of its program begin."""
    from labtrawl.supervisor.child import protect

    protect()


@click.group(cls=Commands, rows=_COMMANDS, context_settings={"max_content_width": 100})
@click.version_option(__version__, message="labtrawl %(version)s")
def labtrawl() -> None:
    """Collect what an account may see on a GitLab into a dataset you can trust.

    \b
    labtrawl demo        try it on a GitLab look-alike
    labtrawl crawl URL   collect a GitLab, group or project into a folder
    labtrawl init        connect a GitLab of your own, then:
    labtrawl start       collect, and show every job on a website
    """  # noqa: D301 - click reads \b


supervisor = Commands(
    "supervisor",
    rows=_SUPERVISOR | _BACKGROUND,
    help="Start, stop and look at website and crawlers.",
)
run = Commands("run", rows=_PROGRAMS, before=_protect_child, help="What the supervisor starts.")


def main() -> None:
    """Run the command line of this process and exit."""
    # The HTTP library's allocator (mimalloc) else touches 15 MB that it never uses, a process.
    os.environ.setdefault("MIMALLOC_ARENA_EAGER_COMMIT", "0")
    os.umask(0o077)  # what is collected is for its user alone, whatever the shell says
    _fill_standard_files()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a terminal that knows ASCII alone gets escapes
            stream.reconfigure(errors="backslashreplace")
    code = execute(sys.argv[1:])
    if sys.argv[1:2] == ["crawl"]:
        # To look for garbage among what ends anyway takes a tenth of a second. Of other commands,
        # the libraries of nanobind would call what is left over a leak.
        gc.freeze()
    sys.exit(code)


def _fill_standard_files() -> None:
    """Where a standard file is closed, a database would get its number, and what is printed."""
    while (descriptor := os.open(os.devnull, os.O_RDWR)) < 3:
        pass
    os.close(descriptor)
    sys.stdin = sys.stdin or open(0, encoding="utf-8")  # noqa: SIM115 - until the exit
    sys.stdout = sys.stdout or open(1, "w", encoding="utf-8")  # noqa: SIM115
    sys.stderr = sys.stderr or open(2, "w", encoding="utf-8")  # noqa: SIM115


def execute(arguments: Sequence[str]) -> int:
    """Run one command and return its exit code; never raises for what a user can cause."""
    if platform.system() != "Linux":
        return _fail(f"labtrawl runs on Linux only, this is {platform.system()}", 2)
    try:
        for each in arguments:
            each.encode()
        result = labtrawl.main(list(arguments), prog_name="labtrawl", standalone_mode=False)
    except click.ClickException as error:
        return _misused(error)
    except (click.Abort, KeyboardInterrupt):
        return _fail("interrupted", 130)
    except BrokenPipeError:
        return _reader_went_away()
    except Exception as error:  # noqa: BLE001 - the last stop; a bug is logged, masked
        return _explain(error, is_child=arguments[:1] == ["run"])
    return result if isinstance(result, int) else 0


def _misused(error: click.ClickException) -> int:
    """Say what is wrong with the words, and where the right ones are."""
    if isinstance(error, click.exceptions.NoArgsIsHelpError):
        click.echo(error.format_message(), err=True)
        return error.exit_code
    said = " ".join(error.format_message().split())
    context = error.ctx if isinstance(error, click.UsageError) else None
    if context is not None:
        end = "" if said.endswith((".", "?")) else "."
        said = f"{said}{end} `{context.command_path} --help` tells more."
    return _fail(said, error.exit_code)


def _explain(error: Exception, *, is_child: bool) -> int:
    """Tell an error of ours in its sentence, and a bug as a bug."""
    ours = next(_ours(error), None) or _of_the_machine(error)
    if ours is None:
        from labtrawl import logs

        if not logs.is_set_up():
            logs.set_up()
        logs.get("cli").error("unexpected_error", exc_info=error)
        sentence = f"a fault of labtrawl itself, a {type(error).__name__}; its log says where"
        return _fail(f"{sentence}. Nothing that was committed is lost", BUG_EXIT_CODE)
    supervised = is_child and isinstance(ours, ConfigError)
    return _fail(f"{ours}{_advice_for(ours)}", CONFIG_EXIT_CODE if supervised else 2)


def _advice_for(error: LabtrawlError) -> str:
    """Say what to do where there are a database's own words alone."""
    is_refused = isinstance(error, StoreError) and str(error).startswith("the database refused: ")
    return "; labtrawl doctor says whether it is whole, and what to do" if is_refused else ""


def _ours(error: BaseException) -> Iterator[LabtrawlError]:
    if isinstance(error, LabtrawlError):
        yield error
    elif isinstance(error, BaseExceptionGroup):
        for each in error.exceptions:
            yield from _ours(each)


def _of_the_machine(error: Exception) -> LabtrawlError | None:
    """Say what a full or forbidden disk refused, where no room below could tell more."""
    if isinstance(error, UnicodeEncodeError) and error.reason == "surrogates not allowed":
        return ConfigError(f"{error.object[:200]!r} is not written in UTF-8: give it another name")
    if isinstance(error, FileNotFoundError) and not _has_working_folder():
        return ConfigError("the working folder is gone: change to one that is there")
    advice = _ADVICE.get(error.errno or 0) if isinstance(error, OSError) else None
    if not isinstance(error, OSError) or advice is None:
        return None
    where = f"{error.filename}: " if error.filename else ""
    return ConfigError(f"{where}{error.strerror}; {advice}")


def _has_working_folder() -> bool:
    try:
        return bool(Path.cwd())
    except FileNotFoundError:
        return False


def _fail(sentence: str, code: int) -> int:
    from labtrawl.logs import escape, mask

    click.echo(f"labtrawl: {escape(mask(sentence))}", err=True)
    return code


def _reader_went_away() -> int:
    """End quietly after `| head`: nothing more can be written, not even at the exit."""
    sys.stdout = None
    return 0
