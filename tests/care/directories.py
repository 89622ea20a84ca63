"""Data directories for tests: filled ones, what is in them, and work that is killed in them."""

from __future__ import annotations

import contextlib
import hashlib
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NoReturn

import apsw

from monitor.care import files
from monitor.care.files import FILES
from monitor.log.database import Database
from tests.log.logs import event
from tests.store.series_rows import HOUR, NOW, chunk, connected, host, table

Content = dict[str, str]
"""A digest by file and table."""


def filled(folder: Path, name: str = "a", count: int = 20) -> Path:
    """A data directory with something in every table that matters, closed."""
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o700)
    with Database.open(folder) as log:
        log.append([event(f"{name}-{number}", "x", text="x" * 500) for number in range(count)])
        log.put(name, b"b" * 5_000)
    with contextlib.closing(connected(folder)) as store:
        host(store, 1)
        store.execute("BEGIN")
        for number in range(count):
            at = NOW + number * HOUR
            chunk(store, number % 5, at, at + 60, 3_000 + number)
            table(store, at)
        # Of the first host, so that nothing else is like it.
        store.execute("INSERT OR REPLACE INTO meta VALUES ('test', ?)", (name,))
        store.execute("COMMIT")
    return folder


def content(folder: Path) -> Content:
    """A digest of all rows of every table of both files."""
    found = {}
    for kept in FILES:
        with contextlib.closing(files.opened(folder / kept.name)) as connection:
            tables = connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")
            for (name,) in tables.fetchall():
                digest = hashlib.sha256()
                rows = connection.execute(f"SELECT * FROM {name} ORDER BY 1").fetchall()
                digest.update(repr(rows).encode())
                found[f"{kept.name} {name}"] = digest.hexdigest()
    return found


def everything(folder: Path) -> dict[str, bytes]:
    """Every file below a folder, and what is in it."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def is_sound(folder: Path) -> bool:
    """Whether SQLite finds nothing wrong, and the triggers' sums are true."""
    for kept in FILES:
        with contextlib.closing(files.opened(folder / kept.name)) as connection:
            if connection.pragma("integrity_check") != "ok":
                return False
            if kept.name == "series.db":
                sums = connection.execute(
                    "SELECT (SELECT total(bytes) FROM chunks)"
                    " + (SELECT total(bytes) FROM snapshots)"
                ).get
                if sums != connection.execute("SELECT total(bytes) FROM totals").get:
                    return False
    return True


STEPS = ("open", "mkdir", "rename", "link", "unlink", "rmdir", "fsync", "write", "truncate")
"""Calls before each of which a process may be killed."""


def killed_before(step: int, work: Callable[[], object]) -> bool:
    """Do something in a fork that is killed before its `step`th call: whether it came to that."""
    child = os.fork()
    if child == 0:
        _until_killed(step, work)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert status in (0, -signal.SIGKILL), f"the work itself failed: {status}"
    return status == -signal.SIGKILL


def _until_killed(left: int, work: Callable[[], object]) -> NoReturn:
    try:

        def stepped(call: Callable[..., object]) -> Callable[..., object]:
            def counted(*given: object, **named: object) -> object:
                nonlocal left
                left -= 1
                if left < 0:
                    os.kill(os.getpid(), signal.SIGKILL)
                return call(*given, **named)

            return counted

        for name in STEPS:
            setattr(os, name, stepped(getattr(os, name)))
        work()
        os._exit(0)
    finally:
        os._exit(1)


def kills(work: Callable[[], object]) -> Iterator[int]:
    """Kill the work before its first call, its second …, until it comes to its end."""
    step = 0
    while killed_before(step, work):
        yield step
        step += 1


def raw(path: Path, *statements: str) -> None:
    """Change a file behind our back."""
    with contextlib.closing(apsw.Connection(str(path))) as connection:
        for statement in statements:
            connection.execute(statement)
