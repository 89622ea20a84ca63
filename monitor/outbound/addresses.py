"""What kind of address an address is, as far as connecting to it is concerned.  Pure.

The tables are IANA's registries of special-purpose addresses (RFC 6890 and its followers),
written out because those of Python's `ipaddress` differ between its versions, and the places
where clouds answer with credentials.
"""

from __future__ import annotations

import enum
import ipaddress
from collections.abc import Iterator

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network


class Kind(enum.Enum):
    """What an address is for; the value is how a sentence calls it."""

    PUBLIC = "a public address"
    PRIVATE = "a private address"
    LOOPBACK = "an address of this machine itself"
    LINK_LOCAL = "a link-local address"
    METADATA = "an address where clouds hand out credentials"
    RESERVED = "a reserved address"
    NOWHERE = "no address of any one machine"


METADATA = frozenset(
    ipaddress.ip_address(text)
    for text in (
        "169.254.169.254",  # AWS, Azure, Google, and most others
        "169.254.170.2",  # AWS, tasks
        "169.254.170.23",  # AWS, pods
        "169.254.0.23",  # Tencent
        "100.100.100.200",  # Alibaba
        "192.0.0.192",  # Oracle
        "168.63.129.16",  # Azure's wire server
        "fd00:ec2::254",  # AWS
        "fd00:ec2::23",  # AWS, pods
        "fd20:ce::254",  # Google
    )
)
"""Where credentials of the machine itself are handed to whoever asks from it."""

METADATA_NAMES = frozenset(
    {"metadata", "metadata.google.internal", "metadata.goog", "instance-data"}
)
"""Names of the same."""

_NETWORKS: tuple[tuple[Kind, tuple[str, ...]], ...] = (
    (Kind.NOWHERE, ("0.0.0.0/8", "224.0.0.0/4", "255.255.255.255/32", "::/128", "ff00::/8")),
    (Kind.LOOPBACK, ("127.0.0.0/8", "::1/128")),
    (Kind.LINK_LOCAL, ("169.254.0.0/16", "fe80::/10")),
    (
        Kind.PRIVATE,
        (
            "10.0.0.0/8",
            "172.16.0.0/12",
            "192.168.0.0/16",
            "100.64.0.0/10",  # behind a provider's translation, and of some private overlays
            "fc00::/7",
            "fec0::/10",  # site-local, deprecated and still routed within sites
            "64:ff9b:1::/48",  # translation within a site
        ),
    ),
    (Kind.PUBLIC, ("64:ff9b::/96",)),  # translation: what is embedded is judged beside it
    (
        Kind.RESERVED,
        (
            "192.0.0.0/24",
            "192.0.2.0/24",
            "192.88.99.0/24",
            "198.18.0.0/15",
            "198.51.100.0/24",
            "203.0.113.0/24",
            "240.0.0.0/4",
            "2001::/23",  # protocols, Teredo among them
            "2001:db8::/32",
            "2002::/16",  # 6to4
            "3fff::/20",
        ),
    ),
    (Kind.PUBLIC, ("0.0.0.0/0", "2000::/3")),
    (Kind.RESERVED, ("::/0",)),
)
_KINDS: tuple[tuple[Kind, Network], ...] = tuple(
    (kind, ipaddress.ip_network(text)) for kind, texts in _NETWORKS for text in texts
)

_MAPPED = ipaddress.IPv6Network("::ffff:0:0/96")
_LAST_32_BITS = tuple(
    ipaddress.IPv6Network(text)
    # IPv4-compatible, translated (RFC 2765), and the prefixes of NAT64.
    for text in ("::/96", "::ffff:0:0:0/96", "64:ff9b::/96", "64:ff9b:1::/48")
)
_ISATAP = (0x00005EFE, 0x02005EFE)
"""The third quarter of an address that carries an IPv4 address in its fourth (RFC 5214)."""


def kind_of(address: Address) -> Kind:
    """What one address is, whatever it may carry; see `reached` for that."""
    if address in METADATA:
        return Kind.METADATA
    return next(kind for kind, network in _KINDS if address in network)


def reached(address: Address) -> Iterator[Address]:
    """Every address that connecting to `address` may reach: itself, and what it carries.

    An IPv4-mapped address is the other address and nothing by itself.
    """
    if isinstance(address, ipaddress.IPv4Address):
        yield address
        return
    address = ipaddress.IPv6Address(int(address))  # without a zone
    if address in _MAPPED:
        yield _last(address)
        return
    yield address
    # :: and ::1 carry nothing; they are what they are.
    if int(address) > 1 and any(address in network for network in _LAST_32_BITS):
        yield _last(address)
    if address.sixtofour is not None:
        yield address.sixtofour
    if address.teredo is not None:
        yield from address.teredo
    if (int(address) >> 32) & 0xFFFFFFFF in _ISATAP:
        yield _last(address)


def _last(address: ipaddress.IPv6Address) -> ipaddress.IPv4Address:
    return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
