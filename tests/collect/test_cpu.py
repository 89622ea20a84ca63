"""Processors.

Every name finishes the sentence "it must be that …".
"""

from __future__ import annotations

import math
import time
from pathlib import Path

import psutil
import pytest

from monitor.collect.cpu import MOST_PROCESSORS, STATES, Cpu
from monitor.model import key
from tests.collect.trees import golden, own, plant

UTILIZATION = "system.cpu.utilization"
SECOND = """cpu  1060 50 520 8100 310 10 40 110 260 20
cpu0 460 30 320 4000 200 5 30 45 210 15
cpu2 600 20 200 4100 110 5 10 65 50 5
intr 987700 12
ctxt 1234600
processes 4325
procs_running 1
procs_blocked 0
softirq 765500 1
"""


def test_the_golden_file_gives_these_values_at_the_first_read(tmp_path: Path) -> None:
    values = Cpu(golden(tmp_path)).collect(1.0).values
    expected = [4.0, 0.3, 3.0, 40.0, 2.0, 0.05, 0.3, 0.35]
    assert [
        values[key("system.cpu.time", cpu="0", state=state)] for state in STATES
    ] == pytest.approx(expected)
    assert values[key("system.cpu.time", cpu="2", state="user")] == 6.0
    assert math.isnan(values[UTILIZATION])
    assert math.isnan(values[key(UTILIZATION, cpu="2")])
    assert math.isnan(values[key(UTILIZATION, state="iowait")])
    named = {name: value for name, value in values.items() if "{" not in name}
    named.pop(UTILIZATION)
    assert math.isnan(named.pop(f"{UTILIZATION}.ordinary"))
    assert named == {
        "system.cpu.logical.count": 2.0,
        "system.cpu.interrupts": 987654.0,
        "system.cpu.context_switches": 1234567.0,
        "system.cpu.soft_interrupts": 765432.0,
        "system.processes.created": 4321.0,
        "system.tasks.running": 3.0,
        "system.tasks.blocked": 2.0,
    }
    assert len(values) == 2 * 8 + 1 + 2 + 8 + 1 + 7


def test_shares_are_of_the_time_between_two_reads_without_guests_twice(tmp_path: Path) -> None:
    cpu = Cpu(golden(tmp_path))
    cpu.collect(1.0)
    plant(tmp_path, {"proc/stat": SECOND})
    values = cpu.collect(2.0).values
    # user +60 (all of it a guest's), system +20, idle +100, iowait +10, steal +10: 200 ticks
    assert values[UTILIZATION] == pytest.approx(0.45)
    assert values[key(UTILIZATION, cpu="0")] == pytest.approx(1.0)
    assert values[key(UTILIZATION, cpu="2")] == pytest.approx(0.0)
    shares = [values[key(UTILIZATION, state=state)] for state in STATES]
    assert shares == pytest.approx([0.3, 0.0, 0.1, 0.5, 0.05, 0.0, 0.0, 0.05])


def test_a_processor_may_come_and_go(tmp_path: Path) -> None:
    cpu = Cpu(golden(tmp_path))
    cpu.collect(1.0)
    plant(tmp_path, {"proc/stat": SECOND.replace("cpu2", "cpu3")})
    values = cpu.collect(2.0).values
    assert key(UTILIZATION, cpu="2") not in values
    assert math.isnan(values[key(UTILIZATION, cpu="3")])
    assert values[UTILIZATION] == pytest.approx(0.45)
    assert values["system.cpu.logical.count"] == 2.0


def test_counters_that_go_back_never_give_a_share_outside_0_to_1(tmp_path: Path) -> None:
    cpu = Cpu(plant(tmp_path, {"proc/stat": SECOND}))
    cpu.collect(1.0)
    golden(tmp_path)
    values = cpu.collect(2.0).values
    assert math.isnan(values[UTILIZATION])
    plant(tmp_path, {"proc/stat": "cpu 1010 50 500 7000 300 10 40 100\n"})
    assert cpu.collect(3.0).values[UTILIZATION] == 1.0


