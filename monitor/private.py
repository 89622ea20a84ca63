"""Reads files that nobody else may read: keys, tokens, passwords.

What is judged is the file that was opened, by its descriptor, so that nothing can be put in
its place between the look and the reading.  It knows modes, places and sizes; what a file
means, and whether its path stands in a configuration, it does not know.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

MOST_BYTES = 1 << 16
"""The largest private file: a chain of certificates with its key has a tenth of that."""

SECRETS_FOLDER = Path("/run/secrets")
"""Where Docker, Podman and Kubernetes mount secrets, often readable by all within."""

CREDENTIALS = "CREDENTIALS_DIRECTORY"
"""The environment variable by which systemd names the credentials of a unit."""

_OPEN = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY
"""Opening waits for no other end of a pipe, and takes no terminal."""


@dataclass(frozen=True, slots=True)
class PrivateFile:
    """What a private file holds, and what is odd about it where it is allowed all the same."""

    content: bytes = field(repr=False)
    warning: str | None = None


def require_private(path: Path, *, environment: Mapping[str, str] | None = None) -> str | None:
    """Refuse a file that others can read; the warning, where its place excuses that.

    For files that something else reads, as OpenSSL reads a key.  Raises `ValueError` as
    `read_private` does.
    """
    return read_private(path, environment=environment).warning


def read_private(
    path: Path, *, most_bytes: int = MOST_BYTES, environment: Mapping[str, str] | None = None
) -> PrivateFile:
    """The content of a regular file that neither its group nor others may read or write.

    Below `SECRETS_FOLDER`, below ``$CREDENTIALS_DIRECTORY`` (of `environment`, by default
    the process's own) and on a mount that nobody can write to, an open mode is a warning and
    symbolic links are followed; elsewhere both are refused.  Raises `ValueError` with the rest
    of a sentence that begins with the path, and never with anything of the content.
    """
    try:
        descriptor = _opened(path, environment)
    except OSError as error:
        raise ValueError(_unreadable(error)) from None
    try:
        found = os.fstat(descriptor)
        if stat.S_ISDIR(found.st_mode):
            raise ValueError("is a folder, not a file")
        if not stat.S_ISREG(found.st_mode):
            raise ValueError("is no regular file")
        warning = _judge(path, descriptor, stat.S_IMODE(found.st_mode), environment)
        with open(descriptor, "rb", closefd=False) as file:
            content = file.read(most_bytes + 1)
    except OSError as error:
        raise ValueError(_unreadable(error)) from None
    finally:
        os.close(descriptor)
    if len(content) > most_bytes:
        raise ValueError(f"is larger than {most_bytes:,} bytes")
    return PrivateFile(content, warning)


def _opened(path: Path, environment: Mapping[str, str] | None) -> int:
    try:
        return os.open(path, _OPEN | os.O_NOFOLLOW)
    except OSError as error:
        if error.errno != errno.ELOOP or not path.is_symlink():
            raise
    except ValueError:
        raise ValueError("is no path: a NUL is in it") from None
    folder = os.path.realpath(path.parent)
    if not (_excused(folder, environment) or _read_only(os.statvfs(folder))):
        raise ValueError("is a symbolic link: name the file that it leads to")
    return os.open(path, _OPEN)


def _judge(
    path: Path, descriptor: int, mode: int, environment: Mapping[str, str] | None
) -> str | None:
    """The warning about a mode.  Raises `ValueError` where the mode is refused."""
    if mode & 0o077 == 0:
        return None
    told = f"can be used by others (mode {mode:04o})"
    if _excused(_real(path, descriptor), environment) or _read_only(os.fstatvfs(descriptor)):
        return f"{told}; it is used, as its folder is one for secrets or cannot be written"
    raise ValueError(f"{told}: take their rights away, as by chmod 600")


def _real(path: Path, descriptor: int) -> str:
    """Where the opened file is, by its descriptor where the system can say that."""
    try:
        return str(Path(f"/proc/self/fd/{descriptor}").readlink())
    except OSError:
        return os.path.realpath(path)


def _excused(real: str, environment: Mapping[str, str] | None) -> bool:
    """Whether this real path is in a folder that is there for secrets."""
    named = (os.environ if environment is None else environment).get(CREDENTIALS, "")
    folders = [os.path.realpath(SECRETS_FOLDER)]
    if Path(named).is_absolute() and os.path.realpath(named) != "/":
        folders.append(os.path.realpath(named))
    return any(Path(real).is_relative_to(folder) for folder in folders)


def _read_only(mount: os.statvfs_result) -> bool:
    return bool(mount.f_flag & os.ST_RDONLY)


def _unreadable(error: OSError) -> str:
    if error.errno in (errno.ENOENT, errno.ENOTDIR):
        return "is not there"
    if error.errno == errno.ENXIO:
        return "is no regular file"  # a socket, or a device without its driver
    return f"cannot be read: {error.strerror or error.errno}"
