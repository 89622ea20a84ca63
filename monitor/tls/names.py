"""The names under which a certificate of our own making is valid."""

from __future__ import annotations

import ipaddress
import re
import socket
from collections.abc import Iterable

import psutil

LOCAL = ("localhost", "127.0.0.1", "::1")
"""Names that every certificate has: an SSH tunnel ends there."""

MOST_NAMES = 100
"""A machine with thousands of addresses gets a certificate of the first ones."""

_NAME = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9._-]{0,251}[A-Za-z0-9])?", re.ASCII)


def names(configured: Iterable[str], address: str) -> tuple[str, ...]:
    """The configured names, the machine's, and the address that is listened on.

    Where that is every address, those of all interfaces are.  IPv6 addresses stand without
    brackets; what is no name a certificate could hold is left out.
    """
    wanted = [*configured, *LOCAL, socket.gethostname()]
    if ipaddress.ip_address(address).is_unspecified:
        wanted += _interfaces()
    else:
        wanted.append(address)
    found = (_plain(name) for name in wanted)
    return tuple(dict.fromkeys(name for name in found if name))[:MOST_NAMES]


def _interfaces() -> list[str]:
    """Addresses of this machine that other machines could use."""
    found = (each for addresses in psutil.net_if_addrs().values() for each in addresses)
    families = (socket.AF_INET, socket.AF_INET6)
    return sorted(e.address for e in found if e.family in families and "%" not in e.address)


def _plain(name: str) -> str | None:
    """A name in its one spelling; none where it is no name."""
    name = name.strip("[]").rstrip(".").lower()
    try:
        return str(ipaddress.ip_address(name))
    except ValueError:
        return name if _NAME.fullmatch(name) else None
