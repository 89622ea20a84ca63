"""It must be that a restore gives back what was backed up, or leaves what there is."""

from __future__ import annotations

import io
import os
import random
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from click.testing import CliRunner, Result

from monitor import bootstrap
from monitor.__main__ import main
from monitor.care.archive import MANIFEST, MANIFEST_BYTES, Manifest
from monitor.care.backup import backup
from monitor.care.files import FILES
from monitor.care.restore import FOLDER, NOTE, REPLACED, restore, settle
from monitor.errors import StartError
from monitor.log.database import Database
from tests import serving
from tests.care.directories import content, everything, filled, is_sound, kills
from tests.log.logs import event
from tests.store.series_rows import NOW, connected

STAMP = f"{REPLACED}20270115T000000Z"


@pytest.fixture
def target(tmp_path: Path) -> Path:
    """An archive of another data directory than the test's own."""
    backup(filled(tmp_path / "theirs", "b", 10), tmp_path / "b.tar")
    return tmp_path / "b.tar"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The data directory that is restored into, as a kill of its server leaves it."""
    place = filled(tmp_path / "data", "a")
    (place / "log.db-wal").write_bytes(b"of the old one")
    (place / "series.db-shm").write_bytes(b"of the old one")
    (place / "ballast").write_bytes(b"x")
    return place


# Bringing back


def test_what_is_restored_is_what_was_backed_up_row_by_row(tmp_path: Path, target: Path) -> None:
    """It must be that a digest over all rows of all tables is the same (promise 8)."""
    folder = tmp_path / "new"
    folder.mkdir()
    manifest, replaced = restore(folder, target, NOW)
    assert content(folder) == content(tmp_path / "theirs")
    assert not replaced
    assert is_sound(folder)
    assert sorted(path.name for path in folder.iterdir()) == ["log.db", "series.db"]
    assert all((folder / kept.name).stat().st_mode & 0o777 == 0o600 for kept in FILES)
    assert manifest.members["log.db"].schema == 2


def test_what_was_there_is_kept_and_nothing_of_it_stays_in_its_place(
    folder: Path, target: Path, tmp_path: Path
) -> None:
    old = everything(folder)
    _, replaced = restore(folder, target, NOW)
    new = everything(folder)
    assert {name: new[f"{name}{STAMP}"] for name in old if name != "ballast"} == {
        name: body for name, body in old.items() if name != "ballast"
    }
    assert replaced == sorted(f"{name}{STAMP}" for name in old if name != "ballast")
    assert {name for name in new if REPLACED not in name} == {"ballast", "log.db", "series.db"}
    assert content(folder) == content(tmp_path / "theirs")


def test_a_second_restore_in_the_same_second_replaces_no_file_that_is_kept(
    folder: Path, target: Path
) -> None:
    restore(folder, target, NOW)
    _, replaced = restore(folder, target, NOW)
    assert replaced == [f"log.db{STAMP}-1", f"series.db{STAMP}-1"]
    assert (folder / f"log.db{STAMP}").exists()


def test_the_log_has_a_new_epoch_and_both_files_new_markers(folder: Path, target: Path) -> None:
    """It must be that no reader's position of before passes for one of the restored log."""
    epochs = set()
    for place in (folder.parent / "theirs", folder):
        (folder / "log.db-wal").unlink(missing_ok=True)
        with Database.open(place) as log:
            epochs.add(log.epoch)
            was = log.append([event("of then", "x")])
    restore(folder, target, NOW)
    with Database.open(folder) as log:
        assert log.epoch not in epochs
        assert log.append([event("of now", "x")]) <= was
    connected(folder).close()
    assert (folder / "instance").exists()
    assert (folder / "series.instance").exists()


def test_a_server_goes_on_from_a_restore_that_was_interrupted(
    folder: Path, target: Path, tmp_path: Path
) -> None:
    """It must be that the next start carries out what was decided, and says so."""
    folder.rename(tmp_path / "server-data")
    place = tmp_path / "server" / "data"
    place.parent.mkdir()
    (tmp_path / "server-data").rename(place)
    for _ in kills(lambda: restore(place, target, NOW)):
        if (place / FOLDER / NOTE).exists() and not (place / "log.db").exists():
            break
    server = serving.start(tmp_path / "server")
    assert server.end() == 0
    assert "carried out to its end" in server.said()
    assert not (place / FOLDER).exists()
    with Database.open(place) as log:
        assert log.get("b") is not None


