"""The marker: a file beside the store that remembers what the store itself may have forgotten.

It holds the store's instance id, its epoch, its life, and the highest position that was ever
acknowledged.  A store that has vanished, been emptied, or been put back from an older copy does
not agree with it.  The position is rewritten in place before an append is acknowledged, which
outlives the process, and reaches the disk at a slower pace, which is as much as a marker needs:
on the disk it may lag behind the store, and never runs ahead of it.

The marker also states which file it is, by its inode and that inode's generation, so that a
copy of a whole data directory knows that it is one; a directory that was moved is not.

What is noticed: a store that ends before what was acknowledged; one of another epoch; one put
back beside the write-ahead log of another *life*, which is the time from one opening to the
next; a data directory that was copied.  What is not: a copy made and put back beside its
write-ahead log within one life; a directory whose every file was overwritten in place, so that
the marker's inode stayed (``cp`` onto what is there); the snapshot of a whole file system or
machine.  After those, `monitor.log.database.renew_epoch` is for who put it back.  Where a file
system keeps no inode numbers, every start finds a copy and has a new epoch.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import struct
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

NAME = "instance"
"""The marker's file in the data directory."""

_FIRST_FORM = re.compile(rb"awoooi-monitor log ([0-9a-f]{32}) ([0-9]{20})\n", re.ASCII)
_FORM = re.compile(
    rb"awoooi-monitor log 2 ([0-9a-f]{32}) ([0-9a-f]{16}) ([0-9a-f]{32}) ([0-9a-f]{32})"
    rb" ([0-9]{20}) ([0-9]{20}) ([0-9]{20})\n",
    re.ASCII,
)
_EPOCH_AT = len(b"awoooi-monitor log 2 ") + 32 + 1
_POSITION_AT = _EPOCH_AT + 17 + 33 + 33 + 21 + 21
_BYTES = _POSITION_AT + 21

_GET_GENERATION = 0x80000000 | struct.calcsize("l") << 16 | ord("v") << 8 | 1
"""``FS_IOC_GETVERSION`` of linux/fs.h."""


@dataclass(frozen=True, slots=True)
class Said:
    """What a marker says; one of the first form has no epoch and no lives.

    The store's life is one of `lives`: the present one, and the one before as long as it is
    not certain that the file has the present one.
    """

    instance: str
    highest: int
    epoch: str | None = None
    lives: tuple[str, ...] = ()
    is_copy: bool = False


class Marker:
    """The open file; `close` brings it to the disk."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._written = -1
        self._dirty = False

    @property
    def is_dirty(self) -> bool:
        """Whether something was written since the last `sync`."""
        return self._dirty

    def raise_to(self, position: int) -> None:
        """Write a position, unless there is a higher one: another process may have written it."""
        if position <= self._written:
            return
        with _locked(self._descriptor):
            said = parsed(os.pread(self._descriptor, _BYTES + 1, 0))
            if said is None or said.highest < position:
                os.pwrite(self._descriptor, b"%020d" % position, _POSITION_AT)
                self._dirty = True
        self._written = position

    def put_epoch(self, epoch: str) -> None:
        """Write the store's new epoch; it is on the disk on return."""
        os.pwrite(self._descriptor, epoch.encode(), _EPOCH_AT)
        os.fsync(self._descriptor)

    def put_life(self, life: str, before: str) -> None:
        """Write the store's life and the one before; they are on the disk on return."""
        os.pwrite(self._descriptor, f"{life} {before}".encode(), _EPOCH_AT + 17)
        os.fsync(self._descriptor)

    def sync(self) -> None:
        """Bring what was written to the disk."""
        if self._dirty:
            os.fdatasync(self._descriptor)
            self._dirty = False

    def close(self) -> None:
        """Sync, and give back the descriptor."""
        if self._descriptor >= 0:
            try:
                self.sync()
            finally:
                os.close(self._descriptor)
                self._descriptor = -1


def parsed(content: bytes, identity: tuple[int, int] = (0, 0)) -> Said | None:
    """What a marker's content says, or none where it is damaged.

    `identity` is that of the file that holds it: see `_identity`.
    """
    if found := _FIRST_FORM.fullmatch(content):
        return Said(found[1].decode(), int(found[2]))
    if not (found := _FORM.fullmatch(content)):
        return None
    inode, generation = int(found[5]), int(found[6])
    both_say = generation and identity[1]
    is_copy = inode != identity[0] or bool(both_say and generation != identity[1])
    lives = found[3].decode(), found[4].decode()
    return Said(found[1].decode(), int(found[7]), found[2].decode(), lives, is_copy)


def read(folder: Path) -> tuple[bool, Said | None]:
    """Whether there is a marker, and what it says if it is whole."""
    try:
        with open(folder / NAME, "rb") as file:
            return True, parsed(file.read(_BYTES + 1), _identity(file.fileno()))
    except FileNotFoundError:
        return False, None


def write(folder: Path, said: Said) -> None:
    """Put a new marker in the old one's place, whole or not at all, and on the disk.

    `said` has an epoch and two lives.
    """
    temporary = folder / f"{NAME}.{os.getpid()}.new"
    descriptor = os.open(temporary, os.O_CREAT | os.O_TRUNC | os.O_WRONLY, 0o600)
    try:
        inode, generation_ = _identity(descriptor)
        life, before = said.lives
        content = (
            f"awoooi-monitor log 2 {said.instance} {said.epoch} {life} {before}"
            f" {inode:020d} {generation_:020d} {said.highest:020d}\n"
        )
        os.pwrite(descriptor, content.encode(), 0)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    os.rename(temporary, folder / NAME)  # noqa: PTH104 - beside the other calls of its kind
    directory = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def _identity(descriptor: int) -> tuple[int, int]:
    """Which file it is: its inode and generation.  It stays when the file is moved."""
    return os.fstat(descriptor).st_ino, generation(descriptor)


def generation(descriptor: int) -> int:
    """The inode's generation, by which a number that is used again differs; 0 if none is said."""
    said = bytearray(struct.calcsize("l"))
    try:
        fcntl.ioctl(descriptor, _GET_GENERATION, said)
    except OSError:
        return 0
    # An int, whatever the number of the call says of its size.
    return int.from_bytes(said[:4], sys.byteorder)


def opened(folder: Path) -> Marker:
    """The marker, which is there, to be raised from now on."""
    return Marker(os.open(folder / NAME, os.O_RDWR | os.O_CLOEXEC))


@contextlib.contextmanager
def _locked(descriptor: int) -> Iterator[None]:
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    try:
        yield
    finally:
        fcntl.flock(descriptor, fcntl.LOCK_UN)
