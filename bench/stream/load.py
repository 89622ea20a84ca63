"""The load generator: a process of its own, told what to do by lines of JSON.

Each line names a method of `Load` and its arguments; each answer is one line: what it
returned, or the fault.  CPU is read at a window's edges here, so that nothing lies between.

While it measures it looks again and again instead of sleeping until something comes: to wake
a sleeper on this same machine costs the *server* several microseconds a send, more than the
send itself, and by chance; readers on other machines cost it nothing of the kind.
"""

from __future__ import annotations

import contextlib
import gc
import json
import sys
import time
from typing import Any

from bench.stream import accounts
from bench.stream.control import allow_many_descriptors
from bench.stream.crowd import Crowd

STALL_SECONDS = 3.0
"""Nothing for so long: what has not come was dropped."""

QUIET_SECONDS = 0.25
"""After so long without a byte everything has come; state is flushed well within it."""

Answer = dict[str, Any]


class Load:
    """One crowd at a time."""

    def __init__(self) -> None:
        self._crowd: Crowd | None = None
        self._pids: list[int] = []
        self._triggers: dict[str, bytes] = {}

    @property
    def crowd(self) -> Crowd:
        """The readers there are."""
        assert self._crowd is not None
        return self._crowd

    def open(
        self,
        port: int,
        control: int,
        request: str,
        ready: str,
        triggers: dict[str, str],
        pids: list[int],
        readers: int,
        limit: float,
        keep: bool,
    ) -> Answer:
        """Connect so many readers to a server with these processes."""
        self._pids = pids
        self._triggers = {name: text.encode() for name, text in triggers.items()}
        self._crowd = Crowd(port, request.encode(), ready.encode(), readers)
        self._crowd.keeping = keep
        self._crowd.control(control)
        return {"seconds": self._crowd.open(limit)}

    def reopen(self, limit: float) -> Answer:
        """Close every connection and come back at once, all together."""
        self.crowd.close()
        before = accounts.cpu(self._pids)
        seconds = self.crowd.open(limit)
        return {"seconds": seconds, "cpu": accounts.cpu(self._pids) - before}

    def settle(self, seconds: float) -> Answer:
        """Read what still comes for a while."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            self.crowd.read(0.05)
        return {"size": self.crowd.size, "lost": self.crowd.lost}

    def closed(self, trigger: str, alerts: int, window: int, seconds: float) -> Answer:
        """As fast as it goes: at most `window` publications are under way at any time."""
        crowd, readers = self._window()
        each, asked = alerts * readers, 0
        began = heard = time.monotonic()
        before = accounts.cpu(self._pids)
        while True:
            now = time.monotonic()
            if now - began < seconds:
                while crowd.alerts >= (asked - window + 1) * each:
                    crowd.ask(self._triggers[trigger], alerts)
                    asked += 1
            elif crowd.alerts >= asked * each:
                break
            if crowd.read(0.0):
                heard = time.monotonic()
            elif now - heard > STALL_SECONDS:
                break
        return self._answer(heard - began, before, asked * each)

    def paced(self, streams: list[tuple[str, int, float]], seconds: float) -> Answer:
        """At a steady pace: for each trigger its alerts, and how often a second."""
        crowd, readers = self._window()
        each = sum(alerts * round(rate * seconds) for _, alerts, rate in streams)
        began = heard = time.monotonic()
        due = sorted(
            (began + (number + 0.5) / rate, trigger, alerts)
            for trigger, alerts, rate in streams
            for number in range(round(rate * seconds))
        )
        before = accounts.cpu(self._pids)
        due.reverse()
        while True:
            now = time.monotonic()
            while due and due[-1][0] <= now:
                _, trigger, alerts = due.pop()
                crowd.ask(self._triggers[trigger], alerts)
                heard = now
            if crowd.read(0.0):
                heard = time.monotonic()
            elif not due and now - heard > STALL_SECONDS:
                break
            if not due and crowd.alerts >= each * readers and now - began >= seconds:
                break
        return self._answer(max(heard - began, seconds), before, each * readers)

    def volume(self, trigger: str, times: int) -> Answer:
        """The bytes that each reader gets for so many publications, each heard by all."""
        crowd, readers = self._window()
        for _ in range(times):
            crowd.ask(self._triggers[trigger], 0)
            while crowd.read(QUIET_SECONDS):
                pass
        return {
            "bytes": crowd.bytes / readers / times,
            "compressed": crowd.compressed,
            "kept_alerts": crowd.kept_alerts(),
        }

    def _window(self) -> tuple[Crowd, int]:
        crowd = self.crowd
        while crowd.read(0.01):
            pass
        crowd.begin()
        return crowd, crowd.size

    def _answer(self, seconds: float, cpu_before: float, expected: int) -> Answer:
        crowd = self.crowd
        return {
            "cpu": accounts.cpu(self._pids) - cpu_before,
            "seconds": seconds,
            "deliveries": crowd.alerts,
            "expected": expected,
            "bytes": crowd.bytes,
            "lost": crowd.lost,
            "alerts": _quantiles(crowd.latencies),
            "ticks": _quantiles(crowd.tick_latencies),
        }


def _quantiles(seconds: list[float]) -> Answer:
    """Median and 99th percentile in milliseconds, and of how many."""
    if not seconds:
        return {"count": 0, "p50": 0.0, "p99": 0.0}
    ordered = sorted(seconds)
    return {
        "count": len(ordered),
        "p50": ordered[len(ordered) // 2] * 1e3,
        "p99": ordered[int(len(ordered) * 0.99)] * 1e3,
    }


def main() -> None:
    """Do what the lines on standard input say, until it ends."""
    allow_many_descriptors()
    gc.disable()  # nothing here makes cycles, and a collection would be taken for latency
    load = Load()
    for line in sys.stdin:
        name, arguments = json.loads(line)
        answer: Answer
        try:
            answer = getattr(load, name)(**arguments)
        except (OSError, ValueError) as error:  # TimeoutError and ConnectionError are OSErrors
            answer = {"fault": f"{type(error).__name__}: {error}"}
        with contextlib.suppress(BrokenPipeError):
            print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