# Refusing


def refused(folder: Path, source: Path) -> str:
    """Why it was not restored; nothing changed."""
    before = everything(folder)
    with pytest.raises(StartError) as refusal:
        restore(folder, source, NOW)
    assert everything(folder) == before
    assert not (folder / FOLDER).exists()
    assert refusal.value.detail.isprintable()
    return refusal.value.detail


Tar = list[tuple[tarfile.TarInfo, bytes]]


def taken_apart(path: Path) -> Tar:
    with tarfile.open(path, "r:") as tar:
        return [(info, (tar.extractfile(info) or io.BytesIO()).read()) for info in tar]


def put_together(path: Path, members: Tar, end: bytes = bytes(1024)) -> Path:
    with path.open("wb") as file:
        for info, body in members:
            file.write(info.tobuf(tarfile.GNU_FORMAT))
            file.write(body + bytes(-len(body) % 512))
        file.write(end)
    return path


def named(name: str, **fields: Any) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    for key, value in fields.items():
        setattr(info, key, value)
    return info


def without(number: int) -> Callable[[Tar], Tar]:
    return lambda tar: [each for position, each in enumerate(tar) if position != number]


def instead(number: int, *others: tuple[tarfile.TarInfo, bytes]) -> Callable[[Tar], Tar]:
    return lambda tar: [*tar[:number], *others, *tar[number + 1 :]]


def saying(change: Callable[[Manifest], Manifest]) -> Callable[[Tar], Tar]:
    """The same archive with another manifest."""

    def forged(tar: Tar) -> Tar:
        manifest = msgspec.json.decode(tar[0][1], type=Manifest)
        return [(tar[0][0], change(manifest).encoded()), *tar[1:]]

    return forged


def member(name: str, **fields: Any) -> Callable[[Manifest], Manifest]:
    def change(manifest: Manifest) -> Manifest:
        forged = msgspec.structs.replace(manifest.members[name], **fields)
        return msgspec.structs.replace(manifest, members={**manifest.members, name: forged})

    return change


def written(text: bytes) -> Callable[[Tar], Tar]:
    """The same archive with a manifest of such a text."""
    return lambda tar: [(tar[0][0], text.ljust(MANIFEST_BYTES)), *tar[1:]]


