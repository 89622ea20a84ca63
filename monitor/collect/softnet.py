"""The first queue that a received packet stands in: /proc/net/softnet_stat, in hexadecimal."""

from __future__ import annotations

from monitor.collect.files import KeptFile, Root
from monitor.model import Reading

_DROPPED = 1
_SQUEEZED = 2
_DIGITS = 16
"""More than any column has: they are 32 bits wide."""


class Softnet:
    """Packets dropped, and times the budget ran out, summed over the processors."""

    name = "softnet"
    interval_seconds = 5.0
    budget_seconds = 0.05

    def __init__(self, root: Root) -> None:
        self.note = ""
        self._stat = KeptFile(root.net("softnet_stat"))

    def collect(self, now: float) -> Reading:
        """Read it.  Raises `ValueError` where it is not what the kernel writes."""
        del now
        dropped = squeezed = 0
        lines = self._stat.read().split(b"\n")
        for line in filter(None, lines):
            tokens = line.split(None, _SQUEEZED + 1)
            if len(tokens) <= _SQUEEZED:
                raise ValueError("a line of /proc/net/softnet_stat has too few columns")
            if max(map(len, tokens[: _SQUEEZED + 1])) > _DIGITS:
                raise ValueError("a column of /proc/net/softnet_stat is too wide")
            dropped += int(tokens[_DROPPED], 16)
            squeezed += int(tokens[_SQUEEZED], 16)
        if not lines[0]:
            raise ValueError("/proc/net/softnet_stat is empty")
        return Reading(
            {
                "system.network.softnet.dropped": float(dropped),
                "system.network.softnet.squeezed": float(squeezed),
            }
        )

    def close(self) -> None:
        """Give back the descriptor."""
        self._stat.close()
