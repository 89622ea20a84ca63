"""What processes have cost, from the kernel's own accounts of them."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from pathlib import Path

from bench.tables import PAGE_BYTES, cpu_seconds

Pids = Iterable[int]


def cpu(pids: Pids) -> float:
    """Processor seconds of these processes and all their threads.

    The scheduler's own sums, which are exact to the nanosecond; where the kernel keeps none,
    the ticks of /proc/PID/stat.
    """
    return sum(_scheduled(pid) for pid in pids)


def _scheduled(pid: int) -> float:
    nanoseconds = 0
    for task in Path(f"/proc/{pid}/task").iterdir():
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            try:
                nanoseconds += int((task / "schedstat").read_text().split()[0])
            except FileNotFoundError:
                if task.exists():
                    return cpu_seconds(pid)
    return nanoseconds / 1e9


def waited(pid: int) -> float:
    """Seconds that a process's first thread could have run and had no processor.

    0 where the kernel keeps no account of it.  Who waits is slow for want of a machine.
    """
    try:
        return int(Path(f"/proc/{pid}/schedstat").read_text().split()[1]) / 1e9
    except FileNotFoundError:
        return 0.0


def rss_kib(pids: Pids) -> float:
    """Resident memory in KiB."""
    return sum(
        int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * PAGE_BYTES / 1024 for pid in pids
    )
