"""Clock frequency.

Every name finishes the sentence "it must be that …".
"""

from __future__ import annotations

import shutil
from pathlib import Path

import psutil
import pytest

from monitor.collect.frequency import LOOK_SECONDS, MOST_PROCESSORS, Frequency
from monitor.errors import Absent
from monitor.model import key
from tests.collect.trees import golden, own, plant

NAME = "system.cpu.frequency"


def test_cpufreq_comes_first_in_hertz(tmp_path: Path) -> None:
    values = Frequency(golden(tmp_path)).collect(1.0).values
    assert values == {key(NAME, cpu="0"): 2.4e9, key(NAME, cpu="2"): 1.2e9}


def test_cpuinfo_stands_in_until_a_driver_is_loaded(tmp_path: Path) -> None:
    root = golden(tmp_path)
    shutil.rmtree(tmp_path / "sys/devices")
    frequency = Frequency(root)
    told = {key(NAME, cpu="0"): 2.1005e9, key(NAME, cpu="1"): 8e8}
    assert frequency.collect(1.0).values == pytest.approx(told)
    golden(tmp_path)
    assert frequency.collect(2.0).values == pytest.approx(told)
    assert frequency.collect(1.0 + LOOK_SECONDS).values[key(NAME, cpu="0")] == 2.4e9


@pytest.mark.parametrize("line", ["cpu MHz : nan", "cpu MHz : inf", "cpu MHz : -3", "cpu MHz : 0"])
def test_a_frequency_that_is_none_is_absent(line: str, tmp_path: Path) -> None:
    with pytest.raises(Absent, match="neither"):
        Frequency(plant(tmp_path, {"proc/cpuinfo": f"processor : 0\n{line}\n"})).collect(1.0)


def test_processors_beyond_the_bound_are_noted(tmp_path: Path) -> None:
    text = "".join(f"processor : {n}\ncpu MHz : 1\n" for n in range(MOST_PROCESSORS + 3))
    frequency = Frequency(plant(tmp_path, {"proc/cpuinfo": text}))
    assert len(frequency.collect(1.0).values) == MOST_PROCESSORS
    assert frequency.note == "3 processors are left out"


def test_this_machines_numbers_are_psutils() -> None:
    try:
        values = Frequency(own()).collect(1.0).values
    except Absent:
        pytest.skip("this machine does not tell its frequency")
    theirs = [told.current * 1e6 for told in psutil.cpu_freq(percpu=True)]
    assert list(values.values()) == pytest.approx(theirs, rel=0.5)
