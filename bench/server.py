"""The whole server: time to the first page, cost while somebody watches, and glances beside it.

The server and glances run at 1 s on the same machine at the same time, so that what disturbs
one disturbs the other.  The reader is a plain client with the stream that the host page opens.
"""

from __future__ import annotations

import asyncio
import contextlib
import csv
import json
import os
import re
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.tables import cpu_seconds, rss_mib, spread, table
from monitor import bootstrap
from monitor.config import Settings
from monitor.log.sqlite import open_log
from monitor.store.sqlite import open_store
from monitor.web import server as web_server

STARTS = 5
WATCH_SECONDS = 60.0
WARM_SECONDS = 5.0
LAG_SECONDS = 20.0
LAG_STEP_SECONDS = 0.002
PEER_SECONDS = 20.0

QUIET: dict[str, Any] = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}

ENVIRONMENT = {**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parent.parent)}


def main() -> None:
    """Measure and print."""
    starts = [_start_seconds() for _ in range(STARTS)]
    low, middle, high = spread(starts)
    table(
        f"From exec to the first 200 of /, {STARTS} starts",
        ("", "min s", "median s", "max s", "target"),
        [("ready", low, middle, high, 1.0)],
    )
    _watched()
    asyncio.run(_lag())


@contextlib.contextmanager
def _server() -> Iterator[tuple[int, str]]:
    """A running server: its process and its URL."""
    with tempfile.TemporaryDirectory() as data:
        command = [sys.executable, "-m", "monitor", "serve", "--listen", "127.0.0.1:0"]
        process = subprocess.Popen(
            [*command, "--data", data], env=ENVIRONMENT, stderr=subprocess.PIPE, text=True
        )
        assert process.stderr is not None
        try:
            for line in process.stderr:
                if found := re.search(r"listening on (\S+)", line):
                    break
            else:
                raise RuntimeError("the server did not start")
            threading.Thread(target=process.stderr.read, daemon=True).start()
            yield process.pid, found[1]
        finally:
            process.terminate()
            process.wait(10)


def _start_seconds() -> float:
    began = time.perf_counter()
    with _server() as (_, url), urllib.request.urlopen(url) as answer:
        answer.read()
        assert answer.status == 200
        return time.perf_counter() - began


def _watched() -> None:
    """Cost with one reader, beside glances as a server with its page open, and without a page."""
    glances = shutil.which("glances", path=str(Path(sys.executable).parent))
    if glances is None:
        raise RuntimeError("glances is missing: make bench installs it")
    with (
        _server() as (pid, url),
        _glances_server(glances) as peer,
        _glances_alone(glances) as (alone, columns),
    ):
        reader = _Reader(f"{url}/api/v1/stream?topics=host:{socket.gethostname()},alerts")
        page = _Poller([f"{peer.url}/api/4/all", f"{peer.url}/api/4/all/views"])
        time.sleep(WARM_SECONDS)
        pids = pid, peer.pid, alone
        before = [cpu_seconds(each) for each in pids]
        time.sleep(WATCH_SECONDS)
        used = [cpu_seconds(each) - was for each, was in zip(pids, before, strict=True)]
        memory = [rss_mib(each) for each in pids]
        with columns.open() as file:
            series = [_series(url), _numbers(f"{peer.url}/api/4/all"), len(next(csv.reader(file)))]
        page.close()
        reader.close()
    names = ("awoooi-monitor", "glances, server and page", "glances, csv only")
    table(
        f"At 1 s with one reader, {WATCH_SECONDS:.0f} s",
        ("program", "% of a core", "RSS MiB", "series", "our CPU / its", "our RSS / its"),
        [
            (
                name,
                100 * cpu / WATCH_SECONDS,
                rss,
                count,
                used[0] / max(cpu, 0.01),
                memory[0] / rss,
            )
            for name, cpu, rss, count in zip(names, used, memory, series, strict=True)
        ],
    )
    print(f"stream: {reader.updates} updates, {reader.size / WATCH_SECONDS / 1024:.1f} KiB/s")
    print("targets: at most 3 % of a core and 90 MiB")


@dataclass(frozen=True)
class _Peer:
    """Another program that serves."""

    pid: int
    url: str


@contextlib.contextmanager
def _glances_server(glances: str) -> Iterator[_Peer]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [glances, "-w", "-B", "127.0.0.1", "-p", str(port), "-t", "1"]
    with _ended(subprocess.Popen([*command, "--disable-check-update"], **QUIET)) as pid:
        url = f"http://127.0.0.1:{port}"
        until = time.monotonic() + PEER_SECONDS
        while time.monotonic() < until:
            with contextlib.suppress(OSError), urllib.request.urlopen(f"{url}/api/4/all"):
                break
            time.sleep(0.2)
        yield _Peer(pid, url)


