"""What waits to be sent, on disk: files that are appended to, read in order and then removed.

Frames are kept as they came, which is smaller than what is sent of them.  `append` writes at once
to the system, so that whoever is killed loses nothing; it does not wait for the disk, so that a
power cut may cost what the system had not written yet.  All files together have a bound; beyond
it the oldest goes, and is counted.  Everything but `read` belongs to one thread, the event loop's.
"""

from __future__ import annotations

import contextlib
import errno
import os
import struct
import time
import zlib
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from weakref import WeakKeyDictionary

from monitor.forward import records
from monitor.forward.encoding import EARLIEST_SECONDS, LATEST_SECONDS
from monitor.forward.reading import File, Position, Reader, Window
from monitor.forward.records import Defined, Stored
from monitor.model import Frame, Schema

FILE_BYTES = 16 << 20
"""A file is closed at this size, or at an eighth of the bound where that is less."""

LEAST_FILE_BYTES = 128 << 10

TRY_AGAIN_SECONDS = 5.0
"""After a write that failed, how long nothing is tried: a full disk is not full for a moment."""

SUFFIX = ".queue"
POSITION = "position"

_POSITION = struct.Struct("<QQQQI")
"""File, offset in it, frames and samples sent of it, and the checksum of these."""


@dataclass(slots=True)
class Segment:
    """One file: its number, its size, and how much of it has frames."""

    number: int
    path: Path
    size: int = 0
    frames: int = 0
    samples: int = 0


@dataclass(slots=True)
class Counts:
    """What became of samples in a queue's life in this process."""

    queued_total: int = 0
    dropped_total: int = 0
    damaged_files_total: int = 0


