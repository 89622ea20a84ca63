"""What is mounted, from mountinfo, and which of it has storage worth a number.

Left out are filesystems of the kernel's own making, those in memory, and images and overlays
whose space is another's.  What waits for another machine or for a program is *remote*, so
that it can be read apart from what only waits for a disk.
Format: proc_pid_mountinfo(5).
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace

_NO_STORAGE = frozenset(
    b"""anon_inodefs autofs bdev binder binfmt_misc bpf cgroup cgroup2 configfs cpuset dax debugfs
    devfs devpts devtmpfs drm ecryptfs_proc efivarfs functionfs fusectl gadgetfs guest_memfd
    hugetlbfs ipathfs kdbus mqueue nfsd none nsfs nullfs openpromfs pidfs pipefs proc pstore
    ramfs resctrl rootfs rpc_pipefs secretmem securityfs selinuxfs smackfs sockfs spufs sysfs
    tmpfs tracefs usbfs xenfs""".split()
)
"""In memory, or made of nothing."""

_IMAGES = frozenset(
    b"""aufs composefs cramfs erofs iso9660 overlay overlayfs romfs shiftfs squashfs unionfs
    fuse.fuse-overlayfs fuse.fuseiso fuse.gvfsd-fuse fuse.lxcfs fuse.portal fuse.snapfuse
    fuse.squashfuse fuse.squashfuse_ll fuse.unionfs fuse.unionfs-fuse""".split()
)
"""Always full, or another filesystem seen once more."""

_REMOTE = frozenset(
    b"""9p acfs afs beegfs ceph cifs coda davfs fuse fuse_gluster gfs gfs2 gfarm glusterfs gpfs
    lustre ncpfs nfs nfs4 ocfs2 orangefs panfs prl_fs pvfs2 smb2 smb3 smbfs vboxsf virtiofs
    vmhgfs""".split()
)
"""Answered by another machine, or by a program that may hang."""

_OCTAL = re.compile(rb"\\([0-7]{3})")

_READ_ONLY = frozenset((b"ro", b"emergency_ro", b"shutdown"))
"""Options that say that nothing can be written; ext4 shows the last two after an error."""


_TURNING = frozenset(
    b"bcachefs btrfs exfat ext2 ext3 ext4 f2fs jfs msdos nilfs2 reiserfs vfat xfs".split()
)
"""Filesystems that are made read-only after an error; others may be so by themselves."""


@dataclass(frozen=True, slots=True)
class Mount:
    """One mount that has storage of its own.

    `mountpoint` is the host's path; `number` is the ``major:minor`` of its superblock; `remote`
    says that reading it, or a mount on the way to it, may have to wait for somebody.
    """

    mountpoint: bytes
    number: str
    device: bytes
    type: str
    options: bytes
    read_only: bool
    remote: bool
    flipped: bool | None = None
    """Whether nothing is written although it is mounted to be written; none where nobody knows."""

    @property
    def may_be_image(self) -> bool:
        """Whether it looks like the image of a package: a loop device that is not written."""
        return self.read_only and self.device.startswith(b"/dev/loop")


@dataclass(frozen=True, slots=True)
class _Line:
    identity: bytes
    parent: bytes
    mountpoint: bytes
    mount: Mount


def parse(content: bytes) -> list[Mount]:
    """One mount a device that a path leads to, by mountpoint: the shortest of each.

    Bind mounts are so folded into what they show.  Raises `ValueError` where a line is not
    mountinfo's.
    """
    # Spaces, tabs and newlines stand escaped in the file; carriage returns do not.
    lines = [_line(text) for text in content.split(b"\n") if text]
    shortest: dict[str, Mount] = {}
    for mount in _visible(lines):
        if not _has_storage(mount):
            continue
        other = shortest.get(mount.number)
        if other is None or _shortness(mount) < _shortness(other):
            shortest[mount.number] = mount
    return sorted(shortest.values(), key=lambda mount: mount.mountpoint)


def _shortness(mount: Mount) -> tuple[int, bytes]:
    return len(mount.mountpoint), mount.mountpoint


def _line(text: bytes) -> _Line:
    place, dash, filesystem = text.partition(b" - ")
    columns = place.split(b" ")
    described = filesystem.split(b" ")
    if not dash or len(columns) < 6 or len(described) < 3:
        raise ValueError("a line of mountinfo has too few columns")
    identity, parent, number, _, mountpoint, options = columns[:6]
    type_, device, super_options = described[:3]
    if not mountpoint.startswith(b"/"):
        raise ValueError("a mountpoint in mountinfo is no absolute path")
    path = _unescape(mountpoint)
    if b"\x00" in path:
        raise ValueError("a mountpoint in mountinfo is no path")
    words = {*options.split(b","), *super_options.split(b",")}
    mount = Mount(
        mountpoint=path,
        number=number.decode("ascii", "replace"),
        device=_unescape(device),
        type=type_.decode("ascii", "replace"),
        options=options,
        read_only=not _READ_ONLY.isdisjoint(words),
        remote=_is_remote(type_),
        flipped=_flipped(type_, options, super_options),
    )
    return _Line(identity, parent, path, mount)


def _flipped(type_: bytes, options: bytes, super_options: bytes) -> bool | None:
    """Whether the kernel writes no longer, while the mount's own options let it.

    Whoever mounts or remounts read-only sets both; an error sets the filesystem's own alone.
    """
    if type_ not in _TURNING:
        return None
    own = super_options.split(b",")
    failed = b"emergency_ro" in own or b"shutdown" in own
    return failed or (b"ro" in own and b"ro" not in options.split(b","))


def _unescape(text: bytes) -> bytes:
    return _OCTAL.sub(lambda found: bytes((int(found[1], 8) & 0xFF,)), text)


def _is_remote(type_: bytes) -> bool:
    return type_ in _REMOTE or type_.startswith(b"fuse.")


def _has_storage(mount: Mount) -> bool:
    type_ = mount.type.encode()
    return not (type_ in _NO_STORAGE or type_ in _IMAGES or type_.endswith(b".AppImage"))


def _visible(lines: Iterable[_Line]) -> list[Mount]:
    """The mounts that their own paths lead to: not those hidden below a later mount."""
    listed = list(lines)
    known = {line.identity for line in listed}
    upon: dict[tuple[bytes, bytes], _Line] = {}
    for line in listed:
        rooted = line.parent not in known or line.parent == line.identity
        upon[(b"" if rooted else line.parent, line.mountpoint)] = line
    found: list[Mount] = []
    for line in listed:
        end, remote = _walk(line.mountpoint, upon)
        if end is line:
            mount = line.mount
            found.append(mount if mount.remote == remote else replace(mount, remote=remote))
    return found


def _walk(path: bytes, upon: dict[tuple[bytes, bytes], _Line]) -> tuple[_Line | None, bool]:
    """The mount that a path ends in, and whether one that it passes is remote."""
    at: _Line | None = None
    remote = False
    steps = len(upon)
    for prefix in _prefixes(path):
        while steps > 0:
            following = upon.get((at.identity if at else b"", prefix))
            if following is None:
                break
            at = following
            remote = remote or at.mount.remote
            steps -= 1  # A file whose mounts stand upon each other in a ring must end too.
    return at, remote


def _prefixes(path: bytes) -> list[bytes]:
    """``/``, ``/a``, ``/a/b`` for ``/a/b``."""
    prefixes = [b"/"]
    end = path.find(b"/", 1)
    while end > 0:
        prefixes.append(path[:end])
        end = path.find(b"/", end + 1)
    if len(path) > 1:
        prefixes.append(path)
    return prefixes
