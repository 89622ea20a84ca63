"""What the log in SQLite does beyond what every log does: its file, its marker, its writer."""

from __future__ import annotations

import asyncio
import shutil
import stat
import subprocess
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import apsw
import pytest

from monitor.errors import InputError, StartError, Unavailable
from monitor.log import database, marker, opening, writer
from monitor.log.database import Database
from monitor.log.sqlite import SqliteLog, SqliteRegistry, open_log
from monitor.model import RetentionClass
from monitor.ports import Conflict, Gap, Unknown
from monitor.sqlite import writer as grouping
from monitor.sqlite.connecting import require_sqlite
from tests.log.logs import event, names, of


@asynccontextmanager
async def opened(folder: Path) -> AsyncIterator[tuple[SqliteLog, SqliteRegistry]]:
    log, registry = await open_log(folder)
    try:
        yield log, registry
    finally:
        await log.close()
        await registry.close()


async def filled(folder: Path, count: int) -> str:
    """Append so many events to the store of a folder, one at a time; its epoch."""
    async with opened(folder) as (log, _):
        for _ in range(count):
            await log.append([event("x")])
        return log.epoch


# The file and its marker


async def test_a_reopened_store_has_kept_everything(tmp_path: Path) -> None:
    async with opened(tmp_path) as (log, registry):
        epoch = log.epoch
        await log.append([of(RetentionClass.HOSTS, "a"), event("b", "x")], "judge", 0)
        await log.append([event("c")])
        await log.trim(RetentionClass.HOSTS, 2.0)
        await log.erase("x")
        revision = await registry.put("key", b"\0value")
        await registry.delete("gone")
        assert await registry.lease("judge", "me", 10.0)
    async with opened(tmp_path) as (log, registry):
        assert log.epoch == epoch
        assert names((await log.read(2, None, 10))[0]) == ["c"]
        for topics in (frozenset({"x"}), None):
            with pytest.raises(Gap) as caught:
                await log.read(1, topics, 10)
            assert caught.value.floor == 2
        with pytest.raises(Conflict):
            await log.append([event("d")], "judge", 0)
        assert await log.append([event("d")], "judge", 2) == 4
        found = await registry.get("key")
        assert found is not None
        assert (found.value, found.revision) == (b"\0value", revision)
        assert not await registry.lease("judge", "somebody else", 10.0)
        assert await registry.lease("judge", "me", 10.0)
        assert await registry.put("key", b"") > revision


async def test_positions_are_never_used_again_after_all_was_trimmed(tmp_path: Path) -> None:
    await filled(tmp_path, 5)
    async with opened(tmp_path) as (log, _):
        await log.trim(RetentionClass.AUDIT, 2.0)
        epoch = log.epoch
    async with opened(tmp_path) as (log, _):
        assert log.epoch == epoch
        assert await log.last() == 5
        assert await log.append([event("x")]) == 6


async def test_an_older_copy_put_back_gets_a_new_epoch_once(tmp_path: Path) -> None:
    store = tmp_path / "data"
    store.mkdir()
    epoch = await filled(store, 3)
    shutil.copy(store / opening.NAME, tmp_path / "copy")
    assert await filled(store, 2) == epoch
    shutil.copy(tmp_path / "copy", store / opening.NAME)
    renewed = await filled(store, 1)
    assert renewed != epoch
    assert await filled(store, 1) == renewed
    shutil.copy(tmp_path / "copy", store / opening.NAME)
    with Database.open(store) as held:
        again = held.epoch
    assert again not in {epoch, renewed}
    assert await filled(store, 0) == again


async def test_a_copy_as_new_as_what_was_acknowledged_keeps_its_epoch(tmp_path: Path) -> None:
    store = tmp_path / "data"
    store.mkdir()
    epoch = await filled(store, 3)
    shutil.copy(store / opening.NAME, tmp_path / "copy")
    (store / opening.NAME).unlink()
    shutil.copy(tmp_path / "copy", store / opening.NAME)
    assert await filled(store, 1) == epoch


@pytest.mark.parametrize("content", [None, b"", b"\0" * 73, b"awoooi-monitor log x y\n"])
async def test_a_store_whose_marker_is_lost_gets_a_new_epoch(
    tmp_path: Path, content: bytes | None
) -> None:
    empty = await filled(tmp_path, 0)
    (tmp_path / marker.NAME).unlink()
    epoch = await filled(tmp_path, 1)
    assert epoch == empty
    if content is None:
        (tmp_path / marker.NAME).unlink()
    else:
        (tmp_path / marker.NAME).write_bytes(content)
    renewed = await filled(tmp_path, 0)
    assert renewed != epoch
    assert await filled(tmp_path, 0) == renewed


