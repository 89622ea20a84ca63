"""Network interfaces: /proc/net/dev, and each link's speed and state from /sys.

The inner ends of containers' cables (``veth*``) are left out: what they carry is seen on the
bridge or the link.  Speed and state are read seldom, for some drivers ask the hardware.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from monitor.collect.files import KeptFile, Root, read_int, read_text
from monitor.collect.pace import Every
from monitor.collect.tokens import counts, label
from monitor.errors import Absent
from monitor.model import Reading, key

MOST_INTERFACES = 64
"""How many interfaces have series: those of hardware first, then in the kernel's order."""

LINK_SECONDS = 10.0
"""How often speed and state are read."""

SHARE_SECONDS = 60.0
"""The time of which the shares of bad packets are."""

FEWEST_PACKETS = 1000.0
"""Of fewer packets no share is made: it is 0, for one bad packet of ten says little."""

_COLUMNS = 16
_HEAD_LINES = 2
_BITS_PER_BYTE = 8
_BITS_PER_MEGABIT = 1e6
_NAN = float("nan")

_SHOWN = (
    (0, "io", "receive"),
    (8, "io", "transmit"),
    (1, "packets", "receive"),
    (9, "packets", "transmit"),
    (2, "errors", "receive"),
    (10, "errors", "transmit"),
    (3, "dropped", "receive"),
    (11, "dropped", "transmit"),
)
"""Which column of /proc/net/dev is which count."""


class Network:
    """Traffic, errors, drops, state, speed and utilization of each interface."""

    name = "network"
    interval_seconds = 0.0
    budget_seconds = 0.05

    def __init__(self, root: Root, clock: Callable[[], float] = time.monotonic) -> None:
        self.note = ""
        self._dev = KeptFile(root.net("dev"))
        self._links = root.sys("class/net")
        self._clock = clock
        self._read_at = 0.0
        self._links_due = Every(LINK_SECONDS)
        self._names: tuple[bytes, ...] = ()
        self._interfaces: dict[bytes, _Interface] = {}

    def collect(self, now: float) -> Reading:
        """Read /proc/net/dev.  Raises `ValueError` where it is not what the kernel writes."""
        rows = _rows(self._dev.read())
        moment = self._clock()
        elapsed = moment - self._read_at
        self._read_at = moment
        names = tuple(rows)
        if names != self._names:
            self._choose(names)
            self._names = names
        if self._links_due.due(now):
            self._read_links(self._interfaces.values())
        if not self._interfaces:
            raise Absent("this machine has no network interface")
        values: dict[str, float] = {}
        for name, interface in self._interfaces.items():
            interface.add(values, counts(rows[name].split(None, _COLUMNS)[:_COLUMNS]), elapsed)
        return Reading(values)

    def close(self) -> None:
        """Give back the descriptor."""
        self._dev.close()

    def _choose(self, names: tuple[bytes, ...]) -> None:
        """Settle which interfaces have series; called when the list has changed."""
        chosen = names
        left_out = len(names) - MOST_INTERFACES
        if left_out > 0:
            hardware = {name for name in names if os.access(self._device(name), os.F_OK)}
            chosen = tuple(sorted(names, key=lambda name: name not in hardware))
        known = self._interfaces
        self._interfaces = {}
        new: list[_Interface] = []
        for name in chosen[:MOST_INTERFACES]:
            interface = known.get(name)
            if interface is None:
                interface = _Interface(label(name))
                new.append(interface)
            self._interfaces[name] = interface
        self._read_links(new)
        self.note = f"{left_out} interfaces are left out" if left_out > 0 else ""

    def _device(self, name: bytes) -> str:
        return f"{self._link(label(name))}/device"

    def _link(self, interface: str) -> str:
        # The kernel allows no slash in a name, and neither do we where a path is made of it.
        return f"{self._links}/{interface.replace('/', '!')}"

    def _read_links(self, interfaces: Iterable[_Interface]) -> None:
        for interface in interfaces:
            folder = self._link(interface.name)
            megabits = read_int(f"{folder}/speed")
            known = megabits is not None and megabits > 0
            interface.speed = megabits * _BITS_PER_MEGABIT if known and megabits else _NAN
            interface.has_speed = interface.has_speed or known
            interface.up = _is_up(folder, interface.name)


