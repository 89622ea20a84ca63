"""Reading a queue's files, some of them at a time, from where everything before was sent.

It may have a thread of its own, and sees files grow, end and vanish meanwhile; it changes none.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

import numpy as np

from monitor.forward import records
from monitor.forward.encoding import Part, Stream
from monitor.forward.records import Defined, Stored, Tally

WINDOW_BYTES = 4 << 20
"""Read at once: half a million samples, which are then in memory while they are sent."""

FRAMES_AT_ONCE = 64
"""Frames read before others may run: about 0.1 ms."""

File: TypeAlias = tuple[int, Path, bool]
"""A file's number, where it is, and whether more may come into it."""


@dataclass(frozen=True, slots=True)
class Position:
    """Up to where everything was sent: a file's number, an offset, and what of it that was."""

    number: int = 0
    offset: int = 0
    frames: int = 0
    samples: int = 0


@dataclass(frozen=True, slots=True)
class Window:
    """What was read at once, and the position that it ends at."""

    parts: tuple[Part, ...]
    frames: int
    samples: int
    oldest_at: float
    end: Position
    damaged: bool = False
    """Whether the rest of a file could not be read."""


@dataclass(slots=True)
class _Reading:
    """How far the reader knows the numbers of a file's streams."""

    number: int = -1
    offset: int = 0
    streams: dict[int, Stream] = field(default_factory=dict)


class Reader:
    """Reads one queue; for one thread at a time."""

    def __init__(self) -> None:
        self._reading = _Reading()

    def read(self, files: Sequence[File], position: Position) -> Window | None:
        """What waits from a position on, up to `WINDOW_BYTES`; none where nothing does.

        For one thread at a time, which may be another than the others'.  What was removed
        meanwhile is passed over.
        """
        for number, path, is_open in files:
            if number < position.number:
                continue
            if number > position.number:
                position = Position(number, len(records.MAGIC))
            window = self._read_file(path, position, is_open=is_open)
            if window is not None:
                return window
        return None

    def _read_file(self, path: Path, position: Position, *, is_open: bool) -> Window | None:
        """Some of one file.  One that is done or damaged ends with the beginning of the next."""
        reading = self._reading
        following = Position(position.number + 1, len(records.MAGIC))
        try:
            file = path.open("rb")
        except FileNotFoundError:
            return None
        with file:
            if reading.number != position.number or reading.offset > position.offset:
                reading = self._reading = _Reading(position.number, len(records.MAGIC))
            if file.read(len(records.MAGIC)) != records.MAGIC:
                return None if is_open else Window((), 0, 0, 0.0, following, damaged=True)
            begin = max(position.offset, len(records.MAGIC))
            file.seek(reading.offset)
            found: dict[Stream, list[Stored]] = {}
            frames = samples = 0
            end, is_done, is_broken = begin, False, False
            for record, after in records.read(file):
                reading.offset = after
                if isinstance(record, Defined):
                    reading.streams[record.number] = record.stream
                elif isinstance(record, Tally):
                    is_done = True
                elif after > begin:
                    stream = reading.streams.get(record.number)
                    if stream is None or len(record.values) != 8 * len(stream.texts):
                        is_broken = True
                        break
                    found.setdefault(stream, []).append(record)
                    frames += 1
                    if frames % FRAMES_AT_ONCE == 0:
                        time.sleep(0)  # the event loop may have the interpreter now
                    samples += len(stream.texts)
                if after > begin:
                    end = after
                if is_done or end - begin >= WINDOW_BYTES:
                    break
            else:
                is_broken = not is_open
        parts = tuple(_part(stream, of) for stream, of in found.items())
        oldest = min((float(part.at[0]) for part in parts), default=0.0)
        if is_done or is_broken:
            return Window(parts, frames, samples, oldest, following, damaged=is_broken)
        if end == begin:
            return None
        sent = Position(position.number, end, position.frames + frames, position.samples + samples)
        return Window(parts, frames, samples, oldest, sent)


def _part(stream: Stream, frames: list[Stored]) -> Part:
    """The frames of one stream by instant; of one instant the last."""
    frames.sort(key=lambda frame: frame.at)
    at = np.array([frame.at for frame in frames])
    values = np.frombuffer(b"".join(frame.values for frame in frames), np.float64)
    values = values.reshape(len(frames), len(stream.texts))
    keep = np.append(np.diff(np.rint(at * 1000)) > 0, True)
    return Part(stream, at[keep], values[keep])
