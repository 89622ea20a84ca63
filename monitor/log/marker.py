"""The marker: a file beside the store that remembers what the store itself may have forgotten.

It holds the store's instance id and the highest position that was ever acknowledged.  A store
that has vanished, been emptied, or been put back from an older copy does not agree with it.
It is rewritten in place before an append is acknowledged, which outlives the process, and
reaches the disk at a slower pace, which is as much as a marker needs: on the disk it may lag
behind the store, and never runs ahead of it.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

NAME = "instance"
"""The marker's file in the data directory."""

_FORM = re.compile(rb"awoooi-monitor log ([0-9a-f]{32}) ([0-9]{20})\n", re.ASCII)
_POSITION_AT = len(b"awoooi-monitor log ") + 32 + 1
_BYTES = _POSITION_AT + 21


@dataclass(frozen=True, slots=True)
class Said:
    """What a marker says."""

    instance: str
    highest: int


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


def parsed(content: bytes) -> Said | None:
    """What a marker's content says, or none where it is damaged."""
    found = _FORM.fullmatch(content)
    return Said(found[1].decode(), int(found[2])) if found else None


def read(folder: Path) -> tuple[bool, Said | None]:
    """Whether there is a marker, and what it says if it is whole."""
    try:
        with open(folder / NAME, "rb") as file:
            return True, parsed(file.read(_BYTES + 1))
    except FileNotFoundError:
        return False, None


def write(folder: Path, said: Said) -> None:
    """Put a new marker in the old one's place, whole or not at all, and on the disk."""
    temporary = folder / f"{NAME}.{os.getpid()}.new"
    descriptor = os.open(temporary, os.O_CREAT | os.O_TRUNC | os.O_WRONLY, 0o600)
    try:
        content = f"awoooi-monitor log {said.instance} {said.highest:020d}\n"
        os.write(descriptor, content.encode())
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    temporary.rename(folder / NAME)
    directory = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


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
