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
        self._is_counted: bool | None = None

    def collect(self, now: float) -> Reading:
        """Look at the processes whose turn it is.  Raises `Absent` where none can be seen."""
        del now
        try:
            found = os.listdir(self._proc)  # noqa: PTH208 - names are wanted
            names = sorted(name for name in found if name.isdecimal())
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
                "name": self._name(usage),
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
                usage = self._usage(name)
            except PermissionError:
                self._found[name] = None
            except (OSError, ValueError):
                self._found.pop(name, None)
            else:
                if usage is not None:
                    self._found[name] = usage
        self._turn = begin + looked

    def _usage(self, name: str) -> Usage | None:
        """What this process has open; none where it has no limit.  Raises `OSError`."""
        directory = f"{self._proc}/{name}"
        content = read(f"{directory}/limits")
        at = content.find(_LIMIT)
        fields = content[at + len(_LIMIT) : at + 100].split(None, 1) if at >= 0 else []
        if not fields or not fields[0].isdigit():
            return None
        limit = int(fields[0])
        opened = self._opened(f"{directory}/fd")
        return Usage(int(name), opened, limit, opened / limit if limit else 1.0)

    def _opened(self, directory: str) -> int:
        """How many entries there are.  Since 6.2 the kernel has them counted: their size."""
        if self._is_counted is None:
            self._is_counted = _is_counted(self._proc)
        if self._is_counted:
            return Path(directory).stat().st_size
        return len(os.listdir(directory))  # noqa: PTH208 - a count is wanted

    def _name(self, usage: Usage) -> str:
        """Its name, empty where it has just ended."""
        try:
            found = read(f"{self._proc}/{usage.pid}/comm")[:64]
        except OSError:
            return ""
        return escape(found.decode(errors="backslashreplace").strip())


def _is_counted(proc: Path) -> bool:
    """Whether the size of a directory of descriptors is how many there are.

    Directories of a disk have sizes too, of another kind; /proc itself has none.
    """
    try:
        return proc.stat().st_size == 0 and (proc / "self/fd").stat().st_size > 0
    except OSError:
        return False
