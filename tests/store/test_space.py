"""It must be that a disk that fills is told of, and frames refused just until there is room."""

from __future__ import annotations

import contextlib
import errno
import os
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import apsw
import pytest

from monitor.errors import Unavailable
from monitor.store import space
from monitor.store.config import RetentionConfig
from monitor.store.retention import Retention
from monitor.store.space import BALLAST, GB, MB, Level, Space, ballast_bytes, level_of
from tests.store.series_rows import HOUR, NOW, chunk, connected, host

TB = 1000 * GB
FRAGMENT = 4096


@dataclass
class Disk:
    """A file system that says whatever it is told to."""

    total: int = 100 * GB
    free: int = 50 * GB
    fails: bool = False

    @property
    def f_frsize(self) -> int:
        return FRAGMENT

    @property
    def f_blocks(self) -> int:
        return self.total // FRAGMENT

    @property
    def f_bavail(self) -> int:
        return self.free // FRAGMENT

    def statvfs(self, folder: Path) -> Disk:
        if self.fails:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return self


@pytest.fixture(autouse=True)
def small_ballast(monkeypatch: pytest.MonkeyPatch) -> None:
    """The disks here are told of, and the ballast is real."""
    monkeypatch.setattr(space, "BALLAST_BYTES", 64 * 1024)


@pytest.mark.parametrize(
    ("total", "free", "level"),
    [
        (100 * GB, 50 * GB, Level.WELL),
        (100 * GB, 5 * GB, Level.WELL),
        (100 * GB, 5 * GB - 1, Level.WARNING),
        (100 * GB, 2 * GB, Level.WARNING),
        (100 * GB, 2 * GB - 1, Level.LOW),
        (100 * GB, 0, Level.LOW),
        (20 * GB, 2 * GB, Level.WELL),
        (20 * GB, 2 * GB - 1, Level.WARNING),
        (20 * GB, 1 * GB, Level.WARNING),
        (20 * GB, 1 * GB - 1, Level.LOW),
        (100 * TB, 5 * GB, Level.WELL),
        (16 * MB, 1_600_000, Level.WELL),
        (16 * MB, 1_599_999, Level.WARNING),
        (16 * MB, 799_999, Level.LOW),
        (0, 0, Level.WELL),
    ],
)
def test_too_little_is_less_than_a_share_and_less_than_a_size(
    total: int, free: int, level: Level
) -> None:
    assert level_of(free, total) == level


def test_frames_are_refused_with_a_507_until_there_is_clearly_more_room(tmp_path: Path) -> None:
    disk = Disk()
    seen = Space(tmp_path, disk.statvfs)
    seen.require()
    assert seen.warning() is None
    disk.free = 4 * GB
    seen.look()
    seen.require()
    warning = seen.warning()
    assert warning is not None
    assert (warning.code, "4GB of 100GB (4.0%)" in warning.text) == ("disk_warning", True)
    disk.free = 2 * GB - FRAGMENT
    for free in (2 * GB - FRAGMENT, 2 * GB, int(2.19 * GB)):
        disk.free = free
        seen.look()
        with pytest.raises(Unavailable) as refusal:
            seen.require()
        error = refusal.value
        assert (error.status, error.code, error.retry_after) == (507, "disk_low", 60.0)
        warning = seen.warning()
        assert warning is not None
        assert warning.code == "disk_low"
    for free, level in (
        (int(2.21 * GB), Level.WARNING),
        (int(5.4 * GB), Level.WARNING),
        (int(5.6 * GB), Level.WELL),
        (5 * GB + FRAGMENT, Level.WELL),
    ):
        disk.free = free
        seen.look()
        seen.require()
        assert seen.level == level


