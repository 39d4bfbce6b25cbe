"""`labtrawl init` whole: what it says, writes and refuses; nothing half written, no token in clear."""

import asyncio
import io
import stat
import sys
import tomllib
from collections.abc import Sequence
from pathlib import Path

import pytest

from labtrawl.cli.main import execute
from labtrawl.config import Instance, load
from labtrawl.domain.credential import Secret
from labtrawl.store import audit
from labtrawl.store.engine import database_path, open_snapshots
from labtrawl.store.migrate import migrate
from labtrawl.store.secrets import key_path
from tests.integration.http.wire import listening, make_certificate, ok
from tests.integration.init.gitlab import TOKEN, FakeGitLab, said
from tests.integration.init.program import ALLOW, Ended, files, init, labtrawl, one_sentence, tokens
from tests.rig.private import write_private


async def test_init_says_what_the_token_sees_and_writes_what_start_reads(tmp_path: Path) -> None:
    async with listening(FakeGitLab(base="/gitlab", scopes=("api", "read_user"))) as wire:
        ended = await init(tmp_path, wire, *ALLOW, "--contact", "me@example.org", path="/gitlab/")
        url = wire.base(path="/gitlab")
    assert (ended.code, ended.err) == (0, "")
    for said_so in (
        f"{url} (19.3.0-ee, Enterprise Edition)",
        "Ada [b]Lovelace[/b] (@ada)",
        "api, read_user: more than needed (api); a token with read_api alone is enough",
        "12 groups, 60 projects",
        "2027-03-04",
        "labtrawl start",
    ):
        assert said_so in ended.out
    settings = load(tmp_path / "labtrawl.toml", {}, {})
    assert settings.instances == (Instance(name="main", url=url, address_allow=("127.0.0.1",)),)
    assert (settings.data_dir, settings.contact) == (tmp_path / "data.private", "me@example.org")
    assert tokens(tmp_path) == [("main", TOKEN)]
    assert files(tmp_path) == {"labtrawl.toml", "data.private/config/labtrawl.key"}
    assert stat.S_IMODE((tmp_path / "labtrawl.toml").stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "data.private").stat().st_mode) == 0o700
    agents = {line for head in wire.heads for line in head.split("\r\n") if "agent" in line.lower()}
    assert {agent.partition(" (")[2] for agent in agents} == {"+me@example.org)"}


async def test_scope_is_looked_at_once_for_its_size_and_its_forecast(tmp_path: Path) -> None:
    async with listening(FakeGitLab()) as wire:
        ended = await init(tmp_path, wire, *ALLOW)
    assert (ended.code, ended.err) == (0, "")
    asked = [head.split(" ")[1].partition("?")[0] for head in wire.heads]
    lists = [path for path in asked if path in ("/api/v4/groups", "/api/v4/projects")]
    assert sorted(lists) == ["/api/v4/groups", "/api/v4/projects"]
    words = " ".join(ended.out.split())
    assert "Member of 12 groups, 60 projects Forecast 60 projects and 12 groups" in words


async def test_account_that_is_added_to_a_database_is_in_its_audit_log(tmp_path: Path) -> None:
    data_dir = tmp_path / "data.private"
    migrate(database_path(data_dir))
    async with listening(FakeGitLab()) as wire:
        ended = await init(tmp_path, wire, *ALLOW)
        url = wire.base()
    assert (ended.code, ended.err) == (0, "")
    with open_snapshots(database_path(data_dir)) as database:
        (row,) = database.read_now(lambda c: audit.newest(c, 9))
    assert (row.entry.tier, row.entry.action) == ("command_line", "init")
    assert (row.entry.target, row.entry.outcome) == (url, "connected @ada (7)")
    assert audit.remembered_in(audit.head_path(data_dir)) == audit.Head(row.id, row.mac)


