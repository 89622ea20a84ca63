"""It must be that a schema is made and changed whole or not at all, and by no older program."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import apsw
import pytest

from monitor.errors import StartError
from monitor.store import opening, schema
from monitor.store.sqlite import open_store
from tests.frames import frame
from tests.store.child import CONFIG, killed_while_opening

ROOT = Path(__file__).parents[2]

FURTHER = (
    (
        "ALTER TABLE hosts ADD COLUMN further TEXT",
        "UPDATE hosts SET further = name",
        "CREATE TABLE further (id INTEGER PRIMARY KEY) STRICT",
        "INSERT INTO further SELECT id FROM hosts",
    ),
    ("CREATE INDEX further_hosts ON hosts (further)", "DROP TABLE further"),
)
"""Steps as a later version may have them."""

INCREMENTAL = 2
"""What SQLite calls it that free pages can be given back."""

MOST = 200
"""Steps of an opening, more than there are."""


def version_of(folder: Path) -> int:
    with contextlib.closing(apsw.Connection(str(folder / opening.NAME))) as connection:
        return int(connection.pragma("user_version"))


def shape_of(folder: Path) -> list[tuple[str, str]]:
    with contextlib.closing(apsw.Connection(str(folder / opening.NAME))) as connection:
        rows = connection.execute("SELECT name, coalesce(sql, '') FROM sqlite_schema ORDER BY name")
        return [(str(name), str(sql)) for name, sql in rows]


async def used(folder: Path) -> float:
    """Put a frame in, and take its value out."""
    store = await open_store(folder, CONFIG, clock=lambda: 1_000.0)
    await store.append([frame(1_000.0, {"a": 1.5})])
    found = await store.range([("web-1", "a")], 1_000.0, 1_001.0, 1)
    await store.close()
    return float(found.series[0].average[0])


def each_kill(tmp_path: Path, begin: Path | None, check: Callable[[Path], None]) -> int:
    """Open a store again and again, killed before each step of it; how many steps there are."""
    for steps in range(MOST):
        folder = tmp_path / f"killed-{steps}"
        if begin is None:
            folder.mkdir()
        else:
            shutil.copytree(begin, folder)
        ended = not killed_while_opening(folder, steps)
        check(folder)
        assert asyncio.run(used(folder)) == 1.5
        with contextlib.closing(opening.opened(folder)) as connection:
            assert connection.pragma("integrity_check") == "ok"
            assert connection.pragma("journal_mode") == "wal"
            assert connection.pragma("page_size") == opening.PAGE_BYTES
            assert connection.pragma("auto_vacuum") == INCREMENTAL
        assert (folder / opening.MARKER).exists()
        assert not [path.name for path in folder.iterdir() if path.name.endswith("-journal")]
        if ended:
            return steps
    raise AssertionError("it never ended")


def test_a_first_start_that_is_killed_at_any_step_is_made_whole_by_the_next(
    tmp_path: Path,
) -> None:
    def whole(folder: Path) -> None:
        if (folder / opening.NAME).exists():
            assert version_of(folder) in {0, len(schema.STEPS)}

    assert 20 < each_kill(tmp_path, None, whole) < MOST


def test_a_further_schema_is_reached_whole_whichever_statement_it_is_killed_at(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = tmp_path / "old"
    old.mkdir()
    asyncio.run(used(old))
    first = len(schema.STEPS)
    between: dict[int, list[tuple[str, str]]] = {first: shape_of(old)}
    for count in range(1, len(FURTHER) + 1):
        folder = Path(shutil.copytree(old, tmp_path / f"steps-{count}"))
        monkeypatch.setattr(opening, "STEPS", (*schema.STEPS, *FURTHER[:count]))
        opening.opened(folder).close()
        between[first + count] = shape_of(folder)

    def whole(folder: Path) -> None:
        assert shape_of(folder) == between[version_of(folder)]

    assert len(FURTHER[0]) + len(FURTHER[1]) < each_kill(tmp_path, old, whole) < MOST
    assert version_of(tmp_path / "killed-0") == first + len(FURTHER)


def test_a_file_of_a_newer_schema_is_refused_and_left_as_it_was(tmp_path: Path) -> None:
    asyncio.run(used(tmp_path))
    with contextlib.closing(apsw.Connection(str(tmp_path / opening.NAME))) as connection:
        connection.pragma("user_version", len(schema.STEPS) + 1)
    before = (tmp_path / opening.NAME).read_bytes()
    with pytest.raises(StartError, match="written by a newer version"):
        asyncio.run(used(tmp_path))
    assert (tmp_path / opening.NAME).read_bytes() == before


# Two at once


async def test_a_store_that_is_open_is_not_opened_again(tmp_path: Path) -> None:
    """It must be that a second process is refused: both would give out the same numbers."""
    store = await open_store(tmp_path, CONFIG, clock=lambda: 1_000.0)
    with pytest.raises(StartError, match="in use by another process"):
        await open_store(tmp_path, CONFIG)
    line = "import asyncio, pathlib, sys; from monitor.store.sqlite import open_store;"
    line += "asyncio.run(open_store(pathlib.Path(sys.argv[1])))"
    done = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-c", line, str(tmp_path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert "in use by another process" in done.stderr
    await store.append([frame(1_000.0, {"a": 1.5})])
    await store.close()
    assert await used(tmp_path) == 1.5


def test_opening_a_store_that_there_is_writes_nothing(tmp_path: Path) -> None:
    """It must be that a start needs no room on a disk that is full."""
    asyncio.run(used(tmp_path))
    before = (tmp_path / opening.NAME).read_bytes()
    with (
        contextlib.closing(opening.opened(tmp_path)),
        contextlib.closing(opening.reading(tmp_path)),
    ):
        wal = tmp_path / f"{opening.NAME}-wal"
        assert not wal.exists() or not wal.stat().st_size
    assert (tmp_path / opening.NAME).read_bytes() == before
