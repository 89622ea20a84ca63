"""What every store of this bench can be asked, whichever it is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Protocol

from bench.store.samples import Samples


@dataclass(frozen=True)
class Question:
    """Some columns of some hosts over [start, end), at most so many points a series.

    0 points ask for every row as it was stored.
    """

    hosts: tuple[str, ...]
    columns: tuple[int, ...]
    start: float
    end: float
    points: int

    def told(self) -> dict[str, Any]:
        """For another process."""
        return asdict(self)


@dataclass(frozen=True)
class Fed:
    """What taking samples cost the store's own process."""

    samples: int
    cpu_seconds: float
    seconds: float

    def __add__(self, other: Fed) -> Fed:
        return Fed(
            self.samples + other.samples,
            self.cpu_seconds + other.cpu_seconds,
            self.seconds + other.seconds,
        )

    @property
    def per_cpu_second(self) -> float:
        """Millions of samples for each second of processor time."""
        return self.samples / max(self.cpu_seconds, 0.01) / 1e6


@dataclass(frozen=True)
class Weight:
    """Memory of the store's process in MiB: now, and the most it has been."""

    now_mib: float
    peak_mib: float


class Store(Protocol):
    """A store in a process of its own, with its files in a folder of its own."""

    name: str

    def start(self, samples: Samples, question: Question | None = None) -> float:
        """Start it, for these samples; seconds until it answered, this question if there is one."""

    def feed(self, samples: Samples, first: int, last: int, *, singly: bool) -> Fed:
        """Give it every host's rows [first, last): a request each, or as many as suits it."""

    def settle(self) -> Fed:
        """Have it do now whatever compaction it would do in time; what that cost."""

    def sizes(self) -> Mapping[str, int]:
        """Bytes on disk, by what they are."""

    def ask(self, questions: Sequence[Question]) -> list[float]:
        """How long each answer took, in milliseconds."""

    def values(self, host: str, column: int, start: float, end: float) -> list[float]:
        """Every value of a series in [start, end)."""

    def weight(self) -> Weight:
        """What its process weighs."""

    def close(self) -> None:
        """End it.  Its files stay."""
