"""`monitor doctor`: the state of a data directory, explained; it changes nothing.

It looks from outside, beside a running server or without one, and expects anything: files that
are missing, empty, foreign, damaged or newer.  Each thing is looked at by itself, so that what
cannot be looked at hides nothing else.
"""

from __future__ import annotations

import contextlib
import os
import stat
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import apsw

from monitor.care import files, history, restore
from monitor.care.backup import faults_of
from monitor.care.files import FILES, Kept
from monitor.care.report import Report
from monitor.core.quantity import format_about, format_about_bytes
from monitor.errors import excerpt
from monitor.log import marker as log_marker
from monitor.store import space
from monitor.store.config import RetentionConfig

CHECK_SECONDS = 60.0
"""How long SQLite may check one file, unless it is told to take its time."""

FROM_BACKUP = "put it back from a backup: stop the server, then monitor restore ARCHIVE"


def examine(
    folder: Path, retention: RetentionConfig, now: float, check_seconds: float | None = None
) -> Report:
    """Look at a data directory.  `now` is unix seconds; a check may be given more than its time."""
    report = Report(figures={"data": str(folder), "at": now})
    if not _looked_at(report, "data directory", lambda: _folder(report, folder)):
        return report
    _looked_at(report, "server", lambda: _server(report, folder))
    _looked_at(report, "restore", lambda: _restores(report, folder))
    for kept in FILES:
        look = partial(_file, report, folder, kept, retention, now, check_seconds)
        _looked_at(report, kept.name, look)
    _looked_at(report, "free space", lambda: _space(report, folder))
    return report


def _looked_at(report: Report, subject: str, look: Callable[[], object]) -> bool:
    """Look at one thing; whether that could be done."""
    try:
        return look() is not False
    except OSError as error:
        reason = f"it cannot be looked at: {error.strerror or error}"
    except (apsw.Error, ValueError, TypeError, KeyError, OverflowError, ArithmeticError) as error:
        reason = f"it cannot be made sense of: {excerpt(str(error))}"
    report.wrong(subject, reason, "look at it as the user that the server runs as; " + FROM_BACKUP)
    return False


def _folder(report: Report, folder: Path) -> bool:
    try:
        found = folder.stat()
    except FileNotFoundError:
        report.wrong(
            "data directory", f"{folder} is not there", "name it with --data, or start the server"
        )
        return False
    if not stat.S_ISDIR(found.st_mode):
        report.wrong("data directory", f"{folder} is no folder", "name another with --data")
        return False
    if not os.access(folder, os.R_OK | os.X_OK):
        report.wrong("data directory", f"{folder} may not be read", "ask as the server's user")
        return False
    if found.st_mode & 0o077:
        report.note("data directory", f"{folder} is open to other users", f"chmod 700 {folder}")
    else:
        report.well("data directory", str(folder))
    return True


def _server(report: Report, folder: Path) -> None:
    process = files.running(folder)
    report.figures["server"] = process
    if process is None:
        report.well("server", "none runs on this directory")
    else:
        report.well("server", f"runs as process {process or '(number unknown)'}")


def _restores(report: Report, folder: Path) -> None:
    place = folder / restore.FOLDER
    if place.is_dir() and files.running(folder) is None:
        state = "decided" if (place / restore.NOTE).exists() else "not decided"
        todo = "start the server, or restore again: either ends it first"
        report.wrong("restore", f"one was interrupted ({state})", todo)
    replaced = sorted(path for path in folder.iterdir() if restore.REPLACED in path.name)
    if replaced:
        size = sum(path.lstat().st_size for path in replaced)
        report.figures["replaced"] = [path.name for path in replaced]
        report.note(
            "restore",
            f"what a restore replaced is kept: {len(replaced)} files, {format_about_bytes(size)}",
            f"remove {folder}/*{restore.REPLACED}* when nothing in them is missed",
        )


