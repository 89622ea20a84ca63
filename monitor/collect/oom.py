"""Whose memory had run out when processes were killed: a control group's, or the whole host's.

The kernel counts killed processes of both kinds in one number.  A group that reaches its own
limit is counted beside, in ``memory.events``, where the topmost groups count for all below them;
so a kill at which no such count rose was of the whole host.  Only cgroup v2 tells so much.
"""

from __future__ import annotations

import os
from pathlib import Path

from monitor.collect.cgroup_units import hierarchy
from monitor.collect.files import Root, read
from monitor.collect.pace import Every
from monitor.collect.tokens import by_name
from monitor.errors import Absent

LOOK_SECONDS = 60.0
"""How often the groups' counts are read while nothing is killed."""

MOST_GROUPS = 256
"""How many topmost groups are looked at: there are seldom ten."""


class Kills:
    """Processes killed for want of memory since we began: of the whole host, of groups."""

    def __init__(self, root: Root) -> None:
        self._root = root
        self._look_due = Every(LOOK_SECONDS)
        self._killed: float | None = None
        self._reached: dict[str, float] | None = None
        self._of_system = 0.0
        self._of_groups = 0.0

    def tell(self, killed: float, moment: float) -> tuple[float, float] | None:
        """Of the system and of groups, at the kernel's count; none where it is not known.

        `moment` is in monotonic seconds.
        """
        before, self._killed = self._killed, killed
        grown = 0.0 if before is None else killed - before
        if grown > 0:
            known, self._reached = self._reached, self._look()
            if known is not None and self._reached is not None:
                if any(count > known.get(name, 0.0) for name, count in self._reached.items()):
                    self._of_groups += grown
                else:
                    self._of_system += grown
        elif self._look_due.due(moment):
            self._reached = self._look()
        return None if self._reached is None else (self._of_system, self._of_groups)

    def _look(self) -> dict[str, float] | None:
        """How often each topmost group, or one below it, reached its limit."""
        try:
            top = Path(hierarchy(self._root))
            names = sorted(entry.name for entry in os.scandir(top) if entry.is_dir())
        except (Absent, OSError):
            return None
        found: dict[str, float] = {}
        for name in names[:MOST_GROUPS]:
            try:
                (count,) = by_name(read(f"{top}/{name}/memory.events"), (b"oom ",))
            except (OSError, ValueError):
                continue
            if count is not None:
                found[name] = count
        return found or None
