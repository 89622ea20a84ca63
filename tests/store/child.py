"""A second process for tests: feeds the store of a folder until it is killed.

``python -m tests.store.child ledger FOLDER`` forks, for each line ``HOST=BATCHES ...``, a process
that goes on from there and says what was acknowledged.  Everything that takes minutes in a
server takes milliseconds in it: `hastened` says how.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import NoReturn

import apsw
import pytest

from monitor.errors import Unavailable
from monitor.sqlite import connecting
from monitor.store import appending, brake, due, keeper, opening, snapshots, sqlite
from monitor.store.config import RetentionConfig
from monitor.store.sqlite import SqliteStore, open_store
from tests.store.truth import BASE, KEYS, RAW_SECONDS, SPACINGS, spent, story

CONFIG = RetentionConfig(raw=RAW_SECONDS)

HASTE: tuple[tuple[object, str, float], ...] = (
    (keeper, "SEAL_ROWS", 200),
    (keeper, "LOOK_SECONDS", 0.01),
    (due, "GRACE_SECONDS", 1.0),
    (due, "SILENT_SECONDS", 1.0),
    (due, "SETTLED_SECONDS", 0.02),
    (due, "LATE_SECONDS", 0.1),
    (keeper, "REST_SHARE", 0.0),
    (keeper, "SCHEMAS_SECONDS", 0.2),
    (appending, "PACE_SECONDS", 0.001),
    (sqlite, "PAUSE_SECONDS", 0.001),
    (brake, "OFF_SECONDS", 1e9),
    (snapshots, "MOST_PACKED", 4),
)
"""What is made quick or small, so that every stage comes within a second."""


@contextlib.contextmanager
def hastened() -> Iterator[None]:
    """Within it, what takes a store minutes and hours takes milliseconds."""
    with pytest.MonkeyPatch.context() as patch:
        for module, name, value in HASTE:
            patch.setattr(module, name, value)
        yield


def say(line: str) -> None:
    """One line, whole, whatever happens next."""
    os.write(1, f"{line}\n".encode())


class Feeding:
    """A store that is given its hosts' stories, batch after batch, and trimmed and read meanwhile.

    `acknowledged` is called with a host and how many of its batches the store has then.
    """

    def __init__(
        self, folder: Path, batches: Mapping[str, int], acknowledged: Callable[[str, int], None]
    ) -> None:
        self.batches = dict(batches)
        self.store: SqliteStore
        self._folder = folder
        self._acknowledged = acknowledged

    def clock(self) -> float:
        """Unix seconds: as late as what is given."""
        return spent(self.batches)

    async def begin(self) -> None:
        """Open the store."""
        self.store = await open_store(self._folder, CONFIG, clock=self.clock)

    async def round(self) -> None:
        """A batch of each host that is not ahead of the others, all at once."""
        least = min(self.batches.values())
        due = [host for host, number in self.batches.items() if number == least]
        await asyncio.gather(*(self._give(host) for host in due))

    async def _give(self, host: str) -> None:
        number, told = self.batches[host], story(host)
        frames = told.frames(told.batch(number))
        await self.store.append(frames, told.tables(number))
        self.batches[host] = number + 1
        self._acknowledged(host, number + 1)

    async def look(self) -> None:
        """Trim, and read a range of everything that may be there."""
        await self.store.trim(self.clock())
        wanted = [(host, key) for host in self.batches for key in KEYS]
        await self.store.range(wanted, BASE, self.clock(), 300)


async def feed_until_killed(folder: Path, batches: Mapping[str, int]) -> None:
    """Give batches as fast as they are taken; what was acknowledged is said."""
    feeding = Feeding(folder, batches, lambda host, number: say(f"acknowledged {host} {number}"))
    await feeding.begin()
    say("ready")

    async def look() -> None:
        while True:
            await feeding.look()
            await asyncio.sleep(0.03)

    looking = asyncio.create_task(look())
    while not looking.done():
        with contextlib.suppress(Unavailable):
            await feeding.round()
        if feeding.store.warnings():
            break
    say(f"stopped {feeding.store.warnings()}")
    await looking


def ledger(folder: Path) -> None:
    """For each line, a process that goes on from there; its id is said, and that it has ended."""
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            batches = {host: int(number) for host, number in (p.split("=") for p in line.split())}
            with hastened():
                asyncio.run(feed_until_killed(folder, batches))
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
    connected, left = connecting.connected, steps

    def step(*_: object) -> bool:
        nonlocal left
        left -= 1
        if left < 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return True

    def watched(path: Path, pragmas: tuple[str, ...]) -> apsw.Connection:
        connection = connected(path, pragmas)
        connection.exec_trace = step
        return connection

    def stepped(call: Callable[..., object]) -> Callable[..., object]:
        return lambda *given: step() and call(*given)

    try:
        opening.__dict__["connected"] = watched
        for name in ("write", "fsync", "rename"):
            setattr(os, name, stepped(getattr(os, name)))
        opening.opened(folder)
        os._exit(0)
    finally:
        os._exit(1)


if __name__ == "__main__":
    for each in SPACINGS:
        story(each)
    {"ledger": ledger}[sys.argv[1]](Path(sys.argv[2]))
