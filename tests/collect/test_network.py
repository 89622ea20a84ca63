"""Network interfaces.

Every name finishes the sentence "it must be that …".
"""

from __future__ import annotations

import math
from pathlib import Path

import psutil
import pytest

from monitor.collect.network import LINK_SECONDS, MOST_INTERFACES, Network
from monitor.errors import Absent
from monitor.model import SeriesKey, key
from tests.collect.trees import Clock, assert_keys_hold, golden, own, plant

HEAD = "Inter-|   Receive | Transmit\n face |bytes packets |bytes packets\n"
DEV = "proc/1/net/dev"


def interfaces(values: dict[str, float]) -> list[str]:
    return list(dict.fromkeys(SeriesKey.parse(text).get("interface") for text in values))


def value(values: dict[str, float], name: str, interface: str, direction: str = "") -> float:
    attributes = {"interface": interface, **({"direction": direction} if direction else {})}
    return values[key(f"system.network.{name}", **attributes)]


def row(name: str, received: int, transmitted: int) -> str:
    return f"{name}: {received} 1 0 0 0 0 0 0 {transmitted} 1 0 0 0 0 0 0\n"


def test_the_golden_file_gives_these_values(tmp_path: Path) -> None:
    values = Network(golden(tmp_path), Clock()).collect(1.0).values
    assert interfaces(values) == ["lo", "eth0", "eth1", "wg0"]
    eth0 = {text: found for text, found in values.items() if 'interface="eth0"' in text}
    for name in ("errors", "dropped"):
        assert math.isnan(eth0.pop(key(f"system.network.{name}.ratio", interface="eth0")))
    assert math.isnan(eth0.pop(key("system.network.utilization", interface="eth0")))
    names = {
        "io": (123456789, 23456789),
        "packets": (98765, 8765),
        "errors": (1, 5),
        "dropped": (2, 7),
    }
    assert eth0 == {
        **{
            key(f"system.network.{name}", interface="eth0", direction=direction): float(count)
            for name, both in names.items()
            for direction, count in zip(("receive", "transmit"), both, strict=True)
        },
        key("system.network.up", interface="eth0"): 1.0,
        key("system.network.speed", interface="eth0"): 1e9,
    }
    assert [value(values, "up", name) for name in ("lo", "eth1", "wg0")] == [1.0, 0.0, 1.0]
    assert key("system.network.speed", interface="eth1") not in values


def test_utilization_is_of_the_busier_direction(tmp_path: Path) -> None:
    clock = Clock()
    network = Network(golden(tmp_path), clock)
    network.collect(1.0)
    clock.now += 0.5
    plant(tmp_path, {DEV: HEAD + row("eth0", 123456789 + 6_250_000, 23456789 + 625_000)})
    assert value(network.collect(2.0).values, "utilization", "eth0") == pytest.approx(0.1)
    clock.now += 1e-6
    plant(tmp_path, {DEV: HEAD + row("eth0", 200_000_000, 30_000_000)})
    assert value(network.collect(3.0).values, "utilization", "eth0") == 1.0
    clock.now += 1.0
    plant(tmp_path, {DEV: HEAD + row("eth0", 5, 30_000_000)})
    assert math.isnan(value(network.collect(4.0).values, "utilization", "eth0"))
    assert math.isnan(value(network.collect(5.0).values, "utilization", "eth0"))


def test_a_link_that_goes_down_keeps_its_keys(tmp_path: Path) -> None:
    clock = Clock()
    network = Network(golden(tmp_path), clock)
    before = network.collect(1.0).values
    plant(
        tmp_path,
        {"sys/class/net/eth0/speed": "-1\n", "sys/class/net/eth0/operstate": "lowerlayerdown\n"},
    )
    clock.now += 1.0
    assert value(network.collect(2.0).values, "up", "eth0") == 1.0
    clock.now += LINK_SECONDS
    after = network.collect(1.0 + LINK_SECONDS).values
    assert list(after) == list(before)
    assert value(after, "up", "eth0") == 0.0
    assert math.isnan(value(after, "speed", "eth0"))
    assert math.isnan(value(after, "utilization", "eth0"))


def test_an_interface_that_comes_is_known_at_once(tmp_path: Path) -> None:
    network = Network(golden(tmp_path), Clock())
    network.collect(1.0)
    text = (tmp_path / DEV).read_text()
    plant(
        tmp_path,
        {
            DEV: text.replace("eth1", "eth7"),
            "sys/class/net/eth7/speed": "2500\n",
            "sys/class/net/eth7/operstate": "up\n",
        },
    )
    values = network.collect(2.0).values
    assert interfaces(values) == ["lo", "eth0", "eth7", "wg0"]
    assert value(values, "speed", "eth7") == 2.5e9


