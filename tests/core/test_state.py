"""The live state that frames fold into."""

from __future__ import annotations

import math

from monitor.core.headline import HEADLINE_KEYS, headline
from monitor.core.state import LiveState
from monitor.model import key
from tests.frames import frame, snapshot

NAN = math.nan
BYTES = key("system.network.io", direction="receive", interface="eth0")


def test_a_gauge_is_shown_as_it_is_and_a_counter_as_its_rate() -> None:
    state = LiveState()
    state.fold(frame(10, {"system.uptime": 5, BYTES: 100}), [], 10)
    host = state.fold(frame(12, {"system.uptime": 7, BYTES: 300}), [], 12)
    assert host.metrics() == {"system.uptime": 7, BYTES: 100}
    assert host.raw.tolist() == [7, 300]


def test_the_first_frame_of_a_counter_has_no_rate() -> None:
    host = LiveState().fold(frame(10, {BYTES: 100}), [], 10)
    assert host.metrics() == {}


def test_what_a_frame_did_not_observe_keeps_its_value_and_its_age() -> None:
    state = LiveState()
    for at in range(10, 13):
        state.fold(frame(at, {"a": 1, "b": 2}), [], at)
    for at in range(13, 25):
        host = state.fold(frame(at, {"a": 3, "b": NAN}), [], at)
    assert host.value("b") == 2
    assert host.metrics() == {"a": 3}
    assert host.late() == {"b": 12}


def test_a_value_that_is_read_once_a_minute_is_not_late_after_a_minute() -> None:
    state = LiveState()
    for at in range(200):
        host = state.fold(frame(at + 1, {"slow": 1 if at % 60 == 0 else NAN}), [], at)
        if at > 60:
            assert host.late() == {}


def test_a_value_seen_once_is_not_late_while_it_may_be_a_slow_one() -> None:
    state = LiveState()
    for at in range(1, 100):
        host = state.fold(frame(at, {"fast": 1, "slow": 7 if at == 1 else NAN}), [], at)
    assert host.metrics() == {"fast": 1, "slow": 7}
    for at in range(100, 200):
        host = state.fold(frame(at, {"fast": 1, "slow": NAN}), [], at)
    assert host.metrics() == {"fast": 1}
    assert host.late() == {"slow": 198}


def test_a_second_sender_of_the_same_numbers_is_heard_too() -> None:
    state = LiveState()
    for at in range(10, 20):
        state.fold(frame(at, {"a": at}), [], at)
        host = state.fold(frame(at - 0.5, {"a": 0}, source="scrape:node"), [], at + 0.25)
    assert host.lanes["scrape:node"].heard_at == 19.25
    assert host.lanes["scrape:node"].period_seconds == 1
    version = state.version
    state.fold(frame(5, {"a": 0}, source="scrape:node"), [], 20)
    assert (host.lanes["scrape:node"].at, host.lanes["scrape:node"].heard_at) == (18.5, 20)
    assert state.version == version
    assert host.metrics() == {"a": 19}


def test_a_clock_that_steps_back_is_followed() -> None:
    state = LiveState()
    for at in (10_000, 10_001, 10_002):
        state.fold(frame(at, {BYTES: at}), [], at)
    assert state.fold(frame(10_001, {BYTES: 1}), [], 10_002).metrics() == {BYTES: 1}
    for at in (6_400, 6_401, 6_402):
        back = frame(at, {BYTES: 100 * at})
        assert state.is_present(back, at, at)
        host = state.fold(back, [], at)
    assert host.metrics() == {BYTES: 100}
    assert host.at == 6_402


def test_a_counter_read_seldom_has_a_rate_over_its_own_interval() -> None:
    state = LiveState()
    for at, count in ((10, 100), (11, NAN), (12, NAN), (13, 400)):
        host = state.fold(frame(at, {BYTES: count}), [], at)
    assert host.metrics() == {BYTES: 100}


def test_a_new_schema_keeps_what_stands_in_both_and_drops_the_rest() -> None:
    state = LiveState()
    state.fold(frame(10, {"gone": 1, BYTES: 100}), [], 10)
    host = state.fold(frame(11, {BYTES: 150, "new": 9}), [], 11)
    assert host.metrics() == {BYTES: 50, "new": 9}


def test_a_reader_is_given_what_was_observed_since_it_looked() -> None:
    state = LiveState()
    host = state.fold(frame(10, {"a": 1, "b": 2}), [], 10)
    looked = state.version
    state.fold(frame(11, {"a": 1, "b": NAN}), [], 11)
    assert host.metrics(looked) == {"a": 1}


def test_an_old_value_is_no_headline() -> None:
    state = LiveState()
    for at in range(1, 30):
        load = 93.5 if at < 5 else NAN
        host = state.fold(
            frame(at, {"system.cpu.load_average.1m": load, "system.uptime": at}), [], at
        )
    shown = dict(zip(HEADLINE_KEYS, headline(host), strict=True))
    assert math.isnan(shown["system.cpu.load_average.1m"])
    assert shown["system.uptime"] == 29


def test_a_sender_cannot_invent_tables_without_end() -> None:
    state = LiveState()
    tables = [snapshot(1, f"kind-{number}") for number in range(100)]
    host = state.fold(frame(1, {"a": 1}), tables, 1)
    assert len(host.snapshots) == 32


def test_the_headline_has_the_fullest_disk_and_the_network_without_loopback() -> None:
    state = LiveState()
    keys = {
        "system.cpu.utilization": 0.5,
        key("system.filesystem.utilization", mountpoint="/"): 0.2,
        key("system.filesystem.utilization", mountpoint="/var"): 0.9,
        key("system.network.io", direction="receive", interface="lo"): 0.0,
        BYTES: 0.0,
        key("system.network.io", direction="receive", interface="eth1"): 0.0,
    }
    state.fold(frame(1, keys), [], 1)
    later = {name: value + (100 if "network" in name else 0) for name, value in keys.items()}
    host = state.fold(frame(2, later), [], 2)
    shown = dict(zip(HEADLINE_KEYS, headline(host), strict=True))
    assert shown["system.cpu.utilization"] == 0.5
    assert shown["system.filesystem.utilization"] == 0.9
    assert shown[key("system.network.io", direction="receive")] == 200
    assert math.isnan(shown["system.memory.utilization"])
