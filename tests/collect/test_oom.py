"""Whose memory had run out.

Every name finishes the sentence "it must be that …".
"""

from __future__ import annotations

from pathlib import Path

from monitor.collect.oom import Kills
from monitor.collect.paging import Paging
from monitor.model import key
from tests.collect.trees import Clock, plant

TOP = "sys/fs/cgroup"


def groups(tmp_path: Path, **reached: int) -> None:
    plant(tmp_path, {f"{TOP}/cgroup.controllers": "cpu io memory pids\n"})
    for name, count in reached.items():
        plant(
            tmp_path,
            {f"{TOP}/{name}/memory.events": f"low 0\nhigh 0\nmax 9\noom {count}\noom_kill 9\n"},
        )


def test_a_kill_at_no_groups_limit_is_of_the_system(tmp_path: Path) -> None:
    groups(tmp_path, system=1, user=0)
    kills = Kills(plant(tmp_path, {}))
    assert kills.tell(3.0, 0.0) == (0.0, 0.0)  # what was before we began is not told again
    assert kills.tell(4.0, 1.0) == (1.0, 0.0)
    assert kills.tell(4.0, 2.0) == (1.0, 0.0)


def test_a_kill_at_a_groups_limit_is_of_the_group(tmp_path: Path) -> None:
    groups(tmp_path, system=1, user=0)
    kills = Kills(plant(tmp_path, {}))
    kills.tell(3.0, 0.0)
    groups(tmp_path, system=2, user=0)
    assert kills.tell(5.0, 1.0) == (0.0, 2.0)
    assert kills.tell(6.0, 2.0) == (1.0, 2.0)


def test_a_group_that_is_new_counts_from_its_beginning(tmp_path: Path) -> None:
    groups(tmp_path, system=0)
    kills = Kills(plant(tmp_path, {}))
    kills.tell(0.0, 0.0)
    groups(tmp_path, machine=1)
    assert kills.tell(1.0, 1.0) == (0.0, 1.0)


def test_a_limit_that_was_reached_long_before_is_not_taken_for_this_kill(tmp_path: Path) -> None:
    groups(tmp_path, system=0)
    kills = Kills(plant(tmp_path, {}))
    kills.tell(0.0, 0.0)
    groups(tmp_path, system=4)
    kills.tell(0.0, 61.0)
    assert kills.tell(1.0, 62.0) == (1.0, 0.0)


def test_without_control_groups_nothing_is_known(tmp_path: Path) -> None:
    kills = Kills(plant(tmp_path, {}))
    assert kills.tell(0.0, 0.0) is None
    assert kills.tell(1.0, 1.0) is None


def test_paging_tells_both_kinds_beside_the_sum(tmp_path: Path) -> None:
    groups(tmp_path, system=0)
    text = "pgfault 10\npgmajfault 1\noom_kill {}\n"
    paging = Paging(plant(tmp_path, {"proc/vmstat": text.format(7)}), Clock())
    paging.collect(1.0)
    plant(tmp_path, {"proc/vmstat": text.format(8)})
    values = paging.collect(2.0).values
    assert values["system.memory.oom_kills"] == 8.0
    assert values[key("system.memory.oom_kills", kind="system")] == 1.0
    assert values[key("system.memory.oom_kills", kind="group")] == 0.0
