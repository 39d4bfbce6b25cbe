"""The sockets that the supervisor holds, and the folder that it locks."""

import io
import os
import socket
from pathlib import Path

import pytest

from labtrawl.clock import system_clock
from labtrawl.errors import ConfigError
from labtrawl.supervisor import instance
from labtrawl.supervisor.instance import Holder, holder_of
from labtrawl.supervisor.listeners import address_of, bind_tcp, bind_unix
from labtrawl.supervisor.output import LogFile, Output


def refusal(path: Path) -> str:
    with pytest.raises(ConfigError) as caught:
        bind_unix(path)
    return str(caught.value)


@pytest.mark.seed("S2.66")
def test_unix_socket_is_private_from_the_first_moment_and_in_a_private_folder(folder: Path) -> None:
    before = os.umask(0o022)
    try:
        with bind_unix(folder / "deep" / "x.sock"):
            assert os.umask(0o022) == 0o022
            assert (folder / "deep" / "x.sock").stat().st_mode & 0o777 == 0o600
            assert (folder / "deep").stat().st_mode & 0o777 == 0o700
    finally:
        os.umask(before)


def test_stale_socket_is_replaced_and_a_live_one_never_stolen(folder: Path) -> None:
    path = folder / "x.sock"
    bind_unix(path).close()
    with bind_unix(path):
        assert refusal(path) == f"another process listens on {path}; stop it or set another path"
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(path))


def test_link_file_and_anothers_socket_are_refused(folder: Path) -> None:
    target, link, file, foreign = (folder / name for name in ("t", "link", "file", "foreign"))
    bind_unix(target).close()
    link.symlink_to(target)
    file.write_text("mine")
    bind_unix(foreign).close()
    assert refusal(link) == f"{link} is a link; remove it, a socket is needed there"
    assert refusal(file) == f"{file} is no socket; move it away, a socket is needed there"
    assert file.read_text() == "mine"
    if os.getuid() == 0:
        os.chown(foreign, 65534, 65534)
        assert refusal(foreign) == (
            f"{foreign} belongs to another user; remove it or set another path"
        )


def test_folder_in_which_others_write_is_refused_and_its_mode_kept(folder: Path) -> None:
    shared = folder / "shared"
    shared.mkdir()
    shared.chmod(0o777)
    assert refusal(shared / "x.sock") == (
        f"others can write in {shared}; run: chmod go-w '{shared}'"
    )
    shared.chmod(0o1777)
    with bind_unix(shared / "x.sock"):
        assert shared.stat().st_mode & 0o7777 == 0o1777


def test_folder_that_cannot_be_made_is_refused(folder: Path) -> None:
    (folder / "file").write_text("")
    assert refusal(folder / "file" / "x.sock") == (
        f"the folder {folder / 'file'} cannot be made: File exists; name another one"
    )


def test_taken_port_moves_only_where_it_may() -> None:
    with bind_tcp("127.0.0.1", 0, may_move=False) as first:
        port = first.getsockname()[1]
        with bind_tcp("127.0.0.1", port, may_move=True) as second:
            assert port < second.getsockname()[1] <= port + 100
            assert address_of(second) == f"http://127.0.0.1:{second.getsockname()[1]}"
        with pytest.raises(ConfigError) as caught:
            bind_tcp("127.0.0.1", port, may_move=False)
    assert str(caught.value) == (
        f"port {port} on 127.0.0.1 is in use; stop what uses it or choose another by --port"
    )


def test_host_of_another_machine_is_refused() -> None:
    for host in ("192.0.2.1", "no such host"):
        with pytest.raises(ConfigError, match=f"website.host '{host}' is no address"):
            bind_tcp(host, 0, may_move=False)


async def test_data_folder_is_held_by_one_and_tells_by_whom(folder: Path) -> None:
    data_dir, clock = folder / "data", system_clock()
    assert holder_of(data_dir) is None
    async with instance.hold(data_dir, folder / "control.sock", clock, 0):
        assert holder_of(data_dir) == Holder(os.getpid(), str(folder / "control.sock"))
        with pytest.raises(
            ConfigError, match=f"already runs on this data folder .pid {os.getpid()}"
        ):
            async with instance.hold(data_dir, folder / "other.sock", clock, 0):
                pass
    assert holder_of(data_dir) is None


async def test_children_left_by_a_killed_supervisor_keep_the_folder(folder: Path) -> None:
    clock = system_clock()
    async with instance.hold(folder, folder / "control.sock", clock, 0) as hold:
        inherited = os.dup(hold.descriptor)
    with pytest.raises(ConfigError, match="processes of an earlier run still use"):
        async with instance.hold(folder, folder / "control.sock", clock, 0):
            pass
    os.close(inherited)
    async with instance.hold(folder, folder / "control.sock", clock, 0):
        assert holder_of(folder) is not None


def test_output_goes_on_when_the_disk_refuses(folder: Path) -> None:
    (folder / "logs").write_text("a file where the folder should be")
    stream = io.StringIO()
    output = Output(folder / "logs", stream, "console", now=system_clock().now)
    output.take("website", "one \x1b[31m")
    output.take("website", "token glpat-abcdefghijklmnop")
    assert stream.getvalue().splitlines() == [
        "website    | one \\x1b[31m",
        "website    | token [secret]",
    ]
    assert output.last_line("website") == "token [secret]"
    assert output.last_line("crawler-1") == ""


def test_output_of_a_program_is_kept_in_private_files_that_rotate(folder: Path) -> None:
    output = Output(folder / "logs", None, "json", now=system_clock().now)
    line = "x" * 60 * 1024
    for _ in range(200):
        output.take("website", line)
    files = sorted((folder / "logs").iterdir())
    assert [each.name for each in files] == ["website.log", "website.log.1"]
    assert all(each.stat().st_size <= 10 * 1024 * 1024 for each in files)
    assert {each.stat().st_mode & 0o777 for each in files} == {0o600}


def test_log_file_moves_aside_when_full_and_keeps_as_many_as_asked(folder: Path) -> None:
    file = LogFile(folder / "logs" / "a.log", max_bytes=10, keep=3)
    for number in range(9):
        file.append(f"line {number}")
    kept = {path.name: path.read_text() for path in (folder / "logs").iterdir()}
    assert kept == {"a.log": "line 8\n", "a.log.1": "line 7\n", "a.log.2": "line 6\n"}
