"""node_exporter's names as the catalog's: each KEY, what is left out, what samples say together."""

from __future__ import annotations

import pytest

from monitor.core.catalog import CATALOG
from monitor.ingest.node_exporter import NAMES, NOTHING, Part, Shape, mapped
from monitor.ingest.node_machine import Machine
from monitor.model import SeriesKey

ROOT = {"device": "/dev/vda", "fstype": "ext4", "mountpoint": "/"}
SENSOR = {"chip": "platform_coretemp_0", "sensor": "temp1"}

ONE = [
    (
        "node_cpu_seconds_total",
        {"cpu": "0", "mode": "iowait"},
        'system.cpu.time{cpu="0",state="iowait"}',
    ),
    ("node_cpu_scaling_frequency_hertz", {"cpu": "3"}, 'system.cpu.frequency{cpu="3"}'),
    ("node_load15", {}, "system.cpu.load_average.15m"),
    ("node_context_switches_total", {}, "system.cpu.context_switches"),
    ("node_memory_MemTotal_bytes", {}, "system.memory.limit"),
    ("node_memory_MemAvailable_bytes", {}, 'system.memory.usage{state="available"}'),
    ("node_memory_SwapFree_bytes", {}, 'system.paging.usage{state="free"}'),
    ("node_filesystem_size_bytes", ROOT, 'system.filesystem.limit{mountpoint="/"}'),
    ("node_filesystem_avail_bytes", ROOT, 'system.filesystem.usage{mountpoint="/",state="free"}'),
    (
        "node_filesystem_files_free",
        ROOT,
        'system.filesystem.inodes.usage{mountpoint="/",state="free"}',
    ),
    ("node_filesystem_readonly", ROOT, 'system.filesystem.readonly{mountpoint="/"}'),
    (
        "node_disk_written_bytes_total",
        {"device": "sda"},
        'system.disk.io{device="sda",direction="write"}',
    ),
    (
        "node_disk_io_time_seconds_total",
        {"device": "nvme0n1"},
        'system.disk.io_time{device="nvme0n1"}',
    ),
    (
        "node_network_transmit_errs_total",
        {"device": "eth0"},
        'system.network.errors{direction="transmit",interface="eth0"}',
    ),
    ("node_network_up", {"device": "eth0"}, 'system.network.up{interface="eth0"}'),
    ("node_network_carrier", {"device": "lo"}, 'system.network.up{interface="lo"}'),
    ("node_sockstat_TCP_inuse", {}, 'system.network.sockets{kind="tcp.inuse"}'),
    ("node_sockstat_sockets_used", {}, 'system.network.sockets{kind="sockets.used"}'),
    ("node_netstat_Tcp_OutSegs", {}, 'system.network.tcp.segments{direction="transmit"}'),
    ("node_netstat_Udp6_NoPorts", {}, 'system.network.udp.errors{kind="no_port"}'),
    (
        "node_pressure_io_stalled_seconds_total",
        {},
        'system.linux.pressure.time{kind="full",resource="io"}',
    ),
    ("node_softnet_dropped_total", {"cpu": "1"}, "system.network.softnet.dropped"),
    ("node_boot_time_seconds", {}, "system.boot_time"),
    ("node_filefd_maximum", {}, "system.file_descriptors.limit"),
    ("node_nf_conntrack_entries_limit", {}, "system.network.conntrack.max"),
    ("node_timex_sync_status", {}, "system.clock.synchronized"),
    ("node_processes_state", {"state": "D"}, 'system.processes.count{state="blocked"}'),
    ("node_processes_max_threads", {}, "system.tasks.limit"),
    (
        "node_hwmon_temp_celsius",
        SENSOR,
        'hw.temperature{device="platform_coretemp_0",sensor="temp1"}',
    ),
    (
        "node_hwmon_temp_crit_celsius",
        SENSOR,
        'hw.temperature.limit{device="platform_coretemp_0",kind="critical",sensor="temp1"}',
    ),
    (
        "node_thermal_zone_temp",
        {"type": "acpitz", "zone": "0"},
        'hw.temperature{device="thermal",sensor="acpitz 0"}',
    ),
]


@pytest.mark.parametrize(("name", "labels", "text"), ONE, ids=[name for name, _, _ in ONE])
def test_a_metric_that_is_one_of_ours(name: str, labels: dict[str, str], text: str) -> None:
    assert mapped(name, {**labels, "job": "node", "instance": "web-1:9100"}) == (Part(text),)


LEFT_OUT = [
    ("node_filesystem_size_bytes", {**ROOT, "fstype": "tmpfs"}),
    ("node_filesystem_avail_bytes", {**ROOT, "fstype": "overlay"}),
    ("node_disk_read_bytes_total", {"device": "sda1"}),
    ("node_disk_read_bytes_total", {"device": "loop3"}),
    ("node_disk_read_bytes_total", {"device": "nvme0n1p2"}),
    ("node_network_receive_bytes_total", {"device": "veth12"}),
    ("node_network_up", {"device": "lo"}),
    ("node_network_carrier", {"device": "eth0"}),
    ("node_processes_state", {"state": "?"}),
    ("node_cpu_seconds_total", {"cpu": "0"}),
    ("node_uname_info", {"nodename": "web-1"}),
]


