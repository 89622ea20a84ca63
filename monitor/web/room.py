"""Room for streams: how many are open or being opened, in all, from an address, for a caller.

A place is taken before anything is waited for, so that a crowd that comes at once finds no more
places than there are.
"""

from __future__ import annotations

from collections import Counter

from monitor.errors import MonitorError
from monitor.web.config import Limits
from monitor.web.places import counted


class Room:
    """The places that `limits` leaves."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._by_address: Counter[str] = Counter()
        self._by_caller: Counter[str] = Counter()
        self._taken = 0

    def enter(self, address: str, caller: str = "") -> None:
        """Take a place.  Raises a `MonitorError` of status 429 where there is none.

        `caller` is who comes, empty where that is anybody.
        """
        most = self._limits.most_connections
        if self._taken >= most:
            detail = "there are as many streams as there may be"
            raise MonitorError(detail, code="too_many_connections", status=429, limit=most)
        allowed = self._limits.per_address(address)
        if allowed is not None and self._by_address[counted(address)] >= allowed:
            detail = "there are too many streams from this address"
            raise MonitorError(detail, code="too_many_streams", status=429, limit=allowed)
        most = self._limits.most_per_user
        if caller and self._by_caller[caller] >= most:
            detail = "there are too many streams of this user or token"
            raise MonitorError(detail, code="too_many_streams", status=429, limit=most)
        self._taken += 1
        self._by_address[counted(address)] += 1
        self._by_caller[caller] += 1

    def leave(self, address: str, caller: str = "") -> None:
        """Give a place back."""
        self._taken -= 1
        for places, name in ((self._by_address, counted(address)), (self._by_caller, caller)):
            places[name] -= 1
            if not places[name]:
                del places[name]