class Queue:
    """One receiver's."""

    def __init__(self, folder: Path, most_bytes: int) -> None:
        self._folder = folder
        self._most_bytes = most_bytes
        self._file_bytes = max(LEAST_FILE_BYTES, min(FILE_BYTES, most_bytes // 8))
        self.counts = Counts()
        self.position = Position()
        self.fault = ""
        """Why nothing can be written now, in words."""
        self._segments: deque[Segment] = deque()
        self.size = 0
        """Bytes on disk."""
        self._frames = self._samples = 0
        self._next = 1
        self._file = -1
        self._streams: dict[tuple[str, str], tuple[Schema, int]] = {}
        self._defined = 0
        self._texts: WeakKeyDictionary[Schema, bytes] = WeakKeyDictionary()
        self._reader = Reader()
        self._not_before = 0.0

    def open(self) -> None:
        """Find what waits from before; a file that was not closed is closed.  Raises `OSError`."""
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        for path in sorted(self._folder.glob(f"*{SUFFIX}")):
            if path.stem.isdecimal():
                found = _found(path)
                self._segments.append(found)
                self._add(found.size, found.frames, found.samples)
        self._next = 1 + max((segment.number for segment in self._segments), default=0)
        self.position = self._kept_position()
        self._next = max(self._next, self.position.number + 1)
        self._let_go()
        self._bound()

    @property
    def pending_bytes(self) -> int:
        """On disk, and not sent."""
        return max(0, self.size - self._sent_of_first().offset)

    @property
    def pending_frames(self) -> int:
        """Frames that wait."""
        return self._frames - self._sent_of_first().frames

    @property
    def pending_samples(self) -> int:
        """Samples that wait; absent ones are counted too."""
        return self._samples - self._sent_of_first().samples

    def append(self, frames: Sequence[Frame]) -> None:
        """Add frames.  Never raises: what cannot be written is counted as dropped."""
        samples = sum(len(frame.values) for frame in frames)
        if time.monotonic() < self._not_before:
            self.counts.dropped_total += samples
            return
        try:
            self._append(frames)
        except OSError as error:
            self.fault = error.strerror or type(error).__name__
            self.counts.dropped_total += samples
            self._not_before = time.monotonic() + TRY_AGAIN_SECONDS
            self._end_file()
        else:
            self.fault = ""
            self.counts.queued_total += samples

    def _append(self, frames: Sequence[Frame]) -> None:
        if self._file < 0:
            self._begin_file()
        pieces: list[bytes] = []
        count = samples = 0
        for frame in frames:
            if not EARLIEST_SECONDS < frame.at < LATEST_SECONDS or not frame.values:
                continue
            known = self._streams.get((frame.host, frame.source))
            if known is None or known[0] is not frame.schema:
                known = (frame.schema, self._defined)
                self._defined += 1
                self._streams[frame.host, frame.source] = known
                pieces.append(records.stream(known[1], frame.host, self._packed(frame.schema)))
            pieces.append(records.frame(known[1], frame.at, frame.values.tobytes()))
            count += 1
            samples += len(frame.values)
        data = b"".join(pieces)
        segment = self._segments[-1]
        written = os.write(self._file, data)
        if written < len(data):
            os.ftruncate(self._file, segment.size)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        segment.size += len(data)
        segment.frames += count
        segment.samples += samples
        self._add(len(data), count, samples)
        if segment.size >= self._file_bytes:
            self._end_file()
        self._bound()

    def _packed(self, schema: Schema) -> bytes:
        found = self._texts.get(schema)
        if found is None:
            found = self._texts[schema] = records.packed_texts(schema)
        return found

    def _begin_file(self) -> None:
        path = self._folder / f"{self._next:012d}{SUFFIX}"
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC
        self._file = os.open(path, flags, 0o600)
        self._segments.append(Segment(self._next, path))
        self._next += 1
        self._streams, self._defined = {}, 0
        os.write(self._file, records.MAGIC)
        self._segments[-1].size = len(records.MAGIC)
        self._add(len(records.MAGIC))

    def _end_file(self) -> None:
        """Close the file that is written to, and say in it what it holds."""
        if self._file < 0:
            return
        segment, file = self._segments[-1], self._file
        self._file = -1
        try:
            written = os.write(file, records.tally(segment.frames, segment.samples))
            segment.size += written
            self._add(written)
        except OSError:
            pass  # it is found out by reading, should it be needed
        finally:
            os.close(file)

    def _bound(self) -> None:
        """Let go of the oldest files while all are too large together."""
        while self.size > self._most_bytes and len(self._segments) > 1:
            first, sent = self._segments[0], self._sent_of_first()
            self.counts.dropped_total += first.samples - sent.samples
            self._remove_first()

    def _remove_first(self) -> None:
        first = self._segments.popleft()
        self._add(-first.size, -first.frames, -first.samples)
        with contextlib.suppress(OSError):
            first.path.unlink(missing_ok=True)

    def _add(self, size: int, frames: int = 0, samples: int = 0) -> None:
        self.size += size
        self._frames += frames
        self._samples += samples

    def _sent_of_first(self) -> Position:
        first = self._segments[0].number if self._segments else 0
        return self.position if self.position.number == first else Position()

    def segments(self) -> tuple[File, ...]:
        """The files to read in order, for `read`: number, path, and whether more may come."""
        last = len(self._segments) - 1
        return tuple(
            (segment.number, segment.path, place == last and self._file >= 0)
            for place, segment in enumerate(self._segments)
        )

    def sent(self, window: Window) -> None:
        """Everything up to a window's end was sent or refused for good.  May raise `OSError`."""
        self.position = window.end
        if window.damaged:
            self.counts.damaged_files_total += 1
        if self._file >= 0 and self._segments[-1].number < self.position.number:
            self._end_file()
        self._let_go()
        self._keep_position()

    def _let_go(self) -> None:
        while self._segments and self._segments[0].number < self.position.number:
            self._remove_first()

    def read(self, files: Sequence[File], position: Position) -> Window | None:
        """What waits from a position on; see `Reader.read`, which may have a thread of its own."""
        return self._reader.read(files, position)

    def _keep_position(self) -> None:
        position = self.position
        data = _POSITION.pack(
            position.number, position.offset, position.frames, position.samples, 0
        )[:-4]
        fresh = self._folder / f"{POSITION}.new"
        fresh.write_bytes(data + struct.pack("<I", zlib.crc32(data)))
        fresh.replace(self._folder / POSITION)

    def _kept_position(self) -> Position:
        """Where it stood; the beginning where that is not known: twice is better than never."""
        try:
            data = (self._folder / POSITION).read_bytes()
        except OSError:
            return Position()
        if len(data) != _POSITION.size:
            return Position()
        *found, checksum = _POSITION.unpack(data)
        return Position(*found) if zlib.crc32(data[:-4]) == checksum else Position()

    def close(self) -> None:
        """Close the file that is written to."""
        self._end_file()


def _found(path: Path) -> Segment:
    """A file from before.  Its torn end is cut off, and it is closed."""
    size = path.stat().st_size
    segment = Segment(int(path.stem), path, size)
    known = records.tally_of(path, size)
    if known is None:
        end = 0
        with path.open("rb") as file:
            if file.read(len(records.MAGIC)) == records.MAGIC:
                end = file.tell()
                lengths: dict[int, int] = {}
                for record, after in records.read(file):
                    end = after
                    if isinstance(record, Defined):
                        lengths[record.number] = len(record.stream.texts)
                    elif isinstance(record, Stored):
                        segment.frames += 1
                        segment.samples += lengths.get(record.number, 0)
        with path.open("r+b") as file:
            file.truncate(end)
            file.seek(end)
            if end == 0:
                file.write(records.MAGIC)
            file.write(records.tally(segment.frames, segment.samples))
            segment.size = file.tell()
    else:
        segment.frames, segment.samples = known.frames, known.samples
    return segment
