"""Free space under the data directory: a warning, a floor for new frames, and a ballast.

On a full disk SQLite can neither delete nor bring its write-ahead log into the file.  So frames
are refused well before that, while reading and letting go of what is old go on; and should the
disk be filled by somebody else, a ballast file is given up, which makes room for just that.
"""

from __future__ import annotations

import contextlib
import enum
import errno
import logging
import os
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import apsw

from monitor.core.quantity import format_about_bytes
from monitor.errors import Unavailable
from monitor.ports import StoreWarning
from monitor.store import opening

logger = logging.getLogger(__name__)

GB = 10**9
MB = 10**6

RECOVERY = 1.1
"""A threshold is left again only when so much more is free, so that nothing flaps at it."""

RETRY_SECONDS = 60.0
"""When a sender that was refused may try again: disks fill fast and are emptied by people."""

BALLAST = "ballast"
"""The file in the data directory."""

BALLAST_BYTES = 64 * 1024 * 1024
BALLAST_SHARE = 0.01
"""How large it is: the smaller of the two, the second of the whole file system."""

LEAST_BALLAST_BYTES = 1024 * 1024
"""Some steps of trimming write as much; less would be no help on a small file system."""

CODE = "disk_low"
"""The code of the refusal, and of the warning that says so."""


class Level(enum.IntEnum):
    """How much is free."""

    WELL = 0
    WARNING = 1
    LOW = 2


@dataclass(frozen=True, slots=True)
class _Threshold:
    """Less than both of these is too little: large disks have enough in a small share."""

    level: Level
    share: float
    free_bytes: int


THRESHOLDS = (_Threshold(Level.LOW, 0.05, 2 * GB), _Threshold(Level.WARNING, 0.10, 5 * GB))


class FileSystem(Protocol):
    """What is asked of `os.statvfs`."""

    @property
    def f_frsize(self) -> int: ...  # noqa: D102
    @property
    def f_blocks(self) -> int: ...  # noqa: D102
    @property
    def f_bavail(self) -> int: ...  # noqa: D102


