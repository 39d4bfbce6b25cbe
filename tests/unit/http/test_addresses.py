"""The address rule and the reading of URLs: no socket is opened, names resolve to what a test says."""

from collections.abc import Sequence
from ipaddress import ip_address

import pytest

from labtrawl.errors import ConfigError
from labtrawl.http import Limits, Origin, canonical_url, open_http
from labtrawl.http.addresses import AddressRefused, AddressRule, is_public
from labtrawl.http.route import Route

FORBIDDEN_URLS = [
    "https://127.0.0.1",
    "https://127.0.0.1:8443/gitlab",
    "https://127.255.255.254",
    "https://127.1",
    "https://0x7f.1",
    "https://0177.0.0.1",
    "https://2130706433",
    "https://0x7f000001",
    "https://017700000001",
    "https://127.0.0.1.",
    "https://\uff11\uff12\uff17.0.0.1",
    "https://127\u30020\u30020\u30021",
    "https://0",
    "https://0.0.0.0",
    "https://10.0.0.1",
    "https://172.16.0.1",
    "https://172.31.255.255",
    "https://192.168.1.1",
    "https://3232235777",
    "https://100.64.0.1",
    "https://192.0.2.1",
    "https://198.18.0.1",
    "https://224.0.0.1",
    "https://239.255.255.255",
    "https://240.0.0.1",
    "https://255.255.255.255",
    "https://169.254.169.254",
    "https://169.254.0.1",
    "https://0xa9fea9fe",
    "https://2852039166",
    "https://100.100.100.200",
    "https://192.0.0.192",
    "https://168.63.129.16",
    "https://[::1]",
    "https://[::]",
    "https://[0:0:0:0:0:0:0:1]",
    "https://[::ffff:127.0.0.1]",
    "https://[::ffff:7f00:1]",
    "https://[::ffff:10.0.0.1]",
    "https://[::ffff:169.254.169.254]",
    "https://[::127.0.0.1]",
    "https://[64:ff9b::127.0.0.1]",
    "https://[64:ff9b::a9fe:a9fe]",
    "https://[2002:7f00:1::]",
    "https://[2002:a00:1::1]",
    "https://[2002:a9fe:a9fe::]",
    "https://[2001:0:4136:e378:8000:63bf:80ff:fffe]",
    "https://[fc00::1]",
    "https://[fd12:3456::1]",
    "https://[fd00:ec2::254]",
    "https://[fd20:ce::254]",
    "https://[fe80::1]",
    "https://[febf::1]",
    "https://[fec0::1]",
    "https://[ff02::1]",
    "https://[2001:db8::1]",
    "https://[100::1]",
    "https://localhost",
    "https://LOCALHOST",
    "https://anything.localhost",
    "http://gitlab.example.org",
    "http://93.184.216.34",
]
UNREADABLE_URLS = [
    "",
    "gitlab.example.org",
    "ftp://gitlab.example.org",
    "file:///etc/passwd",
    "https:gitlab.example.org",
    "https:///gitlab.example.org",
    "https://",
    "https://user@gitlab.example.org",
    "https://user:secret@gitlab.example.org",
    "https://gitlab.example.org@127.0.0.1",
    "https://gitlab.example.org?private_token=x",
    "https://gitlab.example.org#x",
    "https://gitlab.example.org.",
    "https://gitlab.example.org\\@evil.example",
    "https://gitlab example.org",
    "https://gitlab.example.org\n",
    "\thttps://gitlab.example.org",
    "https://gitlab.example.org:99999",
    "https://256.1.1.1",
    "https://1.2.3.4.5",
    "https://[fe80::1%25eth0]",
    "https://[::1",
    "https://a\x00b.example",
]


async def resolve_for_test(host: str, port: int) -> Sequence[str]:
    return ["127.0.0.1"] if host.endswith("localhost") else ["93.184.216.34"]


@pytest.mark.parametrize("url", FORBIDDEN_URLS)
async def test_request_to_a_forbidden_place_is_refused(url: str) -> None:
    async with open_http(Origin(url), Limits(), "test/1", resolve=resolve_for_test) as http:
        with pytest.raises(ConfigError, match=r"address_allow|never connects"):
            await http.get("/api/v4/version", {})


@pytest.mark.parametrize("url", UNREADABLE_URLS)
def test_origin_that_cannot_be_read_is_refused_without_quoting_it(url: str) -> None:
    with pytest.raises(ConfigError) as raised:
        Route(Origin(url))
    assert "secret" not in str(raised.value)


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("93.184.216.34", True),
        ("172.15.255.255", True),
        ("172.32.0.0", True),
        ("100.128.0.0", True),
        ("2606:2800:220:1::1", True),
        ("::ffff:93.184.216.34", True),
        ("64:ff9b::5db8:d822", True),
        ("2002:5db8:d822::1", True),
        ("172.31.255.255", False),
        ("::ffff:192.168.0.1", False),
        ("2002:c0a8:1::1", False),
        ("4000::1", False),
    ],
)
def test_is_public_knows_the_public_internet(address: str, expected: bool) -> None:
    assert is_public(ip_address(address)) is expected


