"""It must be that a store which is killed holds every acknowledged frame once, however often.

One ledger goes over all rounds on the same directory: what was acknowledged in any of them is
there with its values, and what has been rolled up of it is what all its rows make.
"""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
import zlib
from collections.abc import Iterator
from pathlib import Path

import apsw
import numpy as np
import pytest

from monitor.store import opening
from monitor.store.loading import loaded
from monitor.store.reading import Reader
from tests import serving
from tests.seeds import rounds
from tests.store.child import Feeding, hastened
from tests.store.truth import Ledger

ROOT = Path(__file__).parents[2]
ROUNDS = 20
MOST_ROUNDS = 300
"""On one directory: about as far as the hosts' stories go."""

LONGEST_SECONDS = 0.4
"""A round runs up to so long before it is killed."""


@contextlib.contextmanager
def child(folder: Path) -> Iterator[subprocess.Popen[str]]:
    """A process that forks those which are killed."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.store.child", "ledger", str(folder)],
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


def killed(process: subprocess.Popen[str], ledger: Ledger, chance: random.Random) -> bool:
    """Let one go on from the ledger and kill it; whether it had opened the store by then."""
    assert process.stdin is not None
    assert process.stdout is not None
    line = " ".join(f"{host}={number}" for host, number in ledger.batches.items())
    process.stdin.write(f"{line}\n")
    word, pid = process.stdout.readline().split()
    assert word == "pid"
    opened = False
    if chance.random() < 0.8:  # the others may be killed while they open it
        opened = process.stdout.readline() == "ready\n"
        assert opened
    time.sleep(chance.uniform(0.0, LONGEST_SECONDS))
    os.kill(int(pid), signal.SIGKILL)
    while (line := process.stdout.readline().strip()) != "ended":
        match line.split():
            case ["acknowledged", host, number]:
                ledger.truths[host].take(int(number))
            case ["ready"]:
                opened = True
            case _:
                raise AssertionError(line)
    return opened


@pytest.mark.timeout(0)
def test_nothing_acknowledged_is_lost_or_doubled_however_often_it_is_killed(
    tmp_path: Path,
) -> None:
    left = rounds(ROUNDS)
    while left:
        folder = tmp_path / str(left)
        folder.mkdir()
        count = min(left, MOST_ROUNDS)
        one_ledger(folder, count)
        left -= count


def one_ledger(folder: Path, count: int) -> None:
    """So many rounds on one directory."""
    seed = random.randrange(2**32)
    chance = random.Random(seed)
    ledger = Ledger()
    opened = 0
    with child(folder) as process:
        for number in range(count):
            opened += killed(process, ledger, chance)
            assert faults(folder, ledger) == [], f"round {number} of {seed}"
    assert opened > 0.6 * count
    assert min(ledger.batches.values()) > count
    asyncio.run(settled(folder, ledger))
    assert faults(folder, ledger) == []
    with contextlib.closing(opening.opened(folder)) as connection:
        levels = connection.execute("SELECT DISTINCT level, open FROM chunks").fetchall()
        assert set(levels) >= {(0, 0), (1, 0), (2, 0), (3, 0), (4, 0)}


def faults(folder: Path, ledger: Ledger) -> list[str]:
    """What a directory has otherwise than its ledger."""
    try:
        connection = opening.opened(folder)
    except Exception as error:  # noqa: BLE001 - said with its seed
        return [repr(error)]
    with contextlib.closing(connection):
        return ledger.faults(connection)


async def settled(folder: Path, ledger: Ledger) -> None:
    """Let a store compact everything that is over."""
    with hastened():
        feeding = Feeding(folder, ledger.batches, lambda host, number: None)
        await feeding.begin()
        await feeding.store.settle()
        await feeding.store.close()


# The whole server


SERVER_ROUNDS = 5
SERVED_SECONDS = 0.8
"""A server takes pushes for up to so long before it is killed."""

FRAMES = 25
"""In one push."""

SENDERS = 3


class Sender:
    """A host that pushes frame after frame, a second apart, and knows what was acknowledged."""

    def __init__(self, name: str, base: float) -> None:
        self.name = name
        self.acknowledged = 0
        self.tried = 0
        self._base = base
        self._thread: threading.Thread | None = None

    def value(self, number: int) -> float:
        """What frame `number` measured."""
        return float(zlib.crc32(f"{self.name} {number}".encode()) % 10_000) / 8

    def begin(self, url: str) -> None:
        """Push until the connection breaks."""
        self._thread = threading.Thread(target=self._run, args=(url,))
        self._thread.start()

    def end(self) -> None:
        """Wait until it has broken."""
        assert self._thread is not None
        self._thread.join()

    def _run(self, url: str) -> None:
        connection = http.client.HTTPConnection(url.removeprefix("http://"), timeout=10)
        with (
            contextlib.suppress(OSError, http.client.HTTPException),
            contextlib.closing(connection),
        ):
            while True:
                numbers = range(self.acknowledged, self.acknowledged + FRAMES)
                self.tried = numbers.stop
                frames = [{"at": self._base + n, "values": [self.value(n), n]} for n in numbers]
                document = {
                    "host": self.name,
                    "boot_id": "b",
                    "seq": self.acknowledged,
                    "schema": ["app.value", "app.number"],
                    "frames": frames,
                }
                headers = {"Content-Type": "application/json"}
                connection.request("POST", "/api/v1/push", json.dumps(document), headers)
                answer = connection.getresponse()
                body = answer.read()
                assert answer.status in {200, 202, 204}, body
                self.acknowledged = numbers.stop

    def fault(self, connection: apsw.Connection) -> str | None:
        """What the file has otherwise than was acknowledged."""
        found = loaded(connection, self._base)
        host = found.hosts.by_name.get(self.name)
        if host is None:
            return f"{self.name} is not there" if self.acknowledged else None
        reader = Reader(connection, found.shapes)
        keys = ("app.value", "app.number")
        piece = reader.rows(host.view(), keys, self._base, self._base + self.tried + 1)
        numbers = np.arange(len(piece.at))
        if len(piece.at) not in {self.acknowledged, self.tried}:
            return f"{self.name} has {len(piece.at)} of {self.acknowledged} frames"
        values = np.array([self.value(number) for number in numbers.tolist()])
        wanted = np.column_stack((values, numbers)) if len(numbers) else piece.values
        if not np.array_equal(piece.at, self._base + numbers):
            return f"{self.name} has frames at other instants"
        if not np.array_equal(piece.values, wanted):
            return f"{self.name} has other values"
        return None


@pytest.mark.timeout(0)
def test_a_server_that_is_killed_has_every_push_that_it_answered(tmp_path: Path) -> None:
    base = time.time() // 3_600 * 3_600 - 20 * 3_600
    senders = [Sender(f"host-{number}", base) for number in range(SENDERS)]
    chance = random.Random()
    for number in range(rounds(SERVER_ROUNDS)):
        server = serving.start(tmp_path)
        try:
            for sender in senders:
                sender.begin(server.url)
            time.sleep(chance.uniform(0.0, SERVED_SECONDS))
        finally:
            server.process.kill()
            server.process.wait()
        for sender in senders:
            sender.end()
        with contextlib.closing(opening.opened(server.data)) as connection:
            assert connection.pragma("integrity_check") == "ok"
            said = [sender.fault(connection) for sender in senders]
            assert said == [None] * SENDERS, f"round {number}"
    assert min(sender.acknowledged for sender in senders) > FRAMES * rounds(SERVER_ROUNDS)