async def test_init_never_shows_or_keeps_the_token_in_clear(tmp_path: Path) -> None:
    """Each way an attempt can end: the canary is in no file and in no output."""
    folder = tmp_path / "with a space"
    folder.mkdir()
    token = tmp_path / "token"
    write_private(token, TOKEN)
    echo = said({"message": f"no: {TOKEN}"}, status="401 No")
    worlds = [
        FakeGitLab(),
        FakeGitLab(token="another"),
        FakeGitLab(changed={"version": echo}),
        FakeGitLab(changed={"user": ok(TOKEN.encode())}),
        FakeGitLab(scopes=()),
        FakeGitLab(scopes=("read_api", TOKEN)),
    ]
    for world in worlds:
        async with listening(world) as wire:
            flags = ("--url", wire.base(), "--token-file", str(token), *ALLOW, "--force")
            ended = await labtrawl(folder, "init", *flags)
        assert TOKEN not in ended.out + ended.err
        assert "Traceback" not in ended.err
    kept = [each.read_bytes() for each in folder.rglob("*") if each.is_file()]
    assert kept
    assert all(TOKEN.encode() not in content for content in kept)


async def test_init_uses_own_authority_and_writes_it_near_the_file(tmp_path: Path) -> None:
    both, alone = make_certificate(tmp_path)
    async with listening(FakeGitLab(), both) as wire:
        url = wire.base("https", "localhost")
        flags = ("--url", url, "--token-file", "-", "--allow-address", "localhost")
        refused = await labtrawl(tmp_path, "init", *flags, stdin=TOKEN)
        ended = await labtrawl(tmp_path, "init", *flags, "--ca-file", str(alone), stdin=TOKEN)
    assert refused.code == 2
    assert "name its certificate in ca_file" in refused.err
    assert ended.code == 0
    written = tomllib.loads((tmp_path / "labtrawl.toml").read_text())["instances"]
    assert written == [
        {"name": "main", "url": url, "ca_file": alone.name, "address_allow": ["localhost"]}
    ]


async def test_init_uses_the_proxy_that_it_is_given(tmp_path: Path) -> None:
    async with listening(FakeGitLab(base="http://gitlab.test")) as proxy:
        flags = ("--url", "http://gitlab.test", "--token-file", "-", "--proxy", proxy.base())
        ended = await labtrawl(
            tmp_path, "init", *flags, "--allow-address", "gitlab.test", stdin=TOKEN
        )
    assert (ended.code, ended.err) == (0, "")
    assert load(tmp_path / "labtrawl.toml", {}, {}).instances[0].proxy == proxy.base()


async def test_init_add_keeps_the_file_and_adds_accounts_and_instances(tmp_path: Path) -> None:
    async with listening(FakeGitLab()) as one, listening(FakeGitLab()) as other:
        assert (await init(tmp_path, one, *ALLOW)).code == 0
        before = (tmp_path / "labtrawl.toml").read_text()
        (tmp_path / "labtrawl.toml").write_text(before + "\n[website]\nport = 3210  # mine\n")
        again = await init(tmp_path, one, "--add")
        second = await init(tmp_path, other, "--add", "--name", "other", *ALLOW)
        third = await init(tmp_path, other, "--add", "--name", "main", *ALLOW)
    assert again.code == 2
    assert "has this token already" in again.err
    assert (second.code, third.code) == (0, 2)
    assert (tmp_path / "labtrawl.toml").read_text().startswith(before)
    assert tokens(tmp_path) == [("main", TOKEN), ("other", TOKEN)]
    assert load(tmp_path / "labtrawl.toml", {}, {}).website.port == 3210


async def test_init_add_of_another_account_names_the_instance_that_is_there(tmp_path: Path) -> None:
    world = FakeGitLab()
    async with listening(world) as wire:
        assert (await init(tmp_path, wire, *ALLOW)).code == 0
        world.token, world.user_id = "glpat-second", 8
        flags = ("--url", f"{wire.base()}/api/v4/", "--token-file", "-", "--add")
        changed = await labtrawl(tmp_path, "init", *flags, "--proxy", "http://p:1", stdin="x")
        ended = await labtrawl(tmp_path, "init", *flags, stdin="glpat-second")
    assert changed.code == 2
    assert "is in the file already, as 'main'" in changed.err
    assert ended.code == 0
    assert tokens(tmp_path) == [("main", TOKEN), ("main", "glpat-second")]
    assert len(load(tmp_path / "labtrawl.toml", {}, {}).instances) == 1


async def test_init_add_of_the_same_user_takes_the_place_of_the_old_token(tmp_path: Path) -> None:
    world = FakeGitLab()
    async with listening(world) as wire:
        assert (await init(tmp_path, wire, *ALLOW)).code == 0
        world.token = "glpat-second"
        flags = ("--url", wire.base(), "--token-file", "-", "--add")
        ended = await labtrawl(tmp_path, "init", *flags, stdin="glpat-second")
    assert (ended.code, tokens(tmp_path)) == (0, [("main", "glpat-second")])


