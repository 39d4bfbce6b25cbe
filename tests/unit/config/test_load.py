"""Settings: layers, places, derived defaults, and one sentence for each mistake."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from msgspec.structs import replace

from labtrawl import config
from labtrawl.cli.programs import crawler_program
from labtrawl.config import Account, Instance, Settings, Website
from labtrawl.errors import ConfigError

Write = Callable[[str], Path]

INSTANCE = '[[instances]]\nname = "lab"\nurl = "https://gitlab.example.org/sub"\n'
ACCOUNT = '[[accounts]]\ninstance = "lab"\ntoken = "enc:v1:k:abc"\n'


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def written(text: str) -> Path:
        path = tmp_path / "labtrawl.toml"
        path.write_text(text)
        path.chmod(0o600)
        return path

    return written


def refusal(
    path: Path | None = None,
    environ: dict[str, str] | None = None,
    flags: dict[str, object] | None = None,
) -> str:
    with pytest.raises(ConfigError) as caught:
        config.load(path, environ or {}, flags or {})
    return str(caught.value)


def test_load_without_anything_gives_the_defaults(folder: Path) -> None:
    settings = config.load(None, {}, {})
    assert settings == replace(config.defaults(folder / "data.private"), named=())
    assert settings.data_dir == folder / "data.private"
    assert (settings.website, settings.named) == (Website(host="127.0.0.1", port=3000), ())


def test_flag_wins_over_environment_and_that_over_the_file(write: Write) -> None:
    write('[website]\nport = 1\nhost = "::1"\n[crawler]\njobs = 3\ncount = 2\n')
    environ = {"LABTRAWL_WEBSITE_PORT": "2", "LABTRAWL_CRAWLER_COUNT": "4"}
    settings = config.load(None, environ, {"website.port": "3", "logs.level": None})
    assert (settings.website.port, settings.website.host) == (3, "::1")
    assert (settings.crawler.count, settings.crawler.jobs) == (4, 3)
    assert settings.named == ("crawler.count", "crawler.jobs", "website.host", "website.port")


@pytest.mark.seed("S2.63", "S2.64", "S2.77")
def test_names_of_the_seeds_are_understood(folder: Path) -> None:
    environ = {
        "SOCKET_PATH": "run/api.sock",
        "COPILOT_PROCESS_ID": "me",
        "AUTH_IPC_SOCKET_PATH": "/run/x/auth.sock",
    }
    settings = config.load(None, environ, {})
    assert settings.socket.path == folder / "run/api.sock"
    assert settings.socket.process_id == "me"
    assert settings.auth_socket.path == Path("/run/x/auth.sock")


def test_two_names_of_one_setting_must_agree() -> None:
    both = {"SOCKET_PATH": "/a", "LABTRAWL_SOCKET_PATH": "/b"}
    assert refusal(environ=both) == (
        "LABTRAWL_SOCKET_PATH and SOCKET_PATH in the environment say different things; "
        "keep one of them"
    )


def test_lists_come_from_file_environment_and_flags(write: Write) -> None:
    write('[scope]\ninclude = ["a/*"]\nexclude = ["a/b"]\n')
    environ = {"LABTRAWL_SCOPE_INCLUDE": "b/*, c"}
    settings = config.load(None, environ, {"scope.exclude": ("x", "y,z")})
    assert (settings.scope.include, settings.scope.exclude) == (("b/*", "c"), ("x", "y,z"))


def test_paths_in_a_file_count_from_the_file(folder: Path) -> None:
    (folder / "etc").mkdir()
    path = folder / "etc" / "lab.toml"
    path.write_text('data_dir = "data"\n' + INSTANCE + 'ca_file = "ca.pem"\n')
    settings = config.load(Path("etc/lab.toml"), {}, {})
    assert settings.data_dir == folder / "etc" / "data"
    assert settings.instances == (
        Instance(
            name="lab",
            url="https://gitlab.example.org/sub",
            ca_file=folder / "etc" / "ca.pem",
        ),
    )


def test_file_in_the_data_folder_is_found(folder: Path) -> None:
    (folder / "data").mkdir()
    (folder / "data" / "labtrawl.toml").write_text('contact = "a@b.example"\n')
    assert config.load(None, {}, {"data_dir": "data"}).contact == "a@b.example"


def test_file_in_the_data_folder_cannot_name_another_one(folder: Path) -> None:
    path = folder / "data.private" / "labtrawl.toml"
    path.parent.mkdir()
    path.write_text('data_dir = "elsewhere"\n')
    assert refusal() == f"data_dir in {path} names another folder than the one it lies in"


def test_settings_survive_the_way_to_a_child(write: Write) -> None:
    write(INSTANCE + 'address_allow = ["10.0.0.0/8"]\nca_file = "/ca.pem"\n' + ACCOUNT)
    settings = config.load(None, {}, {"crawler.count": 3})
    assert settings.accounts == (Account(instance="lab", token="enc:v1:k:abc"),)
    assert config.restore(config.dump(settings)) == settings


def test_each_setting_is_named_once_and_has_all_that_a_page_needs() -> None:
    names = [setting.name for setting in config.SETTINGS]
    variables = [name for setting in config.SETTINGS for name in setting.environment]
    assert len(names) == len(set(names))
    assert len(variables) == len(set(variables))
    assert [each.name for each in config.SETTINGS if not (each.reason and each.expects)] == []
    durations = [name for name in names if name.endswith("seconds")]
    assert [s.name for s in config.SETTINGS if s.unit == "s"] == durations
    assert [name for each in config.TABLES.values() for s in each for name in s.environment] == []


def test_default_in_the_table_is_the_default_in_the_settings(folder: Path) -> None:
    settings = config.defaults(folder)
    for setting in config.SETTINGS:
        value: object = settings
        for part in setting.name.split("."):
            value = getattr(value, part)
        if "<" not in setting.default and setting.name != "data_dir":
            words = ", ".join(value) if isinstance(value, tuple) else str(value)
            assert setting.default == ("(none)" if value in ("", (), None) else words)


def test_long_data_folder_moves_the_sockets_to_a_short_place(folder: Path) -> None:
    settings = config.defaults(folder / ("d" * 120))
    paths = (
        settings.socket.path,
        settings.auth_socket.path,
        settings.runtime_dir / "control.sock",
    )
    assert all(len(os.fsencode(path)) <= 107 for path in paths)
    assert {path.parent for path in paths} == {settings.runtime_dir}


def test_runtime_folder_of_the_session_is_used_where_there_is_one(folder: Path) -> None:
    first = config.load(None, {"XDG_RUNTIME_DIR": "/tmp"}, {"data_dir": "a"})
    second = config.load(None, {"XDG_RUNTIME_DIR": "/tmp"}, {"data_dir": "b"})
    missing = config.load(None, {"XDG_RUNTIME_DIR": "/nowhere"}, {"data_dir": "a"})
    assert first.runtime_dir.parent == Path("/tmp")
    assert first.runtime_dir.name.startswith("labtrawl-")
    assert first.runtime_dir != second.runtime_dir
    if len(os.fsencode(folder)) < 80:
        assert missing.runtime_dir == folder / "a" / "run"


def test_unknown_names_are_refused_with_the_nearest_known_one(write: Write) -> None:
    path = write("[website]\nprot = 1\n")
    assert refusal(path) == (
        f"unknown setting website.prot in {path}; the nearest known one is website.port"
    )
    path = write(INSTANCE + 'cafile = "x"\n')
    assert refusal(path) == (
        f"unknown setting cafile in [[instances]] of {path}; the nearest known one is ca_file"
    )
    write("")
    assert refusal(environ={"LABTRAWL_WEBSITE_PROT": "1"}) == (
        "unknown variable LABTRAWL_WEBSITE_PROT in the environment; "
        "the nearest known one is LABTRAWL_WEBSITE_PORT"
    )
    assert refusal(flags={"website.prot": "1"}) == (
        "unknown setting website.prot on the command line; the nearest known one is website.port"
    )


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("[website]\nport = 70000\n", "website.port in {} must be a whole number from 0 to 65535"),
        ('[website]\nport = "3000"\n', "website.port in {} must be a whole number from 0 to 65535"),
        ("website = 3\n", "unknown setting website in {}; the nearest known one is website.port"),
        ("[lease]\nseconds = nan\n", "lease.seconds in {} must be a number from 1 to 3600"),
        ("[retry]\nbase_seconds = inf\n", "retry.base_seconds in {} must be a number above 0, at most 3600"),
        ("[schedule]\nshare = 1.5\n", "schedule.share in {} must be a number from 0 to 1"),
        ("[schedule]\nshare = -0.1\n", "schedule.share in {} must be a number from 0 to 1"),
        ('[logs]\nformat = "xml"\n', "logs.format in {} must be one of auto, console, json"),
        ('[scope]\ninclude = "a"\n', "scope.include in {} must be a list of texts"),
        ("data_dir = 3\n", "data_dir in {} must be a path"),
        ("instances = 3\n", "instances in {} must be written as [[instances]]"),
        (INSTANCE + "proxy = 3\n", "proxy of [[instances]] number 1 in {} must be a text"),
    ],
)  # fmt: skip
def test_wrong_values_are_refused_with_file_and_key(write: Write, text: str, sentence: str) -> None:
    path = write(text)
    assert refusal(path) == sentence.format(path)


@pytest.mark.parametrize("share", ["0", "1", "0.25"])
def test_bounds_of_a_share_belong_to_it(write: Write, share: str) -> None:
    settings = config.load(write(f"[schedule]\nshare = {share}\n"), {}, {})
    assert settings.schedule.share == float(share)


def test_file_that_is_no_toml_or_not_there_is_refused(write: Write, folder: Path) -> None:
    path = write("website = [\n")
    assert refusal(path).startswith(f"{path} is no valid TOML: ")
    assert refusal(folder / "no.toml") == (
        f"there is no file of settings at {folder / 'no.toml'}; name another by --config"
    )


def test_file_with_accounts_that_others_can_read_is_refused(write: Write) -> None:
    path = write(INSTANCE + ACCOUNT)
    path.chmod(0o640)
    assert refusal(path) == (
        f"{path} holds accounts and can be read by others; run: chmod 600 '{path}'"
    )


def test_token_in_clear_is_refused_and_never_repeated(write: Write) -> None:
    path = write(INSTANCE + ACCOUNT.replace("enc:v1:k:abc", "glpat-canary"))
    assert refusal(path) == (
        "the token of the account on 'lab' is written in clear; remove it, revoke it in GitLab, "
        "and add the account with `labtrawl init`, which encrypts it"
    )
    path = write(INSTANCE + '[[accounts]]\ninstance = "lab"\ntoken = ["glpat-canary"]\n')
    assert refusal(path) == f"token of [[accounts]] number 1 in {path} must be a text"


PAIR = 'user_id = 7\nrefresh_token = "enc:v2:k:r"\n'
APPLICATION = 'client_id = "c"\nredirect_uri = "http://127.0.0.1:7171/callback"\n'


def test_pair_of_a_sign_in_is_read_and_a_crawler_gets_nothing_of_it(write: Write) -> None:
    write(INSTANCE + APPLICATION + 'client_secret = "enc:v2:k:s"\n' + ACCOUNT + PAIR)
    settings = config.load(None, {}, {})
    (account,), (instance,) = settings.accounts, settings.instances
    assert (account.user_id, account.refresh_token, instance.client_id) == (7, "enc:v2:k:r", "c")
    given = crawler_program(settings, 1).config
    assert not [word for word in (b"enc:v2", b"enc:v1", b"callback") if word in given]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (
            INSTANCE + APPLICATION + ACCOUNT + PAIR.replace("user_id = 7", ""),
            "the account on 'lab' has a refresh_token, which needs its user_id and the instance's "
            "client_id and redirect_uri; sign in again with labtrawl init --oauth",
        ),
        (
            INSTANCE + ACCOUNT + PAIR,
            "the account on 'lab' has a refresh_token, which needs its user_id and the instance's "
            "client_id and redirect_uri; sign in again with labtrawl init --oauth",
        ),
        (
            INSTANCE + APPLICATION + ACCOUNT + PAIR.replace("enc:v2:k:r", "clear"),
            "the token of the account on 'lab' is written in clear; remove it, revoke it in "
            "GitLab, and add the account with `labtrawl init`, which encrypts it",
        ),
        (
            INSTANCE + 'client_secret = "clear"\n',
            "the client_secret of 'lab' is written in clear; remove it, make a new one in GitLab, "
            "and give that to `labtrawl init --oauth`, which encrypts it",
        ),
        (
            INSTANCE + (ACCOUNT + "user_id = 7\n") * 2,
            "2 [[accounts]] are of the user 7 on 'lab': keep the newest",
        ),
    ],
)
def test_sign_in_that_cannot_be_is_refused_in_one_sentence(
    write: Write, text: str, sentence: str
) -> None:
    assert refusal(write(text)) == sentence


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (INSTANCE * 2, "each [[instances]] needs a name of its own; 'lab' is not one"),
        ('[[instances]]\nname = "x"\n', "a [[instances]] lacks url, a text"),
        (ACCOUNT, "an account names the instance 'lab', and there is no [[instances]] with this name"),
        (
            INSTANCE.replace("https://", "ftp://"),
            "url of the instance 'lab' must be an address like https://gitlab.example.org",
        ),
        (
            INSTANCE.replace("gitlab.", "[gitlab."),
            "url of the instance 'lab' must be an address like https://gitlab.example.org",
        ),
        (
            INSTANCE.replace("https://", "https://u:p@"),
            "url of the instance 'lab' must hold neither user, password, query nor fragment",
        ),
        ("[lease]\nseconds = 4\n", "lease.renew_seconds must be less than lease.seconds; a third is good"),
        (
            "[heartbeat]\nseconds = 20\n",
            "heartbeat.seconds must be less than heartbeat.silence_seconds",
        ),
        (
            '[socket]\nrole = "dial"\n[crawler]\ncount = 2\n',
            'socket.role = "dial" is for one crawler, which listens; set crawler.count to 1, '
            'or socket.role to "listen"',
        ),
        (
            'credentials = "environment"\n' + INSTANCE + ACCOUNT + 'refresh_token = "enc:v1:k:def"\n'
            "user_id = 7\n",
            'credentials = "environment" needs a token that lasts, and an account of OAuth gets '
            'another every two hours; set credentials to "task"',
        ),
        (
            '[budget]\nquiet_hours = ["08:00-18:00"]\n',
            "budget.quiet_hours: '08:00-18:00' is no time like 08:00-18:00 Europe/Stockholm or "
            "Mon-Fri 08:00-18:00 UTC",
        ),
        (
            INSTANCE + 'quiet_hours = ["08:00-18:00 Europe/Nowhere"]\n',
            "quiet_hours of 'lab': 'Europe/Nowhere' is no time zone that this machine knows, "
            "like Europe/Stockholm or UTC",
        ),
    ],
)  # fmt: skip
def test_rules_between_settings_are_held(write: Write, text: str, sentence: str) -> None:
    assert refusal(write(text)) == sentence


def test_socket_path_that_is_too_long_is_refused() -> None:
    path = "/" + "s" * 107
    assert refusal(environ={"SOCKET_PATH": path}) == (
        "socket.path makes a socket path of 108 bytes and the system allows 107; "
        "set socket.path to a shorter path"
    )


def test_empty_variables_and_the_control_channel_are_no_settings() -> None:
    environ = {"SOCKET_PATH": "", "LABTRAWL_CONTROL_FD": "5", "HOME": "/home/somebody"}
    assert config.load(None, environ, {}).named == ()


def test_settings_are_frozen(folder: Path) -> None:
    settings: Settings = config.defaults(folder)
    with pytest.raises(AttributeError):
        settings.contact = "x"  # type: ignore[misc]
