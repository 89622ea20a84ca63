"""The same samples by remote write into this server, Prometheus and VictoriaMetrics, in turns.

Requests are made once a round and are byte for byte the same for all three: one sample of each of
so many series, six labels each, protobuf in snappy, as a Prometheus sends what it has scraped.
What is told of a receiver is what its own process used from the first request to the last, and a
moment after.
"""

from __future__ import annotations

import http.client
import json
import math
import socket
import statistics
import sys
import tempfile
import time
import urllib.parse
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import cramjam
import numpy as np

from bench.door.house import house
from bench.ingest.fleet import PLACE
from bench.ingest.hosts import Values, keys
from bench.recording import Floats
from bench.store.peer import NotFetched
from bench.store.peers import Prometheus, VictoriaMetrics
from bench.store.samples import Samples
from bench.stream.accounts import cpu

SERIES_A_REQUEST = 2_000
"""What Prometheus sends at once by default in its later versions; 500 in that of Debian 12."""

SERIES_OF_A_HOST = 100
CONNECTIONS = 4
"""Requests under way at once: Prometheus begins with one and adds more when it lags."""

AHEAD_SECONDS = 45.0
"""How far the last instant of a round lies ahead when it begins: ours takes what is a minute ahead
at most, and what is late by half a minute it treats as history, as none of this should be."""

STEP_SECONDS = 0.5
"""Between instants, so that a round does not need to wait for long until it may begin."""

AFTER_SECONDS = 1.0
"""What a receiver does within so long of the last answer counts too."""

SETTLED_SECONDS = 12.0
"""Our server looks over its files ten seconds after it has started; the others did before."""

ANSWER_SECONDS = 60.0

NODE_MODES = ("user", "nice", "system", "idle", "iowait", "irq", "softirq", "steal")
NODE_CPU_SERIES = 8 * len(NODE_MODES)
NODE_NAMES = (
    *("disk_read_bytes_total", "disk_written_bytes_total", "disk_reads_completed_total"),
    *("disk_writes_completed_total", "disk_io_time_seconds_total", "network_receive_bytes_total"),
    *("network_transmit_bytes_total", "network_receive_packets_total"),
)

OURS = "awoooi-monitor"

CHECKED = 20
"""Series that are read back."""

INSTANTS_ASKED = 200
"""Of one question, a bucket each."""


@dataclass(frozen=True)
class Plan:
    """How much is written."""

    series: int
    instants: int
    """Of a round."""
    rounds: int


@dataclass
class Receiver:
    """One of the three, running."""

    name: str
    port: int
    pid: int
    rates: list[float] = field(default_factory=list)
    """Samples for each second of processor time, a round each."""
    firsts: float = 0.0
    """The same when the series were new."""
    seconds: list[float] = field(default_factory=list)
    fault: str = ""


@dataclass(frozen=True)
class Row:
    """What came of a receiver."""

    name: str
    per_cpu_second: float
    new_per_cpu_second: float
    per_second: float
    rss_mib: float
    found: str
    """How many of the samples that were looked for are there as they were sent."""