async def test_init_force_writes_anew_with_the_same_key(tmp_path: Path) -> None:
    async with listening(FakeGitLab()) as wire:
        assert (await init(tmp_path, wire, *ALLOW)).code == 0
        key = key_path(tmp_path / "data.private").read_bytes()
        ended = await init(tmp_path, wire, *ALLOW, "--force", "--name", "ours")
    assert ended.code == 0
    assert tokens(tmp_path) == [("ours", TOKEN)]
    assert key_path(tmp_path / "data.private").read_bytes() == key


async def test_token_file_may_begin_as_editors_of_windows_write_it(tmp_path: Path) -> None:
    write_private(tmp_path / "token.txt", f"\ufeff{TOKEN}\r\n")
    async with listening(FakeGitLab()) as wire:
        flags = ("--url", wire.base(), "--token-file", "token.txt", *ALLOW)
        ended = await labtrawl(tmp_path, "init", *flags)
    assert (ended.code, tokens(tmp_path)) == (0, [("main", TOKEN)])


async def test_init_of_more_than_1000_projects_needs_yes(tmp_path: Path) -> None:
    async with listening(FakeGitLab(projects=1001)) as wire:
        refused = await init(tmp_path, wire, *ALLOW)
        assert files(tmp_path) == set()
        ended = await init(tmp_path, wire, *ALLOW, "--yes")
    assert (refused.code, ended.code) == (2, 0)
    assert "these are 1,001 projects" in refused.err
    assert "--yes" in refused.err


