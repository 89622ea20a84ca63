"""Tracked connections of the firewall: how many, and how many there may be.

The count in /proc/sys is the reader's own network's.  Below another root it would be our
container's, so there the host's is taken from its first process's table.
"""

from __future__ import annotations

from monitor.collect.files import KeptFile, Root
from monitor.collect.tokens import count
from monitor.errors import Absent
from monitor.model import Reading

_MISSING = "connections are not tracked here: nf_conntrack is not loaded"


class Conntrack:
    """Connections tracked, the most that can be, and the share in use."""

    name = "conntrack"
    interval_seconds = 5.0
    budget_seconds = 0.05

    def __init__(self, root: Root) -> None:
        self.note = ""
        self._count = KeptFile(root.proc("sys/net/netfilter/nf_conntrack_count"), _MISSING)
        self._max = KeptFile(root.proc("sys/net/netfilter/nf_conntrack_max"), _MISSING)
        self._table = None if root.is_own else KeptFile(root.net("stat/nf_conntrack"))

    def collect(self, now: float) -> Reading:
        """Read both.  Raises `Absent` where nothing is tracked, `ValueError` on garbage."""
        del now
        tracked = self._tracked()
        most = count(self._max.read().strip())
        values = {
            "system.network.conntrack.count": tracked,
            "system.network.conntrack.max": most,
        }
        if most > 0:
            values["system.network.conntrack.utilization"] = tracked / most
        return Reading(values)

    def close(self) -> None:
        """Give back the descriptors."""
        for file in (self._count, self._max, self._table):
            if file is not None:
                file.close()

    def _tracked(self) -> float:
        if self._table is not None:
            try:
                lines = self._table.read().split(b"\n", 2)
            except Absent:
                # A kernel without the table; the other file is right in the host's network.
                return count(self._count.read().strip())
            # A heading, then a line a processor: the first column is the same in each.
            if not lines[0].startswith(b"entries") or len(lines) < 2 or not lines[1]:
                raise ValueError("/proc/net/stat/nf_conntrack has no entries")
            return float(int(lines[1].split(None, 1)[0][:16], 16))
        return count(self._count.read().strip())
