"""Filesystems.

Every name finishes the sentence "it must be that …".
"""

from __future__ import annotations

import errno
import math
import os
import shutil
import subprocess
from pathlib import Path

import psutil
import pytest

from monitor.collect.filesystem import (
    MOST_MOUNTS,
    Filesystem,
    RemoteFilesystem,
    inodes,
    measure_below,
    space,
)
from monitor.collect.mounts import Mount, parse
from monitor.errors import Absent
from monitor.model import key
from tests.collect.trees import assert_keys_hold, golden, own, plant

NAME = "system.filesystem"


def stat(
    blocks: int = 1000, bfree: int = 400, bavail: int = 350, files: int = 100, ffree: int = 25,
    flag: int = 0,
) -> os.statvfs_result:  # fmt: skip
    """What statvfs answers, with 4 KiB fragments."""
    return os.statvfs_result((65536, 4096, blocks, bfree, bavail, files, ffree, ffree, flag, 255))


class Machine:
    """Filesystems as a test sets them, and which were asked for."""

    def __init__(self) -> None:
        self.answers: dict[bytes, os.statvfs_result | OSError] = {}
        self.asked: list[bytes] = []

    def __call__(self, path: bytes, mount: Mount) -> os.statvfs_result:
        self.asked.append(mount.mountpoint)
        assert path.endswith(mount.mountpoint)
        answer = self.answers.get(mount.mountpoint, stat())
        if isinstance(answer, OSError):
            raise answer
        return answer


def of(values: dict[str, float], mountpoint: str) -> dict[str, float]:
    return {text: value for text, value in values.items() if f'mountpoint="{mountpoint}"' in text}


def test_the_golden_tree_gives_these_values_and_rows(tmp_path: Path) -> None:
    machine = Machine()
    machine.answers[b"/strange"] = stat(blocks=0)
    machine.answers[b"/pool"] = stat(files=0, ffree=0)
    reading = Filesystem(golden(tmp_path), machine).collect(1.0)
    assert machine.asked == [b"/", b"/media/my disk", b"/old", b"/pool", b"/strange"]
    assert of(reading.values, "/") == {
        key(f"{NAME}.usage", mountpoint="/", state="used"): 600 * 4096.0,
        key(f"{NAME}.usage", mountpoint="/", state="free"): 350 * 4096.0,
        key(f"{NAME}.usage", mountpoint="/", state="reserved"): 50 * 4096.0,
        key(f"{NAME}.limit", mountpoint="/"): 1000 * 4096.0,
        key(f"{NAME}.utilization", mountpoint="/"): 600 / 950,
        key(f"{NAME}.inodes.usage", mountpoint="/", state="used"): 75.0,
        key(f"{NAME}.inodes.usage", mountpoint="/", state="free"): 25.0,
        key(f"{NAME}.inodes.utilization", mountpoint="/"): 0.75,
        key(f"{NAME}.readonly", mountpoint="/"): 0.0,
        key(f"{NAME}.flipped", mountpoint="/"): 0.0,
    }
    assert not any("inodes" in text for text in of(reading.values, "/pool"))
    assert reading.values[key(f"{NAME}.readonly", mountpoint="/old")] == 1.0
    assert not of(reading.values, "/strange")
    rows = reading.snapshots["filesystems"]
    assert [row["mountpoint"] for row in rows] == [
        "/", "/media/my disk", "/mnt/nfs", "/mnt/nfs/local", "/old", "/pool", "/srv/ssh",
    ]  # fmt: skip
    assert rows[2] == {
        "mountpoint": "/mnt/nfs",
        "device": "filer:/export",
        "type": "nfs4",
        "options": "rw,relatime",
    }


def test_the_remote_ones_are_read_by_the_other_alone(tmp_path: Path) -> None:
    machine = Machine()
    reading = RemoteFilesystem(golden(tmp_path), machine).collect(1.0)
    assert machine.asked == [b"/mnt/nfs", b"/mnt/nfs/local", b"/srv/ssh"]
    assert len(reading.values) == 3 * 9
    assert not reading.snapshots


