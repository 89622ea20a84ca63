"""The folder of a spool: one agent's at a time, with its identity and other small files.

It knows nothing of what is kept in them.
"""

from __future__ import annotations

import fcntl
import os
import secrets
from pathlib import Path

from monitor.errors import StartError

IDENTITY_FILE = "agent-id"
LOCK_FILE = "lock"


def locked(folder: Path) -> int:
    """The lock of a folder, which is made where it is missing.  Raises `StartError`."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = os.open(folder / LOCK_FILE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        detail = f"the spool {folder} cannot be used: {error.strerror}; see --spool"
        raise StartError(detail, code="spool") from None
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(lock)
        detail = f"another agent uses the spool {folder}; give this one another by --spool"
        raise StartError(detail, code="spool_in_use") from None
    return lock


def identity(folder: Path) -> str:
    """The lasting identity, made at the first start; it outlives a damaged spool."""
    path = folder / IDENTITY_FILE
    try:
        found = path.read_text(encoding="ascii", errors="replace").strip()
        if len(found) == 32 and set(found) <= set("0123456789abcdef"):
            return found
    except FileNotFoundError:
        pass
    except OSError as error:
        detail = f"{path} cannot be read: {error.strerror}"
        raise StartError(detail, code="spool") from None
    made = secrets.token_hex(16)
    write_private(path, made + "\n")
    return made


def write_private(path: Path, text: str) -> None:
    """Put a small file in place as one step, for its owner alone, and durable on return."""
    new = path.with_name(path.name + ".new")
    try:
        new.unlink(missing_ok=True)
        descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with open(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(descriptor)
        os.replace(new, path)  # noqa: PTH105 - as one step
        folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except OSError as error:
        raise StartError(f"{path} cannot be written: {error.strerror}", code="spool") from None


def is_held(folder: Path, lock: int) -> bool:
    """Whether this lock is still that of the folder, and not of one that was taken away."""
    held = os.fstat(lock)
    return which(folder / LOCK_FILE) == (held.st_dev, held.st_ino)


def which(path: Path) -> tuple[int, int] | None:
    """Which file it is that stands there, none where there is none."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino
