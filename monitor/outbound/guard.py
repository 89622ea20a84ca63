"""Judges what this server may connect to: first as it is written, then where it leads.  Pure.

Refused are this machine itself, link-local and private addresses, those of clouds' metadata
and whatever is reserved, unless the operator allowed them.  Two things allow: a network in
``[outbound] allow``, and being named, that is, standing in the configuration as the target of
a scrape or the address of a channel.

What allows what.  A named *address* allows itself.  A named *name* allows private addresses
only, for whoever answers for the name chooses its address; ``localhost`` is the exception.  A
network allows private and reserved addresses; this machine's own and link-local ones only if it
lies wholly among these, so that ``0.0.0.0/0`` does not open them by accident; and those of
clouds' metadata only if it is that one address.  Multicast, broadcast and 0.0.0.0 are never
allowed.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass, field
from typing import Annotated, assert_never

from monitor.core.quantity import Check, shown
from monitor.outbound.addresses import Address, Kind, Network, kind_of, reached
from monitor.outbound.faults import OutboundRefused

MOST_NETWORKS = 256
"""How many networks may be allowed; each is compared at every connection."""


def network(value: str) -> str:
    """A network or an address as it is.  Raises `ValueError` where it is none."""
    expected = f'expected a network such as "10.0.0.0/8", got {shown(value)}'
    try:
        ipaddress.ip_network(value)
    except ValueError:
        pass
    else:
        if "%" not in value:
            return value
    try:
        meant = ipaddress.ip_network(value, strict=False)
    except ValueError:
        note = "names are allowed by standing where they are used"
        raise ValueError(f"{expected}; {note}") from None
    raise ValueError(f'{expected}; write "{meant}"') from None


def few(value: tuple[str, ...]) -> tuple[str, ...]:
    """So many networks and no more.  Raises `ValueError`."""
    if len(value) > MOST_NETWORKS:
        raise ValueError(f"expected at most {MOST_NETWORKS} networks, got {len(value)}")
    return value


@dataclass(frozen=True, slots=True)
class OutboundConfig:
    """What `[outbound]` may say."""

    allow: Annotated[tuple[Annotated[str, Check(network)], ...], Check(few)] = ()
    """Networks that may be connected to though they are not public."""

    @property
    def networks(self) -> tuple[Network, ...]:
        """The same, parsed."""
        return tuple(ipaddress.ip_network(text) for text in self.allow)


@dataclass(frozen=True, slots=True)
class Guard:
    """What is allowed, and the judgement."""

    allow: tuple[Network, ...] = ()
    named: frozenset[tuple[str, int]] = field(default_factory=frozenset)
    """Hosts and ports that the configuration names, as `monitor.outbound.targets` writes them."""

    def judge(self, host: str, port: int, address: Address) -> None:
        """Raises `OutboundRefused` where `address`, to which `host` led, is not allowed."""
        for each in reached(address):
            kind = kind_of(each)
            if not self._allowed(host, port, each, kind):
                raise OutboundRefused(_sentence(host, address, each, kind))

    def _allowed(self, host: str, port: int, address: Address, kind: Kind) -> bool:
        if kind is Kind.PUBLIC:
            return True
        if kind is Kind.NOWHERE:
            return False
        if (host, port) in self.named and _named_allows(host, kind):
            return True
        return any(address in each and _network_allows(each, kind) for each in self.allow)


def _named_allows(host: str, kind: Kind) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        local = host == "localhost" or host.endswith(".localhost")
        return kind is Kind.PRIVATE or (kind is Kind.LOOPBACK and local)
    return True


def _network_allows(allowed: Network, kind: Kind) -> bool:
    match kind:
        case Kind.PUBLIC | Kind.PRIVATE | Kind.RESERVED:
            return True
        case Kind.LOOPBACK | Kind.LINK_LOCAL:
            # Nothing lies between the first and the last address but addresses of the same kind.
            ends = (allowed.network_address, allowed.broadcast_address)
            return all(kind_of(end) in (kind, Kind.METADATA) for end in ends)
        case Kind.METADATA:
            return allowed.num_addresses == 1
        case Kind.NOWHERE:
            return False
        case _:
            assert_never(kind)


def _sentence(host: str, address: Address, reached_address: Address, kind: Kind) -> str:
    what = str(reached_address)
    if str(address) != what:
        what = f"{address}, which carries {what}"
    if host != str(address):
        what = f"{shown(host)} leads to {what}"
    if kind is Kind.NOWHERE:
        return f"{what}, {kind.value}, which is never allowed"
    return (
        f"{what}, {kind.value}, which is not allowed;"
        f' [outbound] allow = ["{ipaddress.ip_network(reached_address)}"] would allow it'
    )
