"""Disks as they may be found after the power was cut: for tests of what is durable.

Killing a process proves nothing here: what it wrote is the kernel's and survives.  So what a run
does to its files is recorded, and for each seed a disk is made as a cut at some instant may leave
it: what was synced is there, of what was not some is, some is not, some is torn at a sector.  It
knows files by their names within one folder, and no store.
"""

from __future__ import annotations

import contextlib
import os
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import apsw
import pytest

SECTOR_BYTES = 512
"""What a disk writes whole or not at all."""

TORN = 0.2
"""How many of the writes that were not synced are torn."""


@dataclass(frozen=True)
class Write:
    """Bytes at an offset of a file."""

    name: str
    offset: int
    data: bytes


@dataclass(frozen=True)
class Truncate:
    """A file cut to a size."""

    name: str
    size: int


@dataclass(frozen=True)
class Sync:
    """What was written to a file until then is on the disk."""

    name: str


@dataclass(frozen=True)
class Rename:
    """A file takes the name of another."""

    name: str
    to: str


@dataclass(frozen=True)
class Delete:
    """A file goes."""

    name: str


@dataclass(frozen=True)
class Acknowledged:
    """Somebody was told that something is durable."""

    what: Any


FOLDER = "."
"""What the folder itself is called where it is synced."""

Step = Write | Truncate | Sync | Rename | Delete | Acknowledged


class _RecordedFile(apsw.VFSFile):
    def __init__(
        self, steps: list[Step], name: str | apsw.URIFilename | None, flags: list[int]
    ) -> None:
        super().__init__("unix", name, flags)
        path = name.filename() if isinstance(name, apsw.URIFilename) else str(name)
        self._name = Path(path).name
        self._steps = steps

    def xWrite(self, data: bytes, offset: int) -> None:  # noqa: N802
        self._steps.append(Write(self._name, offset, bytes(data)))
        super().xWrite(data, offset)

    def xTruncate(self, size: int) -> None:  # noqa: N802
        self._steps.append(Truncate(self._name, size))
        super().xTruncate(size)

    def xSync(self, flags: int) -> None:  # noqa: N802
        super().xSync(flags)
        self._steps.append(Sync(self._name))


class Recorder(apsw.VFS):
    """Records what SQLite does to its files, for connections that are opened while it is there."""

    def __init__(self) -> None:
        super().__init__("recorder", "unix", makedefault=True)
        self.steps: list[Step] = []

    def xOpen(  # noqa: N802
        self, name: str | apsw.URIFilename | None, flags: list[int]
    ) -> apsw.VFSFile:
        return _RecordedFile(self.steps, name, flags)

    def xDelete(self, filename: str, syncdir: bool) -> None:  # noqa: N802
        super().xDelete(filename, syncdir)
        self.steps.append(Delete(Path(filename).name))
        if syncdir:
            self.steps.append(Sync(FOLDER))


@contextlib.contextmanager
def calls_recorded(steps: list[Step]) -> Iterator[None]:
    """What is done by `os` to files, which no VFS sees, is recorded with the rest."""
    real = {name: getattr(os, name) for name in ("write", "pwrite", "fsync", "rename")}

    def name_of(descriptor: int) -> str:
        path = Path(f"/proc/self/fd/{descriptor}").readlink()
        return FOLDER if path.is_dir() else path.name

    def write(descriptor: int, data: bytes) -> int:
        if Path(f"/proc/self/fd/{descriptor}").resolve().is_file():
            steps.append(Write(name_of(descriptor), os.lseek(descriptor, 0, 1), bytes(data)))
        return int(real["write"](descriptor, data))

    def pwrite(descriptor: int, data: bytes, offset: int) -> int:
        steps.append(Write(name_of(descriptor), offset, bytes(data)))
        return int(real["pwrite"](descriptor, data, offset))

    def sync(descriptor: int) -> None:
        real["fsync"](descriptor)
        steps.append(Sync(name_of(descriptor)))

    def rename(name: str | Path, to: str | Path) -> None:
        real["rename"](name, to)
        steps.append(Rename(Path(name).name, Path(to).name))

    with pytest.MonkeyPatch.context() as patch:
        for each in (write, pwrite, rename):
            patch.setattr(os, each.__name__, each)
        patch.setattr(os, "fsync", sync)
        yield


Disk = dict[str, bytes]
"""What is in each file of a folder."""


def after_the_cut(
    before: Mapping[str, bytes], steps: Sequence[Step], chance: random.Random
) -> Disk:
    """A disk on which only what was synced is sure to be."""
    synced: dict[str, int] = {}
    for at, step in enumerate(steps):
        match step:
            case Sync(name):
                synced[name] = at
            case Rename(name, to):  # what was synced under the old name stays so
                synced[to] = max(synced.get(to, -1), synced.get(name, -1))
    disk = {name: bytearray(content) for name, content in before.items()}
    mood = chance.random()
    for at, step in enumerate(steps):
        match step:
            case Sync() | Acknowledged():
                continue
            case Rename(name, to):
                if at <= synced.get(FOLDER, -1) or chance.random() >= mood:
                    disk[to] = disk.pop(name, bytearray())
                continue
            case Delete(name):
                if at <= synced.get(FOLDER, -1) or chance.random() >= mood:
                    disk.pop(name, None)
                continue
        content = disk.setdefault(step.name, bytearray())
        unsure = at > synced.get(step.name, -1)
        if unsure and chance.random() < mood:
            continue
        if isinstance(step, Truncate):
            del content[step.size :]
            continue
        data = step.data
        if unsure and chance.random() < TORN:
            data = data[: chance.randrange(len(data) // SECTOR_BYTES + 1) * SECTOR_BYTES]
        if len(content) < step.offset:
            content.extend(bytes(step.offset - len(content)))
        content[step.offset : step.offset + len(data)] = data
    return {name: bytes(content) for name, content in disk.items()}


def made(folder: Path, disk: Mapping[str, bytes]) -> None:
    """Put these files into a folder, which is made for them."""
    folder.mkdir(parents=True)
    for name, content in disk.items():
        (folder / name).write_bytes(content)
