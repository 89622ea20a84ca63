"""The same rules over the same series in Debian's Prometheus, and in ours.

Prometheus is given the values by remote write; while it is measured nothing is written to it, and
what it takes without rules is taken off.  How often it judged is its own count.  Both judge once a
second, in turns, with the same values; ours is in this process, copying to the board included.
"""

from __future__ import annotations

import contextlib
import http.client
import os
import re
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bench.alerts.judging import Judging
from bench.alerts.shapes import (
    LEVELS,
    Size,
    Values,
    host,
    median,
    metrics,
    prometheus_rules,
)
from bench.ingest.fleet import PLACE
from bench.recording import Floats
from bench.store import wire
from bench.stream.accounts import cpu, rss_kib
from tests.nginx import SERVERS, NotFetched

PROGRAM = SERVERS / "prometheus" / "usr" / "bin" / "prometheus"
START_SECONDS = 30.0
ANSWER_SECONDS = 30.0

HOSTS_A_REQUEST = 20

SETTLE_SECONDS = 2.0
"""After a write, and after rules are read: a judgement or two, and what garbage there was."""

IDLE_SECONDS = 4.0
LOOK_SECONDS = 0.1

OURS_TICKS = 10
"""Of a round; the middle one counts."""

ITERATIONS = re.compile(r"^prometheus_rule_group_iterations_total\{.*\} (\S+)$", re.MULTILINE)
MISSED = re.compile(r"^prometheus_rule_group_iterations_missed_total\{.*\} (\S+)$", re.MULTILINE)


@dataclass(frozen=True)
class Beside:
    """One kind of values: medians of rounds, in nanoseconds of a series held against a limit."""

    what: str
    ours_ns: float
    theirs_ns: float
    ratio: float
    """Theirs to ours, the median of rounds."""
    missed: int
    """Judgements that Prometheus left out, of all rounds."""
    their_mib: float


