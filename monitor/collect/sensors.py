"""Temperatures, fans, batteries and UPS: /sys/class/hwmon, thermal and power_supply.

Some sensors take milliseconds to answer, so that they are read seldom.  Limits are the
sensor's own.  Where hwmon has no temperature, thermal zones stand in for it.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from monitor.collect.files import Root, read, read_int
from monitor.collect.pace import Every
from monitor.collect.tokens import label
from monitor.errors import Absent
from monitor.model import Reading, key

MOST_SENSORS = 256
"""How many temperatures and fans are read."""

MOST_SUPPLIES = 32
"""How many batteries and UPS are read."""

LISTING_SECONDS = 60.0
"""How often it is looked what sensors there are, and what their limits."""

ASSUMED_CELSIUS = 85.0
"""What is hot for a sensor that has no limit of its own."""

LOWEST_LIMIT_CELSIUS = 30.0
"""A limit below it is a driver's word for none."""

_INPUT = re.compile(r"(temp|fan)(\d{1,4})_input\Z")
_NAN = math.nan


@dataclass(slots=True)
class Sensor:
    """One temperature or fan: its KEY, its file, the scale of its number, its limits."""

    key: str
    path: str
    scale: float
    lowest: float
    highest: float
    limits: dict[str, float] = field(default_factory=dict)
    shares: dict[str, float] = field(default_factory=dict)
    """By KEY the limit of which the temperature is told as a share."""

    def value(self) -> float:
        """The present value; NaN where the sensor does not answer, or nonsense."""
        raw = read_int(self.path)
        if raw is None:
            return _NAN
        value = raw * self.scale
        return value if self.lowest <= value <= self.highest else _NAN


@dataclass(slots=True)
class Supply:
    """One battery or UPS."""

    directory: str
    keys: tuple[str, str, str]


class Sensors:
    """Every temperature, fan, battery and UPS that the kernel knows."""

    name = "sensors"
    interval_seconds = 5.0
    budget_seconds = 0.2

    def __init__(self, root: Root) -> None:
        self.note = ""
        self._hwmon = root.sys("class/hwmon")
        self._thermal = root.sys("class/thermal")
        self._power = root.sys("class/power_supply")
        self._listing_due = Every(LISTING_SECONDS)
        self._sensors: list[Sensor] = []
        self._supplies: list[Supply] = []

    def collect(self, now: float) -> Reading:
        """Read them all.  Raises `Absent` where there is none."""
        if self._listing_due.due(now):
            self._list()
        if not self._sensors and not self._supplies:
            # Asked again only when it is time to retry, and then something may be there.
            self._listing_due = Every(LISTING_SECONDS)
            raise Absent("this machine shows no temperatures, fans or batteries")
        values: dict[str, float] = {}
        for sensor in self._sensors:
            value = values[sensor.key] = sensor.value()
            values.update(sensor.limits)
            for text, limit in sensor.shares.items():
                values[text] = value / limit
        for supply in self._supplies:
            values.update(zip(supply.keys, _battery(supply.directory), strict=True))
        return Reading(values)

    def close(self) -> None:
        """Nothing is kept."""

    def _list(self) -> None:
        found = list(self._hwmon_sensors())
        if not any(sensor.key.startswith("hw.temperature") for sensor in found):
            found += self._thermal_zones()
        self.note = (
            f"{len(found) - MOST_SENSORS} sensors are not read" if len(found) > MOST_SENSORS else ""
        )
        self._sensors = found[:MOST_SENSORS]
        self._supplies = list(self._power_supplies())[:MOST_SUPPLIES]

    def _hwmon_sensors(self) -> Iterator[Sensor]:
        seen: set[str] = set()
        for entry in _names(self._hwmon):
            directory = f"{self._hwmon}/{entry}"
            files = _names(directory)
            if not any(_INPUT.match(name) for name in files):
                # Older kernels keep the files one step further down.
                directory = f"{directory}/device"
                files = _names(directory)
            device = _label(f"{self._hwmon}/{entry}/name") or _label(f"{directory}/name") or entry
            if device in seen:
                device = f"{device} {entry}"
            seen.add(device)
            sensors: set[str] = set()
            inputs = (match for match in map(_INPUT.match, files) if match)
            for match in sorted(inputs, key=lambda match: (match[1], int(match[2]))):
                kind, stem = match[1], match[1] + match[2]
                sensor = _label(f"{directory}/{stem}_label") or stem
                if (kind + sensor) in sensors:
                    sensor = f"{sensor} {stem}"
                sensors.add(kind + sensor)
                yield _hwmon_sensor(directory, stem, device, sensor)

    def _thermal_zones(self) -> Iterator[Sensor]:
        seen: set[str] = set()
        for entry in _names(self._thermal):
            if not entry.startswith("thermal_zone"):
                continue
            directory = f"{self._thermal}/{entry}"
            name = _label(f"{directory}/type") or entry
            name = f"{name} {entry}" if name in seen else name
            seen.add(name)
            found = _temperature(f"{directory}/temp", "thermal", name)
            for trip in range(12):
                kind = {"hot": "high", "critical": "critical"}.get(
                    _label(f"{directory}/trip_point_{trip}_type")
                )
                limit = read_int(f"{directory}/trip_point_{trip}_temp")
                if kind and limit is not None:
                    _add_limit(found, "thermal", name, kind, limit)
            yield _judged(found, "thermal", name)

    def _power_supplies(self) -> Iterator[Supply]:
        for entry in _names(self._power):
            directory = f"{self._power}/{entry}"
            kind = {"battery": "battery", "ups": "ups"}.get(_label(f"{directory}/type").lower())
            # A mouse's battery is the mouse's, and says nothing of this host.
            if kind is None or _label(f"{directory}/scope").lower() == "device":
                continue
            device = label(os.fsencode(entry))
            keys = [
                key(f"hw.battery.{name}", device=device, kind=kind)
                for name in ("charge", "discharging", "time_left")
            ]
            yield Supply(directory, (keys[0], keys[1], keys[2]))


