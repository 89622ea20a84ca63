"""Places for connections: how many there may be, from whom, and who goes when all are taken.

A place is taken when a connection is accepted, before TLS and before HTTP, because from then on
it costs a descriptor.  Whoever is served keeps its place.  Whoever only waits, because nothing
has come yet, or half a request has, or the last one is answered, keeps it until somebody else
needs it: then the one that has waited longest goes.  So connections that say nothing, however
many there are, keep nobody out who has something to say.

It knows no socket: how a connection is ended is told it by whoever takes the place.
"""

from __future__ import annotations

import ipaddress
from collections import Counter
from collections.abc import Callable


class Place:
    """One connection's place."""

    __slots__ = ("address", "end", "is_counted")

    def __init__(self, address: str, end: Callable[[], None]) -> None:
        self.address = address
        self.is_counted = True
        """Whether it is one of those that its address may have."""
        self.end = end
        """Ends the connection at once."""


class Places:
    """The places of one server.

    `most` is their number, and `most_per_address` how many one address may have, which does not
    hold for those that `is_exempt`.  Of IPv6 a network of 64 bits counts as one address.
    """

    def __init__(self, most: int, most_per_address: int, is_exempt: Callable[[str], bool]) -> None:
        self.most = most
        self.refused: Counter[str] = Counter()
        """How many were refused because the server was ``full``, or had too many from their
        ``address``; and how many waiting ones had to ``yield``."""
        self._most_per_address = most_per_address
        self._is_exempt = is_exempt
        self._taken: set[Place] = set()
        self._waiting: dict[Place, None] = {}
        self._by_address: Counter[str] = Counter()

    def __len__(self) -> int:
        return len(self._taken)

    def take(self, host: str, end: Callable[[], None]) -> Place | None:
        """Take a place for a connection from this host, which then waits; none where it may not."""
        address = counted(host)
        if self._by_address[address] >= self._most_per_address and not self._is_exempt(host):
            self.refused["address"] += 1
            return None
        if len(self._taken) >= self.most and not self._make_room():
            self.refused["full"] += 1
            return None
        place = Place(address, end)
        self._taken.add(place)
        self._waiting[place] = None
        self._by_address[address] += 1
        return place

    def _make_room(self) -> bool:
        """Have the one that has waited longest go: whether there is one."""
        longest = next(iter(self._waiting), None)
        if longest is None:
            return False
        self.refused["yield"] += 1
        self.leave(longest)
        longest.end()
        return True

    def serve(self, place: Place) -> None:
        """A request has come whole: its connection keeps its place."""
        self._waiting.pop(place, None)

    def wait(self, place: Place) -> None:
        """It has been answered: its connection waits, from now on."""
        if place in self._taken:
            self._waiting[place] = None

    def exempt(self, place: Place) -> None:
        """Its peer is known by a token: it is none of those that its address may have."""
        if place in self._taken and place.is_counted:
            place.is_counted = False
            self._uncount(place)

    def leave(self, place: Place) -> None:
        """The connection is gone.  Nothing happens where it had gone already."""
        if place not in self._taken:
            return
        self._taken.remove(place)
        self._waiting.pop(place, None)
        if place.is_counted:
            self._uncount(place)

    def _uncount(self, place: Place) -> None:
        self._by_address[place.address] -= 1
        if not self._by_address[place.address]:
            del self._by_address[place.address]


def counted(host: str) -> str:
    """What an address counts as: of IPv6 a network of 64 bits, all of which is one customer's."""
    if ":" not in host:
        return host
    try:
        address = ipaddress.IPv6Address(host.partition("%")[0])
    except ValueError:
        return host
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return str(ipaddress.IPv6Network((int(address) >> 64 << 64, 64)))