def _rows(content: bytes) -> dict[bytes, bytes]:
    """Each interface's columns, by its name, in the kernel's order."""
    rows: dict[bytes, bytes] = {}
    lines = content.split(b"\n")
    if len(lines) <= _HEAD_LINES or b"|" not in lines[0]:
        raise ValueError("/proc/net/dev does not begin with its heading")
    for line in lines[_HEAD_LINES:]:
        # No name has a colon or a space, but the first number may follow the colon at once.
        name, colon, columns = line.rpartition(b":")
        name = name.strip()
        if not line:
            continue
        if not colon or not name:
            raise ValueError("a line of /proc/net/dev names no interface")
        if not name.startswith(b"veth"):
            rows[name] = columns
    return rows


def _is_up(folder: str, name: str) -> float | None:
    """1 where the link is up, 0 where it is not, none where /sys does not know it."""
    state = read_text(f"{folder}/operstate")
    if not state:
        return None
    if state != "unknown":
        return float(state == "up")
    # Loopback, tunnels and some drivers never say more than "unknown"; their carrier can be
    # read only while they are up.
    return float(name == "lo" or read_int(f"{folder}/carrier") == 1)


@dataclass(slots=True)
class _Interface:
    """One interface: its KEYs, its link, and its last count of bytes."""

    name: str
    up: float | None = None
    speed: float = _NAN
    has_speed: bool = False
    before: tuple[float, float] | None = None
    marked: list[float] | None = None
    """The columns of which the present shares are made when their time is over."""
    marked_seconds: float = 0.0
    bad_shares: tuple[float, float] = (_NAN, _NAN)
    keys: tuple[str, ...] = field(init=False)
    up_key: str = field(init=False)
    speed_keys: tuple[str, str] = field(init=False)
    bad_keys: tuple[str, str] = field(init=False)

    def __post_init__(self) -> None:
        self.keys = tuple(
            key(f"system.network.{name}", interface=self.name, direction=direction)
            for _, name, direction in _SHOWN
        )
        self.up_key = key("system.network.up", interface=self.name)
        self.speed_keys = (
            key("system.network.speed", interface=self.name),
            key("system.network.utilization", interface=self.name),
        )
        self.bad_keys = (
            key("system.network.errors.ratio", interface=self.name),
            key("system.network.dropped.ratio", interface=self.name),
        )

    def add(self, values: dict[str, float], columns: list[float], elapsed: float) -> None:
        """Add this interface's values.  Raises `ValueError` where columns are missing."""
        if len(columns) != _COLUMNS:
            raise ValueError("a line of /proc/net/dev has too few columns")
        for text, (column, _, _) in zip(self.keys, _SHOWN, strict=True):
            values[text] = columns[column]
        if self.up is not None:
            values[self.up_key] = self.up
        carried = (columns[0], columns[8])
        if self.has_speed:
            # A speed that was known and is not now is a link that is down, not one gone.
            values[self.speed_keys[0]] = self.speed
            values[self.speed_keys[1]] = self._utilization(carried, elapsed)
        self.before = carried
        self._note_bad(columns, elapsed)
        values[self.bad_keys[0]], values[self.bad_keys[1]] = self.bad_shares

    def _note_bad(self, columns: list[float], elapsed: float) -> None:
        """Once the time is over, tell what share of it was in error and dropped."""
        if self.marked is None:
            self.marked, self.marked_seconds = columns, 0.0
            return
        self.marked_seconds += elapsed
        if self.marked_seconds < SHARE_SECONDS:
            return
        grown = [late - early for early, late in zip(self.marked, columns, strict=True)]
        self.bad_shares = (
            max(_bad_share(grown[2], grown[1]), _bad_share(grown[10], grown[9])),
            max(_bad_share(grown[3], grown[1]), _bad_share(grown[11], grown[9])),
        )
        self.marked, self.marked_seconds = columns, 0.0

    def _utilization(self, carried: tuple[float, float], elapsed: float) -> float:
        if self.before is None or elapsed <= 0:
            return _NAN
        received, transmitted = carried[0] - self.before[0], carried[1] - self.before[1]
        if received < 0 or transmitted < 0:
            return _NAN
        # Without a speed now the share is NaN, and min() keeps a NaN that stands first.
        return min(max(received, transmitted) * _BITS_PER_BYTE / elapsed / self.speed, 1.0)


def _bad_share(bad: float, packets: float) -> float:
    """What share of these packets was bad; 0 of few, or where a counter went back."""
    whole = bad + packets
    return bad / whole if bad > 0 and packets >= 0 and whole >= FEWEST_PACKETS else 0.0
