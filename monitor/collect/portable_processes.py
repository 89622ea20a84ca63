"""Processes of hosts that are not Linux, from psutil, under the same KEYs.

psutil asks for each property of each process by itself, so that this is read seldom.
"""

from __future__ import annotations

import contextlib
import heapq
import math
import time
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

import psutil

from monitor.collect.files import Root
from monitor.collect.portable import require_own
from monitor.collect.secrets import command_line, escape
from monitor.model import Cell, Reading, Row, key

TOP = 15
"""How many processes each of the three orders brings into the table."""

_PROCESS_STATES: Mapping[str, str] = {
    psutil.STATUS_RUNNING: "running",
    psutil.STATUS_SLEEPING: "sleeping",
    psutil.STATUS_DISK_SLEEP: "blocked",
    psutil.STATUS_STOPPED: "stopped",
    psutil.STATUS_TRACING_STOP: "stopped",
    psutil.STATUS_ZOMBIE: "zombie",
    psutil.STATUS_IDLE: "idle",
}
STATES = ("running", "sleeping", "blocked", "stopped", "zombie", "idle")

_NAN = math.nan


class PortableProcesses:
    """Processes by state, and a table of the largest."""

    name = "portable_processes"
    interval_seconds = 5.0
    budget_seconds = 0.5

    def __init__(self, root: Root, command_lines: bool = True) -> None:
        self.note = ""
        self._root = root
        self._command_lines = command_lines
        self._before: dict[tuple[int, float], tuple[float, float | None, float]] = {}

    def collect(self, now: float) -> Reading:
        """Ask psutil for every process."""
        del now
        require_own(self._root)
        moment = time.monotonic()
        states: Counter[str] = Counter()
        seen: dict[tuple[int, float], tuple[float, float | None, float]] = {}
        rows: list[dict[str, Cell]] = []
        found: dict[int, psutil.Process] = {}
        for process in psutil.process_iter():
            try:
                row, identity, totals = self._read(process, moment)
            except psutil.Error:
                continue
            states[str(row["state"])] += 1
            seen[identity] = totals
            rows.append(row)
            found[process.pid] = process
        self._before = seen
        values = {"system.processes.count": float(len(rows))}
        for state in STATES:
            values[key("system.processes.count", state=state)] = float(states[state])
        top = _top(rows)
        for row in top:
            self._identify(row, found[int(row["pid"] or 0)])
        return Reading(values, {"processes": list[Row](top)})

    def close(self) -> None:
        """Nothing is kept."""

    def _read(
        self, process: psutil.Process, moment: float
    ) -> tuple[dict[str, Cell], tuple[int, float], tuple[float, float | None, float]]:
        with process.oneshot():
            identity = (process.pid, process.create_time())
            state = _PROCESS_STATES.get(process.status(), "")
            try:
                spent = sum(process.cpu_times()[:2])
                rss = process.memory_info().rss
            except (psutil.AccessDenied, psutil.ZombieProcess):
                spent, rss = _NAN, 0
            moved = _moved(process)
            name = escape(process.name()[:64])
        cpu = io = None
        before = self._before.get(identity)
        if before is not None and moment > before[2]:
            elapsed = moment - before[2]
            cpu = None if math.isnan(spent) else max(0.0, spent - before[0]) / elapsed
            if moved is not None and before[1] is not None:
                io = max(0.0, moved - before[1]) / elapsed
        row: dict[str, Cell] = {
            "pid": process.pid,
            "name": name,
            "user": "",
            "state": state,
            "cpu": cpu,
            "rss": rss,
            "io": io,
            "command": "",
        }
        return row, identity, (spent, moved, moment)

    def _identify(self, row: dict[str, Cell], process: psutil.Process) -> None:
        """Add the user and the command line of a process in the table."""
        with contextlib.suppress(psutil.Error, KeyError):
            row["user"] = escape(process.username()[:64])
        if self._command_lines:
            arguments: list[str] = []
            with contextlib.suppress(psutil.Error):
                arguments = process.cmdline()
            raw = "\0".join(arguments).encode(errors="surrogateescape")
            row["command"] = command_line(raw) if raw else f"[{row['name']}]"


def _moved(process: psutil.Process) -> float | None:
    """Bytes read and written, or none where that is hidden or not known on this system."""
    try:
        found = process.io_counters()
    except (AttributeError, NotImplementedError, psutil.Error):
        return None
    return float(found.read_bytes + found.write_bytes)


def _top(
    rows: list[dict[str, Cell]],
) -> list[dict[str, Cell]]:
    def by(column: str) -> Callable[[Mapping[str, Any]], float]:
        return lambda row: float(row[column] or 0.0)

    chosen = {
        row["pid"]: row
        for column in ("cpu", "rss", "io")
        for row in heapq.nlargest(TOP, rows, key=by(column))
        if column == "rss" or row[column]
    }
    return sorted(chosen.values(), key=lambda row: (by("cpu")(row), by("rss")(row)), reverse=True)
