"""Evidence of alerts.

Every name finishes the sentence "it must be that …".
"""

from __future__ import annotations

import math
import time
from array import array
from collections.abc import Sequence

import msgspec
import pytest

from monitor.alerting import evidence
from monitor.alerting.related import related
from monitor.core.rules.model import Rule
from monitor.core.state import HostState, LiveState
from monitor.model import Frame, HostStatus, Row, Schema, Snapshot, key
from tests.alerting.scenes import defaults

T = 1_800_000_000.0
USED = key("system.filesystem.utilization", mountpoint="/var")

VALUES = {
    "system.uptime": 4_000.0,
    "system.cpu.utilization": 0.97,
    key("system.cpu.utilization", cpu="0"): 0.99,
    key("system.cpu.utilization", state="iowait"): 0.01,
    "system.memory.utilization": 0.6,
    USED: 0.97,
    key("system.filesystem.utilization", mountpoint="/"): 0.4,
    key("system.filesystem.usage", mountpoint="/var", state="free"): 4.1e9,
    key("system.filesystem.usage", mountpoint="/", state="free"): 80e9,
    key("system.filesystem.limit", mountpoint="/var"): 100e9,
    key("system.linux.pressure", resource="cpu", kind="some"): 0.7,
    key("system.linux.pressure", resource="io", kind="full"): 0.1,
    key("system.disk.await", device="sda", direction="read"): math.nan,
    key("cgroup.pids.count", unit="web.service"): 90.0,
    key("cgroup.pids.limit", unit="web.service"): 100.0,
    key("cgroup.pids.count", unit="ssh.service"): 300.0,
}


def process(pid: int, cpu: float | None, rss: float, io: float | None) -> Row:
    command = f"/usr/bin/p{pid} --password=********"
    return {
        "pid": pid,
        "name": f"p{pid}",
        "user": "www",
        "state": "running",
        "cpu": cpu,
        "rss": rss,
        "io": io,
        "command": command,
    }


PROCESSES = tuple(process(n, n / 10, (20 - n) * 1e6, None if n % 2 else n * 1e3) for n in range(20))
LIMITS: tuple[Row, ...] = (
    {"pid": 7, "name": "leaky", "open": 950, "limit": 1024, "ratio": 950 / 1024},
)


def host(rows: Sequence[Row] = PROCESSES, **values: float) -> HostState:
    """A host whose tables are 5 s old."""
    state = LiveState()
    schema = Schema(tuple(VALUES))
    frame = Frame("db-1", T, schema, array("d", {**VALUES, **values}.values()))
    tables = [
        Snapshot("db-1", T - 5, "processes", tuple(rows)),
        Snapshot("db-1", T - 5, "limits", LIMITS),
    ]
    found = state.fold(frame, tables, T)
    found.status = HostStatus.UP
    return found


def names(found: dict[str, object], order: str) -> list[object]:
    processes = found["processes"]
    assert isinstance(processes, dict)
    return [row["name"] for row in processes[order]]


def test_the_processes_that_use_most_are_named_in_each_order() -> None:
    found = evidence.freeze(host(), "system.cpu.utilization", T + 1)
    assert names(found, "cpu") == ["p19", "p18", "p17", "p16", "p15"]
    assert names(found, "memory") == ["p0", "p1", "p2", "p3", "p4"]
    assert names(found, "io") == ["p18", "p16", "p14", "p12", "p10"]
    assert found["processes"]["cpu"][0] == {"pid": 19, "name": "p19", "user": "www", "value": 1.9}
    assert found["processes_at"] == T - 5
    assert found["host"] == {"status": "up", "uptime": 4_000.0, "silent": 1.0}


def test_the_process_that_closes_nothing_is_named() -> None:
    metric = "system.processes.file_descriptors.utilization"
    found = evidence.freeze(host(), metric, T)
    assert found["processes"]["descriptors"] == [
        {"pid": 7, "name": "leaky", "user": "", "value": 950.0}
    ]


def test_the_unit_that_has_no_tasks_left_comes_first() -> None:
    found = evidence.freeze(host(), "system.cgroups.pids.utilization", T)
    assert found["units"] == [
        {"name": "web.service", "value": 90.0, "limit": 100.0},
        {"name": "ssh.service", "value": 300.0, "limit": None},
    ]


def test_what_is_beside_an_alert_is_of_its_own_mountpoint() -> None:
    found = evidence.freeze(host(), USED, T)
    assert found["related"] == {
        key("system.filesystem.usage", mountpoint="/var", state="free"): 4.1e9,
        key("system.filesystem.limit", mountpoint="/var"): 100e9,
    }
    assert found["pressure"] == {
        key("system.linux.pressure", resource="cpu", kind="some"): 0.7,
        key("system.linux.pressure", resource="io", kind="full"): 0.1,
    }


def test_what_changed_comes_with_it() -> None:
    change = {"at": T - 60, "text": "booted"}
    assert evidence.freeze(host(), USED, T, [change])["changes"] == [change]


def test_no_command_line_is_told() -> None:
    found = evidence.freeze(host(), "system.cpu.utilization", T)
    assert b"usr/bin" not in msgspec.json.encode(found)


def test_a_host_of_which_nothing_is_known_has_what_there_is() -> None:
    state = LiveState()
    found = evidence.freeze(state.label("db-1", {}), "monitor.host.down", T)
    assert found == {"at": T, "host": {"status": "up"}}


@pytest.mark.parametrize("cell", ["x", None, True, math.inf, math.nan, -1, 10**400, [1]])
def test_tables_of_others_may_hold_anything(cell: object) -> None:
    row = dict.fromkeys(("pid", "name", "user", "cpu", "rss", "io"), cell)
    row["name"] = "\x1b[31m" + "x" * 1_000
    found = evidence.freeze(host([row, {}, process(1, 0.5, 1.0, 1.0)]), "", T)  # type: ignore[list-item]
    assert msgspec.json.decode(msgspec.json.encode(found)) == found
    assert "p1" in names(found, "cpu")
    for row_ in found["processes"]["cpu"]:
        assert row_["name"].isprintable()
        assert len(row_["name"]) <= evidence.NAME_CHARACTERS


def test_a_thousand_at_once_do_not_stall() -> None:
    """A bound that is generous: it takes 60 ms on a quiet machine."""
    one = host()
    began = time.process_time()
    for _ in range(1_000):
        evidence.freeze(one, USED, T)
    assert time.process_time() - began < 1.0


@pytest.mark.parametrize("rule", defaults().rules.values(), ids=lambda rule: rule.name)
def test_each_shipped_rule_has_something_beside_it(rule: Rule) -> None:
    texts = (*VALUES, *(key(metric) for metric in ("hw.fan.speed", "system.network.io")))
    assert isinstance(related(rule.condition.metric, {}, Schema(texts)), list)