def compared(plan: Plan) -> Iterator[Row]:
    """Each receiver's medians."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix=".bench-", dir=PLACE)))
        receivers = list(_receivers(stack, folder))
        time.sleep(SETTLED_SECONDS)
        requests = Requests(plan.series)
        written: list[float] = []
        for number in range(plan.rounds + 1):
            count = plan.instants if number else 1
            first = max((written or [0.0])[-1] + STEP_SECONDS, math.floor(time.time()))
            instants = first + STEP_SECONDS * np.arange(count)
            time.sleep(max(0.0, float(instants[-1]) - AHEAD_SECONDS - time.time()))
            bodies = [requests.made(float(at)) for at in instants]
            turn = number % len(receivers)
            for receiver in (*receivers[turn:], *receivers[:turn]):
                _measure(receiver, bodies, plan, count, is_first=not number)
            written += instants.tolist()
        for receiver in receivers:
            if receiver.fault:
                print(f"{receiver.name}: {receiver.fault}", file=sys.stderr)
                continue
            yield _row(receiver, requests, written)


def _measure(
    receiver: Receiver,
    bodies: Sequence[Sequence[bytes]],
    plan: Plan,
    count: int,
    *,
    is_first: bool,
) -> None:
    if receiver.fault:
        return
    used, began = cpu([receiver.pid]), time.monotonic()
    try:
        with _sockets(receiver.port) as sockets:
            for requests in bodies:
                _post(receiver.port, sockets, requests)
    except (OSError, RuntimeError) as error:
        receiver.fault = str(error)[-500:]
        return
    took = time.monotonic() - began
    time.sleep(AFTER_SECONDS)
    rate = plan.series * count / (cpu([receiver.pid]) - used)
    if is_first:
        receiver.firsts = rate
    else:
        receiver.rates.append(rate)
        receiver.seconds.append(plan.series * count / took)


def _row(receiver: Receiver, requests: Requests, written: Sequence[float]) -> Row:
    rss = next(
        int(line.split()[1]) / 1024
        for line in Path(f"/proc/{receiver.pid}/status").read_text().splitlines()
        if line.startswith("VmHWM")
    )
    there = 0
    for number in np.linspace(0, len(requests.pairs) - 1, CHECKED).astype(int).tolist():
        given = requests.given(number)
        if receiver.name == OURS:
            found = _ours(receiver.port, requests.pairs[number], written)
        else:
            found = _peers(receiver.port, requests.pairs[number], written)
        there += len(given) == len(found) and bool(np.allclose(given, found, rtol=1e-12))
    return Row(
        receiver.name,
        statistics.median(receiver.rates),
        receiver.firsts,
        statistics.median(receiver.seconds),
        rss,
        f"{there} of {CHECKED} series whole",
    )


def _receivers(stack: ExitStack, folder: Path) -> Iterator[Receiver]:
    server = stack.enter_context(house(place=PLACE))
    yield Receiver(OURS, server.port, server.pid)
    # What a peer of the store's bench wants to know of what it will get.
    samples = Samples("", "", ("up",), ("none",), 3_600, 1.0, time.time())
    for kind in (VictoriaMetrics, Prometheus):
        try:
            peer = kind(folder / kind.program)
        except NotFetched as error:
            print(f"left out: {error}", file=sys.stderr)
            continue
        peer.start(samples)
        stack.callback(peer.close)
        yield Receiver(kind.name, peer.port, peer.pid)


class Requests:
    """So many series, and the requests that carry a sample of each.

    `labels` says those of a series by its number, `SERIES_OF_A_HOST` of which are a host's.
    """

    def __init__(self, series: int, labels: Callable[[int], dict[str, str]] | None = None) -> None:
        hosts = -(-series // SERIES_OF_A_HOST)
        self.pairs = [(labels or _labels)(number) for number in range(series)]
        self._labels = [b"".join(_pair(*each) for each in sorted(pairs)) for pairs in
                        (each.items() for each in self.pairs)]  # fmt: skip
        self._values = Values(hosts, keys(SERIES_OF_A_HOST))
        self._given: list[Floats] = []

    def given(self, number: int) -> Floats:
        """What was sent of a series so far."""
        return np.array([row[number] for row in self._given])

    def made(self, at: float) -> list[bytes]:
        """The requests of one instant."""
        hosts = np.arange(-(-len(self.pairs) // SERIES_OF_A_HOST))
        row = self._values.next(hosts).ravel()[: len(self.pairs)]
        self._given.append(row)
        cells = row.astype("<f8").tobytes()
        stamp = b"\x10" + varint(round(at * 1e3))
        sample = varint(9 + len(stamp))
        tail = b"\x12" + sample + b"\x09"
        bodies = []
        for start in range(0, len(row), SERIES_A_REQUEST):
            body = bytearray()
            for place in range(start, min(len(row), start + SERIES_A_REQUEST)):
                labels = self._labels[place]
                one = tail + cells[8 * place : 8 * place + 8] + stamp
                body += b"\x0a" + varint(len(labels) + len(one)) + labels + one
            bodies.append(bytes(cramjam.snappy.compress_raw(bytes(body))))
        return bodies


def _labels(number: int) -> dict[str, str]:
    host, column = divmod(number, SERIES_OF_A_HOST)
    return {
        "__name__": f"bench_{'requests_total' if column % 2 else 'level_bytes'}",
        "column": f"{column:03d}",
        "env": "production",
        "host": f"web-{host:04d}",
        "instance": f"web-{host:04d}:9100",
        "job": "bench",
    }


def node_exporters(number: int) -> dict[str, str]:
    """The labels of series as node_exporter calls them, which become the catalog's here."""
    host, column = divmod(number, SERIES_OF_A_HOST)
    target = {"instance": f"web-{host:04d}:9100", "job": "node", "env": "production"}
    if column < NODE_CPU_SERIES:
        cpu, mode = divmod(column, len(NODE_MODES))
        name = "node_cpu_seconds_total"
        return {"__name__": name, "cpu": str(cpu), "mode": NODE_MODES[mode], **target}
    name = NODE_NAMES[(column - NODE_CPU_SERIES) % len(NODE_NAMES)]
    device = f"sd{'abcdefgh'[(column - NODE_CPU_SERIES) // len(NODE_NAMES)]}"
    return {"__name__": f"node_{name}", "device": device, **target}


