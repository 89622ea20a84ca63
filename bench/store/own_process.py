"""``python -m bench.store.own_process``: our store alone in a process, asked by its parent.

Frames are made here of the rows in the file, as the server makes them of an agent's bytes; the
processor time of that is taken off, everything else that the process does is counted.
"""

from __future__ import annotations

import asyncio
import math
import resource
import time
from array import array
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import apsw

from bench.recording import Floats
from bench.store.calling import answer
from bench.store.samples import Samples, read
from bench.store.shapes import Question
from monitor.model import Frame, Schema
from monitor.ports import Buckets
from monitor.store.config import LONGEST_SECONDS, MOST_BYTES, RetentionConfig
from monitor.store.sqlite import open_store

IN_FLIGHT = 1_000
"""Pushes under way at once, of one frame each: what a fleet of that size has."""

FRAMES_AT_ONCE = 1_000
"""Frames of an append where they come together, as from spools."""

FRAMES_READ = 20_000
"""Frames made at a time: some 20 MB."""

KEEP = RetentionConfig(*(LONGEST_SECONDS,) * 5, size=MOST_BYTES)
"""Nothing goes while it is measured."""


def processor_seconds() -> float:
    """What all threads of this process have used."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


class Server:
    """A store and what may be asked of it."""

    def __init__(self) -> None:
        self.commands = {
            name: getattr(self, name)
            for name in ("ready", "open", "feed", "settle", "sizes", "ask", "values")
        }

    async def ready(self) -> None:
        """Everything is imported."""

    async def open(self, folder: str, samples: str) -> None:
        """Open the store in this folder, for these samples."""
        self._samples = read(samples)
        self._schema = Schema(self._samples.keys)
        self._folder = Path(folder)
        self._store = await open_store(self._folder, KEEP)

    async def feed(self, samples: str, first: int, last: int, singly: bool) -> dict[str, float]:
        """Append the rows [first, last) of every host."""
        fed = read(samples)
        at_once = max(1, FRAMES_READ // len(fed.hosts))
        each = 1 if singly else FRAMES_AT_ONCE
        making, count = 0.0, 0
        cpu, began = processor_seconds(), time.perf_counter()
        for row in range(first, last, at_once):
            making -= time.thread_time()
            frames = list(self._frames(fed, row, min(last, row + at_once)))
            appends = [frames[at : at + each] for at in range(0, len(frames), each)]
            making += time.thread_time()
            for at in range(0, len(appends), IN_FLIGHT):
                await asyncio.gather(*map(self._store.append, appends[at : at + IN_FLIGHT]))
            count += len(frames) * len(fed.keys)
        spent = processor_seconds() - cpu - making
        return {"samples": count, "cpu": spent, "seconds": time.perf_counter() - began}

    def _frames(self, fed: Samples, first: int, last: int) -> Iterator[Frame]:
        """These rows in the order in which they come: instant by instant."""
        hosts = [(host, *fed.stretch(number, first, last)) for number, host in enumerate(fed.hosts)]
        for row in range(last - first):
            for host, instants, values in hosts:
                yield Frame(host, float(instants[row]), self._schema, _cells(values[row]))

    async def settle(self) -> dict[str, float]:
        """Seal and compact all that is over."""
        cpu, began = processor_seconds(), time.perf_counter()
        await self._store.settle()
        spent = processor_seconds() - cpu
        return {"samples": 0, "cpu": spent, "seconds": time.perf_counter() - began}

    async def sizes(self) -> dict[str, int]:
        """Bytes of raw chunks, of all chunks, of pages in use, and of the file."""
        path = self._folder / "series.db"
        with closing(apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)) as file:
            raw = file.execute("SELECT total(bytes) FROM chunks WHERE level = 0").fetchone()
            every = file.execute("SELECT total(bytes) FROM chunks").fetchone()
            pages = [file.pragma(name) for name in ("page_count", "freelist_count", "page_size")]
        assert raw is not None
        assert every is not None
        return {
            "raw chunks": int(raw[0]),
            "all tiers": int(every[0]),
            "pages in use": (pages[0] - pages[1]) * pages[2],
            "whole file": pages[0] * pages[2],
        }

    async def ask(self, questions: list[dict[str, Any]]) -> list[float]:
        """How long each took, in milliseconds."""
        waits = []
        for told in questions:
            question = Question(**told)
            began = time.perf_counter()
            await self._range(question)
            waits.append((time.perf_counter() - began) * 1e3)
        return waits

    async def _range(self, question: Question) -> Buckets:
        keys = self._samples.keys
        series = [(host, keys[column]) for host in question.hosts for column in question.columns]
        rows = round((question.end - question.start) / self._samples.step_seconds)
        points = question.points or rows
        return await self._store.range(
            series, question.start, question.end, points, raw=not question.points
        )

    async def values(self, host: str, column: int, start: float, end: float) -> list[float]:
        """Every row's value of a series."""
        question = Question((host,), (column,), start, end, 0)
        found = (await self._range(question)).series[0].average
        return [float(value) for value in found if not math.isnan(value)]

    async def close(self) -> None:
        """Close the store."""
        await self._store.close()


def _cells(row: Floats) -> array[float]:
    cells = array("d")
    cells.frombytes(row.tobytes())
    return cells


async def main() -> None:
    server = Server()
    await answer(server.commands)
    await server.close()


if __name__ == "__main__":
    asyncio.run(main())
