"""Processors: /proc/stat.

Times are raw counters; shares are of the time between two reads.  ``user`` and ``nice``
already hold the guests' time, so that the guest columns are left out and nothing counts
twice.  Processors may come and go between two reads.
"""

from __future__ import annotations

import os

from monitor.collect.files import KeptFile, Root
from monitor.collect.tokens import by_name, counts
from monitor.model import Reading, key

STATES = ("user", "nice", "system", "idle", "iowait", "irq", "softirq", "steal")
"""The columns of a processor's line, in the kernel's order."""

MOST_PROCESSORS = 1024
"""How many processors have series of their own; the whole host counts them all."""

_IDLE = STATES.index("idle")
_IOWAIT = STATES.index("iowait")
_NICE = STATES.index("nice")
_NAN = float("nan")
_NO_TIME = [0.0] * len(STATES)

_COUNTERS = (
    (b"intr ", "system.cpu.interrupts"),
    (b"ctxt ", "system.cpu.context_switches"),
    (b"processes ", "system.processes.created"),
    (b"procs_running ", "system.tasks.running"),
    (b"procs_blocked ", "system.tasks.blocked"),
    (b"softirq ", "system.cpu.soft_interrupts"),
)


class Cpu:
    """Time and utilization of each processor and of the host, interrupts, switches, tasks."""

    name = "cpu"
    interval_seconds = 0.0
    budget_seconds = 0.1

    def __init__(self, root: Root) -> None:
        self.note = ""
        self._stat = KeptFile(root.proc("stat"))
        self._hertz = os.sysconf("SC_CLK_TCK")
        self._before: dict[bytes, list[float]] = {}
        self._topology: tuple[tuple[bytes, ...], tuple[str, ...]] = ((), ())
        self._keys: list[str] = []

    def collect(self, now: float) -> Reading:
        """Read /proc/stat.  Raises `ValueError` where it is not what the kernel writes."""
        del now
        content = self._stat.read()
        # The interrupts' line is tens of kilobytes on a large machine: it is cut off first
        # and only its first number, their sum, is looked at.
        end = content.find(b"\nintr ")
        times = _times(content[:end] if end >= 0 else content)
        found = _totals(content, end)
        online = len(times) - 1
        left_out = online - MOST_PROCESSORS
        self.note = f"{left_out} processors have no series of their own" if left_out > 0 else ""
        shown = tuple(times)[1 : MOST_PROCESSORS + 1]

        values = [spent / self._hertz for name in shown for spent in times[name]]
        host = _grown(self._before.get(b"cpu"), times[b"cpu"])
        values.append(_busy(host))
        values += [_busy(_grown(self._before.get(name), times[name])) for name in shown]
        values += _shares(host)
        values.append(_ordinary(host))
        values.append(float(online))
        values += found.values()
        self._before = times

        topology = (shown, tuple(found))
        if topology != self._topology:
            self._keys = _keys(shown, tuple(found))
            self._topology = topology
        return Reading(dict(zip(self._keys, values, strict=True)))

    def close(self) -> None:
        """Give back the descriptor."""
        self._stat.close()


def _times(head: bytes) -> dict[bytes, list[float]]:
    """Ticks in each state by the line's name: the whole host first, then each processor."""
    times: dict[bytes, list[float]] = {}
    for line in head.split(b"\n"):
        if not line.startswith(b"cpu"):
            continue
        tokens = line.split(None, len(STATES) + 1)
        name = tokens[0]
        if len(tokens) <= len(STATES) or not (name == b"cpu" or name[3:].isdigit()):
            raise ValueError("a processor's line in /proc/stat is not the kernel's")
        times[name] = counts(tokens[1 : len(STATES) + 1])
    if next(iter(times), b"") != b"cpu":
        raise ValueError("/proc/stat does not begin with the whole host's line")
    return times


def _totals(content: bytes, interrupts_at: int) -> dict[str, float]:
    """The counters after the processors' lines, those that this kernel has."""
    tail = content
    first: list[float | None] = [None]
    if interrupts_at >= 0:
        rest = content.find(b"\n", interrupts_at + 1)
        first = by_name(content[interrupts_at + 1 : interrupts_at + 64], (_COUNTERS[0][0],))
        tail = content[rest:] if rest >= 0 else b""
    others = by_name(tail, (prefix for prefix, _ in _COUNTERS[1:]))
    named = zip((name for _, name in _COUNTERS), first + others, strict=True)
    return {name: value for name, value in named if value is not None}


def _grown(before: list[float] | None, after: list[float]) -> list[float]:
    """The ticks in each state between two reads: none at the first.

    The kernel's idle and iowait may step back a little, and all begin again at 0 when a
    processor returns: what did not grow counts as no time.
    """
    if before is None:
        return _NO_TIME
    pairs = zip(before, after, strict=True)
    return [late - early if late > early else 0.0 for early, late in pairs]


def _busy(grown: list[float]) -> float:
    """The share that was neither idle nor waiting; NaN where no time passed."""
    total = sum(grown)
    return (total - grown[_IDLE] - grown[_IOWAIT]) / total if total > 0 else _NAN


def _ordinary(grown: list[float]) -> float:
    """The share that was busy with what was not told to stand back; NaN where no time passed."""
    total = sum(grown)
    idle = grown[_IDLE] + grown[_IOWAIT] + grown[_NICE]
    return (total - idle) / total if total > 0 else _NAN


def _shares(grown: list[float]) -> list[float]:
    """Each state's share; NaN where no time passed."""
    total = sum(grown)
    return [ticks / total if total > 0 else _NAN for ticks in grown]


def _keys(processors: tuple[bytes, ...], totals: tuple[str, ...]) -> list[str]:
    numbers = [name[3:].decode("ascii") for name in processors]
    utilization = "system.cpu.utilization"
    keys = [
        key("system.cpu.time", cpu=number, state=state) for number in numbers for state in STATES
    ]
    keys.append(utilization)
    keys += [key(utilization, cpu=number) for number in numbers]
    keys += [key(utilization, state=state) for state in STATES]
    keys.append("system.cpu.utilization.ordinary")
    keys.append("system.cpu.logical.count")
    keys += totals
    return keys
