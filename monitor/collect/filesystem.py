"""Filesystems: their space and inodes by statvfs, one entry a device.

Two collectors share this file, so that a file server that does not answer costs only the
second: local filesystems, and those that wait for another machine or for a program.  Shown
are the host's own mountpoints; they are read below the configured root.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from dataclasses import dataclass, field

from monitor.collect.files import KeptFile, Root
from monitor.collect.mounts import Mount, parse
from monitor.collect.tokens import label
from monitor.errors import Absent
from monitor.model import Reading, Row, key

MOST_MOUNTS = 128
"""How many filesystems each of the two collectors reads, the first by mountpoint."""

_NAN = float("nan")
_SPACE = "system.filesystem.usage"
_INODES = "system.filesystem.inodes.usage"

SHARED_BYTES = 64 * 2**20
SHARED_SHARE = 0.01
"""How far apart the free space of two may be that is the same: it is read twice."""

_POOLED = frozenset(("zfs",))
"""Filesystems of which many may have the space of one pool, which is the first part of the name of
their device."""

_NUMBERED_APART = frozenset(("bcachefs", "btrfs"))
"""Filesystems whose files have other device numbers than their mount."""

Measure = Callable[[bytes, Mount], os.statvfs_result]
"""How a mount is measured at a path.  Raises `OSError`."""


def measure(path: bytes, mount: Mount) -> os.statvfs_result:
    """The filesystem at `path`.  Raises `OSError`."""
    del mount
    return os.statvfs(path)


def measure_below(path: bytes, mount: Mount) -> os.statvfs_result:
    """The filesystem at `path` below another root, provided that it is `mount`.

    Raises `OSError` where it cannot be read, or where something else is found there: a mount
    that came after our container began does not appear in it.
    """
    if mount.type not in _NUMBERED_APART:
        device = os.stat(path).st_dev  # noqa: PTH116 - the path is bytes, of any encoding
        if f"{os.major(device)}:{os.minor(device)}" != mount.number:
            raise FileNotFoundError("the mount is not visible below the configured root")
    return os.statvfs(path)


@dataclass(slots=True)
class _Entry:
    """A mount, where it is read, and its KEYs."""

    mount: Mount
    path: bytes
    has_inodes: bool = False
    is_empty: bool = False
    space_keys: tuple[str, ...] = field(init=False)
    inode_keys: tuple[str, ...] = field(init=False)
    readonly_key: str = field(init=False)
    flipped_key: str = field(init=False)
    shared_key: str = field(init=False)
    row: Row = field(init=False)

    def __post_init__(self) -> None:
        point = label(self.mount.mountpoint)
        self.space_keys = (
            key(_SPACE, mountpoint=point, state="used"),
            key(_SPACE, mountpoint=point, state="free"),
            key(_SPACE, mountpoint=point, state="reserved"),
            key("system.filesystem.limit", mountpoint=point),
            key("system.filesystem.utilization", mountpoint=point),
        )
        self.inode_keys = (
            key(_INODES, mountpoint=point, state="used"),
            key(_INODES, mountpoint=point, state="free"),
            key("system.filesystem.inodes.utilization", mountpoint=point),
        )
        self.readonly_key = key("system.filesystem.readonly", mountpoint=point)
        self.flipped_key = key("system.filesystem.flipped", mountpoint=point)
        self.shared_key = key("system.filesystem.shared", mountpoint=point)
        self.row = {
            "mountpoint": point,
            "device": label(self.mount.device),
            "type": label(self.mount.type.encode()),
            "options": label(self.mount.options),
        }


class _Filesystems:
    """What the two collectors have in common."""

    def __init__(self, root: Root, remote: bool, measured_by: Measure | None) -> None:
        self.note = ""
        self._root = os.fsencode(root.path)
        self._remote = remote
        self._measure = measured_by or (measure if root.is_own else measure_below)
        self._mountinfo = KeptFile(root.proc("self/mountinfo" if root.is_own else "1/mountinfo"))
        self._content = b""
        self._written: set[str] = set()
        self._entries: list[_Entry] = []
        self._others: list[_Entry] = []
        """What the other collector reads."""

    def close(self) -> None:
        """Give back the descriptor."""
        self._mountinfo.close()

    def _read(self) -> dict[str, float]:
        content = self._mountinfo.read()
        if content != self._content:
            self._choose(parse(content))
            self._content = content
        values: dict[str, float] = {}
        for entry in self._entries:
            self._add(values, entry)
        self._add_shared(values)
        return values

    def _add_shared(self, values: dict[str, float]) -> None:
        """Say of pooled filesystems whether their free space is that of a fuller one.

        Of those that share it the one that uses most is the fullest, and stands for them all.
        """
        pooled = [
            entry
            for entry in self._entries
            if entry.mount.type in _POOLED and entry.space_keys[0] in values
        ]
        values.update((entry.shared_key, _NAN) for entry in pooled)  # of those that cannot be read
        known = [entry for entry in pooled if math.isfinite(values[entry.space_keys[0]])]
        told: dict[bytes, list[float]] = {}
        for entry in sorted(known, key=lambda entry: -values[entry.space_keys[0]]):
            free = values[entry.space_keys[1]]
            others = told.setdefault(entry.mount.device.partition(b"/")[0], [])
            # A dataset with a quota has space of its own.
            shared = any(
                abs(free - other) <= other * SHARED_SHARE + SHARED_BYTES for other in others
            )
            values[entry.shared_key] = float(shared)
            if not shared:
                others.append(free)

    def _choose(self, mounts: list[Mount]) -> None:
        """Settle what is read and what is only listed; called when mountinfo has changed."""
        mounts = [mount for mount in mounts if not self._is_image(mount)]
        self._written = {mount.number for mount in mounts}
        ours = [mount for mount in mounts if mount.remote == self._remote]
        others = [mount for mount in mounts if mount.remote != self._remote]
        left_out = len(ours) - MOST_MOUNTS
        self.note = f"{left_out} filesystems are left out" if left_out > 0 else ""
        known = {entry.mount: entry for entry in self._entries}
        self._entries = [known.get(mount) or self._entry(mount) for mount in ours[:MOST_MOUNTS]]
        self._others = [self._entry(mount) for mount in others[:MOST_MOUNTS]]

    def _is_image(self, mount: Mount) -> bool:
        """A loop device that was ever seen written is a filesystem that flipped, not an image."""
        return mount.may_be_image and mount.number not in self._written

    def _entry(self, mount: Mount) -> _Entry:
        return _Entry(mount, os.path.join(self._root, mount.mountpoint.lstrip(b"/")))  # noqa: PTH118

    def _add(self, values: dict[str, float], entry: _Entry) -> None:
        """Add one filesystem's values: NaN for what cannot be read now."""
        read_only = entry.mount.read_only
        try:
            found = self._measure(entry.path, entry.mount)
        except OSError:
            if entry.is_empty:
                return
            values.update(dict.fromkeys(entry.space_keys, _NAN))
            if entry.has_inodes:
                values.update(dict.fromkeys(entry.inode_keys, _NAN))
        else:
            # What has no blocks has no space to run out of: a kernel's own, of a new type.
            entry.is_empty = found.f_blocks <= 0
            if entry.is_empty:
                return
            entry.has_inodes = found.f_files > 0
            values.update(zip(entry.space_keys, space(found), strict=True))
            if entry.has_inodes:
                values.update(zip(entry.inode_keys, inodes(found), strict=True))
            read_only = read_only or bool(found.f_flag & os.ST_RDONLY)
        values[entry.readonly_key] = float(read_only)
        if entry.mount.flipped is not None and not self._remote:
            values[entry.flipped_key] = float(entry.mount.flipped)


