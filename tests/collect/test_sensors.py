"""Sensors, from a /sys of our own.  Every name finishes the sentence "it must be that …"."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from monitor.collect.files import Root
from monitor.collect.sensors import Sensors
from monitor.errors import Absent


def put(root: Path, directory: str, **files: str) -> None:
    """Write files below a directory of /sys/class."""
    path = root / "sys/class" / directory
    path.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (path / name).write_text(content + "\n")


def test_temperatures_come_with_their_labels_and_limits(tmp_path: Path) -> None:
    put(
        tmp_path,
        "hwmon/hwmon0",
        name="coretemp",
        temp1_input="45500",
        temp1_label="Package id 0",
        temp1_max="80000",
        temp1_crit="100000",
        temp2_input="41000",
        fan1_input="1200",
        fan1_label="CPU Fan",
    )
    assert Sensors(Root(tmp_path)).collect(0.0).values == {
        'hw.fan.speed{device="coretemp",sensor="CPU Fan"}': 1200.0,
        'hw.temperature{device="coretemp",sensor="Package id 0"}': 45.5,
        'hw.temperature.limit{device="coretemp",kind="high",sensor="Package id 0"}': 80.0,
        'hw.temperature.limit{device="coretemp",kind="critical",sensor="Package id 0"}': 100.0,
        'hw.temperature.utilization{device="coretemp",kind="high",sensor="Package id 0"}': (
            45.5 / 80
        ),
        'hw.temperature.utilization{device="coretemp",kind="critical",sensor="Package id 0"}': (
            45.5 / 100
        ),
        'hw.temperature{device="coretemp",sensor="temp2"}': 41.0,
        'hw.temperature.utilization{device="coretemp",kind="assumed",sensor="temp2"}': 41 / 85,
    }


def test_two_of_one_name_are_told_apart(tmp_path: Path) -> None:
    for number in (1, 2):
        put(
            tmp_path,
            f"hwmon/hwmon{number}",
            name="nvme",
            temp1_input=f"{number}000",
            temp1_label="Composite",
            temp2_input="9000",
            temp2_label="Composite",
        )
    values = Sensors(Root(tmp_path)).collect(0.0).values
    assert [text for text in values if "utilization" not in text] == [
        'hw.temperature{device="nvme",sensor="Composite"}',
        'hw.temperature{device="nvme",sensor="Composite temp2"}',
        'hw.temperature{device="nvme hwmon2",sensor="Composite"}',
        'hw.temperature{device="nvme hwmon2",sensor="Composite temp2"}',
    ]


def test_files_one_step_down_are_found(tmp_path: Path) -> None:
    put(tmp_path, "hwmon/hwmon0/device", name="k10temp", temp1_input="30000")
    found = Sensors(Root(tmp_path)).collect(0.0).values
    assert found['hw.temperature{device="k10temp",sensor="temp1"}'] == 30.0


@pytest.mark.parametrize("raw", ["", "x", "999999999", "-273150", "9" * 5000])
def test_a_sensor_that_answers_nonsense_is_nan(tmp_path: Path, raw: str) -> None:
    put(tmp_path, "hwmon/hwmon0", name="x", temp1_input=raw, temp1_max="0", temp1_crit="65261850")
    found = Sensors(Root(tmp_path)).collect(0.0).values
    assert list(found) == [
        'hw.temperature{device="x",sensor="temp1"}',
        'hw.temperature.utilization{device="x",kind="assumed",sensor="temp1"}',
    ]
    assert all(map(math.isnan, found.values()))


def test_thermal_zones_stand_in_where_hwmon_has_no_temperature(tmp_path: Path) -> None:
    put(tmp_path, "hwmon/hwmon0", name="fans", fan1_input="900")
    put(
        tmp_path,
        "thermal/thermal_zone0",
        type="cpu-thermal",
        temp="51000",
        trip_point_0_type="passive",
        trip_point_0_temp="70000",
        trip_point_1_type="critical",
        trip_point_1_temp="90000",
    )
    assert Sensors(Root(tmp_path)).collect(0.0).values == {
        'hw.fan.speed{device="fans",sensor="fan1"}': 900.0,
        'hw.temperature{device="thermal",sensor="cpu-thermal"}': 51.0,
        'hw.temperature.limit{device="thermal",kind="critical",sensor="cpu-thermal"}': 90.0,
        'hw.temperature.utilization{device="thermal",kind="critical",sensor="cpu-thermal"}': (
            51 / 90
        ),
    }


def battery(values: dict[str, float]) -> list[float]:
    """Charge, discharging and time left of the only battery."""
    assert [text.partition("{")[0] for text in values] == [
        *("hw.battery.charge", "hw.battery.discharging", "hw.battery.time_left")
    ]
    return list(values.values())


def test_a_discharging_battery_says_how_long_it_will_last(tmp_path: Path) -> None:
    put(
        tmp_path,
        "power_supply/BAT0",
        type="Battery",
        status="Discharging",
        capacity="80",
        energy_now="40000000",
        energy_full="50000000",
        power_now="10000000",
    )
    put(tmp_path, "power_supply/AC", type="Mains", online="0")
    put(tmp_path, "power_supply/mouse", type="Battery", scope="Device", capacity="3")
    values = Sensors(Root(tmp_path)).collect(0.0).values
    assert 'hw.battery.charge{device="BAT0",kind="battery"}' in values
    assert battery(values) == [0.8, 1.0, 4 * 3600.0]


def test_a_charging_battery_has_no_time_left(tmp_path: Path) -> None:
    put(
        tmp_path,
        "power_supply/BAT0",
        type="Battery",
        status="Charging",
        charge_now="1000",
        charge_full="4000",
        current_now="100",
    )
    charge, discharging, left = battery(Sensors(Root(tmp_path)).collect(0.0).values)
    assert (charge, discharging) == (0.25, 0.0)
    assert math.isnan(left)


def test_a_ups_is_one(tmp_path: Path) -> None:
    put(
        tmp_path,
        "power_supply/ups",
        type="UPS",
        status="Discharging",
        capacity="100",
        time_to_empty_now="600",
    )
    values = Sensors(Root(tmp_path)).collect(0.0).values
    assert 'hw.battery.charge{device="ups",kind="ups"}' in values
    assert battery(values) == [1.0, 1.0, 600.0]


def test_nothing_is_absent_and_what_appears_is_found(tmp_path: Path) -> None:
    collector = Sensors(Root(tmp_path))
    with pytest.raises(Absent):
        collector.collect(0.0)
    put(tmp_path, "hwmon/hwmon0", name="x", temp1_input="1000")
    assert len(collector.collect(1.0).values) == 2
    put(tmp_path, "hwmon/hwmon1", name="y", temp1_input="1000")
    assert len(collector.collect(30.0).values) == 2
    assert len(collector.collect(62.0).values) == 4
    collector.close()
