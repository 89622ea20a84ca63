"""What the stream counts of itself, for ``/metrics``."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field


@dataclass(slots=True)
class Counters:
    """Totals since the start."""

    events_total: int = 0
    """Logged events taken from the log."""
    writes_total: int = 0
    """Pieces handed to readers' connections."""
    sent_bytes_total: int = 0
    """Their bytes, as they leave: compressed and framed."""
    conflations_total: int = 0
    """Times that newer state took the place of what a slow reader had not got yet."""
    gaps_total: int = 0
    """Readers told that events are missing."""
    stalls_total: int = 0
    """Readers cut because they did not read."""
    refusals_total: int = 0
    """Streams not opened because there was no room."""
    evictions_total: Counter[str] = field(default_factory=Counter)
    """Streams that the server ended, by reason."""
