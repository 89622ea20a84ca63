"""Evidence of alerts.

Every name finishes the sentence "it must be that …".
"""

from __future__ import annotations

import asyncio
import math
import time
from array import array
from collections.abc import Sequence

import msgspec
import numpy as np
import pytest

from monitor.alerting import evidence
from monitor.alerting.related import related
from monitor.core.rules.model import Rule
from monitor.core.state import HostState, LiveState
from monitor.errors import Unavailable
from monitor.model import Frame, HostStatus, Row, Schema, Snapshot, key
from monitor.ports import Buckets, SeriesBuckets
from monitor.store.memory import MemoryStore
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


# What was before


def buckets(values: Sequence[float], text: str = USED) -> Buckets:
    held = np.array(values, np.float64)
    starts = np.array([T - 900 + 15.0 * n for n in range(len(values))], np.float64)
    return Buckets(starts, 15.0, (SeriesBuckets("db-1", text, held, held, held),))


class Store(MemoryStore):
    """A store that answers as a test says."""

    def __init__(self, answer: Buckets | Exception | None) -> None:
        super().__init__()
        self.answer = answer
        self.asked: list[tuple[object, ...]] = []

    async def range(
        self,
        series: Sequence[tuple[str, str]],
        start: float,
        end: float,
        points: int,
        raw: bool = False,
    ) -> Buckets:
        self.asked.append((series, start, end, points, raw))
        if isinstance(self.answer, Exception):
            raise self.answer
        if self.answer is None:
            await asyncio.Event().wait()
            raise AssertionError
        return self.answer


async def test_a_quarter_of_an_hour_is_drawn() -> None:
    store = Store(buckets([0.9, math.nan, 0.95]))
    found = await evidence.before(store, "db-1", [USED], T)
    assert store.asked == [([("db-1", USED)], T - 900, T, 60, False)]
    times = [round(T - 900), round(T - 885), round(T - 870)]
    assert found == [{"key": USED, "style": "percent", "t": times, "v": [0.9, None, 0.95]}]


async def test_a_store_that_fails_or_is_slow_leaves_the_rest(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(evidence, "SERIES_PATIENCE_SECONDS", 0.01)
    for answer in (None, Unavailable("the disk is gone", code="store_unavailable")):
        assert await evidence.before(Store(answer), "db-1", [USED], T) == []
    assert await evidence.before(Store(None), "db-1", [], T) == []


def test_the_alerts_own_series_is_drawn_first_and_few_others() -> None:
    drawn = evidence.drawn(host(), USED)
    assert drawn[0] == USED
    assert len(drawn) <= 6
    assert len(set(drawn)) == len(drawn)
    assert USED not in evidence.drawn(host(), "monitor.host.down")


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ([0.5 + n / 600 for n in range(60)], (1 - 0.5 - 59 / 600) * 600 * 15),
        ([0.5] * 60, None),
        ([0.9 - n / 600 for n in range(60)], None),
        ([0.2] * 40 + [0.9] * 20, None),
        ([0.5, 0.6], None),
        ([0.1 + n * 1e-9 for n in range(60)], None),
    ],
)
def test_when_it_is_full_follows_from_its_pace(values: list[float], told: float | None) -> None:
    times = [round(T + 15 * n) for n in range(len(values))]
    series = [{"key": USED, "style": "percent", "t": times, "v": values}]
    assert evidence.full_in(series) == (told if told is None else pytest.approx(told, rel=0.01))


def test_a_forecast_is_told_of_what_fills_alone() -> None:
    series = [
        {
            "key": USED,
            "style": "percent",
            "t": [round(T + 15 * n) for n in range(60)],
            "v": [0.5 + n / 600 for n in range(60)],
        }
    ]
    frozen = evidence.freeze(host(), USED, T)
    assert evidence.whole(frozen, series, fills=True)["forecast"] == {"full_in_seconds": 3615}
    assert "forecast" not in evidence.whole(frozen, series)
    assert evidence.whole(frozen, [])["related"] == frozen["related"]


def test_it_is_never_too_large_for_an_event() -> None:
    one = {
        "key": USED * 3,
        "style": "percent",
        "t": list(range(1_800_000_000, 1_800_000_060)),
        "v": [1.23456789e-7] * 60,
    }
    frozen = evidence.freeze(host(), USED, T, [{"at": T, "text": "x" * 160}] * 10)
    assert len(msgspec.json.encode(evidence.whole(frozen, [one] * 6))) <= evidence.LARGEST_BYTES
    huge = {**frozen, "changes": [{"at": T, "text": "x" * 10_000}] * 10, "series": [one] * 60}
    assert len(msgspec.json.encode(evidence.bounded(huge))) <= evidence.LARGEST_BYTES


@pytest.mark.parametrize("rule", defaults().rules.values(), ids=lambda rule: rule.name)
def test_each_shipped_rule_has_something_beside_it(rule: Rule) -> None:
    texts = (*VALUES, *(key(metric) for metric in ("hw.fan.speed", "system.network.io")))
    assert isinstance(related(rule.condition.metric, {}, Schema(texts)), list)