HEX = "0" * 64
HOSTILE: dict[str, tuple[Callable[[Tar], Tar], str]] = {
    "nothing in it": (lambda _: [], "is no header"),
    "no manifest": (without(0), "manifest.json should be"),
    "no log": (without(1), "log.db should be"),
    "no history": (without(2), "is no header"),
    "another order": (lambda tar: [tar[0], tar[2], tar[1]], "log.db should be"),
    "one more": (lambda tar: [*tar, (named("x"), b"")], "after its last member"),
    "twice": (lambda tar: [*tar, tar[2]], "after its last member"),
    "a way out": (instead(1, (named("../log.db", size=1), b"x")), "something else"),
    "an absolute path": (instead(1, (named("/tmp/log.db", size=1), b"x")), "something else"),
    "a symbolic link": (
        instead(1, (named("log.db", type=tarfile.SYMTYPE, linkname="/etc/passwd"), b"")),
        "something else",
    ),
    "a hard link": (
        instead(1, (named("log.db", type=tarfile.LNKTYPE, linkname="/etc/passwd"), b"")),
        "something else",
    ),
    "a device": (
        instead(1, (named("log.db", type=tarfile.CHRTYPE, devmajor=1, devminor=5), b"")),
        "something else",
    ),
    "a folder": (instead(1, (named("log.db", type=tarfile.DIRTYPE), b"")), "something else"),
    "a sparse file": (
        instead(1, (named("log.db", type=tarfile.GNUTYPE_SPARSE), b"")),
        "something else",
    ),
    "a long name": (
        instead(0, (named(MANIFEST, type=tarfile.GNUTYPE_LONGNAME, size=10**12), b"")),
        "something else",
    ),
    "a header of its own size": (
        instead(0, (named("pax", type=tarfile.XHDTYPE, size=10**12), b"")),
        "something else",
    ),
    "longer than it is": (instead(2, (named("series.db", size=10**15), b"x")), "before series.db"),
    "a small manifest": (instead(0, (named(MANIFEST, size=5), b"{}   ")), "another length"),
    "a large manifest": (instead(0, (named(MANIFEST, size=8192), b" " * 8192)), "another length"),
    "a manifest of nothing": (written(b""), "cannot be read"),
    "a list": (written(b"[]"), "cannot be read"),
    "deep": (written(b"[" * 4_000), "cannot be read"),
    "no Unicode": (written(b'{"format": "\xff"}'), "cannot be read"),
    "not a number": (written(b'{"format": NaN}'), "cannot be read"),
    "another format": (saying(lambda m: msgspec.structs.replace(m, format=2)), "the format 2"),
    "no members": (saying(lambda m: msgspec.structs.replace(m, members={})), "exactly the files"),
    "a member that leads away": (
        saying(
            lambda m: msgspec.structs.replace(
                m, members={"log.db": m.members["log.db"], "../x": m.members["series.db"]}
            )
        ),
        "exactly the files",
    ),
    "a newer log": (saying(member("log.db", schema=99)), "newer version"),
    "a newer history": (saying(member("series.db", schema=99)), "newer version"),
    "an older schema than it has": (saying(member("log.db", schema=1)), "header is not ours"),
    "a schema of nothing": (saying(member("log.db", schema=0)), "cannot be read"),
    "another size": (saying(member("log.db", size=4096)), "as long as the manifest says"),
    "another digest": (saying(member("log.db", sha256=HEX)), "SHA-256"),
    "no digest": (saying(member("series.db", sha256="x")), "cannot be read"),
    "another store": (saying(member("series.db", instance="0" * 32)), "not the store"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_archive_changes_nothing(folder: Path, target: Path, name: str) -> None:
    change, why = HOSTILE[name]
    put_together(target, change(taken_apart(target)))
    assert why in refused(folder, target)
    assert sorted(path.name for path in folder.parent.iterdir()) == ["b.tar", "data", "theirs"]


def test_files_that_are_not_what_their_manifest_says_are_refused(
    folder: Path, target: Path
) -> None:
    """It must be that a digest that fits does not make a database of ours of something else."""
    tar = taken_apart(target)

    def of(body: bytes) -> Tar:
        import hashlib  # noqa: PLC0415

        said = {"size": len(body), "sha256": hashlib.sha256(body).hexdigest()}
        forged = saying(member("series.db", **said))(tar)
        return [*forged[:2], (named("series.db", size=len(body)), body)]

    broken = bytearray(tar[2][1])
    broken[2 * 16_384 : 3 * 16_384] = os.urandom(16_384)
    for body in (b"x" * 5_000, tar[1][1], tar[2][1][: 16_384 * 2], bytes(broken)):
        put_together(target, of(body))
        assert "series.db in the backup is damaged" in refused(folder, target)


def test_an_archive_that_ends_early_or_is_flipped_anywhere_changes_nothing(
    folder: Path, target: Path, tmp_path: Path
) -> None:
    whole = target.read_bytes()
    drawn = random.Random(4)
    for _ in range(25):
        target.write_bytes(whole[: drawn.randrange(len(whole))])
        refused(folder, target)
    # Between the end of what the manifest says and the next header lies nothing that is used.
    members = taken_apart(target.with_name("b.tar")) if target.write_bytes(whole) else []
    used = [slice(0, 512)]
    used += [slice(info.offset, info.offset_data + info.size) for info, _ in members[1:]]
    for _ in range(60):
        flipped = bytearray(whole)
        place = drawn.choice(used)
        flipped[drawn.randrange(place.start, place.stop)] ^= 1 << drawn.randrange(8)
        target.write_bytes(flipped)
        refused(folder, target)


def test_what_is_no_file_is_refused(folder: Path, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    assert "No such file" in refused(folder, tmp_path / "gone")
    assert "no regular file" in refused(folder, tmp_path / "fifo")
    assert "directory" in refused(folder, tmp_path)
    (tmp_path / "empty").write_bytes(b"")
    assert "ends too early" in refused(folder, tmp_path / "empty")


def test_a_disk_that_fills_changes_nothing(
    folder: Path, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    assert "No space left" in refused(folder, target)


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(main, [str(each) for each in arguments])


def test_a_directory_that_is_served_is_not_restored_into(folder: Path, target: Path) -> None:
    with bootstrap.locked(folder):
        before = everything(folder)
        result = run("restore", "--data", folder, target)
        assert result.exit_code == 1
        assert f"in use by process {os.getpid()}" in result.stderr
        assert everything(folder) == before


def test_the_command_says_what_it_did(folder: Path, target: Path) -> None:
    result = run("restore", "--data", folder, target)
    assert result.exit_code == 0
    assert result.stdout.count("what was there is kept: ") == 6
    bad = run("restore", "--data", folder, folder / "log.db")
    assert (bad.exit_code, bad.stdout) == (1, "")
    assert "no backup that can be restored" in bad.stderr


def test_a_backup_without_accounts_is_warned_of(folder: Path, target: Path, tmp_path: Path) -> None:
    """It must be that nobody opens a server without knowing it, by a backup from before."""
    assert "make one: monitor user create" in run("restore", "--data", folder, target).stderr
    made = CliRunner().invoke(
        main,
        ["user", "create", "ann", "--role", "admin", "--password-stdin", "--data", str(folder)],
        input="correct horse battery",
    )
    assert made.exit_code == 0, made.output
    later = tmp_path / "later.tar"
    assert run("backup", "--data", folder, later).exit_code == 0
    assert "no account" not in run("restore", "--data", folder, later).stderr


# Kills


def test_a_kill_at_any_step_leaves_the_old_or_the_new(tmp_path: Path, target: Path) -> None:
    """It must be that after it, and one more start, all is of before or all of the backup."""
    theirs = content(tmp_path / "theirs")
    folder = filled(tmp_path / "data", "a")
    mine = content(folder)
    (folder / "log.db-wal").write_bytes(b"of the old one")
    (folder / "series.db-wal").write_bytes(b"of the old one")
    whole = everything(folder)
    decided_before = False
    for _ in kills(lambda: restore(folder, target, NOW)):
        decided = (folder / FOLDER / NOTE).exists()
        finished = not decided and decided_before
        if not (decided or finished):
            # Nothing has been touched, and a server would start on it as ever.
            assert {name: (folder / name).read_bytes() for name in whole} == whole
        settle(folder)
        assert not (folder / FOLDER).exists()
        names = {name for name in everything(folder) if REPLACED not in name}
        assert names == ({"log.db", "series.db"} if decided or finished else set(whole))
        assert content(folder) == (theirs if decided or finished else mine)
        decided_before |= decided
        _as_before(folder, whole)
    assert decided_before


def test_a_kill_while_an_interrupted_restore_is_ended_loses_nothing_either(
    tmp_path: Path, target: Path
) -> None:
    theirs = content(tmp_path / "theirs")
    folder = filled(tmp_path / "data", "a")
    for _ in kills(lambda: restore(folder, target, NOW)):
        if (folder / FOLDER / NOTE).exists():
            break
    steps = sum(1 for _ in kills(lambda: settle(folder)))
    assert steps > 3
    assert content(folder) == theirs
    assert settle(folder) is None


def test_a_note_that_is_damaged_is_said_and_nothing_is_guessed(folder: Path, target: Path) -> None:
    for _ in kills(lambda: restore(folder, target, NOW)):
        if (folder / FOLDER / NOTE).exists():
            break
    before = everything(folder)
    for damaged in (b'{"stamp": "../../x"}', b"{}", b"", b"\xff", b"[" * 9_000):
        (folder / FOLDER / NOTE).write_bytes(damaged)
        with pytest.raises(StartError, match="cannot be ended"):
            settle(folder)
    (folder / FOLDER / NOTE).write_bytes(before[f"{FOLDER}/{NOTE}"])
    assert everything(folder) == before


def _as_before(folder: Path, whole: dict[str, bytes]) -> None:
    for path in folder.iterdir():
        path.unlink()
    for name, body in whole.items():
        (folder / name).write_bytes(body)
