"""Disks.

Every name finishes the sentence "it must be that …".
"""

from __future__ import annotations

import math
import shutil
from pathlib import Path

import psutil
import pytest

from monitor.collect.disk import KNOWN_SECONDS, MOST_DISKS, Disk
from monitor.errors import Absent
from monitor.model import SeriesKey, key
from tests.collect.trees import Clock, assert_keys_hold, golden, own, plant

LATER = "   8       0 sda 1100 100 82048 5300 2050 200 160016 30100 7 20250 35500 0 0 0 0 10 7\n"


def devices(values: dict[str, float]) -> list[str]:
    return list(dict.fromkeys(SeriesKey.parse(text).get("device") for text in values))


def value(values: dict[str, float], name: str, device: str, direction: str = "") -> float:
    attributes = {"device": device, **({"direction": direction} if direction else {})}
    return values[key(f"system.disk.{name}", **attributes)]


def test_the_golden_file_gives_these_values(tmp_path: Path) -> None:
    values = Disk(golden(tmp_path), Clock()).collect(1.0).values
    assert devices(values) == ["sda", "nvme0n1", "dm-0", "md0"]
    sda = {text: found for text, found in values.items() if 'device="sda"' in text}
    absent = [text for text, found in sda.items() if math.isnan(found)]
    assert [SeriesKey.parse(text).name for text in absent] == [
        "system.disk.await", "system.disk.await", "system.disk.utilization", "system.disk.queue",
    ]  # fmt: skip
    assert {text: found for text, found in sda.items() if text not in absent} == {
        key("system.disk.io", device="sda", direction="read"): 80000 * 512.0,
        key("system.disk.io", device="sda", direction="write"): 160000 * 512.0,
        key("system.disk.operations", device="sda", direction="read"): 1000.0,
        key("system.disk.operations", device="sda", direction="write"): 2000.0,
        key("system.disk.merged", device="sda", direction="read"): 100.0,
        key("system.disk.merged", device="sda", direction="write"): 200.0,
        key("system.disk.operation_time", device="sda", direction="read"): 5.0,
        key("system.disk.operation_time", device="sda", direction="write"): 30.0,
        key("system.disk.io_time", device="sda"): 20.0,
        key("system.disk.weighted_io_time", device="sda"): 35.0,
        key("system.disk.pending_operations", device="sda"): 3.0,
        key("system.disk.rotational", device="sda"): 1.0,
    }
    assert value(values, "rotational", "nvme0n1") == 0.0
    assert key("system.disk.rotational", device="md0") not in values


def test_shares_are_of_the_time_between_two_reads(tmp_path: Path) -> None:
    clock = Clock()
    disk = Disk(golden(tmp_path), clock)
    disk.collect(1.0)
    clock.now += 0.5
    plant(tmp_path, {"proc/diskstats": LATER})
    values = disk.collect(2.0).values
    assert value(values, "await", "sda", "read") == pytest.approx(0.003)
    assert value(values, "await", "sda", "write") == pytest.approx(0.002)
    assert value(values, "utilization", "sda") == pytest.approx(0.5)
    assert value(values, "queue", "sda") == pytest.approx(1.0)
    clock.now += 0.5
    values = disk.collect(3.0).values
    assert math.isnan(value(values, "await", "sda", "read"))
    assert value(values, "utilization", "sda") == 0.0


def test_a_counter_that_went_back_is_nan_for_once(tmp_path: Path) -> None:
    clock = Clock()
    disk = Disk(golden(tmp_path), clock)
    plant(tmp_path, {"proc/diskstats": LATER})
    disk.collect(1.0)
    wrapped = LATER.replace("5300", "12").replace("20250", "9").replace("35500", "8")
    for text, dead in ((wrapped, True), (wrapped, False)):
        plant(tmp_path, {"proc/diskstats": text})
        clock.now += 1.0
        values = disk.collect(clock.now).values
        assert math.isnan(value(values, "utilization", "sda")) is dead
        assert math.isnan(value(values, "queue", "sda")) is dead
        assert math.isnan(value(values, "await", "sda", "read"))


def test_utilization_never_passes_1_nor_divides_by_no_time(tmp_path: Path) -> None:
    clock = Clock()
    disk = Disk(golden(tmp_path), clock)
    disk.collect(1.0)
    plant(tmp_path, {"proc/diskstats": LATER})
    assert math.isnan(value(disk.collect(2.0).values, "utilization", "sda"))
    clock.now += 0.001
    plant(tmp_path, {"proc/diskstats": LATER.replace("20250", "20900")})
    assert value(disk.collect(3.0).values, "utilization", "sda") == 1.0


