"""It must be that a store which is killed holds every acknowledged frame once, however often.

One ledger goes over all rounds on the same directory: what was acknowledged in any of them is
there with its values, and what has been rolled up of it is what all its rows make.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from monitor.store import opening
from tests.seeds import rounds
from tests.store.child import Feeding, hastened
from tests.store.truth import Ledger

ROOT = Path(__file__).parents[2]
ROUNDS = 20
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
    seed = random.randrange(2**32)
    chance = random.Random(seed)
    ledger = Ledger()
    opened = 0
    with child(tmp_path) as process:
        for number in range(rounds(ROUNDS)):
            opened += killed(process, ledger, chance)
            assert faults(tmp_path, ledger) == [], f"round {number} of {seed}"
    assert opened > 0.6 * rounds(ROUNDS)
    assert min(ledger.batches.values()) > 2 * rounds(ROUNDS)
    asyncio.run(settled(tmp_path, ledger))
    assert faults(tmp_path, ledger) == []
    with contextlib.closing(opening.opened(tmp_path)) as connection:
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
