"""It must be that shares follow from counts and levels as the collectors would have read them."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.collect.cpu import STATES
from monitor.core.catalog import CATALOG
from monitor.ingest import shares
from monitor.ingest.deriving import MISSED_INSTANTS, Deriver
from monitor.model import key

GIB = float(2**30)


def times(cpu: str, **seconds: float) -> dict[str, float]:
    """One processor's seconds in each state, 0 where none are given."""
    return {
        key("system.cpu.time", cpu=cpu, state=state): seconds.get(state, 0.0) for state in STATES
    }


def test_processors_need_two_instants() -> None:
    deriver = Deriver()
    assert deriver.derive(0, times("0", user=10, idle=90)) == {}
    found = deriver.derive(10, times("0", user=13, idle=96, iowait=1))
    assert found["system.cpu.utilization"] == pytest.approx(0.3)
    assert found[key("system.cpu.utilization", cpu="0")] == pytest.approx(0.3)
    assert found[key("system.cpu.utilization", state="iowait")] == pytest.approx(0.1)
    assert found["system.cpu.logical.count"] == 1


def test_the_whole_host_is_all_its_processors() -> None:
    deriver = Deriver()
    deriver.derive(0, times("0") | times("1"))
    found = deriver.derive(10, times("0", user=10) | times("1", idle=10))
    assert found["system.cpu.utilization"] == pytest.approx(0.5)
    assert found[key("system.cpu.utilization", cpu="0")] == 1
    assert found[key("system.cpu.utilization", cpu="1")] == 0


def test_a_sum_that_the_sender_made_is_the_whole_host() -> None:
    deriver = Deriver()
    deriver.derive(0, {key("system.cpu.time", state=state): 0.0 for state in ("user", "idle")})
    found = deriver.derive(
        10, {key("system.cpu.time", state="user"): 5.0, key("system.cpu.time", state="idle"): 15.0}
    )
    assert found["system.cpu.utilization"] == pytest.approx(0.25)
    assert "system.cpu.logical.count" not in found


def test_a_restart_tells_nothing_of_its_instant() -> None:
    deriver = Deriver()
    deriver.derive(0, times("0", user=1000, idle=5000))
    found = deriver.derive(10, times("0", user=1, irq=2, idle=3))
    assert "system.cpu.utilization" not in found
    assert deriver.derive(20, times("0", user=6, irq=2, idle=8))["system.cpu.utilization"] == 0.5


def test_idle_time_that_steps_back_a_little_is_no_time() -> None:
    deriver = Deriver()
    deriver.derive(0, times("0", user=10, idle=100.5))
    found = deriver.derive(10, times("0", user=20, idle=100.4))
    assert found["system.cpu.utilization"] == 1


def test_pieces_of_one_instant_are_waited_for() -> None:
    deriver = Deriver()
    for at, used in ((0, 0), (10, 5)):
        pieces = times("0", user=used, idle=at - used) | times("1", user=used, idle=at - used)
        first = dict(list(pieces.items())[::2])
        found = deriver.derive(at, first)
        assert found == {}
        found = deriver.derive(at, {text: pieces[text] for text in pieces.keys() - first.keys()})
    assert found["system.cpu.utilization"] == pytest.approx(0.5)
    assert deriver.derive(10, first) == found, "a retry is given the same"


def test_a_piece_that_comes_after_the_next_instant_began_counts_for_its_own() -> None:
    deriver = Deriver()
    rows = [times("0", user=n, idle=n) | times("1", user=n, idle=3 * n) for n in range(5)]
    early = [{text: row[text] for text in times("0")} for row in rows]
    late = [{text: row[text] for text in times("1")} for row in rows]
    deriver.derive(0, rows[0])
    deriver.derive(10, early[1])
    for number in (1, 2, 3):
        assert deriver.derive(10.0 * number + 10, early[number + 1]) == {}
        found = deriver.derive(10.0 * number, late[number])
        assert found["system.cpu.utilization"] == pytest.approx(2 / 6)


