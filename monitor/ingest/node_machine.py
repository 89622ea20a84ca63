"""What node_exporter's samples, taken together, say of how each of them is to be read.

And what kind of machine it is, which its labels say.  The table by metric is in `node_exporter`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

from monitor.ingest.node_exporter import NAMES, NOTHING, Labels, Part, interface_up, mapped
from monitor.model import Row


class Machine:
    """One scrape's machine.

    One device that is mounted in several places is one filesystem, shown at the shortest; a sensor
    has the name that its driver gives it; what never says that it is up is up by its carrier.
    """

    def __init__(self, series: Iterable[tuple[str, Labels]]) -> None:
        self._point: dict[str, str] = {}
        self._on: dict[str, str] = {}
        self._chips: dict[str, str] = {}
        self._sensors: dict[tuple[str, str], str] = {}
        self._unknown: set[str] = set()
        self._facts: dict[str, str] = {}
        self._filesystems: dict[str, Row] = {}
        for name, labels in series:
            self._see(name, labels)
        self._named = Counter((chip, text) for (chip, _), text in self._sensors.items())
        self._drivers = Counter(self._chips.values())

    def _see(self, name: str, labels: Labels) -> None:
        match name:
            case "node_filesystem_size_bytes" if mapped(name, labels):
                device, point = labels.get("device", ""), labels.get("mountpoint", "")
                self._on[point] = device  # of two mounts over each other the later one
                known = self._point.setdefault(device, point)
                if (len(point), point) < (len(known), known):
                    self._point[device] = point
                self._filesystems[point] = {
                    "mountpoint": point,
                    "device": device,
                    "type": labels.get("fstype", ""),
                    "options": "",
                }
            case "node_hwmon_chip_names":
                self._chips[labels.get("chip", "")] = labels.get("chip_name", "")
            case "node_hwmon_sensor_label":
                sensor = labels.get("chip", ""), labels.get("sensor", "")
                self._sensors[sensor] = labels.get("label", "")
            case "node_network_info" if labels.get("operstate") == "unknown":
                self._unknown.add(labels.get("device", ""))
            case "node_uname_info":
                for fact, label in _UNAME.items():
                    self._facts[fact] = labels.get(label, "")
            case "node_os_info":
                self._facts["os"] = labels.get("pretty_name", "") or labels.get("name", "")
            case "node_dmi_info":
                maker, product = labels.get("system_vendor", ""), labels.get("product_name", "")
                self._facts["virtualization"] = _virtual(f"{maker} {product}".lower())
            case "node_cpu_info":
                self._facts.setdefault("cpu_model", labels.get("model_name", ""))
            case _:
                pass

    def mapped(self, name: str, labels: Labels) -> tuple[Part, ...] | None:
        """As `mapped`, with what is known of the others."""
        if name.startswith("node_filesystem_"):
            device, point = labels.get("device", ""), labels.get("mountpoint", "")
            shown = self._point.get(device) == point and self._on.get(point) == device
            if name in NAMES and device in self._point and not shown:
                return NOTHING
        elif name.startswith("node_hwmon_"):
            chip, sensor = labels.get("chip", ""), labels.get("sensor", "")
            named = self._sensors.get((chip, sensor), "")
            # Two sensors of a chip may have one label, and two chips one driver.
            if self._named[chip, named] > 1:
                named = f"{named} {sensor}"
            driver = self._chips.get(chip, "")
            if self._drivers[driver] > 1:
                driver = f"{driver} {chip}"
            labels = {**labels, "chip": driver or chip, "sensor": named or sensor}
        elif labels.get("device") in self._unknown and labels.get("device") != "lo":
            if name == "node_network_up":
                return NOTHING
            if name == "node_network_carrier":
                return interface_up(labels)
        return mapped(name, labels)

    @property
    def facts(self) -> Mapping[str, str]:
        """What kind of machine it is: the row of the table ``system``; empty where not said."""
        return self._facts

    @property
    def filesystems(self) -> tuple[Row, ...]:
        """The rows of the table ``filesystems``."""
        shown = set(self._point.values())
        return tuple(row for point, row in sorted(self._filesystems.items()) if point in shown)


_UNAME = {"hostname": "nodename", "kernel": "release", "architecture": "machine"}
_VIRTUAL = ("vmware", "virtualbox", "openstack", "kvm", "qemu", "bochs", "xen", "parallels")


def _virtual(firmware: str) -> str:
    return next((name for name in _VIRTUAL if name in firmware), "")
