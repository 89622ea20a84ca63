"""A second process for tests: writes the store of a folder beside another, or until killed.

``python -m tests.log.child beside FOLDER`` does one thing for each line that it is sent and
answers with the monotonic time at which it was durable.  ``… ledger FOLDER`` forks, for each
line, a process that appends and says what was acknowledged, until somebody kills it.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

import apsw

from monitor.log import opening
from monitor.log.database import Database
from monitor.log.sqlite import open_log
from tests.log.logs import event

WRITERS = 8


def say(line: str) -> None:
    """One line, whole, whatever happens next."""
    os.write(1, f"{line}\n".encode())


def beside(folder: Path) -> None:
    """Do what is asked: ``append NAME``, ``put KEY VALUE``, ``delete KEY``."""
    with Database.open(folder) as held:
        say("ready")
        for line in sys.stdin:
            match line.split():
                case ["append", name]:
                    held.append([event(name, "x")])
                case ["put", key, value]:
                    held.put(key, value.encode())
                case ["delete", key]:
                    held.delete(key)
            say(f"{time.monotonic()}")


async def append_until_killed(folder: Path, name: str) -> None:
    """Appends of one to three events by several at once; what was acknowledged is said."""
    log, _ = await open_log(folder)
    say(f"epoch {log.epoch}")

    async def write(writer: int) -> None:
        number = 0
        while True:
            names = [f"{name}-{writer}-{number}-{each}" for each in range(number % 3 + 1)]
            last = await log.append([event(each, "x") for each in names])
            for position, each in enumerate(names, last - len(names) + 1):
                say(f"acknowledged {position} {each}")
            number += 1

    await asyncio.gather(*(write(writer) for writer in range(WRITERS)))


def ledger(folder: Path) -> None:
    """For each line, a process of that name; its id is said, and that it has ended."""
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            asyncio.run(append_until_killed(folder, line.strip()))
            os._exit(1)
        say(f"pid {child}")
        os.waitpid(child, 0)
        say("ended")


def killed_while_opening(folder: Path, steps: int) -> bool:
    """Open a store in a fork that is killed before a step: whether it came to that.

    A step is a statement on the file, or a write, sync or rename of the marker.
    """
    child = os.fork()
    if child == 0:
        _open_until_killed(folder, steps)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL


def _open_until_killed(folder: Path, steps: int) -> NoReturn:
    connected, left = opening._connected, steps

    def step(*_: object) -> bool:
        nonlocal left
        left -= 1
        if left < 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return True

    def watched(path: Path) -> apsw.Connection:
        connection = connected(path)
        connection.exec_trace = step
        return connection

    def stepped(call: Callable[..., object]) -> Callable[..., object]:
        return lambda *given: step() and call(*given)

    try:
        opening._connected = watched
        for name in ("pwrite", "fsync", "rename"):
            setattr(os, name, stepped(getattr(os, name)))
        opening.opened(folder)
        os._exit(0)
    finally:
        os._exit(1)


if __name__ == "__main__":
    {"beside": beside, "ledger": ledger}[sys.argv[1]](Path(sys.argv[2]))
