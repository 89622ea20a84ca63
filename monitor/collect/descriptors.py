"""Open file descriptors of the whole system: /proc/sys/fs/file-nr."""

from __future__ import annotations

from monitor.collect.files import KeptFile, Root
from monitor.collect.tokens import counts
from monitor.model import Reading


class Descriptors:
    """Descriptors open, the most that can be, and the share in use."""

    name = "descriptors"
    interval_seconds = 5.0
    budget_seconds = 0.05

    def __init__(self, root: Root) -> None:
        self.note = ""
        self._file_nr = KeptFile(root.proc("sys/fs/file-nr"))

    def collect(self, now: float) -> Reading:
        """Read it.  Raises `ValueError` where it is not what the kernel writes."""
        del now
        columns = counts(self._file_nr.read().split())
        if len(columns) != 3:
            raise ValueError("/proc/sys/fs/file-nr has other than three columns")
        allocated, unused, limit = columns
        values = {
            "system.file_descriptors.count": allocated - unused,
            "system.file_descriptors.limit": limit,
        }
        if limit > 0:
            values["system.file_descriptors.utilization"] = (allocated - unused) / limit
        return Reading(values)

    def close(self) -> None:
        """Give back the descriptor."""
        self._file_nr.close()
