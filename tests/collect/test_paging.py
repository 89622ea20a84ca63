"""Paging.

Every name finishes the sentence "it must be that …".
"""

from __future__ import annotations

import os
from pathlib import Path

import psutil
import pytest

from monitor.collect.paging import Paging
from monitor.model import key
from tests.collect.trees import golden, own, plant


def test_the_golden_file_gives_these_values(tmp_path: Path) -> None:
    assert Paging(golden(tmp_path)).collect(1.0).values == {
        key("system.paging.faults", kind="major"): 400.0,
        key("system.paging.faults", kind="minor"): 99600.0,
        key("system.paging.operations", direction="in"): 11.0,
        key("system.paging.operations", direction="out"): 22.0,
        key("system.paging.io", direction="in"): 7000 * 1024.0,
        key("system.paging.io", direction="out"): 9000 * 1024.0,
        key("system.paging.refaults", kind="file"): 56.0,
        key("system.paging.refaults", kind="anonymous"): 7.0,
        "system.memory.oom_kills": 3.0,
    }


def test_what_an_old_kernel_does_not_count_is_left_out(tmp_path: Path) -> None:
    text = "pgfault 10\npgmajfault 1\npgpgin 2\n"
    values = Paging(plant(tmp_path, {"proc/vmstat": text})).collect(1.0).values
    assert "system.memory.oom_kills" not in values
    assert len(values) == 3


def test_no_faults_counted_is_a_value_error(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="page faults"):
        Paging(plant(tmp_path, {"proc/vmstat": "oom_kill 1\n"})).collect(1.0)


def test_this_machines_numbers_are_psutils() -> None:
    values = Paging(own()).collect(1.0).values
    swap, page = psutil.swap_memory(), os.sysconf("SC_PAGESIZE")
    # psutil takes a page for 4 KiB everywhere.
    assert page >= 4096
    for direction, theirs in (("in", swap.sin), ("out", swap.sout)):
        ours = values[key("system.paging.operations", direction=direction)]
        assert ours == pytest.approx(theirs / 4096, abs=10_000)
