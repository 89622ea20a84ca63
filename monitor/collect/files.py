"""Reading small kernel files cheaply: descriptors are kept and read again with pread.

Opening and closing a file in /proc costs several times what reading it again costs.  Every
path is below the configured root, so that a container can see its host.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from monitor.errors import Absent

READ_BYTES = 65_536
"""One read; a longer file takes several."""

LONGEST_BYTES = 16 * 1024 * 1024
"""No kernel file we read is longer; whatever is, is not one."""


class Root:
    """The host's root directory, and the paths of its kernel files."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.is_own = str(path) == "/"

    def proc(self, name: str) -> str:
        """The path of a file in the host's /proc."""
        return os.path.join(self.path, "proc", name)  # noqa: PTH118 - a string is wanted

    def net(self, name: str) -> str:
        """The path of a file of the host's network: /proc/net is the reader's own."""
        return self.proc(f"net/{name}" if self.is_own else f"1/net/{name}")

    def sys(self, name: str) -> str:
        """The path of a file in the host's /sys."""
        return os.path.join(self.path, "sys", name)  # noqa: PTH118 - a string is wanted

    def file(self, name: str) -> str:
        """The path of any other file of the host, from its absolute name."""
        return os.path.join(self.path, name.lstrip("/"))  # noqa: PTH118 - a string is wanted


def read(path: str) -> bytes:
    """The whole of a small file.  Raises `OSError`."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return _read_all(descriptor)
    finally:
        os.close(descriptor)


def read_int(path: str) -> int | None:
    """The number in a file that holds one, or none where it is missing or holds something else."""
    try:
        return int(read(path))
    except (OSError, ValueError):
        return None


def read_text(path: str) -> str:
    """A small file's text without its last newline, or the empty string where it is missing."""
    try:
        return read(path).decode(errors="replace").strip()
    except OSError:
        return ""


def _read_all(descriptor: int) -> bytes:
    found = os.pread(descriptor, READ_BYTES, 0)
    if len(found) < READ_BYTES:
        # Kernel files may answer short of what was asked; only an empty read is the end.
        more = os.pread(descriptor, READ_BYTES, len(found)) if found else b""
        if not more:
            return found
        found += more
    while len(found) < LONGEST_BYTES:
        more = os.pread(descriptor, READ_BYTES, len(found))
        if not more:
            break
        found += more
    return found


class KeptFile:
    """One kernel file, opened at the first read and kept open.

    `read` raises `Absent` with `meaning` where the file does not exist, so that a collector
    whose subject this machine has not got is absent and not in error.
    """

    def __init__(self, path: str, meaning: str = "") -> None:
        self._path = path
        self._meaning = meaning
        self._descriptor = -1

    def read(self) -> bytes:
        """The file's present content.  Raises `Absent` or `OSError`."""
        if self._descriptor < 0:
            try:
                self._descriptor = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC)
            except (FileNotFoundError, NotADirectoryError):
                raise Absent(self._meaning or f"no {self._path}") from None
            except PermissionError:
                raise Absent(f"no permission to read {self._path}") from None
        try:
            return _read_all(self._descriptor)
        except OSError:
            self.close()
            raise

    def close(self) -> None:
        """Give the descriptor back; the next read opens the file anew."""
        if self._descriptor >= 0:
            with contextlib.suppress(OSError):
                os.close(self._descriptor)
            self._descriptor = -1