async def test_the_epoch_can_be_renewed_by_hand(tmp_path: Path) -> None:
    epoch = await filled(tmp_path, 1)
    renewed = database.renew_epoch(tmp_path)
    assert renewed != epoch
    assert await filled(tmp_path, 0) == renewed


async def test_the_marker_knows_the_last_position_before_an_append_returns(
    tmp_path: Path,
) -> None:
    async with opened(tmp_path) as (log, _):
        for number in range(1, 5):
            await log.append([event("x")])
            _, said = marker.read(tmp_path)
            assert said is not None
            assert said.highest == number


async def test_the_marker_reaches_the_disk_at_its_own_pace_and_at_the_close(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[float] = []
    real = marker.Marker.sync

    def sync(self: marker.Marker) -> None:
        if self.is_dirty:
            synced.append(time.monotonic())
        real(self)

    monkeypatch.setattr(marker.Marker, "sync", sync)
    monkeypatch.setattr(writer, "MARKER_SECONDS", 0.2)
    async with opened(tmp_path) as (log, _):
        began = time.monotonic()
        count = 0
        while time.monotonic() < began + 0.3:
            await log.append([event("x")])
            count += 1
        async with asyncio.timeout(5):
            while log._file._database.marker.is_dirty:  # noqa: ASYNC110 - a thread's to say
                await asyncio.sleep(0.02)
        quiet = len(synced)
        assert 1 <= quiet <= (time.monotonic() - began) / 0.2 + 1
        assert quiet < count
        await asyncio.sleep(0.25)
        assert len(synced) == quiet
        await log.append([event("x")])
    assert len(synced) > quiet


async def test_store_and_marker_are_for_their_owner_alone(tmp_path: Path) -> None:
    async with opened(tmp_path) as (log, _):
        await log.append([event("x")])
        for name in ("log.db", "log.db-wal", "log.db-shm", "instance"):
            assert stat.S_IMODE((tmp_path / name).stat().st_mode) == 0o600, name


def vanished(folder: Path) -> None:
    (folder / opening.NAME).unlink()


def emptied(folder: Path) -> None:
    (folder / opening.NAME).write_bytes(b"")


def text_instead(folder: Path) -> None:
    (folder / opening.NAME).write_bytes(b"no database at all, and longer than a header" * 99)


def torn_header(folder: Path) -> None:
    with open(folder / opening.NAME, "r+b") as file:
        file.write(b"\0" * 100)


def another_programs(folder: Path) -> None:
    vanished(folder)
    with apsw.Connection(str(folder / opening.NAME)) as made:
        made.execute("CREATE TABLE theirs (a)")
    made.close()


def another_stores(folder: Path) -> None:
    other = folder / "other"
    other.mkdir()
    Database.open(other).close()
    shutil.copy(other / opening.NAME, folder / opening.NAME)


def newer(folder: Path) -> None:
    made = apsw.Connection(str(folder / opening.NAME))
    made.execute("PRAGMA user_version = 99")
    made.close()


def newer_shape(folder: Path) -> None:
    """Marked as ours, and without what is ours."""
    made = apsw.Connection(str(folder / opening.NAME))
    made.execute("DROP TABLE meta")
    made.close()


FAULTS: dict[Callable[[Path], None], str] = {
    vanished: "has vanished",
    emptied: "has been emptied",
    text_instead: "is no database",
    torn_header: "is no database",
    another_programs: "another program's",
    another_stores: "is not the store that belongs",
    newer: "newer version",
    newer_shape: "cannot be used",
}


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__)
async def test_a_store_that_is_not_to_be_used_is_refused_and_left_alone(
    tmp_path: Path, fault: Callable[[Path], None]
) -> None:
    await filled(tmp_path, 2)
    fault(tmp_path)
    path = tmp_path / opening.NAME
    before = path.read_bytes() if path.exists() else None
    marked = (tmp_path / marker.NAME).read_bytes()
    for _ in range(2):
        with pytest.raises(StartError, match=FAULTS[fault]):
            await open_log(tmp_path)
    assert (path.read_bytes() if path.exists() else None) == before
    assert (tmp_path / marker.NAME).read_bytes() == marked


async def test_a_folder_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StartError):
        await open_log(tmp_path / "none")


def test_an_empty_file_without_a_marker_is_a_start_that_was_cut_short(tmp_path: Path) -> None:
    (tmp_path / opening.NAME).touch()
    with Database.open(tmp_path) as held:
        assert held.append([event("x")]) == 1


@pytest.mark.parametrize("version", ["3.40.1", "3.51.2", "3.7.17"])
def test_an_sqlite_that_corrupts_is_refused(version: str) -> None:
    with pytest.raises(StartError, match=r"3\.51\.3"):
        require_sqlite(version)


@pytest.mark.parametrize("version", ["3.51.3", "3.54.1", "4.0"])
def test_an_sqlite_that_is_mended_is_taken(version: str) -> None:
    require_sqlite(version)