def _file(
    report: Report,
    folder: Path,
    kept: Kept,
    retention: RetentionConfig,
    now: float,
    check_seconds: float | None,
) -> None:
    path = folder / kept.name
    figures: dict[str, Any] = {}
    report.figures[kept.name] = figures
    marked = (folder / kept.marker).exists()
    size = path.stat().st_size if path.exists() else -1
    if size <= 0:
        _missing(report, path, kept, marked=marked, emptied=size == 0)
        return
    found = files.header(path)
    if found is None:
        report.wrong(kept.name, "it is no database, or its beginning is damaged", FROM_BACKUP)
        return
    wal = path.with_name(f"{kept.name}-wal")
    wal_size = wal.stat().st_size if wal.exists() else 0
    figures |= {"bytes": size, "wal_bytes": wal_size, "schema": found.schema}
    if found.application_id != kept.application_id and not wal_size:
        report.wrong(kept.name, "it is another program's database", "move it away; " + FROM_BACKUP)
        return
    with contextlib.closing(files.opened(path)) as connection:
        try:
            connection.execute("BEGIN")
            schema = int(connection.pragma("user_version"))
        except apsw.Error as error:
            report.wrong(kept.name, f"it cannot be read: {error}", FROM_BACKUP)
            return
        figures["schema"] = schema
        if schema < 0:
            report.wrong(kept.name, f"its header is damaged (schema {schema})", FROM_BACKUP)
            return
        if schema > kept.schema:
            report.wrong(
                kept.name,
                f"a newer version of this program wrote it (schema {schema}, ours {kept.schema})",
                "install that version",
            )
            return
        with_wal = f", write-ahead log {format_about_bytes(wal_size)}" if wal_size else ""
        report.well(kept.name, f"{format_about_bytes(size)}{with_wal}, schema {schema}")
        _looked_at(report, kept.name, lambda: _marker(report, folder, kept, connection))
        _check(report, kept, connection, figures, check_seconds or CHECK_SECONDS)
        if kept.name == history.NAME:
            _looked_at(
                report,
                kept.name,
                lambda: history.examine(report, connection, retention, now, figures),
            )


def _missing(report: Report, path: Path, kept: Kept, *, marked: bool, emptied: bool) -> None:
    if marked:
        what = "has been emptied" if emptied else "has vanished"
        todo = f"{FROM_BACKUP}; or remove {kept.marker} to begin with nothing"
        report.wrong(kept.name, f"{path} {what}: {kept.what} is not there", todo)
    else:
        report.note(kept.name, "there is none yet", "the server makes it when it starts")


def _marker(report: Report, folder: Path, kept: Kept, connection: apsw.Connection) -> None:
    """Whether the marker beside a file names this very store."""
    said: Any = connection.execute("SELECT value FROM meta WHERE name = 'instance'").get
    text = None
    with contextlib.suppress(FileNotFoundError):
        text = (folder / kept.marker).read_bytes()[:512].decode("ascii", "replace")
    if text is None:
        report.note(
            kept.marker, "the marker is missing", "the next start makes one, as after a restore"
        )
    elif kept.marker == log_marker.NAME and log_marker.read(folder)[1] is None:
        report.note(kept.marker, "the marker is damaged", "the next start makes a new one")
    elif not isinstance(said, str) or said not in text.split():
        todo = f"put back the file that belongs here, or remove {kept.marker} to keep this one"
        report.wrong(kept.marker, f"{kept.name} is not the store that it names", todo)
    else:
        report.well(kept.marker, f"it names {kept.name}")


def _check(
    report: Report,
    kept: Kept,
    connection: apsw.Connection,
    figures: dict[str, Any],
    seconds: float,
) -> None:
    """SQLite's quick check, for as long as it may take."""
    until = time.monotonic() + seconds
    connection.set_progress_handler(lambda: time.monotonic() > until, 1_000)
    try:
        faults = faults_of(connection)
    except apsw.InterruptError:
        figures["quick_check"] = None
        report.note(
            kept.name,
            f"it was not checked to its end within {format_about(seconds)}",
            "monitor doctor --full takes its time",
        )
        return
    finally:
        connection.set_progress_handler(lambda: False, 100_000)
    figures["quick_check"] = faults or ["ok"]
    if faults:
        report.wrong(kept.name, f"the quick check found: {'; '.join(faults)}", FROM_BACKUP)
    else:
        report.well(kept.name, "the quick check found nothing")


def _space(report: Report, folder: Path) -> None:
    found = os.statvfs(folder)
    free, total = found.f_bavail * found.f_frsize, found.f_blocks * found.f_frsize
    ballast = (folder / space.BALLAST).is_file()
    report.figures["space"] = {"free_bytes": free, "total_bytes": total, "ballast": ballast}
    share = free / total if total else 0.0
    text = f"{format_about_bytes(free)} of {format_about_bytes(total)} ({share:.1%})"
    level = space.level_of(free, total)
    if level is space.Level.LOW:
        todo = "make room, or lower [retention] size; frames are taken again by themselves"
        report.wrong("free space", f"{text}: no further frames are taken", todo)
    elif level is space.Level.WARNING:
        report.note("free space", f"{text}: that is little", "make room, or lower [retention] size")
    else:
        report.well("free space", text)
    if ballast:
        report.well("ballast", "it is there, to be given up on a full disk")
    else:
        report.note("ballast", "it is missing", "the server makes it when there is room")
