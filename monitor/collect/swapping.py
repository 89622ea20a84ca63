"""How much of memory was swapped lately: pages in and out within ten minutes, as a share of it.

Swap that is full is harmless, swap that moves is not.  Where some of it is itself in memory
(zram), the kernel's count says nothing of a disk, and there is no share.
"""

from __future__ import annotations

import os
from collections import deque

from monitor.collect.files import Root, read
from monitor.collect.pace import Every
from monitor.collect.tokens import by_name

WINDOW_SECONDS = 600.0
"""The time that is looked back on."""

MARK_SECONDS = 60.0
"""How often a count is remembered; so the window is up to a mark shorter than it is called."""

LISTING_SECONDS = 60.0
"""How often it is looked what swap there is."""

_BYTES_PER_KIB = 1024.0
_IN_MEMORY = b"/dev/zram"


class Churn:
    """The share of memory that was swapped in and out within the window."""

    def __init__(self, root: Root) -> None:
        self._swaps = root.proc("swaps")
        self._meminfo = root.proc("meminfo")
        self._listing_due = Every(LISTING_SECONDS)
        self._memory_bytes = 0.0
        self._page_bytes = os.sysconf("SC_PAGE_SIZE") if hasattr(os, "sysconf") else 4096
        self._marks: deque[tuple[float, float]] = deque()

    def ratio(self, pages: float, moment: float) -> float | None:
        """The share, of the pages that were ever swapped; none where there is no swap on disk.

        `moment` is in monotonic seconds.
        """
        if self._listing_due.due(moment):
            self._memory_bytes = self._judged_memory()
        if not self._memory_bytes:
            self._marks.clear()
            return None
        marks = self._marks
        if marks and pages < marks[-1][1]:
            marks.clear()  # the count began anew
        while marks and moment - marks[0][0] > WINDOW_SECONDS:
            marks.popleft()
        if not marks or moment - marks[-1][0] >= MARK_SECONDS:
            marks.append((moment, pages))
        return (pages - marks[0][1]) * self._page_bytes / self._memory_bytes

    def _judged_memory(self) -> float:
        """Bytes of memory; 0 where there is no swap, or some that is not on disk."""
        try:
            swaps = [line for line in read(self._swaps).split(b"\n")[1:] if line.strip()]
            if not swaps or any(line.startswith(_IN_MEMORY) for line in swaps):
                return 0.0
            (total,) = by_name(read(self._meminfo), (b"MemTotal:",))
        except (OSError, ValueError):
            return 0.0
        return max(0.0, total or 0.0) * _BYTES_PER_KIB