def test_a_connection_is_durable_and_trusts_no_schema(tmp_path: Path) -> None:
    with Database.open(tmp_path) as held:
        pragmas = {
            name: held.connection.pragma(name)
            for name in ("journal_mode", "synchronous", "trusted_schema", "cell_size_check")
        }
        assert pragmas == {
            "journal_mode": "wal",
            "synchronous": 2,
            "trusted_schema": 0,
            "cell_size_check": 1,
        }
        assert held.connection.config(apsw.SQLITE_DBCONFIG_DEFENSIVE, -1) == 1


async def test_what_was_erased_is_not_in_the_file_any_more(tmp_path: Path) -> None:
    secret = "correct-horse-battery"
    async with opened(tmp_path) as (log, _):
        await log.append([event("x", "terminal:a", text=secret)])
        await log.append([event("x", "terminal:b", text="this stays")])
        await log.erase("terminal:a")
    content = (tmp_path / opening.NAME).read_bytes()
    assert secret.encode() not in content
    assert b"this stays" in content


def damaged(folder: Path) -> None:
    """Every fifth page but the first ten is overwritten."""
    with open(folder / opening.NAME, "r+b") as file:
        pages = file.seek(0, 2) // 4_096
        assert pages > 20
        for page in range(10, pages, 5):
            file.seek(page * 4_096)
            file.write(b"\xff" * 512)


async def test_a_damaged_page_is_found_and_never_read_as_something_else(tmp_path: Path) -> None:
    async with opened(tmp_path) as (log, _):
        await log.append([event(str(number), "x", text="x" * 500) for number in range(200)])
        assert await log.check() == []
    damaged(tmp_path)
    async with opened(tmp_path) as (log, _):
        assert await log.check()
        with pytest.raises(Unavailable) as caught:
            await log.read(0, None, 1_000)
        assert caught.value.code == "log_damaged"


async def test_a_rare_topic_is_found_without_reading_the_log(tmp_path: Path) -> None:
    async with opened(tmp_path) as (log, _):
        await log.append([event("rare", "rare")])
        for _ in range(5):
            await log.append([event("x", "often")] * 1_000)
        await log.append([event("rare", "rare")])
        steps = 0

        def count() -> bool:
            nonlocal steps
            steps += 1
            return False

        log._file._reader.set_progress_handler(count, 10)
        for topics in (frozenset({"rare"}), frozenset({"rare", "none"})):
            events, searched, _ = await log.read(0, topics, 100)
            assert ([found.sequence for found in events], searched) == ([1, 5_002], 5_002)
        few = steps
        await log.read(0, frozenset({"often"}), 1_000)
        assert few < 100 < steps


# The writer


async def test_what_waits_is_committed_in_groups(tmp_path: Path) -> None:
    async with opened(tmp_path) as (log, _):
        before = log.commits
        last = await asyncio.gather(*(log.append([event(str(n))]) for n in range(1_000)))
        assert sorted(last) == list(range(1, 1_001))
        assert log.commits - before <= 10


async def test_a_conflict_or_a_fault_in_a_group_harms_nobody_else(tmp_path: Path) -> None:
    def faulty(connection: apsw.Connection) -> None:
        connection.execute("INSERT INTO scopes VALUES ('half done', 1)")
        raise ValueError("a fault of ours")

    async with opened(tmp_path) as (log, registry):
        outcomes = await asyncio.gather(
            log.append([event("1")], "judge", 0),
            log.append([event("2")], "judge", 0),
            registry.create("a", b"1"),
            log._file.writer.submit(faulty),
            registry.create("a", b"2"),
            log.append([event("3")], "judge", 1),
            log.append([event("bad", text="\ud800")]),
            return_exceptions=True,
        )
        kinds = [type(outcome) for outcome in outcomes]
        assert kinds == [int, Conflict, int, ValueError, Conflict, int, InputError]
        assert await log.last() == await log.last("judge") == 2
        assert await log.last("half done") == 0
        assert await log.append([event("4")]) == 3


async def test_closing_finishes_what_was_begun_and_takes_nothing_more(tmp_path: Path) -> None:
    log, registry = await open_log(tmp_path)
    begun = [asyncio.create_task(log.append([event(str(n))])) for n in range(100)]
    await asyncio.sleep(0)
    await log.close()
    assert await registry.put("a", b"still open") == 1
    await registry.close()
    assert sorted(await asyncio.gather(*begun)) == list(range(1, 101))
    for call in (log.append([event("x")]), registry.put("a", b""), log.last(), registry.get("a")):
        with pytest.raises(Unavailable) as caught:
            await call
        assert caught.value.code == "log_closed"
    await log.close()
    assert await filled(tmp_path, 0)


