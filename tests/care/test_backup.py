"""It must be that a backup is what the files were at one moment, whole or not there at all."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import shutil
import signal
import tarfile
import threading
from pathlib import Path

import apsw
import msgspec
import pytest
from click.testing import CliRunner

from monitor.__main__ import main
from monitor.care import archive
from monitor.care.archive import Manifest, Reader, Writer
from monitor.care.backup import backup
from monitor.care.files import FILES
from monitor.care.restore import restore
from monitor.errors import StartError
from monitor.log.database import Database
from tests.care.directories import content, everything, filled, is_sound, kills, raw
from tests.log.logs import event
from tests.store.series_rows import HOUR, NOW, chunk, connected


def restored(target: Path, folder: Path) -> Path:
    """A data directory made from an archive."""
    folder.mkdir()
    restore(folder, target, NOW)
    return folder


def test_an_archive_is_a_plain_tar_of_both_files_with_their_digests(tmp_path: Path) -> None:
    folder = filled(tmp_path / "data")
    target = tmp_path / "b.tar"
    made = backup(folder, target)
    assert target.stat().st_mode & 0o777 == 0o600
    with tarfile.open(target, "r:") as tar:
        assert tar.getnames() == ["manifest.json", "log.db", "series.db"]
        assert all(member.isreg() and member.mode == 0o600 for member in tar.getmembers())
        bodies = {name: tar.extractfile(name) for name in tar.getnames()}
        found = {name: body.read() for name, body in bodies.items() if body is not None}
    assert msgspec.json.decode(found["manifest.json"], type=Manifest) == made
    for kept in FILES:
        said = made.members[kept.name]
        assert said.size == len(found[kept.name])
        assert said.sha256 == hashlib.sha256(found[kept.name]).hexdigest()
        assert said.schema == kept.schema
        assert said.instance.encode() in found[kept.name]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["b.tar", "data"]


def test_what_was_only_in_the_write_ahead_log_is_in_the_archive(tmp_path: Path) -> None:
    folder = filled(tmp_path / "data")
    with Database.open(folder) as log, contextlib.closing(connected(folder)) as store:
        log.append([event("late", "x")])
        chunk(store, 0, NOW + HOUR, NOW + HOUR, 4_000)
        assert (folder / "log.db-wal").stat().st_size
        assert (folder / "series.db-wal").stat().st_size
        was = content(folder)
        backup(folder, tmp_path / "b.tar")
    assert content(restored(tmp_path / "b.tar", tmp_path / "new")) == was


def test_what_a_killed_server_left_in_the_write_ahead_log_is_in_the_archive(
    tmp_path: Path,
) -> None:
    folder, killed = filled(tmp_path / "data"), tmp_path / "killed"
    with Database.open(folder) as log, contextlib.closing(connected(folder)) as store:
        log.append([event("late", "x")])
        chunk(store, 0, NOW + HOUR, NOW + HOUR, 4_000)
        was = content(folder)
        shutil.copytree(folder, killed)
    for name in ("log.db-shm", "series.db-shm"):
        (killed / name).unlink()
    backup(killed, tmp_path / "b.tar")
    assert content(restored(tmp_path / "b.tar", tmp_path / "new")) == was
    # The files and what was not yet brought into them are as they were left.
    for name in ("log.db", "log.db-wal", "series.db", "series.db-wal"):
        assert (killed / name).stat().st_size
    assert content(killed) == was


def test_backups_beside_a_writer_are_each_of_one_moment(tmp_path: Path) -> None:
    """It must be that no transaction is in an archive by half, and that the writer goes on."""
    folder = filled(tmp_path / "data", count=200)
    done = threading.Event()
    written: list[int] = []

    def write() -> None:
        with Database.open(folder) as log, contextlib.closing(connected(folder)) as store:
            while not done.is_set():
                log.append([event(f"e{len(written)}", "x")] * 3)
                with store:
                    for keep in range(3):
                        chunk(store, keep, NOW + len(written), NOW + len(written), 2_000)
                written.append(1)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        for number in range(5):
            before = len(written)
            backup(folder, tmp_path / f"{number}.tar")
            while len(written) < before + 3:
                assert writer.is_alive()
                done.wait(0.01)
    finally:
        done.set()
        writer.join()
    counts = []
    for number in range(5):
        new = restored(tmp_path / f"{number}.tar", tmp_path / str(number))
        assert is_sound(new)
        with contextlib.closing(apsw.Connection(str(new / "series.db"))) as store:
            chunks = store.execute("SELECT count(*) FROM chunks").get
        with contextlib.closing(apsw.Connection(str(new / "log.db"))) as log:
            events = log.execute("SELECT count(*) FROM events").get
        assert isinstance(chunks, int)
        assert isinstance(events, int)
        assert (chunks - 200) % 3 == 0
        assert (events - 200) % 3 == 0
        counts.append((chunks, events))
    assert counts == sorted(counts)
    assert counts[0] < counts[-1]


def refused(folder: Path, target: Path) -> str:
    """Why there is no backup; nothing of it is left, and nothing else was touched."""
    place = target.parent if target.parent.is_dir() else folder.parent
    before = everything(place)
    with pytest.raises(StartError) as refusal:
        backup(folder, target)
    left = everything(place)
    # A reader of a file with a write-ahead log makes an index of that.
    assert {name: each for name, each in left.items() if not name.endswith("-shm")} == before
    return refusal.value.detail


def test_a_target_that_is_there_is_never_written(tmp_path: Path) -> None:
    folder = filled(tmp_path / "data")
    (tmp_path / "b.tar").write_bytes(b"mine")
    (tmp_path / "gone.tar").symlink_to(tmp_path / "nowhere")
    assert "is there already" in refused(folder, tmp_path / "b.tar")
    assert "is there already" in refused(folder, tmp_path / "gone.tar")
    assert "is there already" in refused(folder, folder)
    assert "No such file" in refused(folder, tmp_path / "no" / "b.tar")


def test_a_target_that_comes_while_it_is_written_stays_what_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, target = filled(tmp_path / "data"), tmp_path / "b.tar"
    finish = Writer.finish

    def late(writer: Writer, manifest: Manifest) -> None:
        finish(writer, manifest)
        target.write_bytes(b"theirs")

    monkeypatch.setattr(Writer, "finish", late)
    with pytest.raises(StartError, match="has come to be there"):
        backup(folder, target)
    assert target.read_bytes() == b"theirs"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["b.tar", "data"]


def test_what_is_no_data_directory_is_refused(tmp_path: Path) -> None:
    target = tmp_path / "b.tar"
    assert "there is no" in refused(tmp_path / "none", target)
    folder = filled(tmp_path / "data")
    (folder / "series.db").rename(tmp_path / "series.db")
    assert "there is no" in refused(folder, target)
    (folder / "series.db").write_bytes(b"")
    assert "series.db is damaged, or no file of ours" in refused(folder, target)
    (folder / "series.db").write_bytes(b"hello" * 1000)
    assert "series.db is damaged, or no file of ours" in refused(folder, target)
    (folder / "series.db").unlink()
    raw(folder / "series.db", "CREATE TABLE theirs (x)")
    assert "series.db is damaged, or no file of ours" in refused(folder, target)
    (folder / "series.db").unlink()
    os.mkfifo(folder / "series.db")
    with pytest.raises(StartError, match="no regular file"):
        backup(folder, target)


def test_a_damaged_file_is_no_backup(tmp_path: Path) -> None:
    folder = filled(tmp_path / "data")
    path = folder / "series.db"
    pages = bytearray(path.read_bytes())
    pages[3 * 16_384 : 4 * 16_384] = os.urandom(16_384)
    path.write_bytes(pages)
    assert "damaged" in refused(folder, tmp_path / "b.tar")


@pytest.mark.parametrize("fault", [KeyboardInterrupt(), OSError(28, "No space left on device")])
def test_a_backup_that_fails_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: BaseException
) -> None:
    folder = filled(tmp_path / "data")
    add = Writer.add

    def failing(writer: Writer, name: str, path: Path) -> tuple[int, str]:
        if name == "series.db":
            raise fault
        return add(writer, name, path)

    monkeypatch.setattr(Writer, "add", failing)
    with pytest.raises((KeyboardInterrupt, StartError)):
        backup(folder, tmp_path / "b.tar")
    assert [path.name for path in tmp_path.iterdir()] == ["data"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_command_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: signal.Signals
) -> None:
    folder = filled(tmp_path / "data")
    monkeypatch.setattr(Writer, "add", lambda *_: os.kill(os.getpid(), number))
    before = signal.getsignal(signal.SIGTERM)
    # A shell that runs the tests in the background has them ignore it.
    interrupted = signal.signal(signal.SIGINT, signal.default_int_handler)
    result = CliRunner().invoke(main, ["backup", "--data", str(folder), str(tmp_path / "b.tar")])
    signal.signal(signal.SIGINT, interrupted)
    assert result.exit_code == 130
    assert [path.name for path in tmp_path.iterdir()] == ["data"]
    assert signal.getsignal(signal.SIGTERM) is before


def test_two_backups_to_one_place_do_not_mix(tmp_path: Path) -> None:
    folder = filled(tmp_path / "data")
    with (tmp_path / ".b.tar.part").open("wb") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        with pytest.raises(StartError, match="another backup is writing"):
            backup(folder, tmp_path / "b.tar")
    backup(folder, tmp_path / "b.tar")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["b.tar", "data"]


def test_a_kill_at_any_step_leaves_the_whole_archive_or_none(tmp_path: Path) -> None:
    folder, target = filled(tmp_path / "data"), tmp_path / "b.tar"
    was = content(folder)
    seen = set()
    for step in kills(lambda: backup(folder, target)):
        there = target.exists()
        seen.add(there)
        if there:
            assert content(restored(target, tmp_path / f"new{step}")) == was
            target.unlink()
    assert seen == {True, False}
    # The last one came to its end, and cleared away what the others had left.
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []
    assert content(restored(target, tmp_path / "last")) == was
    assert content(folder) == was


def test_a_large_member_has_a_header_that_can_be_read(tmp_path: Path) -> None:
    """It must be that sizes beyond what a plain tar can say are said and read back."""
    path = tmp_path / "large"
    with path.open("wb") as file:
        writer = Writer(file, NOW)
        file.write(writer._header("log.db", 20 * 10**9))
    with path.open("rb") as file:
        file.seek(archive.BLOCK_BYTES + archive.MANIFEST_BYTES)
        info = tarfile.TarInfo.frombuf(file.read(512), "ascii", "strict")
    assert (info.name, info.size) == ("log.db", 20 * 10**9)


def test_the_command_says_what_it_wrote(tmp_path: Path) -> None:
    folder, target = filled(tmp_path / "data"), tmp_path / "b.tar"
    result = CliRunner().invoke(main, ["backup", "--data", str(folder), str(target)])
    assert result.exit_code == 0
    with target.open("rb") as file:
        members = Reader(target, file).manifest.members
    assert all(member.sha256 in result.stdout for member in members.values())
    again = CliRunner().invoke(main, ["backup", "--data", str(folder), str(target)])
    assert (again.exit_code, again.stdout) == (1, "")
    assert "is there already" in again.stderr