def test_a_processor_that_goes_is_waited_for_no_longer() -> None:
    deriver = Deriver()
    deriver.derive(0, times("0") | times("1"))
    found = [deriver.derive(n, times("0", user=n)) for n in range(1, MISSED_INSTANTS + 2)]
    assert found[:-1] == [{}] * MISSED_INSTANTS
    assert found[-1]["system.cpu.utilization"] == 1
    assert found[-1]["system.cpu.logical.count"] == 1


def test_what_is_older_than_the_latest_instants_is_left_alone() -> None:
    deriver = Deriver()
    for at in (10.0, 20.0, 30.0):
        deriver.derive(at, times("0", user=at))
    assert deriver.derive(5, times("0", user=5)) == {}
    assert deriver.derive(40, times("0", user=40))["system.cpu.utilization"] == 1


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_what_is_no_number_is_absent(value: float) -> None:
    deriver = Deriver()
    deriver.derive(0, times("0", user=0))
    broken = times("0", user=10) | {key("system.cpu.time", cpu="0", state="steal"): value}
    assert deriver.derive(10, broken)["system.cpu.utilization"] == 1
    assert deriver.derive(0, {"system.memory.limit": value}) == {}


def test_memory_is_what_is_not_available() -> None:
    memory = {
        "system.memory.limit": 16 * GIB,
        key("system.memory.usage", state="available"): 12 * GIB,
        key("system.memory.usage", state="arc_reclaimable"): 2 * GIB,
    }
    assert Deriver().derive(0, memory) == {
        "system.memory.utilization": pytest.approx(2 / 16),
        key("system.memory.usage", state="used"): 4 * GIB,
    }


def test_memory_without_a_limit_is_the_sum_of_its_states() -> None:
    sizes = {"used": 6, "free": 5, "cached": 4, "buffers": 1, "slab_reclaimable": 3}
    states = {key("system.memory.usage", state=name): size * GIB for name, size in sizes.items()}
    assert Deriver().derive(0, states) == {
        "system.memory.limit": 16 * GIB,
        "system.memory.utilization": pytest.approx(6 / 16),
    }


def test_memory_of_other_systems_is_known_from_the_second_instant() -> None:
    deriver = Deriver()
    states = {key("system.memory.usage", state=name): 2 * GIB for name in ("used", "free")}
    assert deriver.derive(0, states) == {}
    assert deriver.derive(10, states)["system.memory.utilization"] == pytest.approx(0.5)


def test_swap_is_summed_over_its_devices() -> None:
    found = Deriver().derive(
        0,
        {
            key("system.paging.usage", device="/dev/sda2", state="used"): 1 * GIB,
            key("system.paging.usage", device="/dev/sda2", state="free"): 1 * GIB,
            key("system.paging.usage", device="/swap", state="used"): 0.0,
            key("system.paging.usage", device="/swap", state="free"): 2 * GIB,
        },
    )
    assert found["system.paging.utilization"] == pytest.approx(0.25)
    assert found[key("system.paging.usage", state="used")] == 1 * GIB


def test_a_host_without_swap_has_no_share_of_it() -> None:
    assert Deriver().derive(0, {"system.paging.limit": 0.0}) == {}


def test_swap_is_known_from_its_limit_and_what_is_free() -> None:
    values = {"system.paging.limit": 4 * GIB, key("system.paging.usage", state="free"): 3 * GIB}
    assert Deriver().derive(0, values)["system.paging.utilization"] == pytest.approx(0.25)


def test_a_filesystem_is_as_full_as_df_says() -> None:
    found = Deriver().derive(
        0,
        {
            key("system.filesystem.usage", mountpoint="/", state=state): size * GIB
            for state, size in (("used", 45), ("free", 50), ("reserved", 5))
        },
    )
    assert found[key("system.filesystem.utilization", mountpoint="/")] == pytest.approx(45 / 95)
    assert found[key("system.filesystem.limit", mountpoint="/")] == 100 * GIB


