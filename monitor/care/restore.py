"""`monitor restore`: puts a backup in the place of what a data directory holds.

Everything is unpacked and checked in a folder of its own first.  Then a note is written that says
so, and from that instant the restore is decided: whoever opens the directory next carries it out
to its end, however often that is interrupted.  Before it, what was there has not been touched.
What was there is kept, under its name and ``.replaced-`` and the time.

The files' markers and write-ahead logs go with them, so that the next opening makes new ones,
and the log gets a new epoch: every position that a reader remembers is from another history.

Whoever calls these functions holds the data directory.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import os
import re
import stat
from pathlib import Path

import apsw
import msgspec

from monitor.care import files
from monitor.care.archive import Manifest, Reader
from monitor.care.backup import faults_of
from monitor.care.files import FILES, Kept
from monitor.errors import StartError

FOLDER = "restoring"
"""Where a backup is unpacked, in the data directory."""

NOTE = "decided"
"""The file in it that says that all is there, and under what time the old files are kept."""

REPLACED = ".replaced-"
"""After it comes the time, in what is kept of what was there."""

_STAMP = re.compile(r"\d{8}T\d{6}Z(?:-\d{1,4})?\Z", re.ASCII)

# Calls of `os` rather than of paths stand together here: each is a step after which the machine
# may stop, and the tests stop it there.


def restore(folder: Path, source: Path, now: float) -> tuple[Manifest, list[str]]:
    """Put a backup in the place of what is there: what it holds, and where the old files are.

    `now` is unix seconds.  Raises `StartError` where it is no backup that can be restored here;
    what was there is as it was then.
    """
    settle(folder)
    try:
        with open(os.open(source, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK), "rb") as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise StartError(f"{source} is no regular file")
            reader = Reader(source, file)
            _unpack(folder, reader)
        _decide(folder, _stamp(folder, now))
    except OSError as error:
        where = f"{error.filename or source}: {error.strerror}"
        if (folder / FOLDER / NOTE).exists():
            raise StartError(f"{where}; the next start carries the restore out") from error
        detail = f"{source} was not restored, and nothing was changed: {where}"
        raise StartError(detail) from error
    finally:
        if not (folder / FOLDER / NOTE).exists():
            with contextlib.suppress(OSError):
                _forget(folder)
    return reader.manifest, _carry_out(folder)


def has_key(folder: Path, prefix: str) -> bool:
    """Whether what was restored has a key of the registry that begins so; nobody is in it yet."""
    query = "SELECT 1 FROM registry WHERE substr(key, 1, ?) = ? AND value IS NOT NULL LIMIT 1"
    try:
        with contextlib.closing(files.opened_alone(folder / "log.db")) as connection:
            return connection.execute(query, (len(prefix), prefix)).get is not None
    except apsw.Error:
        return False  # a log from before there was a registry has none


def settle(folder: Path) -> str | None:
    """End a restore that was interrupted, one way or the other; what was done, if anything.

    Raises `StartError` where that cannot be done, with what to do.
    """
    place = folder / FOLDER
    try:
        if not place.is_dir():
            return None
        if not (place / NOTE).exists():
            _forget(folder)
            return "a restore that was interrupted before it changed anything was undone"
        _carry_out(folder)
    except OSError as error:
        raise StartError(
            f"a restore into {folder} was interrupted and cannot be ended ({error.strerror}):"
            " make that possible and start again; nothing is lost"
        ) from error
    return "a restore that was interrupted was carried out to its end"


def _unpack(folder: Path, reader: Reader) -> None:
    """All members, checked, into a folder of their own."""
    place = folder / FOLDER
    os.mkdir(place, 0o700)  # noqa: PTH102
    for kept in FILES:
        path = place / kept.name
        descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600)
        with open(descriptor, "wb") as target:
            reader.unpack(kept.name, target)
        _require_whole(path, kept, reader)
    reader.finish()


def _require_whole(path: Path, kept: Kept, reader: Reader) -> None:
    """Raise `StartError` unless a file is the database that the manifest says it is."""
    said = reader.manifest.members[kept.name]
    found = files.header(path)
    whole = (
        found is not None
        and found.application_id == kept.application_id
        and found.schema == said.schema
        and found.pages * found.page_bytes == said.size
    )
    faults = ["its header is not ours"]
    if whole:
        try:
            with contextlib.closing(files.opened_alone(path)) as connection:
                faults = faults_of(connection)
                query = "SELECT value FROM meta WHERE name = 'instance'"
                if not faults and connection.execute(query).get != said.instance:
                    faults = ["it is not the store that the manifest names"]
        except apsw.Error as error:
            faults = [str(error)]
    if faults:
        raise StartError(f"{kept.name} in the backup is damaged: {'; '.join(faults)}")


def _stamp(folder: Path, now: float) -> str:
    """The time as names of files say it, and one that no file has yet."""
    base = f"{dt.datetime.fromtimestamp(now, dt.UTC):%Y%m%dT%H%M%SZ}"
    taken = {path.name.partition(REPLACED)[2] for path in folder.iterdir()}
    free = (f"{base}-{number}" if number else base for number in range(10_000))
    return next(stamp for stamp in free if stamp not in taken)


def _decide(folder: Path, stamp: str) -> None:
    """From here on there is no way back, and none is needed."""
    place = folder / FOLDER
    note = os.open(place / f"{NOTE}.new", os.O_CREAT | os.O_WRONLY | os.O_CLOEXEC, 0o600)
    try:
        os.write(note, msgspec.json.encode({"stamp": stamp}))
        os.fsync(note)
    finally:
        os.close(note)
    files.sync_folder(folder)
    os.rename(place / f"{NOTE}.new", place / NOTE)  # noqa: PTH104
    files.sync_folder(place)


def _carry_out(folder: Path) -> list[str]:
    """Put the unpacked files in their places; what may have been done already is not done twice.

    As long as a file still lies in the folder, what stands in its place is the old one.
    """
    place = folder / FOLDER
    try:
        said = msgspec.json.decode((place / NOTE).read_bytes(), type=dict[str, str])
    except (msgspec.MsgspecError, UnicodeDecodeError):
        said = {}
    stamp = said.get("stamp", "")
    if not _STAMP.match(stamp):
        raise OSError(0, f"{place / NOTE} is damaged")
    for kept in FILES:
        if not (place / kept.name).exists():
            continue
        # The file itself comes last: until it has gone, those that belong to it are its own.
        for name in (*kept.beside, kept.name):
            if os.path.lexists(folder / name):
                os.rename(folder / name, folder / f"{name}{REPLACED}{stamp}")  # noqa: PTH104
        files.sync_folder(folder)
        os.rename(place / kept.name, folder / kept.name)  # noqa: PTH104
        files.sync_folder(folder)
    files.sync_folder(place)
    os.unlink(place / NOTE)  # noqa: PTH108
    _forget(folder)
    return sorted(path.name for path in folder.iterdir() if path.name.endswith(REPLACED + stamp))


def _forget(folder: Path) -> None:
    """Remove the folder of a restore that is not decided, or done."""
    place = folder / FOLDER
    if not place.is_dir():
        return
    for path in place.iterdir():
        os.unlink(path)  # noqa: PTH108
    os.rmdir(place)  # noqa: PTH106
    files.sync_folder(folder)
