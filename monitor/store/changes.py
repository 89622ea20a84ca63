"""What a compaction says: which chunks are to go, and which are to come.  Values only."""

from __future__ import annotations

from dataclasses import dataclass, field

from monitor.core.series import Floats
from monitor.ports import Loss
from monitor.store.chunks import NewChunk


@dataclass(frozen=True, slots=True)
class Made:
    """A chunk to be written, its KEYs not yet a numbered schema."""

    level: int
    keep: int
    open: bool
    first: float
    last: float
    rows: int
    keys: tuple[str, ...]
    data: bytes
    id: int | None = None
    """That of the chunk which it is what is left of, so that who came first still does."""

    def numbered(self, host: int, schema: int) -> NewChunk:
        """The same with the numbers of its host and schema."""
        return NewChunk(
            host,
            self.level,
            self.keep,
            self.open,
            self.first,
            self.last,
            self.rows,
            schema,
            self.data,
            self.id,
        )


@dataclass(slots=True)
class Change:
    """What a compaction does to a host's chunks, and how far it brings the host."""

    gone: list[int] = field(default_factory=list)
    made: list[Made] = field(default_factory=list)
    damaged: dict[int, str] = field(default_factory=dict)
    losses: list[Loss] = field(default_factory=list)
    spacing_of: Floats | None = None
    """Some instants of rows, by which the host's spacing is told."""
