"""How much there is to keep, and how long it lasts: what `monitor config check` tells of stores.

It knows the same concrete classes as `bootstrap`, without the server around them.
"""

from __future__ import annotations

import time

from monitor.collect import subjects
from monitor.collect.runner import Runner
from monitor.config import Settings
from monitor.model import Frame, Snapshot
from monitor.store import memory


async def history_lasts(settings: Settings) -> tuple[int, float]:
    """How many series this host has, and how many seconds of them are kept.

    The collectors are run once to count; one that hangs is left behind.
    """
    frames: list[Frame] = []

    async def keep(frame: Frame, snapshots: list[Snapshot]) -> None:
        del snapshots
        frames.append(frame)

    interval = settings.collect.interval
    runner = Runner(subjects.build(settings.collect), settings.host.name, interval, keep)
    try:
        await runner.tick(time.time())
    finally:
        runner.close()
    series = sum(len(frame.values) for frame in frames)
    return series, memory.lasts(series, interval)
