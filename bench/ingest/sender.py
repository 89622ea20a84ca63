"""``python -m bench.ingest.sender``: a thousand agents in one process, asked by its parent.

Each agent pushes a frame when one is due, by the clock and not by the answers, at a moment of its
own within the period; how long it waited counts from when the push was due, so that a slow
server is not asked less and seems quicker.  What this process uses is not counted.
"""

from __future__ import annotations

import asyncio
import gc
import math
import time
from collections import Counter
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
import uvloop

from bench.door.house import host as named
from bench.ingest import hosts
from bench.ingest.lines import Line, PostLine, Told, WebSocketLine
from bench.ingest.packing import Documents
from bench.store.calling import answer
from bench.stream.control import allow_many_descriptors

TICK_SECONDS = 0.01
"""How finely agents are spread over a period."""

MOST_UNDER_WAY = 16
"""Documents of one connection that may wait for their answer, as the protocol has it; one that
would be the next is left out and counted."""

PHASES = 0.9
"""Share of a period over which agents are spread: a frame lies well within its second."""

LEAD_SECONDS = 1.0
GRACE_SECONDS = 5.0
"""How long is waited for answers at the end."""

OPENED_AT_ONCE = 20
"""Connections that are opened side by side: what is measured is not a storm of them."""

FIRST_SECONDS = 60.0
"""How long the first documents may take, which bring the KEYs."""

_KINDS: dict[str, Callable[[int, int, str | None, Told], Line]] = {
    "websocket": WebSocketLine,
    "post": PostLine,
}


class Sender:
    """The agents and what may be asked of them."""

    def __init__(self) -> None:
        self.commands = {name: getattr(self, name) for name in ("open", "run", "close")}
        self._lines: list[Line] = []
        self._refused: Counter[str] = Counter()
        self._base = 1
        self._acked = np.zeros((0, 0), bool)
        self._due = np.zeros((0, 0))
        self._waits: list[float] = []
        self._waiting = np.zeros(0, np.int64)
        self._firsts = 0

    async def open(
        self, port: int, count: int, series: int, tokens: list[str], over: str
    ) -> dict[str, Any]:
        """Connect so many agents, and have each send its list of KEYs with a first frame."""
        texts = hosts.keys(series)
        names = [named(number) for number in range(count)]
        boots = [f"bench-{time.time_ns()}"] * count
        self._documents = Documents(names, boots, texts)
        self._values = hosts.Values(count, texts)
        kind = _KINDS[over]
        self._waiting = np.zeros(count, np.int64)
        for number in range(count):
            token = tokens[number] if tokens else None
            self._lines.append(kind(port, number, token, self._told))
        began = time.monotonic()
        for first in range(0, count, OPENED_AT_ONCE):
            group = self._lines[first : first + OPENED_AT_ONCE]
            await asyncio.gather(*(line.open() for line in group))
            for number in range(first, min(count, first + OPENED_AT_ONCE)):
                row = self._values.next(np.array([number]))[0].tolist()
                document = self._documents.first(number, 0, round(time.time(), 3), row)
                self._lines[number].send(0, document, b"")
            until = time.monotonic() + FIRST_SECONDS
            while self._firsts < min(count, first + OPENED_AT_ONCE) - self._refused.total():
                if time.monotonic() > until:
                    break
                await asyncio.sleep(0.002)
        return {
            "first": self._firsts,
            "refused": dict(self._refused),
            "seconds": time.monotonic() - began,
            "document_bytes": self._documents.size,
        }

    def _told(self, host: int, seq: int, refused: str) -> None:
        if seq == 0 and not refused:
            self._firsts += 1
        if seq < self._base:
            if refused:
                self._refused[refused] += 1
            return
        place = host, seq - self._base
        self._waiting[host] -= 1
        if refused:
            self._refused[refused] += 1
        elif not self._acked[place]:
            self._acked[place] = True
            self._waits.append(time.monotonic() - self._due[place])

    async def run(self, seconds: float, per_second: float, path: str) -> dict[str, Any]:
        """Push so long, so often each; what was acknowledged goes to a file if one is named."""
        count, frames = len(self._lines), math.floor(seconds * per_second)
        period = 1 / per_second
        wall = float(math.ceil(time.time() + LEAD_SECONDS))
        begin = time.monotonic() + wall - time.time()
        phases = np.arange(count) / count * PHASES * period
        steps = np.arange(frames) * period
        self._due = begin + phases[:, None] + steps
        self._acked = np.zeros((count, frames), bool)
        self._waits, self._refused = [], Counter()
        self._waiting[:] = 0
        sent = np.zeros((count, frames), bool)
        counted = self._values.counted.copy()
        late: list[float] = []
        left_out = 0
        # By when they are due, in groups of a tick.
        ticks = ((self._due - begin) / TICK_SECONDS).astype(np.int64)
        order = np.argsort(ticks, axis=None, kind="stable")
        bounds = np.flatnonzero(np.diff(ticks.ravel()[order], prepend=-1, append=-1))
        for start, stop in pairwise(bounds.tolist()):
            group = order[start:stop]
            who, which = np.divmod(group, frames)
            due = begin + (ticks.ravel()[group[0]] + 1) * TICK_SECONDS
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            late.append(time.monotonic() - due)
            free = self._waiting[who] < MOST_UNDER_WAY
            left_out += int(np.count_nonzero(~free))
            who, which = who[free], which[free]
            if not len(who):
                continue
            self._due[who, which] = due
            sent[who, which] = True
            self._send(who, which, wall + phases[who] + steps[which])
        until = time.monotonic() + GRACE_SECONDS
        while self._waiting.any() and time.monotonic() < until:  # noqa: ASYNC110 - many ends
            await asyncio.sleep(0.005)
        self._base += frames
        if path:
            at = np.round(wall + phases[:, None] + steps, 3)
            np.savez(path, sent=sent, acked=self._acked, at=at, counted=counted)
        ordered = np.sort(np.array(self._waits or [math.nan]))
        return {
            "sent": int(sent.sum()),
            "acked": int(self._acked.sum()),
            "left_out": left_out,
            "refused": dict(self._refused),
            "p50_ms": 1e3 * float(np.quantile(ordered, 0.5)),
            "p99_ms": 1e3 * float(np.quantile(ordered, 0.99)),
            "max_ms": 1e3 * float(ordered[-1]),
            "late_p99_ms": 1e3 * float(np.quantile(late, 0.99)),
        }

    def _send(self, who: Any, which: Any, at: Any) -> None:
        rows = self._values.next(who)
        seqs = self._base + which
        documents = self._documents.packed(who, seqs, np.round(at, 3), time.time(), rows)
        framed = self._documents.messages(documents)
        numbers = zip(who.tolist(), seqs.tolist(), strict=True)
        for place, (host, seq) in enumerate(numbers):
            self._waiting[host] += 1
            self._lines[host].send(seq, documents[place].tobytes(), framed[place].tobytes())

    async def close(self) -> None:
        """End all connections."""
        self._firsts = 0
        for line in self._lines:
            line.close()


def main() -> None:
    """Answer until the input ends."""
    allow_many_descriptors()
    gc.disable()  # a collection would be taken for a wait
    uvloop.run(answer(Sender().commands))


if __name__ == "__main__":
    main()
