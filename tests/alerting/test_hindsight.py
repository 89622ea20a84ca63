"""What was before an alert.

Every name finishes the sentence "it must be that …".
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Sequence

import msgspec
import numpy as np
import pytest

from monitor.alerting import evidence, hindsight
from monitor.errors import Unavailable
from monitor.model import Snapshot
from monitor.ports import Buckets, SeriesBuckets
from monitor.store.memory import MemoryStore
from tests.alerting.test_evidence import USED, T, host, names, process


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
    found = await hindsight.before(store, "db-1", [USED], T)
    assert store.asked == [([("db-1", USED)], T - 900, T, 60, False)]
    times = [round(T - 900), round(T - 885), round(T - 870)]
    assert found == [{"key": USED, "style": "percent", "t": times, "v": [0.9, None, 0.95]}]


async def test_a_store_that_fails_or_is_slow_leaves_the_rest(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(hindsight, "SERIES_PATIENCE_SECONDS", 0.01)
    for answer in (None, Unavailable("the disk is gone", code="store_unavailable")):
        assert await hindsight.before(Store(answer), "db-1", [USED], T) == []
    assert await hindsight.before(Store(None), "db-1", [], T) == []


class Tables(Store):
    """A store with a table a minute: one wrote and ended, one writes a little."""

    async def snapshot_at(self, host: str, kind: str, at: float) -> Snapshot | None:
        minute = at // 60 * 60
        if at < T - 480:
            return None
        rows = [process(5, 0.1, 1e6, 1e3)]
        if T - 480 <= minute < T - 240:
            rows.append({**process(9, 0.9, 1e6, 8e7), "name": "writer"})
        return Snapshot(host, minute, kind, tuple(rows))


async def test_who_filled_a_disk_is_named_after_it_has_ended() -> None:
    frozen = evidence.freeze(host(), USED, T)
    found = await hindsight.complete(frozen, Tables(buckets([0.9])), host(), USED)
    assert [row["name"] for row in found["processes"]["io"]] == ["writer", "p5"]
    assert found["processes"]["io"][1]["value"] == 1_000.0
    assert found["io_seconds"] == 600.0
    assert found["series"][0]["key"] == USED
    assert names(found, "cpu") == names(frozen, "cpu")


async def test_what_is_no_disks_alert_names_who_is_there_now() -> None:
    frozen = evidence.freeze(host(), "system.memory.utilization", T)
    store = Tables(buckets([0.9], "system.memory.utilization"))
    found = await hindsight.complete(frozen, store, host(), "system.memory.utilization")
    assert names(found, "io") == names(frozen, "io")


async def test_a_store_that_knows_nothing_takes_nothing_away() -> None:
    frozen = evidence.freeze(host(), USED, T)
    gone = Unavailable("the disk is gone", code="store_unavailable")
    assert await hindsight.complete(frozen, Store(gone), host(), USED) == frozen


def test_the_alerts_own_series_is_drawn_first_and_few_others() -> None:
    drawn = hindsight.drawn(host(), USED)
    assert drawn[0] == USED
    assert len(drawn) <= 6
    assert len(set(drawn)) == len(drawn)
    assert USED not in hindsight.drawn(host(), "monitor.host.down")


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
    assert hindsight.full_in(series) == (told if told is None else pytest.approx(told, rel=0.01))


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
    assert hindsight.whole(frozen, series, fills=True)["forecast"] == {"full_in_seconds": 3615}
    assert "forecast" not in hindsight.whole(frozen, series)
    assert hindsight.whole(frozen, [])["related"] == frozen["related"]


def test_it_is_never_too_large_for_an_event() -> None:
    one = {
        "key": USED * 3,
        "style": "percent",
        "t": list(range(1_800_000_000, 1_800_000_060)),
        "v": [1.23456789e-7] * 60,
    }
    frozen = evidence.freeze(host(), USED, T, [{"at": T, "text": "x" * 160}] * 10)
    assert len(msgspec.json.encode(hindsight.whole(frozen, [one] * 6))) <= evidence.LARGEST_BYTES
    huge = {**frozen, "changes": [{"at": T, "text": "x" * 10_000}] * 10, "series": [one] * 60}
    assert len(msgspec.json.encode(evidence.bounded(huge))) <= evidence.LARGEST_BYTES


def test_who_wrote_elsewhere_did_not_fill_this_disk() -> None:
    """It must be that a copy to another disk is not named where this one filled at another time."""
    tables = [
        Snapshot("db-1", T - 480, "processes", ({**process(7, 0.9, 1e6, 4e8), "name": "copy"},)),
        Snapshot("db-1", T - 60, "processes", ({**process(9, 0.9, 1e6, 3e7), "name": "logger"},)),
    ]
    times = [T - 490, T - 470, T - 80, T - 50]
    filled = {"key": USED, "style": "percent", "t": times, "v": [0.5, 0.5, 0.5, 0.9]}
    assert [row["name"] for row in hindsight.users_of_disks(tables, [filled])] == ["logger"]
    for still in ([], [{**filled, "v": [0.5] * 4}], [{**filled, "key": "system.disk.io"}]):
        found = hindsight.users_of_disks(tables, still)
        assert [row["name"] for row in found] == ["copy", "logger"]
    free = {**filled, "key": 'system.filesystem.usage{mountpoint="/var",state="free"}'}
    free["v"] = [9e9, 5e9, 5e9, 5e9]
    assert [row["name"] for row in hindsight.users_of_disks(tables, [free])] == ["copy"]
