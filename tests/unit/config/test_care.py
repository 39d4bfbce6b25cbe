"""Settings of backups, notices and the public address: what is refused, and what a crawler gets."""

from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from labtrawl import config
from labtrawl.cli.origins import user_agent
from labtrawl.cli.programs import crawler_program
from labtrawl.errors import ConfigError

MAIL = {"notices.mail_from": "l@a.org", "notices.mail_to": ["ops@a.org"]}


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"backup.every_hours": 24}, "needs backup.path"),
        ({"backup.path": "/d/data/b"}, "lie in each other"),
        ({"backup.path": "/d"}, "lie in each other"),
        ({"backup.path": "/b/one.tar"}, "is a folder"),
        ({"notices.kinds": ["disc"]}, "'disc', which is none of failures"),
        ({"notices.webhook_url": "ftp://a.org"}, "must be an address"),
        ({"notices.webhook_url": "http://a.org/x"}, "must begin with https"),
        (
            {"notices.webhook_url": "http://10.1.2.3/x", "notices.webhook_allow": ["10.9.0.0/16"]},
            "its network in notices.webhook_allow",
        ),
        ({"notices.webhook_url": "https://me:pw@a.org"}, "neither user"),
        ({"notices.webhook_secret": "clear"}, "written in clear"),
        ({"notices.mail_password": "clear"}, "`labtrawl notices secret mail`"),
        ({"notices.mail_server": "m.org"}, "needs notices.mail_from"),
        ({"notices.mail_to": ["a@b.org\nBcc: x@y.z"]}, "is no mail address"),
        ({"notices.mail_server": "m.org", "notices.mail_security": "none", **MAIL}, "this machine"),
        ({"website.public_url": "l.org"}, "must be an address"),
        ({"website.public_url": "https://l.org/\u00e9"}, "must be an address"),
    ],
)
def test_setting_that_would_not_work_is_refused(values: dict[str, Any], told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        config.defaults(Path("/d/data"), values)


def test_good_settings_are_taken() -> None:
    settings = config.defaults(
        Path("/d/data"),
        {
            "backup.path": "/b",
            "backup.every_hours": 24,
            "notices.webhook_url": "http://hooks.lan/x?y=1",
            "notices.webhook_allow": ["hooks.lan"],
            "notices.mail_server": "localhost",
            "notices.mail_security": "none",
            **MAIL,
        },
    )
    assert settings.backup.path == Path("/b")


@pytest.mark.parametrize(
    ("url", "entry"),
    [
        ("http://10.1.2.3/x", "10.0.0.0/8"),
        ("http://[fd00::1]/x", "fd00::/8"),
        ("http://hooks.lan/x", "10.0.0.0/8"),
        ("http://Hooks.lan./x", "HOOKS.lan"),
    ],
)
def test_webhook_without_https_may_be_where_it_is_allowed(url: str, entry: str) -> None:
    values = {"notices.webhook_url": url, "notices.webhook_allow": [entry]}
    assert config.defaults(Path("/d/data"), values).notices.webhook_url == url


def test_crawler_names_the_site_and_gets_neither_secrets_nor_places() -> None:
    values = {"website.public_url": "https://l.org/", "contact": "me@a.org", "backup.path": "/b"}
    settings = config.defaults(Path("/d/data"), {**values, **MAIL})
    own = replace(settings, notices=replace(settings.notices, webhook_secret="enc:v2:x"))
    given = config.restore(crawler_program(own, 1).config)
    assert user_agent(given) == "labtrawl/0.1.0 (+https://l.org/about; me@a.org)"
    assert (given.backup, given.notices) == (config.Backup(), config.Notices())