def test_a_long_line_of_interrupts_costs_little(tmp_path: Path) -> None:
    line = "intr 5" + " 0" * 1_000_000
    text = SECOND.replace("intr 987700 12", line)
    cpu = Cpu(plant(tmp_path, {"proc/stat": text}))
    began = time.thread_time()
    values = cpu.collect(1.0).values
    assert time.thread_time() - began < 0.1
    assert values["system.cpu.interrupts"] == 5.0
    assert values["system.cpu.context_switches"] == 1234600.0


def test_a_kernel_without_interrupts_and_soft_interrupts_is_read(tmp_path: Path) -> None:
    values = Cpu(plant(tmp_path, {"proc/stat": "cpu 1 2 3 4 5 6 7 8\nctxt 9"})).collect(1.0).values
    assert values["system.cpu.context_switches"] == 9.0
    assert "system.cpu.interrupts" not in values


@pytest.mark.parametrize(
    "text",
    ["cpu0 1 2 3 4 5 6 7 8\n", 'cpu 1 2 3 4 5 6 7 8\ncpu"} 1 2 3 4 5 6 7 8\n', "cpu 1 2 3\n"],
)
def test_what_is_not_the_kernels_is_a_value_error(text: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="/proc/stat"):
        Cpu(plant(tmp_path, {"proc/stat": text})).collect(1.0)


def test_nice_work_is_busy_and_not_ordinary(tmp_path: Path) -> None:
    cpu = Cpu(plant(tmp_path, {"proc/stat": "cpu 0 0 0 0 0 0 0 0\ncpu0 0 0 0 0 0 0 0 0\n"}))
    cpu.collect(1.0)
    line = "20 30 10 35 5 0 0 0\n"
    plant(tmp_path, {"proc/stat": f"cpu {line}cpu0 {line}"})
    values = cpu.collect(2.0).values
    assert values[UTILIZATION] == pytest.approx(0.6)
    assert values[f"{UTILIZATION}.ordinary"] == pytest.approx(0.3)


def test_processors_beyond_the_bound_are_counted_and_noted(tmp_path: Path) -> None:
    lines = "".join(f"cpu{n} 1 1 1 1 1 1 1 1\n" for n in range(MOST_PROCESSORS + 5))
    cpu = Cpu(plant(tmp_path, {"proc/stat": "cpu 1 1 1 1 1 1 1 1\n" + lines}))
    values = cpu.collect(1.0).values
    assert len(values) == MOST_PROCESSORS * 9 + 1 + 8 + 1 + 1
    assert values["system.cpu.logical.count"] == MOST_PROCESSORS + 5
    assert cpu.note == "5 processors have no series of their own"


def test_this_machines_numbers_are_psutils() -> None:
    cpu = Cpu(own())
    before = cpu.collect(1.0).values
    time.sleep(0.3)
    values = cpu.collect(2.0).values
    times, stats = psutil.cpu_times(percpu=True), psutil.cpu_stats()
    for number, spent in enumerate(times):
        for state in STATES:
            ours = values[key("system.cpu.time", cpu=str(number), state=state)]
            assert ours == pytest.approx(getattr(spent, state), abs=0.3)
    assert values["system.cpu.logical.count"] == psutil.cpu_count()
    assert values["system.cpu.context_switches"] == pytest.approx(stats.ctx_switches, abs=50_000)
    assert values["system.cpu.interrupts"] == pytest.approx(stats.interrupts, abs=50_000)
    assert values["system.cpu.soft_interrupts"] == pytest.approx(stats.soft_interrupts, abs=50_000)
    assert before["system.cpu.context_switches"] <= values["system.cpu.context_switches"]
    assert 0.0 <= values[UTILIZATION] <= 1.0
    shares = [values[key(UTILIZATION, state=state)] for state in STATES]
    assert sum(shares) == pytest.approx(1.0)
