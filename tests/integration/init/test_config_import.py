"""`labtrawl config import`: files as the ancestors had them, each key told, no secret shown."""

import re
from pathlib import Path

import pytest

from labtrawl.cli.ancestors import judge
from labtrawl.config import load
from tests.integration.init.program import Ended, files, labtrawl, one_sentence

WEB = """
dev: false
baseUrl: https://study.example.org
email:
  encryptionPassword: canary-mail-password
  smtp: {host: mail.example.org, pass: canary-smtp}
paths:
  dataRoot: research
  database: research/main.db
auth:
  initCode: canary-init
  secret: canary-auth
  admins:
    - {email: ada@example.org, password: canary-admin}
  providers:
    gitlab-onprem:
      baseUrl: https://gitlab.example.org/
      clientId: canary-client
      clientSecret: canary-client-secret
      scopes: [read_api]
    gitlabCloud:
      baseUrl: https://gitlab.com
    jira:
      baseUrl: https://jira.example.org
app:
  CRAWLER_API_TOKEN: canary-crawler-token
  colour: green
"""
ENVIRONMENT = """\
# of the crawler
export SOCKET_PATH="run/api.sock"
COPILOT_PROCESS_ID='study site'
AUTH_IPC_SOCKET_PATH=run/auth.sock   # the supervisor's
LOG_LEVEL=warn
SOCKET_HEARTBEAT_INTERVAL=30000
SOCKET_MAX_CONCURRENT_JOBS=5
SOCKET_PORT=4000
CRAWLER_API_TOKEN=canary-crawler-token
GITLAB_TOKEN=glpat-canary-0123456789ab
DATABASE_URL=postgres://user:canary-database@db/x
NOBODY_KNOWS=canary-unknown
"""
OLD_CRAWLER = """
gitlabUrl: gitlab.example.org/api/v4
auth: {token: canary-token}
outputDir: out
requestsPerSecond: 2.5
concurrency: 12
maxRetries: 3
retryDelayMs: 1500
backoffFactor: 2
includeResources:
  paths: ["research/*", tools]
  projectIds: [7]
hooks: {beforeJobStart: ./hook.js}
"""
OLD_SUPERVISOR = """
socketPath: run/bus.sock
heartbeatInterval: 5000
logLevel: verbose
monitoringPort: 9090
circuitBreaker: {threshold: 5}
processes:
  - {id: website, script: start.sh, env: {TOKEN: canary-env}}
"""
COPIMA = """
gitlab: {host: "https://gitlab.example.org", accessToken: canary-access, maxConcurrency: 4, timeout: 3}
database: {path: db.sqlite, walMode: true}
output: {rootDir: copima, prettyPrint: true}
logging: {level: fatal, format: pretty, file: x.log}
resume: {enabled: true}
callbacks: {enabled: false}
"""


async def imported(folder: Path, *flags: str, **texts: str) -> Ended:
    """Write the files (a name's underscore is a dot) and import them in this order."""
    names = [name.replace("_", ".") for name in texts]
    for name, text in zip(names, texts.values(), strict=True):
        (folder / name).write_text(text)
    return await labtrawl(folder, "config", "import", *names, *flags)


def told(ended: Ended) -> dict[str, tuple[str, str]]:
    """Key to (kind, words)."""
    lines = [
        re.split(r"\s{2,}", line.strip()) for line in ended.out.splitlines() if line[:1] == " "
    ]
    return {line[1]: (line[0], line[2] if len(line) > 2 else "") for line in lines}


