"""Several processes over one store: one that writes beside another, and ones that are killed."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from monitor.log.database import Database
from monitor.log.sqlite import SqliteLog, SqliteRegistry, open_log
from monitor.model import Event
from monitor.ports import Deleted, Entry, Synced
from tests.log.logs import event

ROOT = Path(__file__).parents[2]
ROUNDS = 32
SEEN_SECONDS = 0.5


@contextmanager
def child(mode: str, folder: Path) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.log.child", mode, str(folder)],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        bufsize=1,
    )
    try:
        yield process
    finally:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.close()
        process.stdout.close()
        process.kill()
        process.wait()


def ask(process: subprocess.Popen[str], line: str) -> None:
    assert process.stdin is not None
    process.stdin.write(f"{line}\n")


def heard(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


class Seen:
    """What a log's tail and a registry's watch say, with when they said it."""

    def __init__(self, log: SqliteLog, registry: SqliteRegistry) -> None:
        self.events: dict[str, tuple[int, float]] = {}
        self.changes: list[tuple[Entry | Deleted, float]] = []
        self.moved = asyncio.Event()
        self.tasks = [
            asyncio.create_task(self._tail(log)),
            asyncio.create_task(self._watch(registry)),
        ]

    async def _tail(self, log: SqliteLog) -> None:
        async for page in log.tail(0):
            for found in page:
                assert found.sequence == len(self.events) + 1
                self.events[str(found.data["name"])] = found.sequence, time.monotonic()
            self.moved.set()

    async def _watch(self, registry: SqliteRegistry) -> None:
        async for said in registry.watch("key/"):
            if not isinstance(said, Synced):
                self.changes.append((said, time.monotonic()))
            self.moved.set()

    async def until(self, events: int, changes: int) -> None:
        async with asyncio.timeout(5):
            while len(self.events) < events or len(self.changes) < changes:
                self.moved.clear()
                await self.moved.wait()


@pytest.fixture
async def both(tmp_path: Path) -> AsyncIterator[tuple[SqliteLog, SqliteRegistry]]:
    log, registry = await open_log(tmp_path)
    yield log, registry
    await log.close()
    await registry.close()


async def test_what_another_process_writes_is_seen_in_time(
    both: tuple[SqliteLog, SqliteRegistry], tmp_path: Path
) -> None:
    log, registry = both
    seen = Seen(log, registry)
    with child("beside", tmp_path) as other:
        assert await asyncio.to_thread(heard, other) == "ready"
        durable: list[float] = []
        for number in range(4):
            for line in (f"append theirs-{number}", f"put key/{number} value"):
                ask(other, line)
                durable.append(float(await asyncio.to_thread(heard, other)))
            await log.append([event(f"ours-{number}")])
            await asyncio.sleep(0.07)
        ask(other, "delete key/0")
        durable.append(float(await asyncio.to_thread(heard, other)))
        await seen.until(8, 5)
    # Theirs and ours took turns, and nobody's was missed or came twice.
    assert sorted(position for position, _ in seen.events.values()) == list(range(1, 9))
    times = [seen.events[f"theirs-{number}"][1] for number in range(4)]
    times += [at for _, at in seen.changes]
    stored = durable[0:8:2] + durable[1:8:2] + durable[8:]
    assert [change.key for change, _ in seen.changes] == [*(f"key/{n}" for n in range(4)), "key/0"]
    assert isinstance(seen.changes[-1][0], Deleted)
    waits = [at - since for at, since in zip(times, stored, strict=True)]
    assert max(waits) < SEEN_SECONDS, waits


async def test_our_own_are_seen_at_once(both: tuple[SqliteLog, SqliteRegistry]) -> None:
    log, registry = both
    seen = Seen(log, registry)
    await seen.until(0, 0)
    await asyncio.sleep(0.05)
    waits = []
    for number in range(10):
        began = time.monotonic()
        await log.append([event(str(number))])
        await registry.put(f"key/{number}", b"")
        await seen.until(number + 1, number + 1)
        waits.append(time.monotonic() - began)
    # Were they found by looking, each would take the 200 ms between two looks.
    assert sorted(waits)[5] < 0.1, waits


async def test_nothing_is_looked_for_while_nobody_waits(
    both: tuple[SqliteLog, SqliteRegistry],
) -> None:
    log, registry = both
    seen = Seen(log, registry)
    await asyncio.sleep(0.01)
    assert [task.get_name() for task in asyncio.all_tasks()].count("log-poll") == 1
    for task in seen.tasks:
        task.cancel()
    await asyncio.gather(*seen.tasks, return_exceptions=True)
    await asyncio.sleep(0)
    assert "log-poll" not in [task.get_name() for task in asyncio.all_tasks()]


def killed(process: subprocess.Popen[str], name: str, after_seconds: float) -> list[str]:
    """Everything that a process said before it was killed at some instant."""
    ask(process, name)
    kind, pid = heard(process).split()
    assert kind == "pid"
    lines = [heard(process)]
    assert lines[0].startswith("epoch ")
    time.sleep(after_seconds)
    os.kill(int(pid), signal.SIGKILL)
    while (line := heard(process)) != "ended":
        lines.append(line)
    return lines


def test_nothing_acknowledged_is_lost_or_doubled_however_often_it_is_killed(
    tmp_path: Path,
) -> None:
    chance = random.Random()
    acknowledged: dict[str, int] = {}
    epochs: set[str] = set()
    with child("ledger", tmp_path) as process:
        for number in range(ROUNDS):
            for line in killed(process, f"round{number}", chance.uniform(0.0, 0.06)):
                match line.split():
                    case ["epoch", epoch]:
                        epochs.add(epoch)
                    case ["acknowledged", position, name]:
                        assert name not in acknowledged
                        acknowledged[name] = int(position)
    assert len(epochs) == 1
    assert len(acknowledged) > ROUNDS
    stored = everything(tmp_path)
    assert [found.sequence for found in stored] == list(range(1, len(stored) + 1))
    positions = {found.event_id: found.sequence for found in stored}
    assert len(positions) == len(stored)
    assert acknowledged.items() <= positions.items()
    for found in stored:
        # An append of several is there whole or not at all.
        stem, _, each = found.event_id.rpartition("-")
        count = int(stem.rpartition("-")[2]) % 3 + 1
        first = found.sequence - int(each)
        assert [positions.get(f"{stem}-{n}") for n in range(count)] == list(
            range(first, first + count)
        )


def everything(folder: Path) -> list[Event]:
    async def read() -> list[Event]:
        log, registry = await open_log(folder)
        found: list[Event] = []
        position = 0
        while position < await log.last():
            page, position, _ = await log.read(position, None, 1_000)
            found += page
        await log.close()
        await registry.close()
        return found

    with Database.open(folder) as held:
        assert held.connection.pragma("integrity_check") == "ok"
    return asyncio.run(read())