def test_a_tunnel_that_is_down_is_not_up(tmp_path: Path) -> None:
    root = golden(tmp_path)
    (tmp_path / "sys/class/net/wg0/carrier").unlink()
    assert value(Network(root).collect(1.0).values, "up", "wg0") == 0.0


def bad(packets: int, errors: int, dropped: int) -> str:
    return f"eth0: 0 {packets} {errors} {dropped} 0 0 0 0 0 0 0 0 0 0 0 0\n"


@pytest.mark.parametrize(
    ("packets", "errors", "dropped", "shares"),
    [(1960, 20, 40, (20 / 1980, 0.02)), (900, 50, 90, (0.0, 0.0)), (0, 0, 0, (0.0, 0.0))],
)
def test_shares_of_bad_packets_are_of_a_minute_with_many(
    tmp_path: Path, packets: int, errors: int, dropped: int, shares: tuple[float, float]
) -> None:
    clock = Clock()
    network = Network(plant(tmp_path, {DEV: HEAD + bad(10, 5, 5)}), clock)
    network.collect(1.0)
    plant(tmp_path, {DEV: HEAD + bad(10 + packets, 5 + errors, 5 + dropped)})
    clock.now += 59.0
    assert math.isnan(value(network.collect(60.0).values, "errors.ratio", "eth0"))
    clock.now += 1.0
    values = network.collect(61.0).values
    found = (value(values, "errors.ratio", "eth0"), value(values, "dropped.ratio", "eth0"))
    assert found == pytest.approx(shares)
    clock.now += 60.0  # and the next minute begins anew
    assert value(network.collect(121.0).values, "errors.ratio", "eth0") == 0.0


def test_without_sys_there_are_counts_alone(tmp_path: Path) -> None:
    values = Network(plant(tmp_path, {DEV: HEAD + row("eth0", 1, 2)})).collect(1.0).values
    assert len(values) == 8 + 2


def test_too_many_are_noted_and_hardware_comes_first(tmp_path: Path) -> None:
    many = "".join(row(f"cali{n}", n, n) for n in range(MOST_INTERFACES)) + row("eth9", 1, 1)
    network = Network(plant(tmp_path, {DEV: HEAD + many, "sys/class/net/eth9/device/x": ""}))
    shown = interfaces(network.collect(1.0).values)
    assert len(shown) == MOST_INTERFACES
    assert shown[0] == "eth9"
    assert network.note == "1 interfaces are left out"


def test_hostile_names_make_sound_keys(tmp_path: Path) -> None:
    names = ['a"b', "../..", "\x1b[31m", "x" * 5000, 'q"}', "a:b", "\xff"]
    text = HEAD + "".join(row(name, 1, 2) for name in names)
    values = Network(plant(tmp_path, {DEV: text})).collect(1.0).values
    assert_keys_hold(values)
    assert len(interfaces(values)) == len(names)


@pytest.mark.parametrize("text", ["", HEAD + "eth0: 1 2 3\n", HEAD + "eth0 1\n", HEAD + ": 1\n"])
def test_what_is_not_the_kernels_is_a_value_error(text: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="/proc/net/dev"):
        Network(plant(tmp_path, {DEV: text})).collect(1.0)


def test_no_interface_is_absent(tmp_path: Path) -> None:
    with pytest.raises(Absent, match="no network interface"):
        Network(plant(tmp_path, {DEV: HEAD})).collect(1.0)


def test_this_machines_numbers_are_psutils() -> None:
    values = Network(own()).collect(1.0).values
    theirs, links = psutil.net_io_counters(pernic=True), psutil.net_if_stats()
    near = 16 * 1024 * 1024
    for name in interfaces(values):
        counters = theirs[name]
        pairs = (
            ("io", "receive", counters.bytes_recv, near),
            ("io", "transmit", counters.bytes_sent, near),
            ("packets", "receive", counters.packets_recv, 50_000),
            ("packets", "transmit", counters.packets_sent, 50_000),
            ("errors", "receive", counters.errin, 10),
            ("errors", "transmit", counters.errout, 10),
            ("dropped", "receive", counters.dropin, 100),
            ("dropped", "transmit", counters.dropout, 100),
        )
        for subject, direction, expected, tolerance in pairs:
            ours = value(values, subject, name, direction)
            assert ours == pytest.approx(expected, abs=tolerance)
        if links[name].speed:
            assert value(values, "speed", name) == links[name].speed * 1e6
