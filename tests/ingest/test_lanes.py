"""It must be that columns stay what they are while they come, and give their room back after."""

from __future__ import annotations

import math

import numpy as np
import pytest

from monitor.core.load import Load, Seen, Shed
from monitor.errors import InputError, MonitorError
from monitor.ingest import lanes as module
from monitor.ingest.lanes import FORGET_SECONDS, LOOK_SECONDS, MOST_LANES_OF_A_HOST, Lane, Lanes
from monitor.ingest.schemas import Room
from monitor.model import key

NOW = 1_800_000_000.0


def lanes(most_series: int = 1_000) -> Lanes:
    return Lanes(Load(1_000), Room(most_series))


def made(lane: Lane, at: float, now: float | None = None, **values: float) -> dict[str, float]:
    """A frame of these values, as what it says."""
    columns = lane.columns(values)
    found = np.array([*values.values()], np.float64)
    frame = lane.whole(at, columns, found, at if now is None else now)
    assert (frame.host, frame.source, frame.at) == (lane.host, lane.source, at)
    pairs = zip(frame.schema.texts, frame.values, strict=True)
    return {text: value for text, value in pairs if not math.isnan(value)}


def test_a_series_that_came_stays_a_column() -> None:
    lane = lanes().of("web-1", "write:app")
    assert made(lane, NOW, a=1, b=2) == {"a": 1, "b": 2}
    schema = lane.schema
    assert made(lane, NOW + 1, b=3) == {"b": 3}
    assert lane.schema is schema
    assert made(lane, NOW + 2, c=4) == {"c": 4}
    assert lane.schema.texts == ("a", "b", "c")


def test_what_follows_from_values_stands_beside_them() -> None:
    lane = lanes().of("web-1", "write:node")
    memory = {
        "system.memory.limit": 8.0,
        key("system.memory.usage", state="available"): 2.0,
        "something": 5.0,
    }
    assert made(lane, NOW, **memory) == memory | {
        key("system.memory.usage", state="used"): 6,
        "system.memory.utilization": 0.75,
    }


def test_what_follows_waits_for_room_and_the_rest_does_not() -> None:
    lane = lanes(2).of("web-1", "write:node")
    memory = {"system.memory.limit": 8.0, key("system.memory.usage", state="available"): 2.0}
    assert made(lane, NOW, **memory) == memory


def test_columns_that_come_no_longer_are_let_go_of() -> None:
    found = lanes(3)
    lane = found.of("web-1", "scrape:node")
    made(lane, NOW, a=1, b=2, c=3)
    later = NOW + FORGET_SECONDS + LOOK_SECONDS
    made(lane, later, b=2)
    generation = lane.generation
    lane.look(later)
    assert lane.generation > generation
    assert lane.schema.texts == ("b",)
    assert made(lane, later, b=5, d=6, e=7) == {"b": 5, "d": 6, "e": 7}
    with pytest.raises(InputError) as caught:
        lane.column("f")
    assert caught.value.code == "series_limit"
    assert lane.refused_total == 1


def test_many_columns_keep_their_places() -> None:
    lane = lanes(5_000).of("web-1", "otlp")
    values = {f"m{number}": float(number) for number in range(3_000)}
    assert made(lane, NOW, **values) == values


def test_no_new_series_while_they_are_shed() -> None:
    load = Load(1_000)
    found = Lanes(load, Room(10))
    lane = found.of("web-1", "otlp")
    lane.column("a")
    load.update(Seen(850, 0.0), 0.0)
    assert load.level is Shed.NEW_SERIES
    assert lane.column("a") == 0
    for refused in (lambda: lane.column("b"), lambda: found.of("web-2", "otlp")):
        with pytest.raises(MonitorError) as caught:
            refused()
        assert (caught.value.status, caught.value.code) == (429, "overloaded")


def test_a_host_has_so_many_sources_and_no_more() -> None:
    found = lanes()
    for number in range(MOST_LANES_OF_A_HOST):
        found.of("web-1", f"write:{number}")
    assert found.of("web-1", "write:0").source == "write:0"
    with pytest.raises(InputError) as caught:
        found.of("web-1", "write:more")
    assert caught.value.code == "source_limit"
    found.forget("web-1")
    assert len(found) == 0
    assert len(found.of("web-1", "write:more")) == 0


def test_the_lane_that_was_asked_for_longest_ago_makes_room(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "MOST_LANES", 2)
    found = lanes(2)
    first, second = found.of("a", "s"), found.of("b", "s")
    first.column("x")
    second.column("x")
    found.of("a", "s")
    third = found.of("c", "s")
    assert third.column("x") == 0
    assert found.of("a", "s") is first
    assert second.generation > 0
