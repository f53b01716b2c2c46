"""Which addresses may be called.

An address is judged once it is resolved, so its spelling does not matter: decimal, hexadecimal, short or mapped.
"""

from collections.abc import Iterator
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Final

from django.conf import settings

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

# Where clouds hand out credentials, and what reaches many at once or the own link: refused whatever a setting allows.
_NEVER: Final = tuple(
    ip_network(text)
    for text in (
        "0.0.0.0/8",
        "169.254.0.0/16",
        "224.0.0.0/4",
        "255.255.255.255/32",
        "100.100.100.200/32",
        "168.63.129.16/32",
        "192.0.0.192/32",
        "fd00:ec2::254/128",
        "fd20:ce::254/128",
        "fe80::/10",
        "fec0::/10",
        "ff00::/8",
        "::/128",
    )
)
# Python calls these global, or has done so in some version.
_NOT_PUBLIC: Final = tuple(
    ip_network(text)
    for text in ("100.64.0.0/10", "192.0.0.0/24", "192.88.99.0/24", "198.18.0.0/15", "240.0.0.0/4", "5f00::/16")
)
_NAT64: Final = (ip_network("64:ff9b::/96"), ip_network("64:ff9b:1::/48"))
_COMPATIBLE: Final = ip_network("::/96")
_V4_BITS: Final = 0xFFFFFFFF


def refusal(text: str, *, is_operators: bool = False) -> str:
    """Why the address must not be called; empty where it may be. `is_operators`: it is from a setting, by no tenant."""
    address = ip_address(text.partition("%")[0])
    if "%" in text:
        return f"{text} is an address of one network interface"
    for found in (address, *_embedded(address)):
        if problem := _problem(found, is_operators=is_operators):
            return problem if found == address else f"{address} leads to {problem}"
    return ""


def _problem(address: Address, *, is_operators: bool) -> str:
    if any(address in network for network in _NEVER):
        return f"{address}, which no setting allows"
    allowed = [ip_network(text) for text in settings.WEBHOOK_ALLOWED_NETWORKS]
    if is_operators or any(address in network for network in allowed):
        return ""
    if not address.is_global or address.is_multicast or any(address in network for network in _NOT_PUBLIC):
        return f"{address}, which is no public address; WEBHOOK_ALLOWED_NETWORKS does not list it"
    return ""


def _embedded(address: Address) -> Iterator[IPv4Address]:
    """The IPv4 addresses to which an IPv6 address leads."""
    if isinstance(address, IPv4Address):
        return
    if address.ipv4_mapped is not None:
        yield address.ipv4_mapped
    if address.sixtofour is not None:
        yield address.sixtofour
    if address.teredo is not None:
        yield from address.teredo
    if any(address in network for network in _NAT64) or (address in _COMPATIBLE and int(address) > 1):
        yield IPv4Address(int(address) & _V4_BITS)
