"""Our store, seen from outside its process: see `bench.store.own_process`."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bench.store.calling import Called
from bench.store.peer import weight
from bench.store.samples import Samples
from bench.store.shapes import Fed, Question, Weight


class Ours:
    """See `bench.store.shapes.Store`."""

    name = "awoooi-monitor"

    def __init__(self, folder: Path) -> None:
        self._folder = folder / "data"
        self._folder.mkdir(parents=True, exist_ok=True)

    def start(self, samples: Samples, question: Question | None = None) -> float:
        """Start it; seconds until the question was answered, the interpreter's start left out.

        The server imports what it needs before it opens its store, whatever that holds.
        """
        self._process = Called("bench.store.own_process")
        self._process.call("ready")
        began = time.perf_counter()
        self._process.call("open", folder=str(self._folder), samples=samples.text())
        if question:
            self.ask([question])
        return time.perf_counter() - began

    def feed(self, samples: Samples, first: int, last: int, *, singly: bool) -> Fed:
        """Append these rows: frame by frame, a thousand at once, or a thousand in an append."""
        last = min(last, samples.rows)
        return _fed(
            self._process.call(
                "feed", samples=samples.text(), first=first, last=last, singly=singly
            )
        )

    def settle(self) -> Fed:
        """Seal and compact all that is over."""
        return _fed(self._process.call("settle"))

    def sizes(self) -> Mapping[str, int]:
        """Bytes on disk, by what they are."""
        sizes: Mapping[str, int] = self._process.call("sizes")
        return sizes

    def ask(self, questions: Sequence[Question]) -> list[float]:
        """Ask these in its process, as the server's pages do."""
        waits: list[float] = self._process.call(
            "ask", questions=[each.told() for each in questions]
        )
        return waits

    def values(self, host: str, column: int, start: float, end: float) -> list[float]:
        """Every value of a series in [start, end)."""
        found: list[float] = self._process.call(
            "values", host=host, column=column, start=start, end=end
        )
        return found

    def weight(self) -> Weight:
        """What its process weighs, the interpreter and numpy included."""
        return weight(self._process.pid)

    def close(self) -> None:
        """Close the store and end its process."""
        self._process.close()


def _fed(said: Mapping[str, Any]) -> Fed:
    return Fed(int(said["samples"]), said["cpu"], said["seconds"])
