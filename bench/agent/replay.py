"""A day in the spool: how fast it is brought to the server, and how live frames fare meanwhile.

The spool is filled as the agent fills it, then the agent is started on it.  When the spool is
empty the server ends, and its store is asked for every frame.
"""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import json
import math
import os
import signal
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np

from bench.agent import programs
from bench.agent.costs import memory
from bench.door.house import House, People, host, house
from bench.ingest.fleet import PLACE
from bench.ingest.ledger import KEEP, gone, ledger, stored_rows
from bench.stream.accounts import cpu
from monitor.store.sqlite import open_store
from tests.serving import ROOT

SERIES = 250
LOOK_SECONDS = 0.5
LEAST_TIMES = 20
"""It is given up where it is slower than so many times real time."""

CHECKED_AT_ONCE = 3_600
AGAIN_SECONDS = 0.1


@dataclass(frozen=True)
class Replayed:
    """What came of it."""

    frames: int
    series: int
    spool_mib: float
    seconds: float
    left: int
    """Frames that were still in the spool when it was given up; 0 where it was emptied."""
    live_ms: tuple[float, float, float]
    """How late live frames reached a reader of the server: median, p99 and most."""
    live: int
    """Live frames that reached the reader."""
    agent_core: float
    server_core: float
    agent_rss_mib: float
    missing: int
    """Frames that the store has not got as they were."""
    doubled: int

    @property
    def times(self) -> float:
        """Times real time."""
        return (self.frames - self.left) / self.seconds


def replayed(seconds: int) -> Replayed:
    """So many seconds in the spool."""
    with (
        tempfile.TemporaryDirectory(prefix=".bench-", dir=PLACE) as name,
        house(People(agents=1, readers=1), place=PLACE) as server,
    ):
        folder = Path(name)
        spool = folder / "ours" / "spool"
        told = _filled(spool, seconds)
        config = folder / "agent.toml"
        config.write_text(f'[agent]\nspool_age = "{min(720, 2 + seconds // 1_800)}h"\n')
        used, began = cpu([server.pid]), time.monotonic()
        module = ["monitor.agent", "--config", str(config)]
        with (
            _Reader(server) as reader,
            programs.ours("our agent", module, folder / "ours", server, 0) as agent,
        ):
            until = began + seconds / LEAST_TIMES
            while (left := _left(spool, seconds)) and time.monotonic() < until:
                time.sleep(LOOK_SECONDS)
            took = time.monotonic() - began
            agent_core = cpu([agent.pid]) / took
            server_core = (cpu([server.pid]) - used) / took
            rss = memory(agent.pid)[0]
            waits = sorted(reader.waits) or [math.nan]
        os.kill(server.pid, signal.SIGKILL)
        gone(server.pid)
        missing, doubled = asyncio.run(_audit(server.data, told["first"], told["frames"]))
        return Replayed(
            told["frames"],
            SERIES,
            told["bytes"] / 1024**2,
            took,
            left,
            (
                1e3 * statistics.median(waits),
                1e3 * waits[int(len(waits) * 0.99)],
                1e3 * waits[-1],
            ),
            len(reader.waits),
            agent_core,
            server_core,
            rss,
            missing - left,
            doubled,
        )


def _filled(spool: Path, seconds: int) -> dict[str, Any]:
    line = [sys.executable, "-m", "bench.agent.filling", str(spool), str(seconds), str(SERIES)]
    said = subprocess.run(line, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    found: dict[str, Any] = json.loads(said)
    return found


def _left(spool: Path, frames: int) -> int:
    """How many of the first frames are still in the spool."""
    path = spool / "spool.db"
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=5)) as file:
        found: int = file.execute(
            "SELECT count(*) FROM frames WHERE number <= ?", (frames,)
        ).fetchone()[0]
    return found


async def _audit(data: Path, first: float, frames: int) -> tuple[int, int]:
    """Frames that the store has not got, and rows of their span beyond one each."""
    store = await open_store(data, KEEP)
    try:
        found = 0
        for start in range(0, frames, CHECKED_AT_ONCE):
            count = min(CHECKED_AT_ONCE, frames - start)
            stored = await ledger(store, host(0), first + start, count)
            found += int(np.count_nonzero(stored == np.arange(start, start + count)))
        await store.settle()
    finally:
        await store.close()
    # Live frames are rows of the same host, of other columns: those after the last of the spool.
    rows = stored_rows(data, [host(0)], math.floor(first) + frames)
    return frames - found, max(0, rows - found)


class _Reader:
    """Reads the host's stream in a thread and notes how late its newest frame came."""

    def __init__(self, server: House) -> None:
        self.waits: list[float] = []
        self._connection = http.client.HTTPConnection("127.0.0.1", server.port)
        self._ending = False
        token = server.credentials.readers[0]
        self._request = (
            f"/api/v1/stream?topics=host:{host(0)}",
            {"Authorization": f"Bearer {token}"},
        )
        self._thread = threading.Thread(target=self._read, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def _read(self) -> None:
        path, headers = self._request
        while not self._ending:
            with contextlib.suppress(
                OSError, http.client.HTTPException, ValueError, AttributeError
            ):
                self._connection.request("GET", path, headers=headers)
                answer = self._connection.getresponse()
                if answer.status == 200:
                    self._listen(answer)
            self._connection.close()
            time.sleep(AGAIN_SECONDS)  # the host is not known yet

    def _listen(self, answer: http.client.HTTPResponse) -> None:
        is_update, last = False, 0.0
        while line := answer.readline():
            if line.startswith(b"event:"):
                is_update = line.strip() == b"event: metric_update"
            elif line.startswith(b"data:") and is_update:
                at = json.loads(line[5:])["at"]
                if at > last:
                    self.waits.append(time.time() - at)
                    last = at

    def __exit__(self, *_: object) -> None:
        self._ending = True
        with contextlib.suppress(OSError, AttributeError):
            self._connection.sock.shutdown(2)
        self._thread.join(5)
