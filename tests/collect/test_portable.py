"""psutil as a second opinion: the KEYs that both have must agree on this host.

Every name finishes the sentence "it must be that …".
"""

from __future__ import annotations

import contextlib
import math
import sys
import time
from pathlib import Path

import pytest

from monitor.collect.config import CollectConfig
from monitor.collect.files import Root
from monitor.collect.portable import Portable, PortableSlow
from monitor.collect.portable_processes import PortableProcesses
from monitor.collect.subjects import build
from monitor.core.catalog import is_counter
from monitor.errors import Absent
from monitor.model import Reading, SeriesKey

LOOSE = {
    # What moves between two readings a few milliseconds apart, and by how much.
    "system.cpu.utilization": 0.35,
    "system.cpu.time": 0.3,
    "system.memory.usage": 200e6,
    "system.memory.utilization": 0.02,
    "system.paging.usage": 50e6,
    "system.filesystem.usage": 200e6,
    "system.filesystem.utilization": 0.006,
    "system.cpu.load_average.1m": 0.3,
    "system.processes.count": 15.0,
    "system.uptime": 2.5,
    "system.boot_time": 1.5,
    "process.cpu.time": 0.3,
    "process.memory.usage": 20e6,
    "process.open_file_descriptors": 30.0,
    "process.threads": 3.0,
    "process.uptime": 1.5,
}
"""How far apart two readings may be, in the metric's unit; other values within 1 %."""

TRIES = 5

LEFT_OUT = ('system.memory.usage{state="shared"}',)


def gather() -> tuple[dict[str, float], dict[str, float]]:
    """The values of both kinds of collectors, half a second after their first reading."""
    kinds = [build(CollectConfig(), platform) for platform in ("linux", "darwin")]
    values: tuple[dict[str, float], dict[str, float]] = ({}, {})
    for again in range(2):
        for found, collectors in zip(values, kinds, strict=True):
            for collector in collectors:
                with contextlib.suppress(Absent):
                    found.update(collector.collect(time.time()).values)
        time.sleep(0.0 if again else 0.5)
    for collector in (*kinds[0], *kinds[1]):
        collector.close()
    return values


@pytest.mark.skipif(sys.platform != "linux", reason="compares with the collectors of Linux")
def test_both_ways_of_reading_agree() -> None:
    ours, theirs = gather()
    both = [text for text in ours if text in theirs]
    assert len(both) > 60
    names = {SeriesKey.parse(text).name for text in both}
    assert names >= {
        *("system.cpu.time", "system.memory.usage", "system.network.io", "system.uptime"),
        *("system.processes.count", "process.memory.usage"),
    }
    # The machine goes on between two readings; that all of them are far apart by chance, each
    # time, is what cannot be.
    differing = set(both)
    for _ in range(TRIES):
        ours, theirs = gather()
        differing = {text for text in differing if not agree(text, ours, theirs)}
        if not differing:
            return
    pytest.fail(f"these never agreed: {sorted(differing)}")


def agree(text: str, ours: dict[str, float], theirs: dict[str, float]) -> bool:
    """Whether both readings of a series are as near as two readings of one thing are."""
    one, other = ours.get(text, math.nan), theirs.get(text, math.nan)
    if text in LEFT_OUT or math.isnan(one) or math.isnan(other):
        return True
    name = SeriesKey.parse(text).name
    slack = LOOSE.get(name, 0.0)
    if is_counter(name) and name not in LOOSE:
        slack = max(50e6 if name.endswith("io") else 20_000.0, 0.02 * one)
    return bool(other == pytest.approx(one, rel=0.01, abs=slack))


def test_another_root_is_absent(tmp_path: Path) -> None:
    for collector in (
        Portable(Root(tmp_path)),
        PortableSlow(Root(tmp_path)),
        PortableProcesses(Root(tmp_path)),
    ):
        with pytest.raises(Absent):
            collector.collect(0.0)


def test_the_table_of_processes_has_the_same_columns_and_no_rates_at_first() -> None:
    collector = PortableProcesses(Root(Path("/")))
    first = collector.collect(0.0)
    assert list(first.snapshots["processes"][0]) == [
        *("pid", "name", "user", "state", "cpu", "rss", "io", "command")
    ]
    assert all(row["cpu"] is None for row in first.snapshots["processes"])
    second: Reading = collector.collect(1.0)
    known = [row for row in second.snapshots["processes"] if row["cpu"] is not None]
    assert len(known) >= 1
    assert len(second.snapshots["processes"]) <= 45
    assert (
        PortableProcesses(Root(Path("/")), command_lines=False)
        .collect(0.0)
        .snapshots["processes"][0]["command"]
        == ""
    )
