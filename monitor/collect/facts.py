"""What kind of machine the host is: a table of one row, and no numbers.

It guesses from files alone whether the host is a container or a virtual machine.
"""

from __future__ import annotations

import os
import platform
from pathlib import Path

from monitor.collect.files import Root, read_text
from monitor.collect.secrets import escape
from monitor.model import Reading, Row

LONGEST_FACT = 200
"""A longer text is cut."""

LONGEST_FILE = 65_536
"""Characters of a file in which a fact is looked for."""

_MACHINES = (
    ("vmware", "vmware"),
    ("virtualbox", "virtualbox"),
    ("innotek", "virtualbox"),
    ("amazon ec2", "amazon"),
    ("google compute", "google"),
    ("digitalocean", "kvm"),
    ("hetzner", "kvm"),
    ("openstack", "kvm"),
    ("kvm", "kvm"),
    ("qemu", "qemu"),
    ("bochs", "qemu"),
    ("xen", "xen"),
    ("parallels", "parallels"),
    ("bhyve", "bhyve"),
    ("firecracker", "firecracker"),
    ("microsoft corporation virtual machine", "hyper-v"),
    ("apple virtualization", "apple"),
)
"""What the firmware says of its maker and product, and the name that people know."""


class Facts:
    """Names and versions of the host."""

    name = "facts"
    interval_seconds = 60.0
    budget_seconds = 0.1

    def __init__(self, root: Root) -> None:
        self.note = ""
        self._root = root

    def collect(self, now: float) -> Reading:
        """Read them; a fact that cannot be found is the empty text."""
        del now
        root = self._root
        processor = read_text(root.proc("cpuinfo"))[:LONGEST_FILE]
        row: Row = {
            "hostname": _shown(self._hostname()),
            "os": _shown(self._system()),
            "kernel": _shown(read_text(root.proc("sys/kernel/osrelease")) or platform.release()),
            "architecture": _shown(platform.machine()),
            "cpu_model": _shown(_field(processor, "model name", "Model", "Hardware", "cpu model")),
            "cpus": self._processors(),
            "virtualization": _shown(self._virtualization(processor)),
            "boot_id": _shown(read_text(root.proc("sys/kernel/random/boot_id"))),
            "timezone": _shown(self._timezone()),
        }
        return Reading({}, {"system": [row]})

    def close(self) -> None:
        """Nothing is kept."""

    def _hostname(self) -> str:
        # A container has a name of its own, and shows it even in the host's /proc.
        if self._root.is_own:
            return platform.node()
        return read_text(self._root.file("/etc/hostname")) or platform.node()

    def _system(self) -> str:
        for path in ("/etc/os-release", "/usr/lib/os-release"):
            for line in read_text(self._root.file(path))[:LONGEST_FILE].splitlines():
                name, _, value = line.partition("=")
                if name == "PRETTY_NAME":
                    return value.strip("\"'")
        return platform.system()

    def _processors(self) -> int:
        online = read_text(self._root.sys("devices/system/cpu/online"))[:LONGEST_FILE]
        count = 0
        for part in online.split(","):
            first, _, last = part.partition("-")
            if len(part) > 20 or not first.isdecimal() or (last and not last.isdecimal()):
                return os.cpu_count() or 0
            count += int(last or first) - int(first) + 1
        return count

    def _virtualization(self, processor: str) -> str:
        root = self._root
        named = read_text(root.file("/run/systemd/container"))
        if named:
            return named
        if Path(root.file("/.dockerenv")).exists():
            return "docker"
        if Path(root.file("/run/.containerenv")).exists():
            return "podman"
        if Path(root.proc("vz")).exists() and not Path(root.proc("bc")).exists():
            return "openvz"
        maker = read_text(root.sys("class/dmi/id/sys_vendor"))
        firmware = f"{maker} {read_text(root.sys('class/dmi/id/product_name'))}".lower()
        for sign, name in _MACHINES:
            if sign in firmware:
                return name
        if read_text(root.sys("hypervisor/type")):
            return read_text(root.sys("hypervisor/type"))
        return "virtual machine" if " hypervisor" in _field(processor, "flags") else ""

    def _timezone(self) -> str:
        named = read_text(self._root.file("/etc/timezone"))
        if named:
            return named
        try:
            target = str(Path(self._root.file("/etc/localtime")).readlink())
        except OSError:
            return ""
        return target.partition("zoneinfo/")[2]


def _field(content: str, *names: str) -> str:
    """The value of the first of these names in lines of ``name : value``."""
    for wanted in names:
        for line in content.splitlines():
            name, colon, value = line.partition(":")
            if colon and name.strip() == wanted:
                return " " + value.strip() if wanted == "flags" else value.strip()
    return ""


def _shown(text: str) -> str:
    return escape(text[:LONGEST_FACT])