# ------------------------------------------------------------------ bad input


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ((), "there is no terminal to ask on: give the address with --url"),
        (("--url", "gitlab.test"), "there is no terminal to ask on: give the token with"),
        (("--url", "x y", "--token-file", "token"), "the URL of a GitLab looks like"),
        (("--url", "https://u:p@gitlab.test", "--token-file", "token"), "the URL of a GitLab"),
        (
            ("--url", "https://a.test", "--token-file", "none"),
            "the token file none cannot be read: No such file or directory; --token-file names another",
        ),
        (
            ("--url", "https://a.test", "--token-file", "empty"),
            "there is no token: empty is empty; write there the token that GitLab showed",
        ),
        (("--url", "https://a.test", "--token-file", "key"), "this is no token: key must hold one"),
        (("--url", "https://nowhere.invalid", "--token-file", "token"), "nowhere.invalid has no"),
        (("--url", "http://127.0.0.1:1", "--token-file", "token"), "--allow-address 127.0.0.1"),
        (("--url", "https://169.254.169.254", "--token-file", "token"), "never connects to one"),
        (
            ("--url", "http://127.0.0.1:1", "--token-file", "token", *ALLOW),
            "127.0.0.1 port 1 cannot be reached",
        ),
        (
            ("--url", "https://a.test", "--token-file", "token", "--allow-address", "10.0.0.0/99"),
            "address_allow: '10.0.0.0/99' is neither a network",
        ),
        (("--url", "https://a.test", "--token-file", "token", "--ca-file", "empty"), "ca_file"),
        (("--url", "https://a.test", "--token-file", "token", "--proxy", "p"), "proxy must look"),
        (("--url", "https://a.test", "--token-file", "token", "--contact", "é"), "user-agent"),
        (("--add", "--url", "https://a.test", "--token-file", "token"), "there is no "),
        (("--add", "--force"), "--add and --force exclude each other"),
        (("--urll", "x"), "No such option '--urll'. Did you mean '--url'? `labtrawl init --help`"),
    ],
)
def test_init_with_bad_input_says_one_sentence_and_writes_nothing(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    arguments: Sequence[str],
    sentence: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.stdin", io.StringIO())  # no terminal, wherever pytest runs
    write_private(tmp_path / "token", TOKEN)
    (tmp_path / "empty").write_text("\n")
    (tmp_path / "key").write_text("-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA\n")
    before = files(tmp_path)
    code = execute(["init", *arguments])
    assert sentence in one_sentence(Ended(code, *capfd.readouterr()))
    assert files(tmp_path) == before


@pytest.mark.parametrize(
    ("world", "sentence"),
    [
        (FakeGitLab(token="another"), "GitLab refuses the token (401 Unauthorized): make one"),
        (FakeGitLab(scopes=("read_user",)), "@ada has the scopes read_user, and a crawl needs"),
        (
            FakeGitLab(changed={"anonymous": ok(b"<html>Intranet</html>")}),
            "there is no GitLab at this URL",
        ),
        (FakeGitLab(base="/gitlab"), "there is no GitLab at this URL"),
    ],
)
async def test_init_at_a_wrong_place_says_one_sentence_and_writes_nothing(
    tmp_path: Path, world: FakeGitLab, sentence: str
) -> None:
    async with listening(world) as wire:
        assert sentence in one_sentence(await init(tmp_path, wire, *ALLOW))
    assert files(tmp_path) == set()


async def test_init_does_not_touch_a_file_that_is_there(tmp_path: Path) -> None:
    (tmp_path / "labtrawl.toml").write_text("contact = 'me'\n")
    async with listening(FakeGitLab()) as wire:
        said_so = one_sentence(await init(tmp_path, wire, *ALLOW))
        assert wire.connections == 0
    assert "is there already: --add adds to it, --force writes it anew" in said_so
    assert (tmp_path / "labtrawl.toml").read_text() == "contact = 'me'\n"
    assert files(tmp_path) == {"labtrawl.toml"}


async def test_init_into_another_file_tells_the_start_that_reads_it(tmp_path: Path) -> None:
    async with listening(FakeGitLab()) as wire:
        usual = await init(tmp_path, wire, *ALLOW)
        other = await init(tmp_path, wire, *ALLOW, "--config", "a b.toml", "--data-dir", "b")
    told = "The token is stored encrypted only. Go on with: labtrawl start"
    assert [each.out.splitlines()[-1] for each in (usual, other)] == [
        told,
        f"{told} --config '{tmp_path / 'a b.toml'}'",
    ]


async def test_init_add_to_a_file_with_inline_tables_changes_nothing(tmp_path: Path) -> None:
    text = 'instances = [{name = "a", url = "https://a.test"}]\n'
    (tmp_path / "labtrawl.toml").write_text(text)
    async with listening(FakeGitLab()) as wire:
        said_so = one_sentence(await init(tmp_path, wire, *ALLOW, "--add"))
    assert said_so.endswith("write what is there as [[instances]] and [[accounts]]")
    assert (tmp_path / "labtrawl.toml").read_text() == text
    assert files(tmp_path) == {"labtrawl.toml"}


async def test_init_where_it_cannot_write_leaves_no_key(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    async with listening(FakeGitLab()) as wire:
        flags = (*ALLOW, "--config", "file/labtrawl.toml", "--data-dir", "data")
        said_so = one_sentence(await init(tmp_path, wire, *flags))
        folder = one_sentence(await init(tmp_path, wire, *ALLOW, "--data-dir", "file"))
    assert "cannot be written" in said_so
    assert "cannot be written" in folder
    assert files(tmp_path) == {"file"}


async def test_init_with_a_key_file_that_others_can_read_writes_nothing(tmp_path: Path) -> None:
    async with listening(FakeGitLab()) as wire:
        assert (await init(tmp_path, wire, *ALLOW)).code == 0
        key_path(tmp_path / "data.private").chmod(0o644)
        before = (tmp_path / "labtrawl.toml").read_text()
        said_so = one_sentence(await init(tmp_path, wire, *ALLOW, "--force", "--name", "b"))
    assert "others can read the key file" in said_so
    assert (tmp_path / "labtrawl.toml").read_text() == before


# ------------------------------------------------------------------ the look-alike


async def test_init_connects_the_sandbox(tmp_path: Path) -> None:
    sandbox = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "labtrawl.sandbox", "--world", "small", "--port", "0"),
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        assert sandbox.stdout is not None
        url = (await sandbox.stdout.readline()).decode().removeprefix("listening on ").strip()
        token = (await sandbox.stdout.readline()).decode().strip()
        flags = ("--url", url, "--token-file", "-", *ALLOW)
        ended = await labtrawl(tmp_path, "init", *flags, stdin=token)
    finally:
        sandbox.terminate()
        await sandbox.communicate()
    assert (ended.code, ended.err) == (0, "")
    assert tokens(tmp_path) == [("main", token)]
    assert Secret(token).reveal() not in ended.out