@pytest.mark.parametrize(
    ("url", "allow"),
    [
        ("http://127.0.0.1", "127.0.0.1"),
        ("http://127.0.0.1", "127.0.0.0/8"),
        ("http://127.0.0.1", "127.0.0.9/8"),
        ("https://[::1]", "::1"),
        ("https://[::ffff:10.1.2.3]", "10.0.0.0/8"),
        ("https://10.1.2.3", "10.0.0.0/8"),
        ("http://93.184.216.34", "93.184.216.34"),
        ("http://gitlab.example.org", "gitlab.example.org"),
        ("http://gitlab.example.org", "GitLab.Example.ORG."),
        ("https://localhost", "localhost"),
        ("https://localhost", "127.0.0.1"),
    ],
)
async def test_address_that_the_operator_named_is_allowed(url: str, allow: str) -> None:
    route = Route(Origin(url, address_allow=(allow,)))
    found = await resolve_for_test(route.host, 443) if route.is_resolved_here else [route.host]
    assert route.checked(found) == tuple(found)


@pytest.mark.parametrize("allow", ["169.254.0.0/16", "0.0.0.0/0", "metadata.example"])
@pytest.mark.parametrize("address", ["169.254.169.254", "100.100.100.200", "::ffff:169.254.1.1"])
def test_metadata_address_is_refused_even_when_named(allow: str, address: str) -> None:
    refusal = AddressRule((allow,), is_encrypted=True).refusal(
        "metadata.example", ip_address(address)
    )
    assert refusal is not None
    assert str(refusal).endswith("metadata address; labtrawl never connects to one")
    assert refusal.entry is None


def test_checked_keeps_the_public_addresses_of_a_mixed_name() -> None:
    route = Route(Origin("https://mixed.example"))
    assert route.checked(["10.0.0.1", "93.184.216.34", "fe80::1"]) == ("93.184.216.34",)


def test_checked_names_the_first_address_and_the_setting() -> None:
    with pytest.raises(AddressRefused) as raised:
        Route(Origin("https://gitlab.internal")).checked(["10.0.0.1", "fd00::1"])
    assert str(raised.value) == (
        "gitlab.internal (10.0.0.1) is a private, local or reserved address; if this GitLab is "
        "yours, name the address or its network in address_allow"
    )
    assert raised.value.entry == "10.0.0.1"


@pytest.mark.parametrize("entry", ["10.0.0.0/33", "not a host", "https://gitlab.example.org", ""])
def test_address_allow_that_is_neither_network_nor_name_is_refused(entry: str) -> None:
    with pytest.raises(ConfigError, match="address_allow"):
        AddressRule((entry,), is_encrypted=True)


def test_name_that_only_the_proxy_knows_needs_tls_or_an_exception() -> None:
    proxy = "http://proxy.example:3128"
    plain = "http://gitlab.internal"
    assert Route(Origin("https://gitlab.internal", proxy=proxy)).checked([]) == ("gitlab.internal",)
    named = Route(Origin(plain, proxy=proxy, address_allow=("gitlab.internal",)))
    assert named.checked([]) == ("gitlab.internal",)
    with pytest.raises(ConfigError, match="without encryption"):
        Route(Origin(plain, proxy=proxy)).checked([])


@pytest.mark.parametrize(
    "path",
    [
        "",
        "api/v4/user",
        "https://evil.example/api/v4/user",
        "http://gitlab.example.org/gitlab/api",
        "//evil.example/api",
        "///evil.example/api",
        "@evil.example/",
        ".evil.example/",
        ":444/api",
        "?x=1",
        "\\\\evil.example/",
        "/../api",
        "/api/../../other",
        "/%2e%2e/other",
        "/%2E./other",
        "/..\\other",
        "/api#fragment",
    ],
)
def test_path_that_leaves_the_origin_is_refused(path: str) -> None:
    with pytest.raises(ConfigError, match="only paths below"):
        Route(Origin("https://gitlab.example.org/gitlab/")).url(path)


@pytest.mark.parametrize(
    ("base", "path", "expected"),
    [
        ("https://Example.org", "/api/v4/user", "https://example.org/api/v4/user"),
        ("https://example.org/", "/a?b=c%2Fd&e", "https://example.org/a?b=c%2Fd&e"),
        ("https://example.org:443/gl/", "/a", "https://example.org/gl/a"),
        ("https://example.org:8443/gl", "/a%2Fb", "https://example.org:8443/gl/a%2Fb"),
        ("https://bücher.example", "/a", "https://xn--bcher-kva.example/a"),
    ],
)
def test_path_below_the_origin_becomes_its_url(base: str, path: str, expected: str) -> None:
    assert str(Route(Origin(base)).url(path)) == expected


def test_canonical_url_is_the_same_for_the_same_place() -> None:
    texts = ["https://Example.org:443/gl/", "https://example.org/gl", "https://example.org/./gl//"]
    assert {canonical_url(text) for text in texts} == {"https://example.org/gl"}


@pytest.mark.parametrize("proxy", ["proxy", "socks5://proxy:1080", "http://", "ftp://a"])
def test_proxy_that_is_no_url_is_refused(proxy: str) -> None:
    with pytest.raises(ConfigError, match="proxy must look like"):
        Route(Origin("https://example.org", proxy=proxy))


def test_origin_does_not_show_the_password_of_its_proxy() -> None:
    assert "secret" not in repr(Origin("https://example.org", proxy="http://me:secret@proxy:1"))
