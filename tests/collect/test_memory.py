"""Memory and swap.

Every name finishes the sentence "it must be that …".
"""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import psutil
import pytest

from monitor.collect.memory import Memory
from monitor.model import key
from tests.collect.trees import golden, own, plant

KIB = 1024.0


def usage(state: str) -> str:
    return key("system.memory.usage", state=state)


def test_the_golden_file_gives_these_values(tmp_path: Path) -> None:
    values = Memory(golden(tmp_path)).collect(1.0).values
    states = {
        "used": 10000000,
        "free": 2000000,
        "available": 6000000,
        "buffers": 100000,
        "cached": 3500000 + 600000,
        "shared": 150000,
        "slab": 800000,
        "slab_reclaimable": 600000,
        "slab_unreclaimable": 200000,
        "active": 7000000,
        "inactive": 3000000,
        "dirty": 1500,
        "writeback": 250,
        "anonymous": 6400000,
        "mapped": 900000,
        "page_tables": 48000,
        "kernel_stack": 16000,
        "unevictable": 30000,
        "locked": 20000,
        "swap_cached": 4000,
        "committed": 11000000,
        "hugepages": 1048576,
        "arc_reclaimable": 1024000,
    }
    assert values == {
        **{usage(state): size * KIB for state, size in states.items()},
        "system.memory.limit": 16000000 * KIB,
        "system.memory.utilization": (10000000 - 1024000) / 16000000,
        key("system.paging.usage", state="used"): 2000000 * KIB,
        key("system.paging.usage", state="free"): 6000000 * KIB,
        "system.paging.utilization": 0.25,
    }


def test_without_swap_or_zfs_there_is_none_of_either(tmp_path: Path) -> None:
    text = (
        "MemTotal: 100 kB\nMemFree: 10 kB\nMemAvailable: 40 kB\nSwapTotal: 0 kB\nSwapFree: 0 kB\n"
    )
    values = Memory(plant(tmp_path, {"proc/meminfo": text})).collect(1.0).values
    assert values == {
        usage("used"): 60 * KIB,
        usage("free"): 10 * KIB,
        usage("available"): 40 * KIB,
        "system.memory.limit": 100 * KIB,
        "system.memory.utilization": 0.6,
    }


@pytest.mark.parametrize("available", ["", "MemAvailable: 101 kB\n"])
def test_without_a_sane_available_the_free_is_taken_as_procps_does(
    available: str, tmp_path: Path
) -> None:
    text = f"MemTotal: 100 kB\nMemFree: 10 kB\n{available}"
    values = Memory(plant(tmp_path, {"proc/meminfo": text})).collect(1.0).values
    assert values[usage("used")] == 90 * KIB


def test_an_old_kernels_huge_pages_are_counted(tmp_path: Path) -> None:
    text = "MemTotal: 100 kB\nMemFree: 10 kB\nHugePages_Total:  3\nHugepagesize: 2048 kB\n"
    values = Memory(plant(tmp_path, {"proc/meminfo": text})).collect(1.0).values
    assert values[usage("hugepages")] == 3 * 2048 * KIB


def test_an_arc_at_its_least_gives_nothing_back(tmp_path: Path) -> None:
    root = golden(tmp_path)
    plant(tmp_path, {"proc/spl/kstat/zfs/arcstats": "c_min 4 500\nsize 4 400\n"})
    values = Memory(root).collect(1.0).values
    assert values[usage("arc_reclaimable")] == 0.0
    assert values["system.memory.utilization"] == 0.625


@pytest.mark.parametrize("text", ["MemTotal: 0 kB\nMemFree: 1 kB\n", "MemFree: 1 kB\n"])
def test_no_total_is_a_value_error(text: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no total"):
        Memory(plant(tmp_path, {"proc/meminfo": text})).collect(1.0)


def test_this_machines_numbers_are_psutils() -> None:
    values = Memory(own()).collect(1.0).values
    theirs, swap = psutil.virtual_memory(), psutil.swap_memory()
    near = 64 * 1024 * 1024
    assert values["system.memory.limit"] == theirs.total
    for state in ("free", "available", "buffers", "active", "inactive", "shared", "slab"):
        assert values[usage(state)] == pytest.approx(getattr(theirs, state), abs=near)
    assert values[usage("cached")] == pytest.approx(theirs.cached, abs=near)
    assert values["system.memory.utilization"] == pytest.approx(theirs.percent / 100, abs=0.01)
    if swap.total:
        assert values[key("system.paging.usage", state="used")] == pytest.approx(
            swap.used, abs=near
        )
    else:
        assert not any(text.startswith("system.paging") for text in values)


@pytest.mark.skipif(shutil.which("free") is None, reason="procps is not installed")
def test_this_machines_numbers_are_those_of_free() -> None:
    values = Memory(own()).collect(1.0).values
    printed = subprocess.run(["free", "-b"], capture_output=True, text=True, check=True).stdout
    total, used, free, _, _, available = map(int, printed.splitlines()[1].split()[1:])
    near = 64 * 1024 * 1024
    if abs(total - used - available) <= 4096:  # procps 4; older ones count otherwise
        assert values[usage("used")] == pytest.approx(used, abs=near)
    assert values["system.memory.limit"] == total
    assert values[usage("free")] == pytest.approx(free, abs=near)
    assert values[usage("available")] == pytest.approx(available, abs=near)
