"""Names of users: the host's etc/passwd first, then whatever else this machine asks.

A container's own list would name the host's users wrongly, so that below another root only
the host's file counts.
"""

from __future__ import annotations

import os
import sys

from monitor.collect.files import Root
from monitor.collect.secrets import escape

MOST_NAMES = 4_096
"""How many names are remembered."""

LARGEST_FILE_BYTES = 4 * 1024 * 1024
"""A longer passwd file is not read to its end."""

LONGEST_NAME = 64
"""A longer user name is cut."""


class Accounts:
    """Numbers of users in, names out.  A number without a name is its own name."""

    def __init__(self, root: Root) -> None:
        self._path = root.file("etc/passwd")
        self._is_own = root.is_own
        self._modified = -1
        self._names: dict[int, str] = {}
        self._asked: dict[int, str] = {}

    def name(self, uid: int) -> str:
        """The user's name, or the number as text."""
        known = self._names.get(uid) or self._asked.get(uid)
        if known is not None:
            return known
        if len(self._asked) >= MOST_NAMES:
            self._asked.clear()
        found = self._asked[uid] = self._ask(uid)
        return found

    def refresh(self) -> None:
        """Read the file again where it has changed, and forget what was asked elsewhere."""
        try:
            modified = os.stat(self._path).st_mtime_ns  # noqa: PTH116 - a string is at hand
            if modified == self._modified:
                return
            with open(self._path, "rb") as file:
                content = file.read(LARGEST_FILE_BYTES)
        except OSError:
            return
        self._modified = modified
        self._asked.clear()
        self._names = _parse(content)

    def _ask(self, uid: int) -> str:
        if self._is_own and sys.platform != "win32":
            import pwd  # noqa: PLC0415 - there is none on Windows, where nothing here is read

            try:
                return escape(pwd.getpwuid(uid).pw_name[:LONGEST_NAME])
            except (KeyError, OverflowError):
                pass
        return str(uid)


def _parse(content: bytes) -> dict[int, str]:
    names: dict[int, str] = {}
    for line in content.splitlines():
        fields = line.split(b":", 3)
        if len(fields) < 4 or not fields[0] or not fields[2].isdigit() or len(fields[2]) > 10:
            continue
        name = escape(fields[0][:LONGEST_NAME].decode(errors="backslashreplace"))
        names.setdefault(int(fields[2]), name)
        if len(names) >= MOST_NAMES:
            break
    return names
