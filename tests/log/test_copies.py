"""It must be that a store that was put back from a copy never passes for the one it was."""

from __future__ import annotations

import errno
import shutil
from pathlib import Path

import apsw
import pytest

from monitor.errors import StartError
from monitor.log import database, lives, marker, opening
from monitor.log.database import Database
from tests.log.child import killed_while_opening
from tests.log.logs import event

VALUE = bytes(64 * 1024)
VALUES = 80
"""More pages than SQLite leaves in the write-ahead log before it moves them and begins anew."""


def filled(folder: Path, count: int) -> str:
    """Append so many events; the epoch."""
    folder.mkdir(exist_ok=True)
    with Database.open(folder) as held:
        for _ in range(count):
            held.append([event("x")])
            held.put("key", VALUE)
        return held.epoch


def killed(folder: Path, after: Path, *, rewound: bool) -> str:
    """Append in a run that leaves its write-ahead log behind; the run's epoch.

    `after` is the data directory as a kill -9 leaves it.  Where the log was `rewound`, what
    the run wrote at first is only in the file by then.
    """
    with Database.open(folder) as held:
        for _ in range(VALUES if rewound else 0):
            held.put("key", VALUE)
        for _ in range(3):
            held.append([event("late")])
        shutil.copytree(folder, after)
        return held.epoch


def put_back(copy: Path, after: Path, folder: Path) -> None:
    """An older file, and beside it what a kill left; the marker is the folder's own."""
    for suffix in ("-wal", "-shm"):
        name = opening.NAME + suffix
        shutil.copy(after / name, folder / name)
    shutil.copy(copy, folder / opening.NAME)


@pytest.mark.parametrize("renewed", [True, False], ids=["another epoch", "the same epoch"])
@pytest.mark.parametrize("rewound", [True, False], ids=["rewound", "from its beginning"])
def test_an_older_file_beside_a_later_write_ahead_log_gets_a_new_epoch(
    tmp_path: Path, renewed: bool, rewound: bool
) -> None:
    folder, copy, after = tmp_path / "data", tmp_path / "copy", tmp_path / "after"
    epochs = {filled(folder, 3)}
    shutil.copy(folder / opening.NAME, copy)
    if renewed:
        epochs.add(database.renew_epoch(folder))
    filled(folder, 1)
    epochs.add(killed(folder, after, rewound=rewound))
    put_back(copy, after, folder)
    found = filled(folder, 0)
    assert found not in epochs
    assert filled(folder, 0) == found


def test_a_file_that_its_write_ahead_log_does_not_fit_is_refused_with_what_to_remove(
    tmp_path: Path,
) -> None:
    folder, copy, after = tmp_path / "data", tmp_path / "copy", tmp_path / "after"
    epoch = filled(folder, 1)
    shutil.copy(folder / opening.NAME, copy)
    with Database.open(folder) as held:
        for _ in range(2):
            held.append([event("big", text="x" * 4_000)] * 600)
    killed(folder, after, rewound=False)
    put_back(copy, after, folder)
    with pytest.raises(StartError, match=r"remove log.db-wal and log.db-shm"):
        Database.open(folder)
    for suffix in ("-wal", "-shm"):
        (folder / (opening.NAME + suffix)).unlink()
    assert filled(folder, 1) != epoch


def test_what_a_kill_leaves_keeps_its_epoch(tmp_path: Path) -> None:
    folder, after = tmp_path / "data", tmp_path / "after"
    epoch = filled(folder, 3)
    assert killed(folder, after, rewound=True) == epoch
    put_back(after / opening.NAME, after, folder)
    assert filled(folder, 1) == epoch


def test_an_epoch_that_is_not_the_markers_is_renewed(tmp_path: Path) -> None:
    """A copy that is as long as what was acknowledged, from before the epoch was renewed."""
    folder, copy = tmp_path / "data", tmp_path / "copy"
    epoch = filled(folder, 3)
    shutil.copy(folder / opening.NAME, copy)
    renewed = database.renew_epoch(folder)
    shutil.copy(copy, folder / opening.NAME)
    again = filled(folder, 0)
    assert again not in {epoch, renewed}
    assert filled(folder, 0) == again


def test_a_copied_data_directory_gets_a_new_epoch_once_and_a_moved_one_keeps_its_own(
    tmp_path: Path,
) -> None:
    folder, copy, moved = tmp_path / "data", tmp_path / "copy", tmp_path / "moved"
    epoch = filled(folder, 2)
    shutil.copytree(folder, copy)
    renewed = filled(copy, 1)
    assert renewed != epoch
    assert filled(copy, 1) == renewed
    assert filled(folder, 1) == epoch
    folder.rename(moved)
    assert filled(moved, 1) == epoch


def test_a_copy_at_the_same_inode_is_told_by_its_generation(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    epoch = filled(tmp_path, 1)
    real = marker.generation
    monkeypatch.setattr(marker, "generation", lambda descriptor: real(descriptor) + 1)
    if not real_generation(tmp_path):
        pytest.skip("this file system says no generation")
    assert filled(tmp_path, 0) != epoch


def real_generation(folder: Path) -> int:
    """What the file system says of the marker, plus one where it says anything."""
    with open(folder / marker.NAME, "rb") as file:
        return marker.generation(file.fileno()) - 1


def test_a_file_system_that_says_no_generation_keeps_the_epoch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    epoch = filled(tmp_path, 1)
    monkeypatch.setattr(marker, "generation", lambda _: 0)
    assert filled(tmp_path, 1) == epoch


def test_a_marker_of_the_first_form_is_read_and_rewritten(tmp_path: Path) -> None:
    epoch = filled(tmp_path, 2)
    path = tmp_path / marker.NAME
    _, said = marker.read(tmp_path)
    assert said is not None
    path.write_text(f"awoooi-monitor log {said.instance} {2:020d}\n")
    assert filled(tmp_path, 1) == epoch
    assert path.read_text().startswith("awoooi-monitor log 2 ")
    path.write_text(f"awoooi-monitor log {said.instance} {9:020d}\n")
    assert filled(tmp_path, 1) != epoch


@pytest.mark.parametrize("renewing", [False, True], ids=["as it was", "to be renewed"])
def test_a_start_that_is_killed_anywhere_loses_nothing_and_forgets_nothing(
    tmp_path: Path, renewing: bool
) -> None:
    """Each write to the marker and each statement on the file is the last one in turn."""
    kills = 0
    while True:
        folder, after = tmp_path / f"data{kills}", tmp_path / f"after{kills}"
        filled(folder, 3)
        copy = tmp_path / "copy"
        shutil.copy(folder / opening.NAME, copy)
        epoch = killed(folder, after, rewound=False)
        put_back(after / opening.NAME, after, folder)
        if renewing:
            for name in ("-wal", "-shm"):
                (folder / (opening.NAME + name)).unlink()
            shutil.copy(copy, folder / opening.NAME)
        if not killed_while_opening(folder, kills):
            break
        kills += 1
        with Database.open(folder) as held:
            assert (held.epoch == epoch) is not renewing
            count = held.connection.execute("SELECT count(*) FROM events").get
            assert count == (3 if renewing else 6)
            again = held.epoch
        assert filled(folder, 1) == again
    assert kills > 10


def test_a_start_on_a_full_disk_still_reads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    epoch = filled(tmp_path, 2)

    def full(*_: object) -> None:
        raise apsw.FullError(errno.ENOSPC)

    monkeypatch.setattr(lives, "_put_life", full)
    assert filled(tmp_path, 0) == epoch
    monkeypatch.undo()
    assert filled(tmp_path, 1) == epoch