@contextlib.contextmanager
def _glances_alone(glances: str) -> Iterator[tuple[int, Path]]:
    with tempfile.TemporaryDirectory() as folder:
        columns = Path(folder) / "glances.csv"
        command = [glances, "--quiet", "-t", "1", "--disable-check-update", "--export", "csv"]
        process = subprocess.Popen([*command, "--export-csv-file", str(columns)], **QUIET)
        with _ended(process) as pid:
            yield pid, columns


@contextlib.contextmanager
def _ended(process: subprocess.Popen[bytes]) -> Iterator[int]:
    try:
        yield process.pid
    finally:
        process.kill()
        process.wait()


class _Poller:
    """Asks for these addresses once a second, as a page that polls does."""

    def __init__(self, urls: list[str]) -> None:
        self._urls = urls
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._poll, daemon=True)
        self._thread.start()

    def _poll(self) -> None:
        while not self._ending.wait(1.0):
            for url in self._urls:
                with contextlib.suppress(OSError), urllib.request.urlopen(url) as answer:
                    answer.read()

    def close(self) -> None:
        self._ending.set()
        self._thread.join()


def _numbers(url: str) -> int:
    """The numbers in a document of glances, its table of processes left out."""
    with urllib.request.urlopen(url) as answer:
        document = json.load(answer)
    document.pop("processlist", None)

    def count(value: object) -> int:
        if isinstance(value, dict):
            return sum(count(each) for each in value.values())
        if isinstance(value, list):
            return sum(count(each) for each in value)
        return isinstance(value, int | float) and not isinstance(value, bool)

    return count(document)


def _series(url: str) -> int:
    name = socket.gethostname()
    with urllib.request.urlopen(f"{url}/api/v1/hosts/{name}/series") as answer:
        return len(json.load(answer))


class _Reader:
    """Reads a stream in a thread and counts what comes."""

    def __init__(self, url: str) -> None:
        self.size = 0
        self.updates = 0
        self._answer = urllib.request.urlopen(url)
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        with contextlib.suppress(Exception):  # the stream is closed under it at the end
            for line in self._answer:
                self.size += len(line)
                self.updates += line.startswith(b"event: metric_update")

    def close(self) -> None:
        with contextlib.suppress(Exception):
            self._answer.close()


async def _lag() -> None:
    """How long the server's own event loop is blocked while pages are asked for.

    The server runs in this process, so that a probe can sit in its loop; requests come from
    another process.
    """
    with tempfile.TemporaryDirectory() as data:
        await _lag_in(Path(data))


async def _lag_in(data: Path) -> None:
    log, registry = await open_log(data)
    application = bootstrap.Application(Settings(), log, registry, await open_store(data))
    bootstrap.keep_the_loop_free()  # as `serve` does
    listening = web_server.listener("127.0.0.1", 0)
    url = web_server.url(listening)
    running = asyncio.create_task(application.run(listening))
    await asyncio.sleep(2)
    paths = ["/", f"/hosts/{socket.gethostname()}", "/api/v1/hosts"]
    code = (
        "import sys,time,urllib.request\n"
        "end=time.time()+float(sys.argv[1])\n"
        "while time.time()<end:\n"
        "  for u in sys.argv[2:]:\n"
        "    r=urllib.request.Request(u,headers={'Accept':'text/html'})\n"
        "    urllib.request.urlopen(r).read(); time.sleep(0.2)\n"
    )
    client = subprocess.Popen(  # noqa: ASYNC220 - it blocks before the probes begin
        [sys.executable, "-c", code, str(LAG_SECONDS), *(url + path for path in paths)]
    )
    lags = []
    until = time.monotonic() + LAG_SECONDS
    while time.monotonic() < until:
        began = time.perf_counter()
        await asyncio.sleep(LAG_STEP_SECONDS)
        lags.append((time.perf_counter() - began - LAG_STEP_SECONDS) * 1e3)
    await asyncio.to_thread(client.wait)
    application.end()
    await running
    ordered = sorted(lags)
    table(
        f"The loop's lag while pages are asked for, {len(lags)} probes in {LAG_SECONDS:.0f} s",
        ("", "median ms", "p99 ms", "p99.9 ms", "max ms", "target"),
        [
            (
                "lag",
                statistics.median(ordered),
                ordered[int(len(ordered) * 0.99)],
                ordered[int(len(ordered) * 0.999)],
                ordered[-1],
                20.0,
            )
        ],
    )


if __name__ == "__main__":
    main()
