"""Limits of open files.  Every name finishes the sentence "it must be that …"."""

from __future__ import annotations

import contextlib
import os
import resource
from pathlib import Path

import pytest

from monitor.collect import limits
from monitor.collect.files import Root
from monitor.collect.limits import Limits
from monitor.errors import Absent

HEAD = "Limit                     Soft Limit           Hard Limit           Units     \n"


def put(root: Path, pid: int, opened: int, limit: str, name: str = "app") -> None:
    """Write one process."""
    directory = root / f"proc/{pid}"
    (directory / "fd").mkdir(parents=True)
    for number in range(opened):
        (directory / "fd" / str(number)).touch()
    (directory / "limits").write_text(
        f"{HEAD}Max open files            {limit:<20} 4096                 files     \n"
    )
    (directory / "comm").write_text(name + "\n")


def test_the_highest_share_and_the_top_five_are_found(tmp_path: Path) -> None:
    for pid in range(1, 9):
        put(tmp_path, pid, pid, "10", f"app{pid}")
    put(tmp_path, 20, 9, "unlimited")
    found = Limits(Root(tmp_path)).collect(0.0)
    assert found.values == {"system.processes.file_descriptors.utilization": 0.8}
    rows = found.snapshots["limits"]
    assert [row["pid"] for row in rows] == [8, 7, 6, 5, 4]
    assert rows[0] == {"pid": 8, "name": "app8", "open": 8, "limit": 10, "ratio": 0.8}


def test_what_permissions_hide_is_skipped_and_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(tmp_path, 1, 5, "10")
    put(tmp_path, 2, 9, "10")
    really = os.listdir

    def listdir(path: str) -> list[str]:
        if "/2/" in str(path):
            raise PermissionError(13, "denied")
        return really(path)

    monkeypatch.setattr(os, "listdir", listdir)
    collector = Limits(Root(tmp_path))
    assert collector.collect(0.0).snapshots["limits"][0]["pid"] == 1
    assert collector.note == "1 processes are hidden by permissions"


def test_processes_take_turns_and_what_ended_is_forgotten(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "MOST_READ", 2)
    for pid in (1, 2, 3):
        put(tmp_path, pid, pid, "10")
    collector = Limits(Root(tmp_path))
    ratios = [collector.collect(float(now)).values.popitem()[1] for now in range(2)]
    assert ratios == [0.2, 0.3]
    for path in sorted((tmp_path / "proc/3").rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    (tmp_path / "proc/3").rmdir()
    assert collector.collect(2.0).values.popitem()[1] == 0.2
    collector.close()


@pytest.mark.parametrize("limit", ["x", "-5", "unlimited"])
def test_no_limit_at_all_is_absent(tmp_path: Path, limit: str) -> None:
    with pytest.raises(Absent):
        Limits(Root(tmp_path)).collect(0.0)
    put(tmp_path, 1, 1, limit)
    with pytest.raises(Absent):
        Limits(Root(tmp_path)).collect(1.0)


def test_it_sees_this_very_program() -> None:
    """Whether the kernel has counted the files for it or not."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    collector = Limits(Root(Path("/")))
    with contextlib.ExitStack() as stack:
        for _ in range(50):
            stack.enter_context(Path(os.devnull).open())
        for is_counted in (None, False):
            collector._is_counted = is_counted
            usage = collector._usage(str(os.getpid()))
            assert usage is not None
            assert usage.limit == soft
            assert 53 <= usage.open < soft
            really = len(os.listdir("/proc/self/fd"))  # noqa: PTH208
            assert abs(usage.open - really) <= 1, "but for the one that the listing takes"


def test_sizes_of_a_disks_directories_are_no_counts(tmp_path: Path) -> None:
    put(tmp_path, 1, 3, "10")
    (tmp_path / "proc/self/fd").mkdir(parents=True)
    assert Limits(Root(tmp_path)).collect(0.0).snapshots["limits"][0]["open"] == 3