class Prometheus:
    """One that is written to, with rules once it is told."""

    def __init__(self, folder: Path, size: Size) -> None:
        self._folder, self._size = folder, size
        self._labels = [
            [wire.labels(host(number), *each) for each in enumerate(metrics(size))]
            for number in range(size.hosts)
        ]
        self._rules = folder / "rules.yml"
        self._rules.write_text("groups: []\n")
        (folder / "prometheus.yml").write_text(
            f"global: {{evaluation_interval: 1s}}\nrule_files: [{self._rules}]\n"
        )
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self._port = int(free.getsockname()[1])

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        """It runs while the block does."""
        libraries = {str(path.parent) for path in (SERVERS / "prometheus").rglob("lib*.so*")}
        self._process = subprocess.Popen(
            [
                str(PROGRAM),
                f"--config.file={self._folder}/prometheus.yml",
                f"--storage.tsdb.path={self._folder}/data",
                f"--web.listen-address=127.0.0.1:{self._port}",
                "--web.enable-remote-write-receiver",
            ],
            env={**os.environ, "LD_LIBRARY_PATH": ":".join(sorted(libraries))},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            self._wait()
            yield
        finally:
            self._process.kill()
            self._process.wait()

    def _wait(self) -> None:
        until = time.monotonic() + START_SECONDS
        while time.monotonic() < until:
            with contextlib.suppress(OSError, RuntimeError):
                self._ask("GET", "/-/ready")
                return
            time.sleep(0.1)
        raise RuntimeError("Prometheus does not answer")

    def _ask(self, method: str, path: str, body: bytes = b"") -> str:
        line = http.client.HTTPConnection("127.0.0.1", self._port, timeout=ANSWER_SECONDS)
        try:
            line.request(method, path, body, {"Content-Encoding": "snappy"} if body else {})
            answer = line.getresponse()
            said = answer.read().decode(errors="replace")
        finally:
            line.close()
        if answer.status not in {200, 204}:
            raise RuntimeError(f"Prometheus: {answer.status} {said[:300]}")
        return said

    def write(self, values: Floats) -> None:
        """Give it a value of every series, of now."""
        now = np.array([time.time()])
        for start in range(0, self._size.hosts, HOSTS_A_REQUEST):
            end = start + HOSTS_A_REQUEST
            labels = [each for host in self._labels[start:end] for each in host]
            row = values[start:end].reshape(1, -1)
            self._ask("POST", "/api/v1/write", wire.request(labels, now, row))

    def judge(self) -> None:
        """Have it judge from now on."""
        self._rules.write_text(prometheus_rules(self._size))
        self._process.send_signal(signal.SIGHUP)
        until = time.monotonic() + START_SECONDS
        while not self.counted()[0]:
            if time.monotonic() > until:
                raise RuntimeError("Prometheus judges nothing")
            time.sleep(0.1)

    def counted(self) -> tuple[int, int]:
        """How often it has judged all rules, and how often it was too late to."""
        said = self._ask("GET", "/metrics")
        done, missed = ITERATIONS.search(said), MISSED.search(said)
        return (int(float(done[1])) if done else 0), (int(float(missed[1])) if missed else 0)

    def idle(self) -> float:
        """Share of a core that it takes while it judges nothing and is looked at as often."""
        used, began = cpu([self._process.pid]), time.monotonic()
        while time.monotonic() - began < IDLE_SECONDS:
            time.sleep(LOOK_SECONDS)
            self.counted()
        return (cpu([self._process.pid]) - used) / (time.monotonic() - began)

    def spent(self, times: int, idle: float) -> tuple[float, int]:
        """Processor seconds of a judgement, the mean of so many whole ones; how many it missed."""
        first = self._next(self.counted())
        used, began, last = cpu([self._process.pid]), time.monotonic(), first
        while _done(first, last) < times:
            last = self._next(last)
        took = time.monotonic() - began
        spent = cpu([self._process.pid]) - used - idle * took
        return max(0.0, spent) / _done(first, last), last[1] - first[1]

    def _next(self, before: tuple[int, int]) -> tuple[int, int]:
        """Wait until it begins to judge again."""
        until = time.monotonic() + ANSWER_SECONDS
        while not _done(before, found := self.counted()):
            if time.monotonic() > until:
                raise RuntimeError("Prometheus judges no more")
            time.sleep(LOOK_SECONDS)
        return found

    @property
    def rss_mib(self) -> float:
        """What is resident."""
        return rss_kib([self._process.pid]) / 1024


def _done(before: tuple[int, int], after: tuple[int, int]) -> int:
    return after[0] - before[0] - (after[1] - before[1])


def beside(size: Size, rounds: int, times: int) -> list[Beside]:
    """Both, with few series beyond a limit and with nearly all.

    Raises `NotFetched` where there is no Prometheus.
    """
    if not PROGRAM.is_file():
        raise NotFetched("Prometheus is not there: `sh tools/servers.sh bench` fetches it")
    values, rows = Values(size), []
    with tempfile.TemporaryDirectory(prefix=".bench-", dir=PLACE) as name:
        theirs = Prometheus(Path(name), size)
        with theirs.running():
            theirs.write(values.usual())
            time.sleep(SETTLE_SECONDS)
            idle = theirs.idle()
            theirs.judge()
            ours = Judging(size)
            for what, made in (
                ("few beyond a limit", values.usual),
                ("all but few beyond", values.breaching),
            ):
                given = [made() for _ in range(rounds)]
                rows.append(_round(what, given, ours, theirs, idle, times))
    return rows


def _round(
    what: str,
    given: list[Floats],
    ours: Judging,
    theirs: Prometheus,
    idle: float,
    times: int,
) -> Beside:
    held = ours.size.judgements * LEVELS
    pairs, missed = [], 0
    for values in given:
        theirs.write(values)
        time.sleep(SETTLE_SECONDS)
        spent, late = theirs.spent(times, idle)
        missed += late
        mine = median([sum(ours.tick(values)) for _ in range(OURS_TICKS)])
        pairs.append((mine * 1e6 / held, spent * 1e9 / held))
    return Beside(
        what,
        median([mine for mine, _ in pairs]),
        median([other for _, other in pairs]),
        median([other / mine for mine, other in pairs]),
        missed,
        theirs.rss_mib,
    )
