"""Watches this process: its memory and how late the event loop is, twice a second.

What follows from it is for `monitor.core.load`; here is where it is seen, and said in the log.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import resource
import time
from pathlib import Path

import psutil
import structlog

from monitor.core.load import Load, Seen, Shed

LOOK_SECONDS = 0.5

GIVE_BACK_SECONDS = 5.0
"""How often, while too much is held, what was freed is given back to the system: the allocator
keeps it otherwise, and memory would never be seen to fall."""

SAY_SECONDS = 10.0
"""How often a change is said at most."""

STOOD_STILL_SECONDS = 5.0
IDLE_SHARE = 0.1
"""A loop that is later than that, in which this process hardly worked, was not running at all."""

_LIMITS = (
    Path("/sys/fs/cgroup/memory.max"),
    Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"),
)


def machine_bytes() -> int:
    """The memory that there is for this process: the machine's, or less where it is confined."""
    found = int(psutil.virtual_memory().total)
    for path in _LIMITS:
        with contextlib.suppress(OSError, ValueError):
            found = min(found, int(path.read_text()))
    return found


def memory_bytes() -> int:
    """The memory that this process holds now."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except (OSError, ValueError, IndexError):
        return int(psutil.Process().memory_info().rss)
    return pages * resource.getpagesize()


def lag_seconds(late: float, worked: float) -> float:
    """How late the event loop is for what it has to do, having worked so many seconds meanwhile.

    A program that was stopped, or whose machine slept, was not busy: whoever has waited for it
    must not be turned away on top.
    """
    return 0.0 if late > STOOD_STILL_SECONDS and worked < late * IDLE_SHARE else max(0.0, late)


async def watch(load: Load) -> None:
    """Tell `load` how it stands, until cancelled."""
    loop = asyncio.get_running_loop()
    log = structlog.stdlib.get_logger("monitor")
    said, said_at, gave_back_at = Shed.NOTHING, -SAY_SECONDS, 0.0
    while True:
        due, worked = loop.time() + LOOK_SECONDS, time.process_time()
        await asyncio.sleep(LOOK_SECONDS)
        now = loop.time()
        lag = lag_seconds(now - due, time.process_time() - worked)
        level = load.update(Seen(memory_bytes(), lag), now)
        if level is not said and now - said_at >= SAY_SECONDS:
            said, said_at = level, now
            if level is Shed.NOTHING:
                log.info("overload is over")
            else:
                log.warning("overload", shed=level.name.lower(), why=load.warning())
        if level is not Shed.NOTHING and now - gave_back_at >= GIVE_BACK_SECONDS:
            gave_back_at = now
            await asyncio.to_thread(_give_back)


def _give_back() -> None:
    with contextlib.suppress(OSError, AttributeError):  # another C library has no such call
        ctypes.CDLL(None).malloc_trim(0)