@pytest.mark.seed("S2.77")
async def test_settings_of_the_website_are_told_key_by_key_and_written(tmp_path: Path) -> None:
    ended = await imported(tmp_path, web_yaml=WEB, x_env=ENVIRONMENT)
    assert (ended.code, ended.err) == (0, "")
    kinds = {key: kind for key, (kind, _) in told(ended).items()}
    assert kinds == {
        "dev": "without meaning",
        "baseUrl": "without meaning",
        "email.encryptionPassword": "without meaning",
        "email.smtp.host": "without meaning",
        "email.smtp.pass": "without meaning",
        "paths.dataRoot": "renamed",
        "paths.database": "without meaning",
        "auth.initCode": "without meaning",
        "auth.secret": "without meaning",
        "auth.admins": "without meaning",
        "auth.providers.gitlab-onprem.baseUrl": "renamed",
        "auth.providers.gitlab-onprem.clientId": "secret",
        "auth.providers.gitlab-onprem.clientSecret": "secret",
        "auth.providers.gitlab-onprem.scopes": "without meaning",
        "auth.providers.gitlabCloud.baseUrl": "renamed",
        "auth.providers.jira.baseUrl": "without meaning",
        "app.CRAWLER_API_TOKEN": "secret",
        "app.colour": "unknown",
        "SOCKET_PATH": "taken",
        "COPILOT_PROCESS_ID": "taken",
        "AUTH_IPC_SOCKET_PATH": "taken",
        "LOG_LEVEL": "renamed",
        "SOCKET_HEARTBEAT_INTERVAL": "renamed",
        "SOCKET_MAX_CONCURRENT_JOBS": "renamed",
        "SOCKET_PORT": "without meaning",
        "CRAWLER_API_TOKEN": "secret",
        "GITLAB_TOKEN": "secret",
        "DATABASE_URL": "without meaning",
        "NOBODY_KNOWS": "unknown",
    }
    assert ended.out.splitlines()[-3:] == [
        "3 taken, 6 renamed, 5 secret, 13 without meaning, 2 unknown",
        f"Wrote {tmp_path}/labtrawl.toml",
        "Go on with: labtrawl init --add --url https://gitlab.example.org",
    ]
    settings = load(tmp_path / "labtrawl.toml", {}, {})
    assert settings.data_dir == tmp_path / "research"
    assert settings.socket.path == tmp_path / "run/api.sock"
    assert settings.socket.process_id == "study site"
    assert settings.auth_socket.path == tmp_path / "run/auth.sock"
    assert (settings.logs.level, settings.crawler.jobs) == ("warning", 5)
    assert (settings.heartbeat.seconds, settings.heartbeat.silence_seconds) == (30.0, 90.0)
    assert [(each.name, each.url) for each in settings.instances] == [
        ("main", "https://gitlab.example.org"),
        ("main-2", "https://gitlab.com"),
    ]
    assert (tmp_path / "labtrawl.toml").stat().st_mode & 0o777 == 0o600
    assert "canary" not in ended.out + (tmp_path / "labtrawl.toml").read_text()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            OLD_CRAWLER,
            {
                "gitlabUrl": ("renamed", 'url of [[instances]] = "https://gitlab.example.org"'),
                "auth.token": ("secret", None),
                "outputDir": ("renamed", 'data_dir = "out"'),
                "requestsPerSecond": ("renamed", "budget.requests_per_minute = 150"),
                "concurrency": ("renamed", "crawler.jobs = 12"),
                "maxRetries": ("renamed", "retry.attempts = 4"),
                "retryDelayMs": ("renamed", "retry.base_seconds = 1.5"),
                "backoffFactor": ("without meaning", None),
                "includeResources.paths": ("renamed", 'scope.include = ["research/*", "tools"]'),
                "includeResources.projectIds": ("without meaning", None),
                "hooks.beforeJobStart": ("without meaning", None),
            },
        ),
        (
            OLD_SUPERVISOR,
            {
                "socketPath": ("renamed", 'socket.path = "run/bus.sock"'),
                "heartbeatInterval": ("renamed", "heartbeat.seconds = 5.0"),
                "logLevel": ("renamed", 'logs.level = "debug"'),
                "monitoringPort": ("without meaning", None),
                "circuitBreaker.threshold": ("without meaning", None),
                "processes": ("without meaning", None),
            },
        ),
        (
            COPIMA,
            {
                "gitlab.host": ("renamed", 'url of [[instances]] = "https://gitlab.example.org"'),
                "gitlab.accessToken": ("secret", None),
                "gitlab.maxConcurrency": ("renamed", "crawler.requests = 4"),
                "gitlab.timeout": ("without meaning", None),
                "database.path": ("without meaning", None),
                "database.walMode": ("without meaning", None),
                "output.rootDir": ("renamed", 'data_dir = "copima"'),
                "output.prettyPrint": ("without meaning", None),
                "logging.level": ("renamed", 'logs.level = "error"'),
                "logging.format": ("renamed", 'logs.format = "console"'),
                "logging.file": ("without meaning", None),
                "resume.enabled": ("without meaning", None),
                "callbacks.enabled": ("without meaning", None),
            },
        ),
    ],
    ids=["crawler", "supervisor", "copima"],
)
async def test_settings_of_the_other_ancestors_are_told(
    tmp_path: Path, text: str, expected: dict[str, tuple[str, str | None]]
) -> None:
    ended = await imported(tmp_path, "--dry-run", old_yaml=text)
    assert ended.code == 0
    found = told(ended)
    assert {key: kind for key, (kind, _) in found.items()} == {
        key: kind for key, (kind, _) in expected.items()
    }
    assert {key: found[key][1] for key, (_, words) in expected.items() if words} == {
        key: words for key, (_, words) in expected.items() if words
    }
    assert "canary" not in ended.out
    assert files(tmp_path) == {"old.yaml"}


