"""Where an origin is, what may be connected for it, and the client for one checked address."""

import re
from collections.abc import Mapping, Sequence
from datetime import timedelta
from ipaddress import ip_address
from pathlib import Path
from urllib.parse import unquote

from pyreqwest.client import Client, ClientBuilder
from pyreqwest.exceptions import BuilderError
from pyreqwest.http import Url
from pyreqwest.proxy import ProxyBuilder

from labtrawl.errors import ConfigError
from labtrawl.http.addresses import AddressRule, as_address
from labtrawl.http.origin import Limits, Origin

_BASE = re.compile(r"https?://[^\s\\/][^\s\\]*\Z", re.IGNORECASE)
_PEM = re.compile(rb"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.DOTALL)
_SENDABLE = re.compile(r"[\x20-\x7e]*")


class Route:
    """One origin's place; it decides, and does no I/O. ConfigError when it can never work."""

    def __init__(self, origin: Origin) -> None:
        self._base = _parsed_base(origin.url)
        self._path = self._base.path.rstrip("/")
        self._text = str(self._base).rstrip("/")
        self._origin = self._base.origin_ascii
        self._is_encrypted = self._base.scheme == "https"
        self._rule = AddressRule(origin.address_allow, self._is_encrypted)
        self._roots = _certificates(origin.ca_file) if origin.ca_file else ()
        self._proxy = _parsed_proxy(origin.proxy) if origin.proxy else None
        self.host = (self._base.host_str or "").strip("[]")
        self.port = self._base.port_or_known_default or 0
        self._is_literal = as_address(self.host) is not None
        self.is_resolved_here = not self._is_literal and self._proxy is None

    @property
    def place(self) -> str:
        """The origin in words, for sentences."""
        return f"{self.host} port {self.port}{' through its proxy' if self._proxy else ''}"

    def url(self, path_and_query: str) -> Url:
        """Return the URL of a path below the origin; ConfigError for anything that leaves it."""
        if path_and_query.startswith("/") and not path_and_query.startswith("//"):
            # Asked of the parser that connects: there is no second opinion on what a path means.
            url = Url(self._text + path_and_query)
            is_same_place = url.origin_ascii == self._origin and url.fragment is None
            if is_same_place and url.path.startswith(self._path + "/"):
                return url
        raise ConfigError(f"only paths below {self._base} can be asked for, and no whole URL")

    def checked(self, found: Sequence[str]) -> tuple[str, ...]:
        """Return those of the addresses that may be connected to; ConfigError when none may."""
        if self._is_literal or self.is_resolved_here:
            refusals = {text: self._rule.refusal(self.host, ip_address(text)) for text in found}
        else:
            refusals = {self.host: self._rule.refusal_of_name(self.host)}
        passed = tuple(text for text, why in refusals.items() if why is None)
        if not passed:
            raise next(why for why in refusals.values() if why is not None)
        return passed

    def client(self, address: str, limits: Limits, user_agent: str) -> Client:
        """Return a client that connects to this address only, or to the origin's own proxy."""
        builder = _bare_client(limits, user_agent).https_only(self._is_encrypted)
        for certificate in self._roots:
            builder = builder.add_root_certificate_pem(certificate)
        if self._proxy is not None:
            builder = builder.proxy(self._proxy)
        elif not self._is_literal:
            builder = builder.resolve(self.host, address, 0)  # 0: the port of the URL
        try:
            return builder.build()
        except BuilderError:
            raise ConfigError(
                "ca_file holds something that is no certificate: give certificates as PEM"
            ) from None


def canonical_url(text: str) -> str:
    """Return an origin's URL in its one form, without a slash at its end; ConfigError if unusable.

    Two texts that mean the same place become the same URL.
    """
    return str(_parsed_base(text)).rstrip("/")


def check_headers(headers: Mapping[str, str]) -> None:
    """Raise ConfigError, which quotes no value, for a header that cannot be sent."""
    for name, value in headers.items():
        if not _SENDABLE.fullmatch(value):
            raise ConfigError(
                f"the value for the header {name} holds a line break or a letter that HTTP does "
                "not carry: write it in plain ASCII, on one line"
            )


def _bare_client(limits: Limits, user_agent: str) -> ClientBuilder:
    builder = ClientBuilder().no_proxy().follow_redirects(False).referer(False)
    for automatic_decoding in (builder.gzip, builder.brotli, builder.zstd, builder.deflate):
        automatic_decoding(False)  # ours has caps
    return (
        builder.user_agent(user_agent)
        .pool_max_idle_per_host(limits.connections)
        .connect_timeout(timedelta(seconds=limits.connect_seconds))
        .timeout(timedelta(seconds=limits.total_seconds))
    )


def _parsed_base(text: str) -> Url:
    """Parse with the library that connects: `0x7f.1` must mean to us what it means to it."""
    wrong = ConfigError(
        "the URL of a GitLab looks like https://gitlab.example.org or https://example.org/gitlab: "
        "https or http, a host name without a dot at its end, no user, no ?, no #"
    )
    if not _BASE.match(text):
        raise wrong
    try:
        url = Url(text)
    except ValueError:
        raise wrong from None
    extras = (url.username, url.password, url.query_string, url.fragment)
    if any(extras) or (url.host_str or ".").endswith("."):
        raise wrong  # a dot at the end would pass the pinned name by
    return url


def _parsed_proxy(text: str) -> ProxyBuilder:
    try:
        url = Url(text)
    except ValueError:
        url = None
    if url is None or url.scheme not in ("http", "https") or not url.host_str:
        raise ConfigError("proxy must look like http://proxy.example.org:3128")
    proxy = ProxyBuilder.all(f"{url.scheme}://{url.host_str}:{url.port_or_known_default}")
    if not url.username:
        return proxy
    return proxy.basic_auth(unquote(url.username), unquote(url.password or ""))


def _certificates(path: Path) -> tuple[bytes, ...]:
    try:
        found = tuple(_PEM.findall(path.read_bytes()))
    except OSError as error:
        raise ConfigError(f"ca_file {path} cannot be read: {error.strerror}") from None
    if not found:
        raise ConfigError(f"ca_file {path} holds no certificate: give certificates as PEM")
    return found
