"""Certificates are always verified, an own authority can be added, and only the set proxy is used."""

from pathlib import Path

import pytest

from labtrawl.errors import ConfigError, Unavailable
from labtrawl.http import Limits, Origin, open_http
from tests.integration.http.wire import LOOPBACK, Reply, listening, make_certificate, ok

QUICK = Limits(connect_seconds=2, total_seconds=2)


async def status_of(origin: Origin, path: str = "/", limits: Limits = QUICK) -> int:
    async with open_http(origin, limits, "labtrawl/test") as http:
        return (await http.get(path, {"authorization": "Bearer abc"})).status


async def test_certificate_of_an_unknown_authority_is_refused(tmp_path: Path) -> None:
    both, _ = make_certificate(tmp_path)
    async with listening({"/": ok()}, both) as wire:
        with pytest.raises(ConfigError) as raised:
            await status_of(Origin(wire.base("https"), address_allow=LOOPBACK))
    assert str(raised.value) == (
        f"the certificate of 127.0.0.1 port {wire.port} comes from an authority that this machine "
        "does not know: if it is your own, name its certificate in ca_file (--ca-file)"
    )
    assert wire.heads == []


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
async def test_certificate_of_the_own_authority_is_accepted(tmp_path: Path, host: str) -> None:
    both, alone = make_certificate(tmp_path)
    _, other = make_certificate(tmp_path, "other.test")
    bundle = tmp_path / "bundle.pem"
    bundle.write_bytes(b"# ours\n" + other.read_bytes() + alone.read_bytes())
    async with listening({"/": ok()}, both) as wire:
        for ca_file in (alone, bundle):
            origin = Origin(wire.base("https", host), ca_file, None, ("127.0.0.1", "::1"))
            assert await status_of(origin) == 200


@pytest.mark.parametrize(
    ("name", "days", "said"),
    [("localhost", -1, "certificate expired"), ("other.test", 1, "not valid for name")],
)
async def test_certificate_that_is_old_or_for_another_name_is_refused(
    tmp_path: Path, name: str, days: int, said: str
) -> None:
    both, alone = make_certificate(tmp_path, name, days)
    async with listening({"/": ok()}, both) as wire:
        with pytest.raises(ConfigError, match=f"localhost .*is not valid .*{said}"):
            await status_of(Origin(wire.base("https", "localhost"), alone, None, ("localhost",)))
    assert wire.heads == []


async def test_https_to_a_server_without_tls_says_so() -> None:
    async with listening({}) as wire:
        origin = Origin(wire.base("https"), address_allow=LOOPBACK)
        with pytest.raises((ConfigError, Unavailable), match=r"127\.0\.0\.1"):
            await status_of(origin, limits=Limits(connect_seconds=0.3, total_seconds=0.3))
    assert wire.heads == []


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "cannot be read"),
        (b"", "holds no certificate"),
        (b"junk", "holds no certificate"),
        (
            b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
            "something that is no certificate",
        ),
    ],
)
async def test_ca_file_without_certificates_is_refused(
    tmp_path: Path, content: bytes | None, said: str
) -> None:
    ca_file = tmp_path / "ca.pem"
    if content is not None:
        ca_file.write_bytes(content)
    with pytest.raises(ConfigError, match=f"ca_file.*{said}"):
        await status_of(Origin("https://127.0.0.1:1", ca_file, None, LOOPBACK))


async def test_proxies_of_the_environment_are_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    async with listening({}) as proxy, listening({"/": ok()}) as wire:
        for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "all_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, proxy.base())
        assert await status_of(Origin(wire.base(), address_allow=LOOPBACK)) == 200
    assert (proxy.connections, wire.connections) == (0, 1)


async def test_proxy_of_the_origin_is_used() -> None:
    async with listening({"http://gitlab.test/gl/api": ok()}) as proxy:
        url = proxy.base(host="me:s%40cret@127.0.0.1")
        origin = Origin("http://gitlab.test/gl", proxy=url, address_allow=("gitlab.test",))
        assert await status_of(origin, "/api") == 200
    assert "proxy-authorization: basic bwu6c0bjcmv0\r\n" in proxy.heads[0].lower()


async def test_proxy_tunnels_tls_and_never_sees_the_token(tmp_path: Path) -> None:
    refused = Reply(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n", then="close")
    async with listening({"gitlab.test:443": refused}) as proxy:
        with pytest.raises(Unavailable, match=r"gitlab\.test port 443 through its proxy"):
            await status_of(Origin("https://gitlab.test", proxy=proxy.base()))
    assert proxy.heads[0].startswith("CONNECT gitlab.test:443 HTTP/1.1\r\n")
    assert "Bearer" not in proxy.heads[0]


async def test_proxy_that_is_down_is_unavailable() -> None:
    async with listening({}) as proxy:
        pass
    with pytest.raises(Unavailable, match="through its proxy cannot be reached"):
        await status_of(Origin("https://gitlab.test", proxy=proxy.base()))
