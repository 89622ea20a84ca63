"""Load averages and tasks.

Every name finishes the sentence "it must be that …".
"""

from __future__ import annotations

from pathlib import Path

import psutil
import pytest

from monitor.collect.load import LIMITS_SECONDS, Load
from tests.collect.trees import golden, own, plant

LOADAVG = {
    "system.cpu.load_average.1m": 0.25,
    "system.cpu.load_average.5m": 1.5,
    "system.cpu.load_average.15m": 12.75,
    "system.tasks.count": 640.0,
}


def test_the_golden_file_gives_these_values(tmp_path: Path) -> None:
    values = Load(golden(tmp_path)).collect(1.0).values
    assert values == {**LOADAVG, "system.tasks.limit": 6400.0, "system.tasks.utilization": 0.1}


def test_a_changed_limit_is_seen_within_its_interval(tmp_path: Path) -> None:
    load = Load(golden(tmp_path))
    load.collect(1.0)
    plant(tmp_path, {"proc/sys/kernel/pid_max": "1000\n"})
    assert load.collect(2.0).values["system.tasks.limit"] == 6400.0
    assert load.collect(1.0 + LIMITS_SECONDS).values["system.tasks.limit"] == 1000.0


@pytest.mark.parametrize("limit", ["", "0\n", "-1\n", "many\n"])
def test_without_a_limit_there_is_no_share(limit: str, tmp_path: Path) -> None:
    files = {"proc/loadavg": "0.25 1.50 12.75 3/640 31337\n", "proc/sys/kernel/pid_max": limit}
    assert Load(plant(tmp_path, files)).collect(1.0).values == LOADAVG


@pytest.mark.parametrize("text", ["nan 0 0 1/2 3", "0 0 0 12 3", "0 0 0", "a b c 1/2 3"])
def test_what_is_not_the_kernels_is_a_value_error(text: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"loadavg|convert|literal"):
        Load(plant(tmp_path, {"proc/loadavg": text})).collect(1.0)


def test_this_machines_numbers_are_psutils_and_the_kernels() -> None:
    values = Load(own()).collect(1.0).values
    assert list(values.values())[:3] == pytest.approx(psutil.getloadavg(), abs=0.3)
    line = Path("/proc/loadavg").read_text().split()
    assert list(values.values())[:3] == pytest.approx([float(token) for token in line[:3]], abs=0.3)
    assert values["system.tasks.count"] == pytest.approx(float(line[3].split("/")[1]), abs=50)
    assert 0 < values["system.tasks.utilization"] < 1