def test_one_that_fails_is_nan_alone_and_keeps_its_keys(tmp_path: Path) -> None:
    machine = Machine()
    filesystem = Filesystem(golden(tmp_path), machine)
    before = filesystem.collect(1.0).values
    machine.answers[b"/"] = OSError(errno.EIO, "input/output error")
    after = filesystem.collect(2.0).values
    assert list(after) == list(before)
    failed = of(after, "/")
    assert failed.pop(key(f"{NAME}.readonly", mountpoint="/")) == 0.0
    assert failed.pop(key(f"{NAME}.flipped", mountpoint="/")) == 0.0
    assert all(math.isnan(value) for value in failed.values())
    assert of(after, "/pool") == of(before, "/pool")


def test_a_flip_to_read_only_shows_by_either_sign(tmp_path: Path) -> None:
    machine, readonly = Machine(), key(f"{NAME}.readonly", mountpoint="/")
    filesystem = Filesystem(golden(tmp_path), machine)
    assert filesystem.collect(1.0).values[readonly] == 0.0
    machine.answers[b"/"] = stat(flag=os.ST_RDONLY)
    assert filesystem.collect(2.0).values[readonly] == 1.0
    machine.answers.clear()
    path = tmp_path / "proc/1/mountinfo"
    plant(
        tmp_path,
        {
            "proc/1/mountinfo": path.read_text().replace(
                "rw,errors=remount-ro", "ro,errors=remount-ro"
            )
        },
    )
    values = filesystem.collect(3.0).values
    assert values[readonly] == 1.0
    assert values[key(f"{NAME}.flipped", mountpoint="/")] == 1.0


def test_a_written_loop_device_that_flips_is_read_only_and_an_image_never_shows(
    tmp_path: Path,
) -> None:
    def mounted(state: str) -> dict[str, str]:
        disk = f"50 27 7:1 / /disk {state} - ext4 /dev/loop1 rw\n"
        image = "51 27 7:2 / /snap/app/1 ro - ext4 /dev/loop2 ro\n"
        return {"proc/1/mountinfo": "27 1 8:0 / / rw - ext4 /dev/sda1 rw\n" + disk + image}

    machine, readonly = Machine(), key(f"{NAME}.readonly", mountpoint="/disk")
    root = golden(tmp_path)
    plant(tmp_path, mounted("rw"))
    filesystem = Filesystem(root, machine)
    assert filesystem.collect(1.0).values[readonly] == 0.0
    plant(tmp_path, mounted("ro"))
    values = filesystem.collect(2.0).values
    assert values[readonly] == 1.0
    assert not [text for text in values if "snap" in text]


def test_none_at_all_is_absent(tmp_path: Path) -> None:
    root = plant(tmp_path, {"proc/1/mountinfo": "27 1 0:2 / / rw - tmpfs none rw\n"})
    for collector in (Filesystem(root), RemoteFilesystem(root)):
        with pytest.raises(Absent, match="is mounted here"):
            collector.collect(1.0)


def test_hostile_mountpoints_make_sound_keys(tmp_path: Path) -> None:
    text = "".join(
        f"{n + 100} 1 9:{n} / /{point} rw - ext4 /dev/x rw\n"
        for n, point in enumerate(['a"b\\012c', "\\033[31m", "x" * 4000, 'q"}', "\\377"])
    )
    machine = Machine()
    reading = Filesystem(plant(tmp_path, {"proc/1/mountinfo": text}), machine).collect(1.0)
    assert_keys_hold(reading.values)
    assert len(reading.values) == 5 * 10
    assert all(len(str(cell)) <= 255 for row in reading.snapshots["filesystems"] for cell in row)


def test_datasets_of_one_pool_say_so_unless_a_quota_gives_them_space_of_their_own(
    tmp_path: Path,
) -> None:
    names = {"/tank": "tank", "/tank/home": "tank/home", "/tank/small": "tank/small", "/b": "b"}
    text = "".join(
        f"{n + 100} {'100' if '/' in device else '1'} 0:{n + 50} / {point} rw - zfs {device} rw\n"
        for n, (point, device) in enumerate(names.items())
    )
    machine = Machine()
    large = dict.fromkeys((b"/tank", b"/b"), stat(blocks=10**8, bfree=10**7, bavail=10**7))
    machine.answers.update(large)
    # Between two reads somebody wrote.
    machine.answers[b"/tank/home"] = stat(blocks=10**7, bfree=10**7 - 99, bavail=10**7 - 99)
    machine.answers[b"/tank/small"] = stat(blocks=10**6, bfree=10**5, bavail=10**5)
    filesystem = Filesystem(plant(tmp_path, {"proc/1/mountinfo": text}), machine)
    values = filesystem.collect(1.0).values
    shared = {point: values[key(f"{NAME}.shared", mountpoint=point)] for point in names}
    assert shared == {"/tank": 0.0, "/tank/home": 1.0, "/tank/small": 0.0, "/b": 0.0}
    machine.answers[b"/tank"] = OSError(errno.EIO, "input/output error")
    values = filesystem.collect(2.0).values
    assert values[key(f"{NAME}.shared", mountpoint="/tank/home")] == 0.0
    assert math.isnan(values[key(f"{NAME}.shared", mountpoint="/tank")])
    # The fullest stands for all: an empty top of a pool would never be full.
    machine.answers[b"/tank"] = stat(blocks=10**7, bfree=10**7 - 1, bavail=10**7 - 1)
    values = filesystem.collect(3.0).values
    assert values[key(f"{NAME}.shared", mountpoint="/tank")] == 1.0
    assert values[key(f"{NAME}.shared", mountpoint="/tank/home")] == 0.0


