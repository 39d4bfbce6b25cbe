"""Which addresses may be connected to: decides, and does no I/O."""

import re
from collections.abc import Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

from labtrawl.errors import ConfigError

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

_NEVER = tuple(
    ip_network(text)
    for text in (
        "169.254.0.0/16",  # IPv4 link-local: metadata of AWS, Azure, Google, OpenStack
        "fe80::/10",  # IPv6 link-local
        "fd00:ec2::254",  # metadata of AWS over IPv6
        "fd20:ce::254",  # metadata of Google over IPv6
        "100.100.100.200",  # metadata of Alibaba
        "192.0.0.192",  # metadata of Oracle
        "168.63.129.16",  # wire server of Azure
    )
)
_GLOBAL_UNICAST = IPv6Network("2000::/3")  # RFC 4291, 2.4: the only part of IPv6 given to hosts
_NAT64 = IPv6Network("64:ff9b::/96")  # RFC 6052
_HOST_NAME = re.compile(r"[a-z0-9_]([a-z0-9_.-]*[a-z0-9_])?")


class AddressRefused(ConfigError):
    """The place may not be connected to; `entry` in address_allow would allow it, None never."""

    def __init__(self, message: str, entry: str | None) -> None:
        super().__init__(message)
        self.entry = entry


class AddressRule:
    """One origin's rule: public addresses over TLS, and what the operator excepted.

    `entries` are networks, addresses or host names; ConfigError for one that is none of these.
    """

    def __init__(self, entries: Sequence[str], is_encrypted: bool) -> None:
        networks = {text: _as_network(text) for text in entries}
        self._names = {text.lower().rstrip(".") for text, each in networks.items() if each is None}
        self._networks = [each for each in networks.values() if each is not None]
        self._is_encrypted = is_encrypted
        for name in sorted(self._names):
            if not _HOST_NAME.fullmatch(name):
                raise ConfigError(
                    f"address_allow: {name!r} is neither a network like 10.0.0.0/8 nor a host name"
                )

    def refusal(self, host: str, address: Address) -> AddressRefused | None:
        """Say why this address of the host may not be connected to, or None where it may."""
        address = _unmapped(address)
        place = host if host == str(address) else f"{host} ({address})"
        if any(form in network for form in (address, *_carried(address)) for network in _NEVER):
            return AddressRefused(
                f"{place} is a link-local or metadata address; labtrawl never connects to one", None
            )
        if host in self._names or any(address in network for network in self._networks):
            return None
        if is_public(address):
            return self.refusal_of_name(host)
        return AddressRefused(
            f"{place} is a private, local or reserved address; if this GitLab is yours, name the "
            "address or its network in address_allow",
            str(address),
        )

    def refusal_of_name(self, host: str) -> AddressRefused | None:
        """Say why a host may not be spoken to whose address only the proxy knows, or None."""
        if self._is_encrypted or host in self._names:
            return None
        return AddressRefused(
            f"{host} would get the token without encryption; use https, or name the host in "
            "address_allow",
            host,
        )


def is_public(address: Address) -> bool:
    """Tell whether an address, and every IPv4 address that it carries, is on the public internet."""
    if isinstance(address, IPv4Address):
        return address.is_global and not address.is_multicast
    carried = _carried(address)
    is_host_address = address in _GLOBAL_UNICAST and address.is_global
    return (bool(carried) or is_host_address) and all(is_public(each) for each in carried)


def as_address(text: str) -> Address | None:
    """Read an address in its usual form, None for anything else."""
    try:
        return ip_address(text)
    except ValueError:
        return None


def _carried(address: Address) -> list[IPv4Address]:
    """The IPv4 addresses inside an IPv6 one: RFC 4291 mapped, 6052 NAT64, 3056 6to4, 4380 Teredo."""
    if isinstance(address, IPv4Address):
        return []
    nat64 = IPv4Address(int(address) & 0xFFFFFFFF) if address in _NAT64 else None
    candidates = (address.ipv4_mapped, nat64, address.sixtofour, *(address.teredo or ()))
    return [each for each in candidates if each is not None]


def _unmapped(address: Address) -> Address:
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address


def _as_network(text: str) -> Network | None:
    try:
        return ip_network(text, strict=False)
    except ValueError:
        return None
