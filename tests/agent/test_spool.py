"""The spool beside the loop.  Every name finishes the sentence "it must be that …"."""

from __future__ import annotations

import asyncio
import threading
import time
from array import array
from collections.abc import AsyncIterator, Iterable, Sequence
from pathlib import Path

import pytest

from monitor.agent import spool as spooling
from monitor.agent.spool import Spool
from monitor.agent.spoolfile import Bounds, Kept, SpoolFile
from monitor.model import Schema

SCHEMA, OTHER = Schema(("a", "b")), Schema(("c",))


class _File(SpoolFile):
    """A spool whose disk refuses when it is told to, or hangs."""

    refuses = False
    hangs: threading.Event | None = None

    def write(
        self,
        frames: Sequence[Kept],
        done: Iterable[tuple[int, int]] = (),
        *,
        is_brief: bool = False,
    ) -> None:
        if self.hangs is not None:
            self.hangs.wait(20)
        if self.refuses:
            raise OSError("the spool cannot be written: disk full")
        super().write(frames, done, is_brief=is_brief)


def _frame(number: int, schema: Schema = SCHEMA) -> Kept:
    return Kept(number, time.time(), schema, array("d", [float(number)] * len(schema)))


@pytest.fixture
def file(tmp_path: Path) -> _File:
    return _File(tmp_path, Bounds(50_000_000, 86_400.0))


@pytest.fixture
async def spool(file: _File) -> AsyncIterator[Spool]:
    made = Spool(file)
    yield made
    await made.close()


async def _numbers(spool: Spool) -> list[int]:
    found: list[int] = []
    while part := await spool.read(found[-1] + 1 if found else 1, 10**9, 7):
        assert len({each.schema for each in part}) == 1
        found += [each.number for each in part]
    return found


async def test_what_is_acknowledged_goes_with_the_next_frame(spool: Spool) -> None:
    for number in range(1, 11):
        await spool.keep(_frame(number))
    spool.acknowledged([1, 2, 5])
    assert await _numbers(spool) == list(range(1, 11))
    await spool.keep(_frame(11))
    assert await _numbers(spool) == [3, 4, 6, 7, 8, 9, 10, 11]


async def test_what_was_acknowledged_last_goes_at_the_end(file: _File, tmp_path: Path) -> None:
    spool = Spool(file)
    await spool.keep(_frame(1))
    spool.acknowledged([1])
    await spool.close()
    again = SpoolFile(tmp_path, Bounds(50_000_000, 86_400.0))
    assert again.numbers() == (0, 0)
    again.close()


async def test_while_the_disk_refuses_frames_are_held_in_memory(
    spool: Spool, file: _File, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    await spool.keep(_frame(1))
    file.refuses = True
    spool.acknowledged([1])
    for number in range(2, 20):
        await spool.keep(_frame(number, OTHER if number in {5, 6} else SCHEMA))
    assert [each.number for each in await spool.read(2, 99, 60)] == [2, 3, 4]
    assert [each.number for each in await spool.read(5, 99, 60)] == [5, 6]
    spool.acknowledged([2, 3])
    file.refuses = False
    await spool.keep(_frame(20))
    assert await _numbers(spool) == list(range(4, 21))
    said = [record.message for record in caplog.records]
    assert len(said) == 2, "one line for each change of state"
    assert "disk full" in said[0]


async def test_what_is_held_in_memory_is_bounded(
    spool: Spool, file: _File, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spooling, "MOST_SPARE", 5)
    file.refuses = True
    for number in range(1, 12):
        await spool.keep(_frame(number))
    assert spool.dropped == {"disk": 6}
    file.refuses = False
    await spool.keep(_frame(12))
    assert await _numbers(spool) == [7, 8, 9, 10, 11, 12]


async def test_a_disk_that_hangs_is_not_waited_for_without_bound(
    spool: Spool, file: _File, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spooling, "MOST_WAITING", 3)
    file.hangs = threading.Event()
    waiting = [asyncio.create_task(spool.keep(_frame(number))) for number in range(1, 6)]
    await asyncio.sleep(0)
    await asyncio.wait(waiting, timeout=0.05)
    assert sum(task.done() for task in waiting) == 2
    assert spool.dropped == {"disk": 2}
    file.hangs.set()
    await asyncio.gather(*waiting)
    assert await _numbers(spool) == [1, 2, 3]


async def test_what_was_dropped_is_counted_and_said_now_and_then(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    spool = Spool(SpoolFile(tmp_path, Bounds(50_000_000, 60.0)))
    old = Kept(1, time.time() - 3600, SCHEMA, array("d", [1.0, 2.0]))
    await spool.keep(old)
    for number in range(2, 40):
        await spool.keep(_frame(number))
    assert spool.dropped == {"age": 1}
    said = [record.message for record in caplog.records if "let go of" in record.message]
    assert said == ["1 frames were let go of unsent: they were older than spool_age"]
    await spool.close()