async def test_more_than_may_wait_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(grouping, "MOST_WAITING", 10)
    async with opened(tmp_path) as (log, _):
        with held_by_another(tmp_path):
            waiting = [asyncio.create_task(log.append([event(str(n))])) for n in range(20)]
            await asyncio.sleep(0)
            refused = [task for task in waiting if task.done()]
            assert len(refused) >= 8
            for task in refused:
                assert isinstance(error := task.exception(), Unavailable)
                assert error.code == "log_busy"
        stored = await asyncio.gather(*waiting, return_exceptions=True)
        assert await log.last() == 20 - len(refused) == sum(isinstance(n, int) for n in stored)


@contextmanager
def held_by_another(folder: Path) -> Iterator[None]:
    """The right to write is somebody else's."""
    with Database.open(folder) as other:
        other.connection.execute("BEGIN IMMEDIATE")
        yield
        other.connection.execute("ROLLBACK")


async def test_a_file_that_another_holds_too_long_is_busy_and_nothing_is_stored(
    tmp_path: Path,
) -> None:
    async with opened(tmp_path) as (log, _):
        log._file._database.connection.set_busy_timeout(50)
        with held_by_another(tmp_path):
            with pytest.raises(Unavailable) as caught:
                await log.append([event("x")])
            assert caught.value.code == "log_busy"
        assert await log.append([event("x")]) == 1


@pytest.fixture(params=["a full file system", "a full file"])
def small(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[Path, bool]]:
    """A folder with room for little, and whether that is the file system's doing."""
    if request.param == "a full file":
        yield tmp_path, False
        return
    command = ["mount", "-t", "tmpfs", "-o", "size=2m", "monitor-test", str(tmp_path)]
    if subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("mounting is not allowed here")
    try:
        yield tmp_path, True
    finally:
        subprocess.run(["umount", str(tmp_path)], check=True)


async def test_a_full_disk_refuses_and_recovers_by_itself(small: tuple[Path, bool]) -> None:
    folder, mounted = small
    async with opened(folder) as (log, registry):
        connection = log._file._database.connection
        await log.append([event("first")])
        filler = folder / "filler"
        if mounted:
            filler.write_bytes(b"x" * 1_000_000)
        else:
            connection.pragma("max_page_count", 200)
        big = event("big", text="x" * 100_000)
        stored, refused = 1, None
        while refused is None:
            try:
                stored = await log.append([big])
            except Unavailable as error:
                refused = error
        assert (refused.code, refused.status) == ("log_full", 507)
        several = await asyncio.gather(
            *(log.append([big]) for _ in range(5)), return_exceptions=True
        )
        assert all(isinstance(e, Unavailable) and e.code == "log_full" for e in several)
        with pytest.raises(Unavailable):
            await registry.put("a", bytes(200_000))
        assert await log.last() == stored
        assert len((await log.read(0, None, 1_000))[0]) == stored
        if mounted:
            filler.unlink()
        else:
            connection.pragma("max_page_count", 2**30)
        assert await log.append([event("after")]) == stored + 1
    async with opened(folder) as (log, _):
        assert await log.last() == stored + 1


class _FailingFile(apsw.VFSFile):
    """A file whose `fsync` fails once it is told to."""

    failing = False

    def __init__(self, name: str | apsw.URIFilename | None, flags: list[int]) -> None:
        super().__init__("unix", name, flags)

    def xSync(self, flags: int) -> None:  # noqa: N802
        if _FailingFile.failing:
            raise apsw.IOError("the disk did not take it")
        super().xSync(flags)


class _FailingDisk(apsw.VFS):
    def __init__(self) -> None:
        super().__init__("failing", "unix", makedefault=True)

    def xOpen(  # noqa: N802
        self, name: str | apsw.URIFilename | None, flags: list[int]
    ) -> apsw.VFSFile:
        return _FailingFile(name, flags)


async def test_a_failed_fsync_is_unknown_and_the_log_takes_nothing_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = _FailingDisk()
    log, registry = await open_log(tmp_path)
    disk.unregister()
    await log.append([event("before")])
    monkeypatch.setattr(_FailingFile, "failing", True)
    outcomes = await asyncio.gather(
        *(log.append([event(str(n))]) for n in range(3)), return_exceptions=True
    )
    assert isinstance(outcomes[0], Unknown)
    monkeypatch.setattr(_FailingFile, "failing", False)
    for call in (log.append([event("x")]), registry.put("a", b"")):
        with pytest.raises(Unavailable) as caught:
            await call
        assert caught.value.code == "log_failed"
    assert names((await log.read(0, None, 1))[0]) == ["before"]
    await log.close()
    await registry.close()
    async with opened(tmp_path) as (log, _):
        events, last, _ = await log.read(0, None, 10)
        assert names(events)[0] == "before"
        assert [found.sequence for found in events] == list(range(1, last + 1))
        assert await log.append([event("after")]) == last + 1
