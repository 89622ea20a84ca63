"""What is due of a host: which of its windows and blocks are over, which late hours have settled.

It knows hosts and clocks, and does nothing.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable

from monitor.store.hosts import Host, hour_of
from monitor.store.tiers import BLOCK_SECONDS

GRACE_SECONDS = 60.0
"""A window is over when a host's frames are so far past it: some are a little late."""

SILENT_SECONDS = 300.0
"""And when this machine's clock is so far past it, though the host is silent."""

SETTLED_SECONDS = 10.0
"""Late rows are compacted when none has come for so long, or after `LATE_SECONDS`."""

LATE_SECONDS = 60.0


class Due:
    """Tells what is due, by `clock` in unix seconds and by time that has gone here.

    The patient wait for frames that are on their way; who settles a store does not.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._late_seen: dict[int, tuple[int, float, float]] = {}

    def is_due(self, host: Host) -> bool:
        """Whether there is anything to be done for a host, patiently."""
        if host.late and self.late_is_due(host):
            return True
        end = self.window_end(host)
        if end is not None and self.window_is_over(host, end, patient=True):
            return True
        return self.block_is_over(host, patient=True)

    def remade(self, host: Host) -> None:
        """Late rows of a host have been compacted."""
        self._late_seen.pop(host.id, None)

    def window_end(self, host: Host) -> float | None:
        """Where the oldest window of a host ends that is not compacted, if there is one."""
        if math.isinf(host.open_from):
            return None
        window = host.window
        return (hour_of(host.open_from) // window + 1) * window

    def _is_silent(self, host: Host) -> bool:
        """By time that has gone here: a clock that jumps makes nobody silent."""
        return time.monotonic() - host.grown_at >= SILENT_SECONDS

    def block_is_over(self, host: Host, *, patient: bool) -> bool:
        """Whether tiers can be made of the next block: of all of it, or of a silent host's last."""
        end = host.rolled_to + BLOCK_SECONDS
        if host.rolled_to < 0 or host.compacted_to <= host.rolled_to:
            return False
        is_silent = self._clock() >= end + SILENT_SECONDS and host.open_from >= end
        if patient:
            is_silent = is_silent and self._is_silent(host)
        return host.compacted_to >= end or is_silent

    def window_is_over(self, host: Host, end: float, *, patient: bool) -> bool:
        """Whether a window is over: its host's frames are past it, or its host is silent."""
        is_past = self._clock() >= end + SILENT_SECONDS
        if not patient:
            return host.newest >= end or is_past
        is_silent = host.newest < end and is_past and self._is_silent(host)
        return host.newest >= end + GRACE_SECONDS or is_silent

    def late_is_due(self, host: Host) -> bool:
        """Whether no more is coming of what came late, or has been for long enough."""
        now = time.monotonic()
        rows, changed_at, first_at = self._late_seen.get(host.id, (-1, now, now))
        if rows != host.late_rows:
            self._late_seen[host.id] = (host.late_rows, now, first_at)
            return now - first_at > LATE_SECONDS
        return now - changed_at > SETTLED_SECONDS
