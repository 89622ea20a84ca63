"""Sockets and the protocols' counters: /proc/net/sockstat, snmp and netstat.

Sums that the kernel keeps anyway.  Never /proc/net/tcp: walking every connection costs
milliseconds on a quiet machine and seconds on a busy one.  Even these sums the kernel adds up
over all processors at each reading, which makes them the dearest of the plain files.
"""

from __future__ import annotations

from monitor.collect.files import KeptFile, Root
from monitor.collect.tokens import by_name, count
from monitor.errors import Absent
from monitor.model import Reading, key

_KINDS = {
    b"sockets:": (b"used",),
    b"TCP:": (b"inuse", b"orphan", b"tw", b"alloc", b"mem"),
    b"UDP:": (b"inuse", b"mem"),
    b"RAW:": (b"inuse",),
    b"FRAG:": (b"inuse",),
    b"TCP6:": (b"inuse",),
    b"UDP6:": (b"inuse",),
}
"""What of each line of sockstat and sockstat6 is shown."""

_SOCKETS = {
    (protocol, what): key(
        "system.network.sockets", kind=f"{protocol[:-1].decode().lower()}.{what.decode()}"
    )
    for protocol, kinds in _KINDS.items()
    for what in kinds
}

_TCP = (
    (b"CurrEstab", "system.network.tcp.established"),
    (b"InSegs", key("system.network.tcp.segments", direction="receive")),
    (b"OutSegs", key("system.network.tcp.segments", direction="transmit")),
    (b"RetransSegs", "system.network.tcp.retransmits"),
    (b"OutRsts", "system.network.tcp.resets"),
)
_UDP = (
    (b"InDatagrams", key("system.network.udp.datagrams", direction="receive")),
    (b"OutDatagrams", key("system.network.udp.datagrams", direction="transmit")),
    (b"RcvbufErrors", key("system.network.udp.errors", kind="receive_buffer")),
    (b"SndbufErrors", key("system.network.udp.errors", kind="send_buffer")),
    (b"InCsumErrors", key("system.network.udp.errors", kind="checksum")),
    (b"NoPorts", key("system.network.udp.errors", kind="no_port")),
)
_UDP6 = tuple(b"Udp6" + name + b" " for name, _ in _UDP)
_TCP_EXTENDED = ((b"ListenOverflows", "system.network.tcp.listen_overflows"),)

_MISSING = "this kernel has no network protocols"

_Wanted = tuple[tuple[bytes, str], ...]


class Sockets:
    """Sockets by kind, TCP's and UDP's counters.  UDP counts both internet protocols."""

    name = "sockets"
    interval_seconds = 5.0
    budget_seconds = 0.05

    def __init__(self, root: Root) -> None:
        self.note = ""
        self._sockstats = (KeptFile(root.net("sockstat")), KeptFile(root.net("sockstat6")))
        self._snmp = KeptFile(root.net("snmp"), _MISSING)
        self._snmp6 = KeptFile(root.net("snmp6"))
        self._netstat = KeptFile(root.net("netstat"))
        self._tcp = _Table(b"Tcp:", _TCP)
        self._udp = _Table(b"Udp:", _UDP)
        self._extended = _Table(b"TcpExt:", _TCP_EXTENDED)

    def collect(self, now: float) -> Reading:
        """Read them.  Raises `Absent` where none exists, `ValueError` where one is garbage."""
        del now
        values: dict[str, float] = {}
        for file in self._sockstats:
            _add_sockets(values, _content(file))
        snmp = _content(self._snmp)
        self._tcp.add(values, snmp)
        self._udp.add(values, snmp)
        snmp6 = _content(self._snmp6)
        if snmp6:
            for (_, text), value in zip(_UDP, by_name(snmp6, _UDP6), strict=True):
                if value is not None:
                    values[text] = values.get(text, 0.0) + value
        self._extended.add(values, _content(self._netstat))
        if not values:
            self._snmp.read()  # which says why, where the file is missing or hidden
            raise Absent(_MISSING)
        return Reading(values)

    def close(self) -> None:
        """Give back the descriptors."""
        for file in (*self._sockstats, self._snmp, self._snmp6, self._netstat):
            file.close()


class _Table:
    """A protocol's line of names and the line of numbers below it, as in snmp and netstat."""

    def __init__(self, protocol: bytes, wanted: _Wanted) -> None:
        self._protocol = protocol
        self._wanted = wanted
        self._head = b""
        self._columns: tuple[tuple[int, str], ...] = ()

    def add(self, values: dict[str, float], content: bytes) -> None:
        """Add what of the wanted columns there is; nothing where the protocol is missing."""
        lines = b"\n" + content + b"\n"
        at = lines.find(b"\n" + self._protocol)
        if at < 0:
            return
        end = lines.find(b"\n", at + 1)
        head, row = lines[at + 1 : end], lines[end + 1 : lines.find(b"\n", end + 1)]
        if head != self._head:
            names = head.split()
            self._columns = tuple(
                (names.index(name), text) for name, text in self._wanted if name in names
            )
            self._head = head
        tokens = row.split()
        if not tokens or tokens[0] != self._protocol:
            raise ValueError("a line of names in a protocol table has no numbers below it")
        for column, text in self._columns:
            if column >= len(tokens):
                raise ValueError("a protocol table has fewer numbers than names")
            values[text] = count(tokens[column])


def _content(file: KeptFile) -> bytes:
    """The file, or nothing where this kernel lacks it (IPv6, say)."""
    try:
        return file.read()
    except Absent:
        return b""


def _add_sockets(values: dict[str, float], content: bytes) -> None:
    for line in content.split(b"\n"):
        protocol, *pairs = line.split() or [b""]
        if protocol not in _KINDS:
            continue
        for what, number in zip(pairs[::2], pairs[1::2], strict=True):
            text = _SOCKETS.get((protocol, what))
            if text is not None:
                values[text] = count(number)
