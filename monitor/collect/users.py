"""People logged in, as the host's record of logins (utmp) has them."""

from __future__ import annotations

import struct
from platform import machine

from monitor.collect.files import Root, read
from monitor.errors import Absent
from monitor.model import Reading

RECORDS = ("/run/utmp", "/var/run/utmp")
"""Where Linux keeps the record; newer systems have none, and then nobody knows."""

ENTRY_BYTES = 384
"""One entry of utmp(5), as glibc has it where programs of 32 bits share the record."""

WIDE_ENTRY_BYTES = 400
"""The same where they do not, and times have 64 bits."""

WIDE_MACHINES = frozenset({"aarch64", "riscv64", "loongarch64"})

_HEAD = struct.Struct("=h2xi32s4s32s")
"""How every entry begins: its kind, a process, a line, an id, and the user's name."""

_USER = 7
"""USER_PROCESS of utmp(5): somebody is logged in."""


class Users:
    """How many different people are logged in."""

    name = "users"
    interval_seconds = 30.0
    budget_seconds = 0.05

    def __init__(self, root: Root) -> None:
        self.note = ""
        self._root = root

    def collect(self, now: float) -> Reading:
        """Count them.  Raises `Absent` where there is no record of logins to be read."""
        del now
        names = people(self._record())
        return Reading({"system.users.count": float(len(names))})

    def close(self) -> None:
        """Nothing is kept."""

    def _record(self) -> bytes:
        for path in RECORDS:
            try:
                return read(self._root.file(path))
            except (FileNotFoundError, NotADirectoryError):
                continue
            except PermissionError:
                raise Absent(f"no permission to read {path}") from None
        raise Absent("this system keeps no record of logins (utmp)")


def people(record: bytes, entry_bytes: int | None = None) -> set[bytes]:
    """The names of those who are logged in; a last entry that is cut short is left out."""
    size = entry_bytes or (WIDE_ENTRY_BYTES if machine() in WIDE_MACHINES else ENTRY_BYTES)
    names = set()
    for start in range(0, len(record) - size + 1, size):
        kind, _, _, _, user = _HEAD.unpack_from(record, start)
        if kind == _USER and (name := user.partition(b"\0")[0]):
            names.add(name)
    return names