def _pair(name: str, value: str) -> bytes:
    inner = _field(0x0A, name.encode()) + _field(0x12, value.encode())
    return _field(0x0A, inner)


def _field(tag: int, content: bytes) -> bytes:
    return bytes([tag]) + varint(len(content)) + content


def varint(number: int) -> bytes:
    """A number as protobuf writes it."""
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


@contextmanager
def _sockets(port: int) -> Iterator[list[socket.socket]]:
    sockets = [
        socket.create_connection(("127.0.0.1", port), ANSWER_SECONDS) for _ in range(CONNECTIONS)
    ]
    try:
        for each in sockets:
            each.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        yield sockets
    finally:
        for each in sockets:
            each.close()


def _post(port: int, sockets: Sequence[socket.socket], bodies: Sequence[bytes]) -> None:
    """Send these, one over each connection at a time.

    Raises `RuntimeError` where one is refused.
    """
    head = (
        f"POST /api/v1/write HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nUser-Agent: bench\r\n"
        "Content-Type: application/x-protobuf\r\nContent-Encoding: snappy\r\n"
        "X-Prometheus-Remote-Write-Version: 0.1.0\r\nContent-Length: "
    )
    for start in range(0, len(bodies), len(sockets)):
        group = bodies[start : start + len(sockets)]
        for each, body in zip(sockets, group, strict=False):
            each.sendall(f"{head}{len(body)}\r\n\r\n".encode() + body)
        for each, _ in zip(sockets, group, strict=False):
            said = each.recv(65_536)
            if not said.startswith((b"HTTP/1.1 204", b"HTTP/1.1 200")):
                raise RuntimeError(said.decode(errors="replace"))


def _get(port: int, path: str, query: Sequence[tuple[str, object]]) -> bytes:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=ANSWER_SECONDS)
    try:
        connection.request("GET", f"{path}?{urllib.parse.urlencode(query)}")
        answer = connection.getresponse()
        body = answer.read()
        if answer.status != 200:
            raise RuntimeError(f"{path}: {answer.status} {body[:300]!r}")
        return body
    finally:
        connection.close()


def _ours(port: int, labels: Mapping[str, str], written: Sequence[float]) -> list[float]:
    """The values at these instants, which are on the beat, by the API that pages use."""
    host = labels["host"]
    texts = json.loads(_get(port, f"/api/v1/hosts/{host}/series", ()))
    name, column = labels["__name__"], f'column="{labels["column"]}"'
    key = next(
        each["key"]
        for each in texts
        if each["key"].startswith(name + "{") and column in each["key"]
    )
    found: list[float] = []
    for first, last in _stretches(written):
        query = [
            ("host", host), ("metric", key), ("start", first), ("end", last + STEP_SECONDS),
            ("points", round((last - first) / STEP_SECONDS) + 1), ("raw", 1),
        ]  # fmt: skip
        series = json.loads(_get(port, "/api/v1/history", query))["series"][0]
        found += [value for value in series["avg"] if value is not None]
    return found


def _stretches(written: Sequence[float]) -> Iterator[tuple[float, float]]:
    """The first and the last of instants that follow each other, of a few at a time."""
    first = last = written[0]
    for at in written[1:]:
        if at - last > STEP_SECONDS or at - first >= INSTANTS_ASKED * STEP_SECONDS:
            yield first, last
            first = at
        last = at
    yield first, last


def _peers(port: int, labels: Mapping[str, str], written: Sequence[float]) -> list[float]:
    selector = f'{labels["__name__"]}{{host="{labels["host"]}",column="{labels["column"]}"}}'
    span = round((written[-1] - written[0] + 1) * 1e3)
    query = [("query", f"{selector}[{span}ms]"), ("time", written[-1])]
    found = json.loads(_get(port, "/api/v1/query", query))["data"]["result"]
    return [float(value) for _, value in found[0]["values"]] if found else []
