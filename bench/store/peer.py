"""What VictoriaMetrics and Prometheus have in common: a process, remote write, questions over HTTP.

Their processes alone are what is counted.  Reading an answer counts, parsing it does not.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
import subprocess
import time
import urllib.parse
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path

from bench.store import wire
from bench.store.samples import Samples
from bench.store.shapes import Fed, Question, Weight
from bench.tables import cpu_seconds
from tests.nginx import SERVERS

START_SECONDS = 120.0
"""How long a peer may take until it answers."""

END_SECONDS = 60.0
"""How long it may take to write down what it holds."""

SETTLE_SECONDS = 240.0
"""How long it may take until it has nothing more to do."""

LOOK_SECONDS = 0.01

IDLE_SECONDS, IDLE_CPU = 1.0, 0.04
"""It has nothing to do where it used no more processor time than this in so many seconds."""

CONNECTIONS = 8
"""Requests under way at once, at most."""

ROWS_AT_ONCE = 100
"""Rows of a host in a large request: some 200 KB."""

ANSWER_SECONDS = 300.0


class NotFetched(Exception):
    """`tools/servers.sh bench` has not been run, or could not fetch it."""


class _Senders:
    """Some connections, over each of which a request is under way."""

    def __init__(self, port: int, connections: int) -> None:
        self._head = f"Host: 127.0.0.1:{port}\r\nContent-Encoding: snappy\r\n"
        self._sockets = [
            socket.create_connection(("127.0.0.1", port), ANSWER_SECONDS)
            for _ in range(connections)
        ]

    def post(self, path: str, bodies: Iterable[bytes]) -> None:
        """Send all of these.  Raises `RuntimeError` where one is refused."""
        waiting = iter(bodies)
        while group := list(islice(waiting, len(self._sockets))):
            for its, body in zip(self._sockets, group, strict=False):
                head = f"POST {path} HTTP/1.1\r\n{self._head}Content-Length: {len(body)}\r\n\r\n"
                its.sendall(head.encode() + body)
            for its, _ in zip(self._sockets, group, strict=False):
                said = its.recv(65_536)
                if not said.startswith((b"HTTP/1.1 204", b"HTTP/1.1 200")):
                    raise RuntimeError(said.decode(errors="replace")[:500])

    def close(self) -> None:
        """Close them."""
        for its in self._sockets:
            its.close()


class Peer:
    """What both have in common.  See `bench.store.shapes.Store`."""

    name = ""
    program = ""
    write_path = "/api/v1/write"

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._binary = SERVERS / self.program / "usr" / "bin" / self.program
        if not self._binary.is_file():
            raise NotFetched(f"{self.name} is not there: `sh tools/servers.sh bench` fetches it")
        folder.mkdir(parents=True, exist_ok=True)
        self._labels: dict[str, list[bytes]] = {}

    @property
    def pid(self) -> int:
        """Its process, once it has started."""
        return self._process.pid

    @property
    def port(self) -> int:
        """Where it listens, once it has started."""
        return self._port

    def options(self, data: Path, port: int, samples: Samples) -> list[str]:
        """The words after the program's name."""
        raise NotImplementedError

    def start(self, samples: Samples, question: Question | None = None) -> float:
        """Start it, and wait for its first answer."""
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self._port = int(free.getsockname()[1])
        libraries = {str(path.parent) for path in (SERVERS / self.program).rglob("lib*.so*")}
        line = [str(self._binary), *self.options(self._folder / "data", self._port, samples)]
        began = time.perf_counter()
        with (self._folder / "output.log").open("ab") as output:
            self._process = subprocess.Popen(
                line,
                env={"LD_LIBRARY_PATH": ":".join(sorted(libraries))},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )
        first = question or Question(samples.hosts[:1], (0,), samples.start, samples.end, 10)
        while True:
            with contextlib.suppress(OSError, RuntimeError, http.client.HTTPException):
                self._connect()
                if self._answers(first, there=question is not None):
                    return time.perf_counter() - began
            if self._process.poll() is not None or time.perf_counter() - began > START_SECONDS:
                said = (self._folder / "output.log").read_text(errors="replace")[-2_000:]
                raise RuntimeError(f"{self.name} does not answer:\n{said}")
            time.sleep(LOOK_SECONDS)

    def _connect(self) -> None:
        self._http = http.client.HTTPConnection("127.0.0.1", self._port, timeout=ANSWER_SECONDS)

    def _answers(self, question: Question, *, there: bool) -> bool:
        """Whether it answers, with values if there must be some."""
        said = json.loads(self._question(question))
        return not there or bool(said["data"]["result"])

    def _get(self, path: str, **fields: object) -> bytes:
        headers = {"Content-Type": "application/x-www-form-urlencoded"}
        self._http.request("POST", path, urllib.parse.urlencode(fields), headers)
        answer = self._http.getresponse()
        body = answer.read()
        if answer.status not in {200, 204}:
            raise RuntimeError(f"{self.name}: {answer.status} {body[:500]!r}")
        return body

    def feed(self, samples: Samples, first: int, last: int, *, singly: bool) -> Fed:
        """Send these rows by remote write."""
        last = min(last, samples.rows)
        # Never two requests of one host at once: its rows have to come in order.
        senders = _Senders(self._port, min(CONNECTIONS, len(samples.hosts)))
        cpu, began = cpu_seconds(self._process.pid), time.perf_counter()
        senders.post(self.write_path, self._bodies(samples, first, last, singly=singly))
        senders.close()
        spent = cpu_seconds(self._process.pid) - cpu
        count = len(samples.hosts) * (last - first) * len(samples.keys)
        return Fed(count, spent, time.perf_counter() - began)

    def _bodies(self, samples: Samples, first: int, last: int, *, singly: bool) -> Iterator[bytes]:
        for row in range(first, last, 1 if singly else ROWS_AT_ONCE):
            until = min(last, row + (1 if singly else ROWS_AT_ONCE))
            for number, host in enumerate(samples.hosts):
                if host not in self._labels:
                    keys = enumerate(samples.keys)
                    self._labels[host] = [wire.labels(host, *each) for each in keys]
                yield wire.request(self._labels[host], *samples.stretch(number, row, until))

    def settle(self) -> Fed:
        """Have it compact what it holds."""
        cpu, began = cpu_seconds(self._process.pid), time.perf_counter()
        self.finish()
        return Fed(0, cpu_seconds(self._process.pid) - cpu, time.perf_counter() - began)

    def finish(self) -> None:
        """Have it write down and compact what it holds."""
        raise NotImplementedError

    def idle(self) -> None:
        """Wait until it has nothing to do."""
        until = time.monotonic() + SETTLE_SECONDS
        while time.monotonic() < until:
            before = cpu_seconds(self._process.pid)
            time.sleep(IDLE_SECONDS)
            if cpu_seconds(self._process.pid) - before <= IDLE_CPU:
                return
        raise RuntimeError(f"{self.name} finds no end in {SETTLE_SECONDS:.0f} s")

    def sizes(self) -> Mapping[str, int]:
        """Bytes on disk, by what they are."""
        raise NotImplementedError

    def ask(self, questions: Sequence[Question]) -> list[float]:
        """Ask these over HTTP."""
        waits = []
        for question in questions:
            began = time.perf_counter()
            self._question(question)
            waits.append((time.perf_counter() - began) * 1e3)
        return waits

    def _question(self, question: Question) -> bytes:
        if not question.points:
            return self.rows(question)
        step = (question.end - question.start) / question.points
        return self._get(
            "/api/v1/query_range",
            query=f"avg_over_time({selector(question)}[{round(step)}s])",
            start=question.start + step,
            end=question.end,
            step=f"{step:.3f}",
            nocache="1",  # a range asked for before would come from VictoriaMetrics' own cache
        )

    def rows(self, question: Question) -> bytes:
        """Every sample as it was stored."""
        raise NotImplementedError

    def values(self, host: str, column: int, start: float, end: float) -> list[float]:
        """Every value of a series in [start, end)."""
        return self.parsed(self.rows(Question((host,), (column,), start, end, 0)))

    def parsed(self, body: bytes) -> list[float]:
        """The values in an answer of one series."""
        raise NotImplementedError

    def weight(self) -> Weight:
        """What its process weighs."""
        return weight(self._process.pid)

    def close(self) -> None:
        """End it by a signal, so that it writes down what it holds."""
        self._http.close()
        self._process.terminate()
        try:
            self._process.wait(END_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def selector(question: Question) -> str:
    """The series of a question, as both peers read it."""
    hosts = "|".join(host.replace(".", "\\\\.") for host in question.hosts)
    columns = "|".join(f"{column:03}" for column in question.columns)
    if len(question.hosts) == 1 and len(question.columns) == 1:
        return f'{{host="{question.hosts[0]}",column="{columns}"}}'
    return f'{{host=~"{hosts}",column=~"{columns}"}}'


def weight(pid: int) -> Weight:
    """What a process weighs."""
    kib = {}
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        name, _, value = line.partition(":")
        if name in {"VmRSS", "VmHWM"}:
            kib[name] = int(value.split()[0])
    return Weight(kib["VmRSS"] / 1024, kib["VmHWM"] / 1024)


def size(folder: Path) -> int:
    """Bytes of all files below a folder."""
    total = 0
    for path in folder.rglob("*"):
        with contextlib.suppress(FileNotFoundError):  # a merge has removed it
            total += path.lstat().st_size if path.is_file() else 0
    return total
