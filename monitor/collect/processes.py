"""Processes: how many in each state, and a table of the largest.

The table is the union of the top 15 by processor, by memory and by input/output.  What a
process did is measured between two readings, so that a process is without these numbers in
the tick in which it is first seen.  Threads are not looked at.
"""

from __future__ import annotations

import heapq
import os
import time
from collections import Counter
from collections.abc import Iterable
from operator import attrgetter

from monitor.collect.accounts import Accounts
from monitor.collect.descriptors_budget import PROCESSES_SHARE, kept_limit
from monitor.collect.files import Root
from monitor.collect.pace import Every
from monitor.collect.process_files import KeptDescriptors, Process
from monitor.errors import Absent
from monitor.model import Reading, Row, key

TOP = 15
"""How many processes each of the three orders brings into the table."""

MOST_READ = 4_000
"""How many processes are read in one tick; where there are more, they take turns."""

ACCOUNTS_SECONDS = 60.0
"""How often it is looked whether users have changed."""

STATES = ("running", "sleeping", "blocked", "stopped", "zombie", "idle")
"""The states that are counted; blocked is uninterruptible sleep (D)."""

_COUNT = "system.processes.count"
_KEYS = (_COUNT, *(key(_COUNT, state=state) for state in STATES))


class Processes:
    """Every process of the host, read from /proc with kept descriptors.

    Its table is made every `table_seconds`; in between, one that has not run is not read.
    """

    name = "processes"
    interval_seconds = 0.0
    budget_seconds = 0.1

    def __init__(self, root: Root, command_lines: bool = True, table_seconds: float = 0.0) -> None:
        self.note = ""
        # Half a second early is in time: ticks do not come to the millisecond.
        self._table = Every(max(0.0, table_seconds - 0.5))
        self._directory = root.proc("")
        self._is_own = root.is_own
        self._command_lines = command_lines
        self._accounts = Accounts(root)
        self._accounts_due = -ACCOUNTS_SECONDS
        self._most_kept = kept_limit(PROCESSES_SHARE)
        self._kept_stat = KeptDescriptors(self._most_kept)
        self._kept_io = KeptDescriptors(0)
        self._kept_sched = KeptDescriptors(0)
        self._ticks_per_second = os.sysconf("SC_CLK_TCK") if hasattr(os, "sysconf") else 100
        self._page_bytes = os.sysconf("SC_PAGE_SIZE") if hasattr(os, "sysconf") else 4096
        self._processes: dict[str, Process] = {}
        self._turn = 0

    def collect(self, now: float) -> Reading:
        """Read every process once.  Raises `Absent` where there is no /proc."""
        del now
        moment = time.monotonic()
        names = self._list()
        self._share_descriptors(len(names))
        whole = self._table.due(moment)
        processes, ticks_per_second = self._processes, self._ticks_per_second
        for name in self._in_turn(names):
            process = processes.get(name)
            if process is None:
                directory = f"{self._directory}{name}"
                process = Process(
                    directory, int(name), self._kept_stat, self._kept_io, self._kept_sched
                )
                processes[name] = process
            if not process.read(moment, ticks_per_second, whole=whole):
                process.close()
                del processes[name]
        self._forget_ended(names)
        if not whole:
            return Reading(self._counts())
        self._explain(names)
        return Reading(self._counts(), {"processes": self._rows(moment)})

    def close(self) -> None:
        """Give back every descriptor."""
        for process in self._processes.values():
            process.close()
        self._processes.clear()

    def _share_descriptors(self, processes: int) -> None:
        """What is read oftest comes first, where there is not room for all: stat, then io.

        What only spares work comes last, and not at all where everything is read each time.
        """
        most, io, sched = self._most_kept, self._kept_io, self._kept_sched
        if self._table.seconds > 0:
            sched.limit = max(0, min(processes, most - 2 * processes))
        kept = max(sched.count, sched.limit)
        io.limit = max(0, most - processes - kept)
        self._kept_stat.limit = most - kept - max(io.count, io.limit)

    def _list(self) -> list[str]:
        try:
            found = os.listdir(self._directory)  # noqa: PTH208 - names are wanted
            return [name for name in found if name.isdecimal()]
        except (FileNotFoundError, NotADirectoryError):
            raise Absent(f"no {self._directory}") from None

    def _in_turn(self, names: list[str]) -> Iterable[str]:
        """Those to be read in this tick: all of them, unless there are too many."""
        if len(names) <= MOST_READ:
            return names
        begin = self._turn % len(names)
        self._turn = begin + MOST_READ
        return (names[begin:] + names[:begin])[:MOST_READ]

    def _forget_ended(self, names: list[str]) -> None:
        if len(self._processes) <= len(names) and all(map(self._processes.__contains__, names)):
            return
        for name in self._processes.keys() - set(names):
            self._processes.pop(name).close()

    def _explain(self, names: list[str]) -> None:
        notes = []
        if any(process.io_hidden for process in self._processes.values()):
            notes.append("input/output of other users' processes is hidden by permissions")
        if self._is_own and "1" not in self._processes:
            notes.append("other users' processes are hidden (hidepid)")
        if len(names) > MOST_READ:
            notes.append(f"{len(names)} processes: each is read every few ticks")
        self.note = "; ".join(notes)

    def _counts(self) -> dict[str, float]:
        states = Counter(map(attrgetter("state"), self._processes.values()))
        values = (len(self._processes), *(states[state] for state in STATES))
        return dict(zip(_KEYS, map(float, values), strict=True))

    def _rows(self, moment: float) -> list[Row]:
        if moment - self._accounts_due >= ACCOUNTS_SECONDS:
            self._accounts_due = moment
            self._accounts.refresh()
        return [self._row(process, moment) for process in self._top()]

    def _top(self) -> list[Process]:
        processes = self._processes.values()
        busy = [process for process in processes if process.cpu]
        moving = [process for process in processes if process.io]
        chosen = {
            process.pid: process
            for largest in (
                heapq.nlargest(TOP, busy, key=attrgetter("cpu")),
                heapq.nlargest(TOP, processes, key=attrgetter("rss_pages")),
                heapq.nlargest(TOP, moving, key=attrgetter("io")),
            )
            for process in largest
        }
        return sorted(
            chosen.values(),
            key=lambda process: (process.cpu or 0.0, process.rss_pages),
            reverse=True,
        )

    def _row(self, process: Process, moment: float) -> Row:
        process.read_identity(moment, command_line_wanted=self._command_lines)
        return {
            "pid": process.pid,
            "name": process.name,
            "user": "" if process.uid is None else self._accounts.name(process.uid),
            "state": process.state,
            "cpu": process.cpu,
            "rss": process.rss_pages * self._page_bytes,
            "io": process.io,
            "command": process.command,
        }
