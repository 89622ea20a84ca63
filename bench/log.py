"""The log in SQLite: appends one by one and in groups, a fold of a million events, opening it.

Each in a folder of its own beside this repository, which is a disk where /tmp may be memory.
"""

from __future__ import annotations

import asyncio
import shutil
import sys
import tempfile
import time
from pathlib import Path

from bench.tables import table
from monitor.core import messages
from monitor.log.sqlite import SqliteLog, open_log
from monitor.model import Event, HostStatus, RetentionClass

HOSTS = 50
EVENTS, QUICK_EVENTS = 1_000_000, 300_000
SINGLE_SECONDS = 2.0
WRITERS = (1, 16, 256, 1_000)
BATCH = 1_000
PLACE = Path(__file__).resolve().parent.parent


def event(number: int) -> Event:
    """A host's return: 115 bytes of JSON."""
    host = messages.HostUpdate(
        host=f"web-{number % HOSTS}.example.com",
        status=HostStatus.UP,
        was=HostStatus.STALE,
        reason="it sends again",
    )
    return messages.event(host, 1_700_000_000.0 + number, f"{number:016x}")


async def appends(log: SqliteLog, writers: int) -> tuple[str, float, float, float]:
    """Appends of one event by so many at once: a second, a commit, and the slowest of 100."""
    until = time.perf_counter() + SINGLE_SECONDS
    waits: list[float] = []
    one = event(1)
    commits = log.commits

    async def write() -> None:
        while (began := time.perf_counter()) < until:
            await log.append([one])
            waits.append(time.perf_counter() - began)

    began = time.perf_counter()
    await asyncio.gather(*(write() for _ in range(writers)))
    spent = time.perf_counter() - began
    waits.sort()
    worst = waits[len(waits) * 99 // 100] * 1e3
    return (
        f"1 event an append, {writers} at once",
        len(waits) / spent,
        len(waits) / (log.commits - commits),
        worst,
    )


async def fill(log: SqliteLog, most: int) -> tuple[str, float, float, float]:
    """Appends of 1,000 events each, until there are at least so many."""
    waits: list[float] = []
    while not waits or await log.last() < most:
        batch = [event(number) for number in range(BATCH)]
        began = time.perf_counter()
        await log.append(batch)
        waits.append(time.perf_counter() - began)
    waits.sort()
    worst = waits[len(waits) * 99 // 100] * 1e3
    return f"{BATCH} events an append", BATCH * len(waits) / sum(waits), float(BATCH), worst


async def pages(log: SqliteLog, topics: frozenset[str] | None) -> tuple[int, float, float]:
    """Read the whole log by pages of 1,000: events, seconds, the slowest page in ms."""
    position, count, slowest = 0, 0, 0.0
    last = await log.last()
    began = time.perf_counter()
    while position < last:
        page_began = time.perf_counter()
        events, position, _ = await log.read(position, topics, 1_000)
        slowest = max(slowest, time.perf_counter() - page_began)
        count += len(events)
    return count, time.perf_counter() - began, slowest * 1e3


async def measure(folder: Path, most: int) -> None:
    log, registry = await open_log(folder)
    rows = [await appends(log, writers) for writers in WRITERS]
    rows.append(await fill(log, most))
    rare = messages.AiThinking(host="rare", text="a rare topic")
    await log.append([messages.event(rare, 1.0, "rare")])
    table("appends", ["", "events/s", "events a commit", "p99 ms"], rows)
    await log.close()
    await registry.close()

    began = time.perf_counter()
    log, registry = await open_log(folder)
    opened = time.perf_counter() - began
    read = []
    for name, topics in (
        ("all (a fold)", None),
        ("one host of 50", frozenset({"host:web-7.example.com"})),
        ("a topic with one event", frozenset({"host:rare"})),
    ):
        count, seconds, slowest = await pages(log, topics)
        read.append((name, count, seconds, count / seconds, slowest))
    columns = ["topics", "events", "s", "events/s", "slowest page ms"]
    table(f"reads of {await log.last():,} events", columns, read)
    size = (folder / "log.db").stat().st_size
    began = time.perf_counter()
    slowest = 0.0
    trimming = asyncio.create_task(log.trim(RetentionClass.HOSTS, event(500).at))
    while not trimming.done():
        append_began = time.perf_counter()
        await log.append([event(1)])
        slowest = max(slowest, time.perf_counter() - append_began)
    gone = trimming.result()
    trimmed = gone / (time.perf_counter() - began)
    table(
        "the file",
        ["", "value"],
        [
            ("open, ms", opened * 1e3),
            ("bytes an event", size / await log.last()),
            (f"trim of {gone:,}, events/s", trimmed),
            ("slowest append meanwhile, ms", slowest * 1e3),
        ],
    )
    await log.close()
    await registry.close()


def main() -> None:
    folder = Path(tempfile.mkdtemp(prefix=".bench-", dir=PLACE))
    try:
        asyncio.run(measure(folder, QUICK_EVENTS if "--quick" in sys.argv else EVENTS))
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