def test_those_beyond_the_bound_are_noted(tmp_path: Path) -> None:
    text = "".join(
        f"{n + 100} 1 9:{n} / /m{n} rw - ext4 /dev/x rw\n" for n in range(MOST_MOUNTS + 9)
    )
    machine = Machine()
    filesystem = Filesystem(plant(tmp_path, {"proc/1/mountinfo": text}), machine)
    reading = filesystem.collect(1.0)
    assert len(machine.asked) == MOST_MOUNTS
    assert len(reading.values) == MOST_MOUNTS * 10
    assert filesystem.note == "9 filesystems are left out"


def test_nothing_but_the_mount_itself_is_measured_below_another_root(tmp_path: Path) -> None:
    device = tmp_path.stat().st_dev
    path, number = os.fsencode(tmp_path), f"{os.major(device)}:{os.minor(device)}"
    mount = Mount(b"/x", number, b"/dev/x", "ext4", b"rw", False, False)
    assert measure_below(path, mount).f_blocks == os.statvfs(path).f_blocks
    elsewhere = Mount(b"/x", "250:250", b"/dev/x", "ext4", b"rw", False, False)
    with pytest.raises(FileNotFoundError, match="not visible"):
        measure_below(path, elsewhere)


def test_figures_hold_for_the_odd_and_the_empty() -> None:
    assert math.isnan(space(stat(blocks=10, bfree=10, bavail=0))[4])
    assert space(stat(blocks=10, bfree=2, bavail=5)) == (32768.0, 20480.0, 0.0, 40960.0, 8 / 13)
    assert inodes(stat(files=10, ffree=12)) == (0.0, 12.0, 0.0)


def test_this_machines_numbers_are_psutils_and_those_of_df() -> None:
    try:
        reading = Filesystem(own()).collect(1.0)
    except Absent:
        pytest.skip("this machine has no filesystem of its own")
    remote = {
        mount.mountpoint.decode(errors="replace")
        for mount in parse(Path("/proc/self/mountinfo").read_bytes())
        if mount.remote
    }
    near = 64 * 1024 * 1024
    for row in reading.snapshots["filesystems"]:
        point = str(row["mountpoint"])
        if point in remote or not Path(point).exists():
            continue
        theirs = psutil.disk_usage(point)
        values = reading.values
        used = values[key(f"{NAME}.usage", mountpoint=point, state="used")]
        free = values[key(f"{NAME}.usage", mountpoint=point, state="free")]
        share = values[key(f"{NAME}.utilization", mountpoint=point)]
        assert values[key(f"{NAME}.limit", mountpoint=point)] == theirs.total
        assert used == pytest.approx(theirs.used, abs=near)
        assert free == pytest.approx(theirs.free, abs=near)
        assert share == pytest.approx(theirs.percent / 100, abs=0.01)
        if shutil.which("df"):
            printed = subprocess.run(
                ["df", "-B1", "-P", point], capture_output=True, text=True, check=True
            ).stdout
            size, df_used, df_free, percent = printed.splitlines()[1].split()[1:5]
            assert values[key(f"{NAME}.limit", mountpoint=point)] == int(size)
            assert used == pytest.approx(int(df_used), abs=near)
            assert free == pytest.approx(int(df_free), abs=near)
            assert 0 <= int(percent.rstrip("%")) / 100 - share <= 0.011  # df rounds up