def test_a_filesystem_is_known_from_its_size_and_two_kinds_of_free() -> None:
    found = Deriver().derive(
        0,
        {
            key("system.filesystem.limit", mountpoint="/"): 100 * GIB,
            key("system.filesystem.usage", mountpoint="/", state=shares.UNALLOCATED): 55 * GIB,
            key("system.filesystem.usage", mountpoint="/", state="free"): 50 * GIB,
            key("system.filesystem.inodes.limit", mountpoint="/"): 100.0,
            key("system.filesystem.inodes.usage", mountpoint="/", state="free"): 60.0,
        },
    )
    assert found[key("system.filesystem.utilization", mountpoint="/")] == pytest.approx(45 / 95)
    assert found[key("system.filesystem.usage", mountpoint="/", state="reserved")] == 5 * GIB
    assert found[key("system.filesystem.inodes.utilization", mountpoint="/")] == pytest.approx(0.4)


def test_a_disk_is_busy_waits_and_has_a_queue() -> None:
    deriver = Deriver()

    def disk(busy: float, weighted: float, seconds: float, count: float) -> dict[str, float]:
        return {
            key("system.disk.io_time", device="sda"): busy,
            key("system.disk.weighted_io_time", device="sda"): weighted,
            key("system.disk.operation_time", device="sda", direction="read"): seconds,
            key("system.disk.operations", device="sda", direction="read"): count,
        }

    assert deriver.derive(0, disk(100, 100, 100, 100)) == {}
    assert deriver.derive(10, disk(105, 120, 102, 200)) == {
        key("system.disk.utilization", device="sda"): pytest.approx(0.5),
        key("system.disk.queue", device="sda"): pytest.approx(2),
        key("system.disk.await", device="sda", direction="read"): pytest.approx(0.02),
    }
    assert deriver.derive(20, disk(1, 1, 1, 1)) == {}, "a reset tells nothing"


def test_a_link_and_a_resource_that_is_waited_for() -> None:
    deriver = Deriver()

    def values(received: float, waited: float) -> dict[str, float]:
        return {
            "system.network.speed" + '{interface="eth0"}': 1e9,
            key("system.network.io", interface="eth0", direction="receive"): received,
            key("system.network.io", interface="eth0", direction="transmit"): 0.0,
            key("system.linux.pressure.time", resource="io", kind="some"): waited,
        }

    assert deriver.derive(0, values(0, 0)) == {}
    assert deriver.derive(10, values(1.25e8, 1)) == {
        key("system.network.utilization", interface="eth0"): pytest.approx(0.1),
        key("system.linux.pressure", resource="io", kind="some"): pytest.approx(0.1),
    }


def test_shares_of_limits_and_time_since_boot() -> None:
    assert Deriver().derive(
        1000,
        {
            "system.file_descriptors.count": 1.0,
            "system.file_descriptors.limit": 4.0,
            "system.network.conntrack.count": 1.0,
            "system.network.conntrack.max": 2.0,
            "system.boot_time": 900.0,
        },
    ) == {
        "system.file_descriptors.utilization": 0.25,
        "system.network.conntrack.utilization": 0.5,
        "system.uptime": 100,
    }


def test_what_the_sender_says_itself_stands() -> None:
    deriver = Deriver()
    deriver.derive(0, {"system.cpu.utilization": 0.9} | times("0"))
    found = deriver.derive(10, times("0", user=5, idle=5))
    assert "system.cpu.utilization" not in found
    assert found[key("system.cpu.utilization", cpu="0")] == 0.5