class Space:
    """The free space of one folder.  It may be asked from any thread.

    `look` is called every few seconds, `require` before frames are taken, and `release` when
    SQLite says that the disk is full.
    """

    def __init__(self, folder: Path, statvfs: Callable[[Path], FileSystem] = os.statvfs) -> None:
        self._folder = folder
        self._statvfs = statvfs
        self._level = Level.WELL
        self._free_bytes = 0
        self._total_bytes = 0
        self._failed = False
        self._released = False
        self._changing = threading.Lock()
        self.look()

    @property
    def level(self) -> Level:
        """How much was free at the last look."""
        return self._level

    @property
    def is_spent(self) -> bool:
        """Whether the ballast was given up and not made again: what is free is for trimming."""
        return self._released

    @property
    def has_ballast(self) -> bool:
        """Whether there is something to give up."""
        return (self._folder / BALLAST).is_file()

    def look(self) -> None:
        """See how much is free, and make the ballast where it is missing.  Never raises."""
        with self._changing:
            try:
                found = self._statvfs(self._folder)
                self._total_bytes = found.f_blocks * found.f_frsize
                self._free_bytes = found.f_bavail * found.f_frsize
            except (OSError, ValueError) as error:
                if not self._failed:
                    logger.warning("it cannot be told how much space is free: %s", error)
                self._failed = True
                return
            self._failed = False
            self._judge()
            if self._level is Level.LOW:
                self._bring_in()
            else:
                self._make_ballast()

    def _bring_in(self) -> None:
        """Give back what the write-ahead log takes: a commit that failed for want of room, too.

        It waits for nobody; where somebody reads or writes just now, the next look does it.
        """
        try:
            if not (self._folder / f"{opening.NAME}-wal").stat().st_size:
                return
            path = str(self._folder / opening.NAME)
            with contextlib.closing(
                apsw.Connection(path, flags=apsw.SQLITE_OPEN_READWRITE)
            ) as connection:
                connection.execute("PRAGMA synchronous = FULL")
                connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)
        except (apsw.Error, OSError) as error:
            logger.debug("the write-ahead log was not brought in: %s", error)

    def _judge(self) -> None:
        # What was given up is for trimming, and no room for further frames.
        kept_free = ballast_bytes(self._total_bytes) if self._released else 0
        level = level_of(self._free_bytes - kept_free, self._total_bytes, self._level)
        if level == self._level:
            return
        if level > self._level:
            logger.warning("little space is left: %s", _text(level, self._said()))
        else:
            logger.info("there is space again: %s", self._said())
        self._level = level

    def require(self) -> None:
        """Raise `Unavailable`, a 507, while there is too little space for further frames."""
        if self._level is Level.LOW:
            raise Unavailable(
                _text(self._level, self._said()),
                code=CODE,
                status=507,
                retry_after=RETRY_SECONDS,
            )

    def warning(self) -> StoreWarning | None:
        """What is to be said of the free space; none where there is enough."""
        match self._level:
            case Level.WELL:
                return None
            case Level.WARNING:
                return StoreWarning("disk_warning", _text(self._level, self._said()))
            case Level.LOW:
                return StoreWarning(CODE, _text(self._level, self._said()))

    def release(self) -> bool:
        """Give up the ballast, so that there is room to delete: whether there was one.

        No further frames are taken from here on, until a look finds room for both.
        """
        with self._changing:
            self._released = True
            self._level = Level.LOW
            try:
                (self._folder / BALLAST).unlink()
            except OSError:
                return False
        logger.warning("the disk is full: the ballast was given up to make room for trimming")
        return True

    def _said(self) -> str:
        share = self._free_bytes / self._total_bytes if self._total_bytes else 0.0
        free, total = format_about_bytes(self._free_bytes), format_about_bytes(self._total_bytes)
        return f"{free} of {total} ({share:.1%}) are free under {self._folder}"

    def _make_ballast(self) -> None:
        """Set space aside, whole or not at all, where that leaves enough of it."""
        path = self._folder / BALLAST
        temporary = self._folder / f"{BALLAST}.new"
        size = ballast_bytes(self._total_bytes)
        if path.exists() or not size:
            self._released = False
            return
        left = self._free_bytes - size
        # It must not make little of what is enough, nor come and go at a threshold.
        if level_of(left, self._total_bytes, Level.LOW) > min(self._level, Level.WARNING):
            return
        try:
            descriptor = os.open(temporary, os.O_CREAT | os.O_TRUNC | os.O_WRONLY, 0o600)
            try:
                os.posix_fallocate(descriptor, 0, size)
            finally:
                os.close(descriptor)
            temporary.rename(path)
            self._released = False
        except OSError as error:
            with contextlib.suppress(OSError):
                temporary.unlink()
            if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                logger.debug("no ballast: %s", error)


def level_of(free_bytes: int, total_bytes: int, before: Level = Level.WELL) -> Level:
    """How a free space is to be judged, after it was judged `before`."""
    for threshold in THRESHOLDS:
        more = RECOVERY if before >= threshold.level else 1.0
        if free_bytes < more * min(threshold.share * total_bytes, threshold.free_bytes):
            return threshold.level
    return Level.WELL


def ballast_bytes(total_bytes: int) -> int:
    """How large the ballast is on a file system of so many bytes, in whole pages of 4 KiB."""
    share = max(LEAST_BALLAST_BYTES, int(BALLAST_SHARE * total_bytes))
    return min(BALLAST_BYTES, share) // 4096 * 4096


def _text(level: Level, said: str) -> str:
    if level is Level.LOW:
        return (
            f"{said}: no further frames are taken until there is more; old history still goes."
            " Make room, or lower [retention] size"
        )
    return f"{said}: make room, or lower [retention] size, before no more frames can be taken"
