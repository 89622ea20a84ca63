"""Facts of a host.  Every name finishes the sentence "it must be that …"."""

from __future__ import annotations

import os
import platform
from pathlib import Path

import pytest

from monitor.collect.facts import Facts
from monitor.collect.files import Root
from monitor.model import Row


def put(root: Path, **files: str) -> None:
    """Write files, their names with __ for a slash."""
    for name, content in files.items():
        path = root / name.replace("__", "/").replace("_dash_", "-")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)


def row(root: Path) -> Row:
    found = Facts(Root(root)).collect(0.0)
    assert found.values == {}
    (only,) = found.snapshots["system"]
    return only


def test_another_root_tells_of_its_own_host(tmp_path: Path) -> None:
    put(
        tmp_path,
        etc__hostname="web-1\n",
        etc__timezone="Europe/Berlin\n",
        proc__cpuinfo="processor\t: 0\nmodel name\t: Chip\x1b[31m 9000\n"
        "flags\t\t: fpu hypervisor\n",
        proc__sys__kernel__osrelease="6.1.0-x\n",
        proc__sys__kernel__random__boot_id="1-2-3\n",
        sys__devices__system__cpu__online="0-2,5,7-8\n",
    )
    put(tmp_path, etc__os_dash_release='NAME=x\nPRETTY_NAME="Nice OS 12"\n')
    found = row(tmp_path)
    assert found == {
        "hostname": "web-1",
        "os": "Nice OS 12",
        "kernel": "6.1.0-x",
        "architecture": platform.machine(),
        "cpu_model": r"Chip\x1b[31m 9000",
        "cpus": 6,
        "virtualization": "virtual machine",
        "boot_id": "1-2-3",
        "timezone": "Europe/Berlin",
    }


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({}, ""),
        ({"run__systemd__container": "lxc\n"}, "lxc"),
        ({".dockerenv": ""}, "docker"),
        ({"run__.containerenv": ""}, "podman"),
        ({"proc__vz": ""}, "openvz"),
        ({"proc__vz": "", "proc__bc": ""}, ""),
        ({"sys__class__dmi__id__sys_vendor": "QEMU\n"}, "qemu"),
        ({"sys__class__dmi__id__sys_vendor": "VMware, Inc.\n"}, "vmware"),
        (
            {
                "sys__class__dmi__id__sys_vendor": "Microsoft Corporation\n",
                "sys__class__dmi__id__product_name": "Virtual Machine\n",
            },
            "hyper-v",
        ),
        ({"sys__class__dmi__id__sys_vendor": "Dell Inc.\n"}, ""),
        ({"sys__hypervisor__type": "xen\n"}, "xen"),
    ],
)
def test_virtualization_is_guessed_from_files(
    tmp_path: Path, files: dict[str, str], expected: str
) -> None:
    put(tmp_path, **files)
    assert row(tmp_path)["virtualization"] == expected


def test_a_time_zone_may_be_a_link(tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/localtime").symlink_to("/usr/share/zoneinfo/Asia/Tokyo")
    assert row(tmp_path)["timezone"] == "Asia/Tokyo"


@pytest.mark.parametrize("content", ["", "\0" * 10, ":" * 5000, "x" * 100_000, "9" * 6000])
def test_nonsense_is_bounded_and_no_failure(tmp_path: Path, content: str) -> None:
    put(
        tmp_path,
        etc__hostname=content,
        proc__cpuinfo=content,
        sys__devices__system__cpu__online=content,
    )
    found = row(tmp_path)
    assert isinstance(found["cpus"], int)
    assert all(len(value) <= 1200 for value in found.values() if isinstance(value, str))


def test_this_host_has_a_name_and_a_processor() -> None:
    found = row(Path("/"))
    assert found["hostname"] == os.uname().nodename
    assert found["kernel"] == os.uname().release
    assert isinstance(found["cpus"], int)
    assert found["cpus"] >= 1