def test_only_what_matters_is_wanted_and_only_what_is_catalogued_is_made() -> None:
    deriver = Deriver()
    assert deriver.wants(key("system.cpu.time", cpu="0", state="idle"))
    assert deriver.wants("system.cpu.utilization")
    assert not deriver.wants("app.queue.length")
    assert CATALOG.keys() >= shares.MADE


_ATTRIBUTES = {
    "cpu": ("0", "1"),
    "state": ("used", "free", "cached", "buffers", "idle", "user", "available"),
    "device": ("sda",),
    "mountpoint": ("/",),
    "interface": ("eth0",),
    "direction": ("read", "receive"),
}
_KEYS = [
    text
    for name in CATALOG
    for text in (
        name,
        *(key(name, **{each: word}) for each, words in _ATTRIBUTES.items() for word in words),
        *(key(name, cpu="0", state=word) for word in _ATTRIBUTES["state"]),
        *(key(name, mountpoint="/", state=word) for word in _ATTRIBUTES["state"]),
        *(key(name, device="sda", direction=word) for word in _ATTRIBUTES["direction"]),
    )
    if Deriver().wants(name)
]
_LARGEST = 1.7976931348623157e308
_NUMBERS = st.sampled_from([0.0, -0.0, 5e-324, 1.0, -1.0, _LARGEST, -_LARGEST]) | st.floats()


@given(st.lists(st.dictionaries(st.sampled_from(_KEYS), _NUMBERS, max_size=24), max_size=4))
def test_no_numbers_are_a_fault_of_ours(instants: list[dict[str, float]]) -> None:
    deriver = Deriver()
    for at, values in enumerate(instants):
        found = deriver.derive(float(at), values)
        assert all(math.isfinite(value) for value in found.values())


def test_memory_that_is_more_than_a_number_can_be_has_no_limit() -> None:
    states = ("used", "free", "cached", "buffers")
    values = {key("system.memory.usage", state=state): _LARGEST for state in states}
    deriver = Deriver()
    deriver.derive(0, values)
    assert deriver.derive(1, values) == {}


def packets(good: float, errors: float, dropped: float) -> dict[str, float]:
    counts = {"packets": good, "errors": errors, "dropped": dropped}
    return {
        key(f"system.network.{name}", interface="eth0", direction=way): count
        for name, count in counts.items()
        for way in ("receive", "transmit")
    }


def test_bad_packets_are_a_share_where_there_are_many() -> None:
    deriver = Deriver()
    deriver.derive(0, packets(0, 0, 0))
    found = deriver.derive(15, packets(1980, 20, 0))
    assert found[key("system.network.errors.ratio", interface="eth0")] == pytest.approx(0.01)
    assert found[key("system.network.dropped.ratio", interface="eth0")] == 0
    found = deriver.derive(30, packets(1990, 30, 5))
    assert found[key("system.network.errors.ratio", interface="eth0")] == 0


def test_temperatures_are_shares_of_the_sensors_own_limits() -> None:
    limit = {"device": "coretemp", "sensor": "Package"}
    found = Deriver().derive(
        0,
        {
            key("hw.temperature", **limit): 75.0,
            key("hw.temperature.limit", **limit, kind="high"): 80.0,
            key("hw.temperature.limit", **limit, kind="critical"): 100.0,
            key("hw.temperature", device="coretemp", sensor="temp9"): 85.0,
        },
    )
    assert found == {
        key("hw.temperature.utilization", **limit, kind="high"): 75 / 80,
        key("hw.temperature.utilization", **limit, kind="critical"): 0.75,
        key("hw.temperature.utilization", device="coretemp", sensor="temp9", kind="assumed"): 1,
    }


def test_nice_work_is_busy_and_not_ordinary() -> None:
    deriver = Deriver()
    deriver.derive(0, times("0"))
    found = deriver.derive(10, times("0", user=2, nice=5, idle=3))
    assert found["system.cpu.utilization"] == pytest.approx(0.7)
    assert found["system.cpu.utilization.ordinary"] == pytest.approx(0.2)
