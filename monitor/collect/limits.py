"""How near any process is to its own limit of open files.

A server that runs out of descriptors refuses connections long before the whole system has
none left.  Counting them is dear, so that processes are looked at seldom, a bounded number in
a run and for a bounded time, in turns.
"""

from __future__ import annotations

import heapq
import os
import time
from dataclasses import dataclass
from operator import attrgetter
from pathlib import Path

from monitor.collect.files import Root, read
from monitor.collect.secrets import escape
from monitor.errors import Absent
from monitor.model import Reading, Row

MOST_READ = 1_000
"""How many processes are looked at in one run."""

LONGEST_SECONDS = 0.1
"""How long one run looks at processes."""

TOP = 5
"""How many processes the table has."""

_UTILIZATION = "system.processes.file_descriptors.utilization"
_LIMIT = b"Max open files"


@dataclass(frozen=True, slots=True)
class Usage:
    """What one process has open, and may."""

    pid: int
    name: str
    open: int
    limit: int
    ratio: float


class Limits:
    """The highest share of its own soft limit that any process has open, and the top five."""

    name = "limits"
    interval_seconds = 30.0
    budget_seconds = 0.2

    def __init__(self, root: Root) -> None:
        self.note = ""
        self._proc = Path(root.proc(""))
        self._found: dict[str, Usage | None] = {}
        self._turn = 0

    def collect(self, now: float) -> Reading:
        """Look at the processes whose turn it is.  Raises `Absent` where none can be seen."""
        del now
        try:
            names = sorted(entry.name for entry in self._proc.iterdir() if entry.name.isdecimal())
        except (FileNotFoundError, NotADirectoryError):
            raise Absent(f"no {self._proc}") from None
        present = set(names)
        self._found = {name: usage for name, usage in self._found.items() if name in present}
        self._look(names)
        seen = [usage for usage in self._found.values() if usage is not None]
        hidden = len(self._found) - len(seen)
        self.note = f"{hidden} processes are hidden by permissions" if hidden else ""
        if not seen:
            raise Absent("no process shows how many files it has open")
        top = heapq.nlargest(TOP, seen, key=attrgetter("ratio"))
        rows: list[Row] = [
            {
                "pid": usage.pid,
                "name": usage.name,
                "open": usage.open,
                "limit": usage.limit,
                "ratio": usage.ratio,
            }
            for usage in top
        ]
        return Reading({_UTILIZATION: top[0].ratio}, {"limits": rows})

    def close(self) -> None:
        """Nothing is kept."""

    def _look(self, names: list[str]) -> None:
        begin = self._turn % len(names) if names else 0
        ends = time.monotonic() + LONGEST_SECONDS
        looked = 0
        for name in (names[begin:] + names[:begin])[:MOST_READ]:
            if time.monotonic() > ends:
                break
            looked += 1
            try:
                usage = _usage(self._proc / name)
            except PermissionError:
                self._found[name] = None
            except (OSError, ValueError):
                self._found.pop(name, None)
            else:
                if usage is not None:
                    self._found[name] = usage
        self._turn = begin + looked


def _usage(directory: Path) -> Usage | None:
    """What this process has open; none where it has no limit.  Raises `OSError`."""
    content = read(f"{directory}/limits")
    at = content.find(_LIMIT)
    fields = content[at + len(_LIMIT) : at + 100].split(None, 1) if at >= 0 else []
    if not fields or not fields[0].isdigit():
        return None
    limit = int(fields[0])
    opened = len(os.listdir(f"{directory}/fd"))  # noqa: PTH208 - a count is wanted
    name = escape(read(f"{directory}/comm")[:64].decode(errors="backslashreplace").strip())
    return Usage(int(directory.name), name, opened, limit, opened / limit if limit else 1.0)