@pytest.mark.parametrize(("name", "labels"), LEFT_OUT, ids=[str(n) for n in range(len(LEFT_OUT))])
def test_what_is_known_and_not_kept(name: str, labels: dict[str, str]) -> None:
    assert mapped(name, labels) == NOTHING


def test_what_the_table_has_not_got_keeps_its_name() -> None:
    assert mapped("node_entropy_available_bits", {}) is None
    assert mapped("http_requests_total", {"code": "200"}) is None


def test_parts_that_are_more_than_a_name() -> None:
    """It must be that units, differences and flags come out as the catalog has them."""
    speed = mapped("node_network_speed_bytes", {"device": "eth0"})
    assert speed == (Part('system.network.speed{interface="eth0"}', 8, Shape.POSITIVE),)
    paged = mapped("node_vmstat_pgpgin", {})
    assert paged == (Part('system.paging.io{direction="in"}', 1024),)
    assert mapped("node_vmstat_pgmajfault", {}) == (
        Part('system.paging.faults{kind="major"}'),
        Part('system.paging.faults{kind="minor"}', -1),
    )
    assert mapped("node_memory_SReclaimable_bytes", {}) == (
        Part('system.memory.usage{state="slab_reclaimable"}'),
        Part('system.memory.usage{state="cached"}'),
    )
    assert mapped("node_md_disks", {"device": "md0", "state": "active"}) == (
        Part('system.linux.raid.devices{device="md0",state="active"}'),
        Part('system.linux.raid.degraded{device="md0"}', -1, Shape.FLAG),
    )
    assert mapped("node_power_supply_capacity", {"power_supply": "BAT0"}) == (
        Part('hw.battery.charge{device="BAT0",kind="battery"}', 0.01),
    )


def test_every_key_that_is_stored_is_the_catalogs() -> None:
    """It must be that no rule of the table makes a name or an attribute that nobody knows."""
    everything = {
        **ROOT,
        **SENSOR,
        "device": "eth0",
        "cpu": "0",
        "mode": "user",
        "state": "R",
        "power_supply": "BAT0",
        "type": "acpitz",
        "zone": "0",
    }
    made = 0
    for name in sorted(NAMES):
        for part in mapped(name, everything) or NOTHING:
            key = SeriesKey.parse(part.key)
            if part.shape is not Shape.HIDDEN:
                assert {name for name, _ in key.attributes} <= set(CATALOG[key.name].attributes)
                made += 1
    assert made > 90


def test_one_device_is_one_filesystem() -> None:
    """It must be that bind mounts of a device are not shown again, nor one mount under another."""
    mounts = [
        ("/dev/vda", "/"),
        ("/dev/vda", "/etc/hosts"),
        ("/dev/vdb", "/data"),
        ("/dev/vdc", "/data"),
    ]
    labels = [{"device": d, "mountpoint": m, "fstype": "ext4"} for d, m in mounts]
    machine = Machine(("node_filesystem_size_bytes", each) for each in labels)
    shown = [bool(machine.mapped("node_filesystem_avail_bytes", each)) for each in labels]
    assert shown == [True, False, False, True]
    assert [(row["mountpoint"], row["device"]) for row in machine.filesystems] == [
        ("/", "/dev/vda"),
        ("/data", "/dev/vdc"),
    ]


def test_sensors_have_the_names_of_their_drivers() -> None:
    series = [
        ("node_hwmon_chip_names", {"chip": "pci_0", "chip_name": "k10temp"}),
        ("node_hwmon_chip_names", {"chip": "nvme_0", "chip_name": "nvme"}),
        ("node_hwmon_chip_names", {"chip": "nvme_1", "chip_name": "nvme"}),
        ("node_hwmon_sensor_label", {"chip": "pci_0", "sensor": "temp1", "label": "Tctl"}),
    ]
    machine = Machine(series)

    def key(chip: str, sensor: str) -> str:
        parts = machine.mapped("node_hwmon_temp_celsius", {"chip": chip, "sensor": sensor})
        assert parts
        return parts[0].key

    assert key("pci_0", "temp1") == 'hw.temperature{device="k10temp",sensor="Tctl"}'
    assert key("nvme_1", "temp1") == 'hw.temperature{device="nvme nvme_1",sensor="temp1"}'
    assert key("other", "temp2") == 'hw.temperature{device="other",sensor="temp2"}'


def test_a_tunnel_is_up_by_its_carrier() -> None:
    machine = Machine([("node_network_info", {"device": "wg0", "operstate": "unknown"})])
    assert machine.mapped("node_network_up", {"device": "wg0"}) == NOTHING
    assert machine.mapped("node_network_carrier", {"device": "wg0"}) == (
        Part('system.network.up{interface="wg0"}'),
    )


def test_the_machines_facts() -> None:
    machine = Machine(
        [
            ("node_uname_info", {"nodename": "vm", "release": "6.1.0", "machine": "x86_64"}),
            ("node_os_info", {"pretty_name": "Debian GNU/Linux 12 (bookworm)"}),
            ("node_dmi_info", {"system_vendor": "QEMU", "product_name": "Standard PC"}),
            ("node_cpu_info", {"model_name": "EPYC"}),
        ]
    )
    assert machine.facts == {
        "hostname": "vm",
        "kernel": "6.1.0",
        "architecture": "x86_64",
        "os": "Debian GNU/Linux 12 (bookworm)",
        "virtualization": "qemu",
        "cpu_model": "EPYC",
    }