async def test_file_that_is_there_is_replaced_only_by_force(tmp_path: Path) -> None:
    (tmp_path / "labtrawl.toml").write_text("contact = 'a@example.org'\n")
    refused = await imported(tmp_path, x_env="LOG_LEVEL=info\n")
    assert one_sentence(refused) == (
        f"{tmp_path}/labtrawl.toml is there already: --dry-run only tells, --force writes it anew"
    )
    assert load(tmp_path / "labtrawl.toml", {}, {}).contact == "a@example.org"
    assert (await imported(tmp_path, "--force", x_env="LOG_LEVEL=error\n")).code == 0
    written = load(tmp_path / "labtrawl.toml", {}, {})
    assert (written.contact, written.logs.level) == ("", "error")


async def test_values_that_do_not_fit_are_told_and_left_out(tmp_path: Path) -> None:
    text = "concurrency: 9000\nLOG_LEVEL: loud\nlogLevel: debug\nlogging: {level: error}\n"
    ended = await imported(
        tmp_path, old_yaml=text + "gitlabUrl: https://ada:canary@gitlab.example.org\n"
    )
    assert told(ended) == {
        "concurrency": (
            "not usable",
            "crawler.jobs = 9000; here it must be a whole number from 1 to 256 and fit the others",
        ),
        "LOG_LEVEL": ("not usable", "its value cannot become logs.level"),
        "logLevel": ("renamed", 'logs.level = "debug"'),
        "logging.level": (
            "not usable",
            'logs.level = "error"; another key before it says "debug"',
        ),
        "gitlabUrl": ("not usable", "its value cannot become url of [[instances]]"),
    }
    assert load(tmp_path / "labtrawl.toml", {}, {}).named == ("logs.level",)


async def test_file_without_a_setting_of_ours_writes_nothing(tmp_path: Path) -> None:
    ended = await imported(tmp_path, old_yaml="colour: green\n")
    assert (ended.code, ended.out.splitlines()[-2:]) == (
        0,
        ["1 unknown", "There is nothing to write."],
    )
    assert files(tmp_path) == {"old.yaml"}


LAUGHS = "a: &a [x, x]\n" + "".join(
    f"{name}: &{name} [*{before}, *{before}]\n"
    for before, name in zip("abcdefgh", "bcdefghi", strict=True)
)


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("old.yaml", b"a: [1\nb: canary", "is no YAML that can be read: it is malformed in line 2"),
        ("old.yaml", b"a: !!python/object/apply:os.system [id]", "it is malformed in line 1"),
        ("old.yaml", b"when: 2025-99-99", "a value of no known form"),
        ("old.yaml", b"a: \x07", "it holds letters that YAML does not"),
        ("old.yaml", b"- 1\n- 2\n", "holds no settings: neither YAML keys nor NAME=value lines"),
        ("old.yaml", b"", "holds no settings: neither YAML keys nor NAME=value lines"),
        ("old.yaml", LAUGHS.encode(), "it is too large, too deep or has too many aliases"),
        ("old.yaml", b"a: " + b"[" * 500 + b"]" * 500, "it is too large, too deep"),
        ("old.yaml", b"a: [" + b"1," * 3000 + b"]", "it is too large, too deep"),
        ("old.yaml", b"#" * 300_000, "is over 256 KiB: no file of settings"),
        ("old.yaml", b"\xff\xfe\xfa", "is no text in UTF-8"),
        (".env", b"LOG_LEVEL=info\ncanary\n", "line 2 of .env is not of the form NAME=value"),
        ("folder", None, "folder cannot be read: Is a directory"),
        ("nowhere", None, "nowhere cannot be read: No such file or directory"),
    ],
)
async def test_file_that_cannot_be_read_is_one_sentence_and_nothing_is_written(
    tmp_path: Path, name: str, content: bytes | None, sentence: str
) -> None:
    (tmp_path / "folder").mkdir()
    if content is not None:
        (tmp_path / name).write_bytes(content)
    ended = await labtrawl(tmp_path, "config", "import", name)
    assert sentence in one_sentence(ended)
    assert "canary" not in ended.err
    assert not (tmp_path / "labtrawl.toml").exists()


async def test_paths_count_from_where_the_file_was_read(tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    await imported(tmp_path, "--config", "etc/labtrawl.toml", x_env="DATA_ROOT=research\n")
    assert load(tmp_path / "etc/labtrawl.toml", {}, {}).data_dir == tmp_path / "research"


def test_variable_of_ours_that_is_a_secret_is_not_copied() -> None:
    verdict = judge("LABTRAWL_WEBSITE_CRAWLER_TOKEN", "canary")
    assert (verdict.kind, verdict.values) == ("secret", {})
    assert "canary" not in verdict.words