class Filesystem(_Filesystems):
    """Filesystems of this machine's own disks, and the table ``filesystems`` of all.

    The table is made from mountinfo alone, so that it lists a dead file server's too.
    """

    name = "filesystem"
    interval_seconds = 10.0
    budget_seconds = 0.1

    def __init__(self, root: Root, measured_by: Measure | None = None) -> None:
        super().__init__(root, False, measured_by)

    def collect(self, now: float) -> Reading:
        """Measure each.  Raises `Absent` where there is none, `ValueError` on a bad mountinfo."""
        del now
        values = self._read()
        shown = [entry for entry in self._entries if not entry.is_empty] + self._others
        if not shown:
            raise Absent("no filesystem with storage of its own is mounted here")
        shown.sort(key=lambda entry: entry.mount.mountpoint)
        return Reading(values, {"filesystems": [entry.row for entry in shown]})


class RemoteFilesystem(_Filesystems):
    """Filesystems that another machine or a program answers for."""

    name = "filesystem_remote"
    interval_seconds = 30.0
    budget_seconds = 1.0

    def __init__(self, root: Root, measured_by: Measure | None = None) -> None:
        super().__init__(root, True, measured_by)

    def collect(self, now: float) -> Reading:
        """Measure each.  Raises `Absent` where there is none, `ValueError` on a bad mountinfo."""
        del now
        values = self._read()
        if not values:
            raise Absent("no network filesystem is mounted here")
        return Reading(values)


def space(found: os.statvfs_result) -> tuple[float, float, float, float, float]:
    """Bytes used, free to users, reserved for root and in all; and the share used, as df."""
    unit = float(found.f_frsize or found.f_bsize)
    used = max(0, found.f_blocks - found.f_bfree) * unit
    free = max(0, found.f_bavail) * unit
    reserved = max(0, found.f_bfree - found.f_bavail) * unit
    writable = used + free
    return used, free, reserved, found.f_blocks * unit, used / writable if writable else _NAN


def inodes(found: os.statvfs_result) -> tuple[float, float, float]:
    """Inodes used and free, and the share used."""
    used = float(max(0, found.f_files - found.f_ffree))
    return used, float(found.f_ffree), used / found.f_files