def test_partitions_are_known_by_name_where_sys_cannot_be_asked(tmp_path: Path) -> None:
    root = golden(tmp_path)
    shutil.rmtree(tmp_path / "sys")
    assert devices(Disk(root).collect(1.0).values) == ["sda", "nvme0n1", "dm-0", "md0"]


def test_a_drive_that_was_used_a_name_that_is_a_disk_and_a_pulled_disk_are_told(
    tmp_path: Path,
) -> None:
    disk = Disk(golden(tmp_path))
    text = (tmp_path / "proc/diskstats").read_text()
    disk.collect(1.0)
    plant(tmp_path, {"proc/diskstats": text.replace("sr0 0", "sr0 1")})
    assert "sr0" in devices(disk.collect(2.0).values)
    # A virtual machine's disk may be called xvda1: it is one where /sys/block lists it.
    other = text.replace("sda1", "xvda1").replace("sda ", "gone ")
    plant(tmp_path, {"proc/diskstats": other, "sys/block/xvda1/queue/rotational": "0\n"})
    assert devices(disk.collect(3.0).values) == ["xvda1", "nvme0n1", "dm-0", "md0"]


def test_what_a_name_stands_for_is_asked_again(tmp_path: Path) -> None:
    disk = Disk(golden(tmp_path))
    disk.collect(1.0)
    plant(tmp_path, {"sys/block/sda1/size": "1\n", "sys/block/sda/queue/rotational": "0\n"})
    assert value(disk.collect(2.0).values, "rotational", "sda") == 1.0
    values = disk.collect(1.0 + KNOWN_SECONDS).values
    assert value(values, "rotational", "sda") == 0.0
    assert "sda1" in devices(values)


def test_hostile_names_make_sound_keys(tmp_path: Path) -> None:
    row = " 1 2 3 4 5 6 7 8 9 10 11\n"
    names = ['a"b\\nc', "..", ".", "../../etc", "\x1b[31m", "x" * 5000, 'q"}', "cciss/c0d0"]
    files = {"proc/diskstats": "".join(f"8 {n} {name}{row}" for n, name in enumerate(names))}
    values = Disk(plant(tmp_path, files)).collect(1.0).values
    assert_keys_hold(values)
    assert "cciss/c0d0" in devices(values)


def test_a_slash_in_a_name_is_an_exclamation_mark_in_sys(tmp_path: Path) -> None:
    text = "104 0 cciss/c0d0 1 2 3 4 5 6 7 8 9 10 11\n104 1 cciss/c0d0p1 1 2 3 4 5 6 7 8 9 10 11\n"
    files = {"proc/diskstats": text, "sys/block/cciss!c0d0/queue/rotational": "1\n"}
    assert devices(Disk(plant(tmp_path, files)).collect(1.0).values) == ["cciss/c0d0"]


def test_no_disk_is_absent_and_too_many_are_noted(tmp_path: Path) -> None:
    with pytest.raises(Absent, match="no disk"):
        Disk(plant(tmp_path, {"proc/diskstats": ""})).collect(1.0)
    row = " 1 2 3 4 5 6 7 8 9 10 11\n"
    many = "".join(f"252 {n} dm-{n}{row}" for n in range(MOST_DISKS + 2))
    disk = Disk(plant(tmp_path, {"proc/diskstats": many}))
    assert len(devices(disk.collect(1.0).values)) == MOST_DISKS
    assert disk.note == "2 disks are left out"


def test_this_machines_numbers_are_psutils() -> None:
    try:
        values = Disk(own()).collect(1.0).values
    except Absent:
        pytest.skip("this machine has no disk")
    theirs = psutil.disk_io_counters(perdisk=True)
    near = 64 * 1024 * 1024
    for device in devices(values):
        counters = theirs[device]
        pairs = (
            ("io", "read", counters.read_bytes, near),
            ("io", "write", counters.write_bytes, near),
            ("operations", "read", counters.read_count, 5000),
            ("operations", "write", counters.write_count, 5000),
            ("operation_time", "read", counters.read_time / 1000, 5),
            ("operation_time", "write", counters.write_time / 1000, 5),
            ("io_time", "", counters.busy_time / 1000, 5),
        )
        for name, direction, expected, tolerance in pairs:
            ours = value(values, name, device, direction)
            assert ours == pytest.approx(expected, abs=tolerance)