def _names(directory: str) -> list[str]:
    """What is in a directory, in the order that people count; nothing where it is missing."""
    try:
        found = os.listdir(directory)  # noqa: PTH208 - names are wanted
    except OSError:
        return []
    return sorted(found, key=lambda name: (len(name), name))


def _label(path: str) -> str:
    """The short text in a file, or the empty string where it cannot be read."""
    try:
        return label(read(path).strip())
    except OSError:
        return ""


def _temperature(path: str, device: str, sensor: str) -> Sensor:
    text = key("hw.temperature", device=device, sensor=sensor)
    return Sensor(text, path, 0.001, -100.0, 250.0)


def _hwmon_sensor(directory: str, stem: str, device: str, sensor: str) -> Sensor:
    path = f"{directory}/{stem}_input"
    if stem.startswith("fan"):
        return Sensor(key("hw.fan.speed", device=device, sensor=sensor), path, 1.0, 0.0, 1e6)
    found = _temperature(path, device, sensor)
    for name, kind in (("max", "high"), ("high", "high"), ("crit", "critical")):
        limit = read_int(f"{directory}/{stem}_{name}")
        if limit is not None:
            _add_limit(found, device, sensor, kind, limit)
    return _judged(found, device, sensor)


def _add_limit(found: Sensor, device: str, sensor: str, kind: str, raw: int) -> None:
    """A limit in thousandths of a degree; drivers write 0 or thousands for "none"."""
    text = key("hw.temperature.limit", device=device, sensor=sensor, kind=kind)
    if 0 < raw < 200_000:
        found.limits.setdefault(text, raw / 1000)
        if raw / 1000 >= LOWEST_LIMIT_CELSIUS:
            share = key("hw.temperature.utilization", device=device, sensor=sensor, kind=kind)
            found.shares.setdefault(share, raw / 1000)


def _judged(found: Sensor, device: str, sensor: str) -> Sensor:
    """The temperature with a limit that is assumed, where it has none of its own."""
    if not found.shares:
        share = key("hw.temperature.utilization", device=device, sensor=sensor, kind="assumed")
        found.shares[share] = ASSUMED_CELSIUS
    return found


def _battery(directory: str) -> tuple[float, float, float]:
    """Charge 0–1, 1 while discharging, seconds left (NaN while it does not discharge)."""

    def number(name: str) -> float:
        found = read_int(f"{directory}/{name}")
        return _NAN if found is None else float(found)

    discharging = _label(f"{directory}/status").lower() == "discharging"
    charge = number("capacity") / 100
    left = number("time_to_empty_now")
    for what, rate in (("energy", "power_now"), ("charge", "current_now")):
        now, full = number(f"{what}_now"), number(f"{what}_full")
        if math.isnan(charge) and full > 0:
            charge = now / full
        drain = abs(number(rate))
        if not left > 0 and drain > 0:
            left = now / drain * 3600
    charge = min(max(charge, 0.0), 1.0) if not math.isnan(charge) else _NAN
    return charge, float(discharging), left if discharging and left >= 0 else _NAN
