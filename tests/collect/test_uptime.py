"""Uptime.  Every name finishes the sentence "it must be that …"."""

from __future__ import annotations

import math
import time
from pathlib import Path

import psutil
import pytest

from monitor.collect.files import Root
from monitor.collect.uptime import Uptime
from monitor.errors import Absent


def test_uptime_and_boot_are_read(tmp_path: Path) -> None:
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc/uptime").write_text("350735.47 234388.90\n")
    (tmp_path / "proc/stat").write_text("cpu 1 2\nbtime 1700000000\nprocesses 5\n")
    collector = Uptime(Root(tmp_path))
    expected = {"system.uptime": 350735.47, "system.boot_time": 1_700_000_000.0}
    assert collector.collect(0.0).values == expected
    (tmp_path / "proc/stat").write_text("cpu 1 2\n")
    assert collector.collect(59.0).values == expected
    assert math.isnan(collector.collect(60.0).values["system.boot_time"])
    collector.close()


@pytest.mark.parametrize("content", ["", "\n", "x y"])
def test_nonsense_is_a_failure(tmp_path: Path, content: str) -> None:
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc/uptime").write_text(content)
    (tmp_path / "proc/stat").write_text("")
    with pytest.raises(ValueError, match=r".+"):
        Uptime(Root(tmp_path)).collect(0.0)


def test_without_proc_it_is_absent(tmp_path: Path) -> None:
    with pytest.raises(Absent):
        Uptime(Root(tmp_path)).collect(0.0)


def test_it_agrees_with_psutil() -> None:
    found = Uptime(Root(Path("/"))).collect(0.0).values
    assert found["system.boot_time"] == pytest.approx(psutil.boot_time(), abs=1.5)
    assert found["system.uptime"] == pytest.approx(time.time() - psutil.boot_time(), abs=2.5)