def test_a_look_that_fails_leaves_what_was_known(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    disk = Disk(free=1 * GB)
    seen = Space(tmp_path, disk.statvfs)
    disk.fails = True
    for _ in range(3):
        seen.look()
        assert seen.level is Level.LOW
    assert len([r for r in caplog.records if "cannot be told" in r.message]) == 1
    Space(tmp_path / "gone").look()


def test_the_ballast_is_made_given_up_and_made_again(tmp_path: Path) -> None:
    disk = Disk()
    seen = Space(tmp_path, disk.statvfs)
    path = tmp_path / BALLAST
    assert path.stat().st_size == 64 * 1024
    assert path.stat().st_blocks * 512 >= 64 * 1024
    assert path.stat().st_mode & 0o777 == 0o600
    assert seen.release()
    assert not seen.release()
    assert not path.exists()
    # SQLite knows better than the file system, until that says that there is room for both.
    with pytest.raises(Unavailable):
        seen.require()
    for free in (1 * GB, int(2.2 * GB) + 32 * 1024):
        disk.free = free
        seen.look()
        assert not path.exists()
        with pytest.raises(Unavailable):
            seen.require()
    disk.free = 3 * GB
    seen.look()
    assert path.exists()
    assert [path.name for path in tmp_path.iterdir()] == [BALLAST]


def test_the_ballast_never_makes_little_of_what_is_enough(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(space, "BALLAST_BYTES", 64 * 1024 * 1024)
    for free, made in ((2.0, False), (1.7, False), (2.9, True), (1.4, False)):
        disk = Disk(total=16 * MB, free=int(free * MB))
        folder = tmp_path / str(free)
        folder.mkdir()
        seen = Space(folder, disk.statvfs)
        assert (folder / BALLAST).exists() == made
        left = disk.free - (ballast_bytes(disk.total) if made else 0)
        assert level_of(left, disk.total) == seen.level
    assert ballast_bytes(16 * MB) == 1024 * 1024
    assert ballast_bytes(1 * GB) == 10_000_000 // 4096 * 4096
    assert ballast_bytes(1 * TB) == 64 * 1024 * 1024


def test_a_ballast_for_which_there_is_no_room_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(descriptor: int, start: int, size: int) -> None:
        os.pwrite(descriptor, b"x", start)
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "posix_fallocate", full)
    Space(tmp_path, Disk().statvfs)
    assert not list(tmp_path.iterdir())


# A real one


@contextlib.contextmanager
def tmpfs(folder: Path, size: str) -> Iterator[Path]:
    """A small file system; the test is skipped where none may be mounted."""
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)],
        capture_output=True,
        check=False,
    )
    if mounted.returncode:
        pytest.skip("no tmpfs may be mounted here")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def written(work: Callable[[], object]) -> bool:
    """Whether there was room for it."""
    try:
        work()
    except (apsw.FullError, OSError):
        return False
    return True


def test_sixteen_megabytes_filled_by_others_are_trimmed_thanks_to_the_ballast(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(space, "BALLAST_BYTES", 64 * 1024 * 1024)
    with tmpfs(tmp_path / "small", "16m") as folder:
        seen = Space(folder)
        assert seen.has_ballast
        assert seen.level is Level.WELL
        connection = connected(folder)
        host(connection, 1)
        for number in range(100):
            chunk(connection, 0, NOW + number, NOW + number, 60_000)
        connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)
        filler = (folder / "filler").open("wb", buffering=0)
        for size in (65_536, 4_096):
            while written(lambda size=size: filler.write(bytes(size))):  # type: ignore[misc]
                pass
        filler.close()
        seen.look()
        with pytest.raises(Unavailable):
            seen.require()
        retention = Retention(RetentionConfig(HOUR))
        later, steps = NOW + 50 * 3_600, [0]

        def step() -> int:
            with connection:
                steps.append(retention.step(connection, later))
            return steps[-1]

        # Reading goes on; neither writing nor deleting does, until the ballast is given up.
        assert connection.execute("SELECT count(*) FROM chunks").get == 100
        assert not written(step)
        assert seen.release()
        assert written(step)
        while step():
            pass
        connection.execute("PRAGMA incremental_vacuum").fetchall()
        connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)
        assert connection.execute("SELECT count(*) FROM chunks").get == 0
        seen.look()
        assert seen.level is Level.WELL
        assert seen.has_ballast
        chunk(connection, 0, later, later, 60_000)
        connection.close()
