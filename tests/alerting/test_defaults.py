"""The shipped rules, by the evaluator that judges them live.

Every name finishes the sentence "it must be that …".
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest

from monitor.alerting import changes, synthetic
from monitor.alerting.shipped import shipped
from monitor.core.catalog import CATALOG
from monitor.core.quantity import format_seconds
from monitor.core.rules.model import Above, Below, Level, Limit, Severity
from monitor.core.rules.reading import Layer, read_layers
from monitor.core.series import Floats
from monitor.model import key
from tests.alerting.scenes import (
    CPU,
    Day,
    Value,
    defaults,
    filesystem,
    idle,
    pressure,
    rising,
    while_,
    wobbling,
)

RULES = defaults().rules

WITHOUT_FOR = {
    "fleet_unreachable",  # what it looks at is of a whole minute
    "reboot_loop",
    "unclean_boot",
    "reboot_detected",
    "kernel_changed",
    "oom_kill",
    "oom_kill_system",
    "memory_errors",
}
"""Rules on something that happens once: to wait would be to miss it."""

ONE_SHOT = {"unclean_boot", "oom_kill", "oom_kill_system", "oom_kill_host", "memory_errors"}


def limits(level: Level) -> list[Limit]:
    return [clause.limit for clause in level.clauses]


# What they are


def test_there_is_one_for_all_that_goes_wrong_with_a_host() -> None:
    assert 45 <= len(RULES) <= 60
    assert {rule.severity for rule in RULES.values()} == set(Severity)


@pytest.mark.parametrize("name", sorted(RULES))
def test_each_says_in_words_what_is_and_why_it_matters(name: str) -> None:
    rule = RULES[name]
    assert rule.summary
    assert 20 < len(rule.description) < 400
    assert rule.is_default
    assert rule.origin.startswith("defaults:")
    assert not rule.runbook_url


@pytest.mark.parametrize("name", sorted(RULES))
def test_each_comes_back_later_than_it_fires_and_waits_before(name: str) -> None:
    rule = RULES[name]
    for level in rule.levels:
        for clause in level.clauses[:1]:
            match clause.limit:
                case Above(value, clear) if value > 0:
                    is_count = float(value).is_integer() and clause.condition.metric.endswith(
                        "boots"
                    )
                    assert clear < value or is_count
                case Below(value, clear):
                    assert clear > value or clause.condition.metric.endswith("success")
                case _:
                    pass
        assert level.for_seconds > 0 or name in WITHOUT_FOR
    assert rule.notify_resolved is (name not in ONE_SHOT)


def test_each_looks_at_metrics_that_are_known_and_collected() -> None:
    for rule in RULES.values():
        for level in rule.levels:
            for clause in level.clauses:
                metric = CATALOG.get(clause.condition.metric)
                assert metric is not None, clause.condition.metric
                where = clause.condition.where
                assert where is None or where.names <= set(metric.attributes)


def test_each_that_holds_another_is_there_and_nobody_holds_himself() -> None:
    for rule in RULES.values():
        assert set(rule.held_by) <= RULES.keys() - {rule.name}


def test_what_the_server_makes_for_them_is_what_they_ask_for() -> None:
    made = {*changes.MADE, *synthetic.Own.METRICS}
    asked = {
        clause.condition.metric
        for rule in RULES.values()
        for level in rule.levels
        for clause in level.clauses
    }
    assert made <= asked


def test_one_is_changed_key_by_key() -> None:
    written = {"disk_space": {"warning": {"above": "92%"}}}
    rules, faults = read_layers([shipped(), Layer(written, lambda _: "config.toml:1")])
    assert not faults
    warning, critical = rules.rules["disk_space"].levels
    assert limits(warning)[0] == Above(0.92, 0.87)
    assert warning.for_seconds == 300
    assert limits(critical)[0] == Above(0.97, 0.94)
    assert not rules.rules["disk_space"].is_default


# Whom they leave alone


def alone(values: Mapping[str, Value], hours: float, step: float = 60.0, **labels: str) -> Day:
    """An idle host of which a few things are otherwise."""
    return Day({**idle(hours), **values}, hours, step, labels, frozenset(values))


def building(hours: float) -> dict[str, Value]:
    """Every processor busy for hours, tasks waiting for them, disks written to in bursts."""
    return {
        CPU: wobbling(0.97, 1.0, 30),
        f"{CPU}.ordinary": wobbling(0.97, 1.0, 31),
        pressure("cpu", "some"): wobbling(0.8, 0.99, 32),
        pressure("io", "full"): wobbling(0.05, 0.3, 33),
        "system.memory.utilization": wobbling(0.7, 0.93, 34),
        key("system.memory.usage", state="available"): wobbling(5e9, 20e9, 35),
        "system.tasks.blocked": wobbling(0.0, 8.0, 36),
        key("system.disk.await", device="nvme0n1", direction="read"): wobbling(0.001, 0.02, 37),
        key("system.disk.operations", device="nvme0n1", direction="read"): wobbling(100, 3000, 38),
        **filesystem(
            "/",
            500e9,
            # Each build writes 30 GB within ten minutes, which go again at its end.
            lambda seconds: 0.6 + 0.06 * np.minimum(1.0, (seconds % 1_800) / 600),
        ),
    }


def copying(hours: float, *, rotational: float) -> dict[str, Value]:
    """A backup for two hours in the night: disks and network full, a disk grows and shrinks."""
    device = {"device": "sda", "direction": "read"}
    begins, ends = hours - 8, hours - 6
    return {
        pressure("io", "full"): while_(begins, ends, wobbling(0.5, 0.9, 40), 0.01),
        key(CPU, state="iowait"): while_(begins, ends, wobbling(0.3, 0.6, 41), 0.01),
        "system.tasks.blocked": while_(begins, ends, wobbling(1.0, 3.0, 42), 0.0),
        key("system.disk.await", **device): while_(
            begins, ends, wobbling(0.005, 0.03 if not rotational else 0.15, 43), 0.004
        ),
        key("system.disk.operations", **device): while_(begins, ends, 900.0, 3.0),
        key("system.disk.await", device="sda", direction="write"): while_(begins, ends, 0.9, 0.01),
        key("system.disk.operations", device="sda", direction="write"): 400.0,
        key("system.disk.rotational", device="sda"): rotational,
        key("system.network.utilization", interface="eth0"): while_(begins, ends, 0.97, 0.01),
        key("system.network.dropped.ratio", interface="eth0"): while_(begins, ends, 0.01, 0.0),
        "system.memory.utilization": 0.6,
        # The old copies go before the new one comes, at the same time every day.
        **filesystem("/srv", 2e12, nightly(0.62, 0.75, hours)),
    }


def nightly(low: float, high: float, hours: float) -> Callable[[Floats], Floats]:
    """A share that falls at once and rises for two hours, every 24 hours, six hours ago last."""

    def made(seconds: Floats) -> Floats:
        into = (seconds / 3_600 - (hours - 8)) % 24
        return low + (high - low) * np.minimum(into / 2, 1.0)

    return made


QUIET: Mapping[str, Day] = {
    "an idle laptop": Day(idle(24), 24, step=240),
    "a busy build host": alone(building(8), 8, role="build"),
    "a build host for three quarters of an hour": alone(
        {
            **building(3),
            CPU: while_(1, 1.75, 1.0, 0.1),
            f"{CPU}.ordinary": while_(1, 1.75, 1.0, 0.1),
            pressure("cpu", "some"): while_(1, 1.8, 0.9, 0.01),
        },
        3,
    ),
    "a nightly backup": alone(copying(44, rotational=0.0), 44, 240),
    "a nightly backup to a disk that rotates": alone(copying(44, rotational=1.0), 44, 240),
    "one large file that stays": alone(filesystem("/srv", 1e12, rising(0.3, 0.72, 4.0, 4.4)), 12),
}


@pytest.mark.parametrize("name", sorted(QUIET))
def test_nobody_is_told_of(name: str) -> None:
    assert QUIET[name].told() == set()


def test_what_is_meant_to_be_busy_is_told_of_where_it_is_not_known_to_be() -> None:
    """The control of the build host: without its label an hour of want is told once."""
    assert alone(building(3), 3).told() == {"cpu_saturated"}


def test_a_backup_is_shown_all_the_same() -> None:
    fired = {name for name, _ in QUIET["a nightly backup"].firings("cpu_iowait", "io_stalled")}
    assert fired == {"cpu_iowait", "io_stalled"}


# What they are for


AVAILABLE = key("system.memory.usage", state="available")
SENSOR = {"device": "coretemp", "sensor": "Package id 0"}
READS = {"device": "nvme0n1", "direction": "read"}

LOUD: Mapping[str, tuple[Day, set[str]]] = {
    "a host that dies": (
        alone({"monitor.host.down": while_(0.5, 1, 1.0, 0.0)}, 1),
        {"host_unreachable"},
    ),
    "a fleet that goes away": (
        alone({"monitor.fleet.down_ratio": while_(0.5, 0.51, 0.6, 0.0)}, 1),
        {"fleet_unreachable"},
    ),
    "a host that boots again and again": (
        alone(
            {
                "monitor.host.boots": lambda s: np.minimum(s // 600, 4.0),
                "monitor.host.unclean_boot": 1.0,
            },
            1,
        ),
        {"reboot_loop", "unclean_boot"},
    ),
    "a clock that is off": (alone({"monitor.host.clock.skew": 3.0}, 1), {"clock_skew"}),
    "no processor time for an hour": (
        alone({f"{CPU}.ordinary": 0.99, pressure("cpu", "some"): 0.8}, 2),
        {"cpu_saturated"},
    ),
    "other guests": (alone({key(CPU, state="steal"): 0.2}, 1), {"cpu_steal"}),
    "a process that takes all memory": (
        alone(
            {
                "system.memory.utilization": rising(0.6, 0.99, 0.2, 0.8),
                AVAILABLE: rising(3e9, 0.1e9, 0.2, 0.8),
            },
            1.5,
        ),
        {"mem_low", "mem_critical"},
    ),
    "memory that is too small": (
        alone({pressure("memory", "full", "avg60"): 0.2}, 0.5),
        {"mem_stalled"},
    ),
    "swap that moves": (alone({"system.paging.churn": 0.2}, 1), {"swap_thrash"}),
    "a service that reached its limit": (
        alone(
            {
                key("cgroup.memory.oom_kills", unit="web.service"): while_(0.5, 0.51, 0.2, 0.0),
                "system.memory.oom_kills": while_(0.5, 0.51, 0.2, 0.0),
                key("system.memory.oom_kills", kind="group"): while_(0.5, 0.51, 0.2, 0.0),
            },
            1,
            10,
        ),
        {"oom_kill", "oom_kill_host"},  # the second is held back by the first
    ),
    "a host without memory": (
        alone({key("system.memory.oom_kills", kind="system"): while_(0.5, 0.51, 1.0, 0.0)}, 1, 10),
        {"oom_kill_system"},
    ),
    "memory that forgets": (
        alone(
            {'hw.memory.errors{device="mc0",kind="uncorrectable"}': while_(0.5, 0.52, 0.02, 0.0)}, 1
        ),
        {"memory_errors"},
    ),
    "disks that all wait for": (
        alone({pressure("io", "full"): 0.7, "system.tasks.blocked": wobbling(4.0, 9.0, 50)}, 1.5),
        {"io_pressure"},
    ),
    "a slow disk": (
        alone(
            {
                key("system.disk.await", **READS): wobbling(0.06, 0.2, 51),
                key("system.disk.operations", **READS): 50.0,
            },
            1,
        ),
        {"disk_latency"},
    ),
    "a slow disk that rotates": (
        alone(
            {
                key("system.disk.await", device="sdb", direction="read"): wobbling(0.21, 0.5, 52),
                key("system.disk.operations", device="sdb", direction="read"): 50.0,
                key("system.disk.rotational", device="sdb"): 1.0,
            },
            1,
        ),
        {"disk_latency_rotating"},
    ),
    "a disk that is nearly full": (alone(filesystem("/srv", 100e9, 0.93), 1), {"disk_space"}),
    "a large disk that is nearly full": (
        alone(filesystem("/srv", 10e12, 0.985), 1),
        {"disk_nearly_full"},
    ),
    "a small disk that is nearly full": (
        alone(filesystem("/boot", 500e6, 0.985), 1),
        {"disk_space", "disk_nearly_full"},
    ),
    "a log that runs wild": (
        alone(filesystem("/var", 200e9, rising(0.4, 1.0, 1.0, 1.5)), 2, 15),
        {"disk_fills_now", "disk_full_now", "disk_space", "disk_nearly_full"},
    ),
    "a disk that fills": (
        alone(filesystem("/srv", 1e12, rising(0.45, 0.89, 6.0, 40.0)), 40, 120),
        {"disk_fills_soon"},
    ),
    "many small files": (
        alone({key("system.filesystem.inodes.utilization", mountpoint="/"): 0.95}, 1),
        {"inodes"},
    ),
    "a disk that failed": (
        alone({key("system.filesystem.flipped", mountpoint="/"): while_(0.5, 1, 1.0, 0.0)}, 1),
        {"fs_readonly"},
    ),
    "a bad cable": (
        alone({key("system.network.errors.ratio", interface="eth0"): 0.03}, 1),
        {"nic_errors"},
    ),
    "a full firewall": (alone({"system.network.conntrack.utilization": 0.85}, 1), {"conntrack"}),
    "descriptors": (alone({"system.file_descriptors.utilization": 0.95}, 1), {"fds"}),
    "a process that closes nothing": (
        alone({"system.processes.file_descriptors.utilization": rising(0.1, 1.0, 0.1, 0.8)}, 1),
        {"process_fds"},
    ),
    "a fork bomb": (alone({"system.tasks.utilization": 0.92}, 1), {"tasks"}),
    "a service without tasks": (
        alone({"system.cgroups.pids.utilization": 0.9}, 1),
        {"cgroup_tasks"},
    ),
    "a dusty fan": (
        alone({key("hw.temperature.utilization", **SENSOR, kind="high"): 1.03}, 1),
        {"temp_high"},
    ),
    "no fan": (
        alone({key("hw.temperature.utilization", **SENSOR, kind="critical"): 1.0}, 1),
        {"temp_critical"},
    ),
    "a RAID without a disk": (
        alone({key("system.linux.raid.degraded", device="md0"): 1.0}, 1),
        {"raid_degraded"},
    ),
    "no power": (
        alone(
            {
                key("hw.battery.charge", device="ups", kind="ups"): rising(1.0, 0.1, 0.0, 1.0),
                key("hw.battery.discharging", device="ups", kind="ups"): 1.0,
            },
            1,
        ),
        {"ups_low"},
    ),
    "a slow collector": (
        alone({key("monitor.collector.duration", collector="sensors"): 0.39}, 1),
        {"collector_slow"},
    ),
    "a collector that fails": (
        alone({key("monitor.collector.success", collector="sensors"): 0.0}, 1),
        {"collector_failing"},
    ),
    "a slow store": (alone({"monitor.store.lag": 60.0}, 1), {"store_lag"}),
    "a channel that is gone": (
        alone({key("monitor.channel.failing", channel="phone"): 1.0}, 1),
        {"channel_failing"},
    ),
    "a full disk of our own": (
        alone({"monitor.data.utilization": 0.97, "monitor.data.free": 2e9}, 1),
        {"data_space"},
    ),
    "a file with faults": (
        alone({"monitor.config.reload_failed": 1.0}, 1),
        {"config_reload_failed"},
    ),
}


@pytest.mark.parametrize("name", sorted(LOUD))
def test_somebody_is_told_of(name: str) -> None:
    day, expected = LOUD[name]
    assert day.told() == expected


def test_each_that_tells_somebody_is_shown_to_fire() -> None:
    told = {name for name, rule in RULES.items() if rule.severity is not Severity.INFO}
    assert set().union(*(expected for _, expected in LOUD.values())) == told


INFORMED: Mapping[str, tuple[Day, str]] = {
    "a reboot": (
        alone(
            {
                "system.uptime": lambda s: np.where(s < 1_800, 1e6 + s, s - 1_800),
                "system.boot_time": while_(0.5, 2, 2e9, 1e9),
            },
            2,
        ),
        "reboot_detected",
    ),
    "another kernel": (alone({"monitor.host.kernel_changed": 1.0}, 1), "kernel_changed"),
    "updates": (alone({}, 1), "reboot_required"),
    "no time source": (alone({"system.clock.synchronized": 0.0}, 1), "clock_unsynchronised"),
    "a busy hour": (alone({CPU: 0.97}, 1), "cpu_high"),
    "much waiting": (alone({key(CPU, state="iowait"): 0.5}, 1), "cpu_iowait"),
    "maps": (alone({key("system.paging.faults", kind="major"): 900.0}, 1), "major_faults"),
    "a copy": (alone({pressure("io", "full"): 0.8}, 1), "io_stalled"),
    "unwanted packets": (
        alone({key("system.network.dropped.ratio", interface="eth0"): 0.1}, 1),
        "nic_drops",
    ),
    "a full cable": (
        alone({key("system.network.utilization", interface="eth0"): 0.99}, 1),
        "nic_saturated",
    ),
    "a warm sensor": (
        alone({key("hw.temperature.utilization", **SENSOR, kind="assumed"): 1.1}, 1),
        "temp_warm",
    ),
    "a slow reader": (alone({"monitor.stream.readers_dropped": 2.0}, 1), "stream_clients_dropped"),
}


@pytest.mark.parametrize("name", sorted(INFORMED))
def test_it_is_shown_and_nobody_is_told_of(name: str) -> None:
    day, expected = INFORMED[name]
    assert expected in {rule for rule, _ in day.firings(expected)}
    assert day.told() == set()


def test_every_rule_is_shown_to_fire() -> None:
    shown = set().union(*(expected for _, expected in LOUD.values()))
    assert shown | {expected for _, expected in INFORMED.values()} == RULES.keys()


# Finer points


def first(day: Day, name: str) -> tuple[float, Severity]:
    """How many minutes in a rule fires first, and the worst that it comes to."""
    (firing, *_) = [firing for rule, firing in day.firings(name) if rule == name]
    return (firing.start - 1_700_000_000.0) / 60, firing.severity


def test_a_host_that_is_down_is_told_after_two_minutes_more() -> None:
    day = Day({"monitor.host.down": while_(0.5, 1, 1.0, 0.0)}, 1, 10)
    assert first(day, "host_unreachable")[0] == pytest.approx(32, abs=0.3)


def test_a_host_that_pushes_a_share_alone_has_its_disks_judged_by_it() -> None:
    day = Day({key("system.filesystem.utilization", mountpoint="/data"): 0.93}, 0.5)
    assert day.told() == {"disk_space"}


def test_space_without_end_is_no_shortage() -> None:
    assert alone(filesystem("/srv", 10e12, 0.97), 1).told() == set()


def test_what_cannot_be_written_does_not_fill() -> None:
    full = {
        **filesystem("/iso", 20e9, 1.0, readonly=1.0),
        **filesystem("/x", 20e9, rising(0.5, 1.0, 0, 1), 1.0),
    }
    assert alone(full, 1, 15).told() == set()


def test_a_pool_that_is_full_is_told_once_however_many_datasets_it_has() -> None:
    pool: dict[str, Value] = {}
    for number in range(20):
        pool |= filesystem(f"/tank/{number}", 1e12, 0.99)
        pool[key("system.filesystem.shared", mountpoint=f"/tank/{number}")] = float(number > 0)
    firings = alone(pool, 1).firings()
    assert {dict(firing.attributes)["mountpoint"] for _, firing in firings} == {"/tank/0"}


def test_a_small_partition_has_little_left_and_is_not_full() -> None:
    assert alone(filesystem("/boot", 900e6, 0.5), 1).told() == set()


def test_a_disk_that_gets_fuller_gets_more_severe() -> None:
    day = alone(filesystem("/srv", 100e9, rising(0.85, 0.965, 0.0, 10.0)), 12, 120)
    assert first(day, "disk_space")[1] is Severity.WARNING
    later = alone(filesystem("/srv", 100e9, rising(0.85, 0.985, 0.0, 10.0)), 12, 120)
    assert first(later, "disk_space")[1] is Severity.CRITICAL


def test_a_disk_that_fills_is_told_hours_before() -> None:
    """45 % at hour 6, and 100 % at hour 48.5."""
    day, _ = LOUD["a disk that fills"]
    minutes, _severity = first(day, "disk_fills_soon")
    assert minutes / 60 < 36


def test_a_machine_with_much_memory_is_not_short_at_nine_tenths() -> None:
    large = {"system.memory.utilization": 0.95, AVAILABLE: 12e9}
    assert alone(large, 1).told() == set()


def test_an_old_kernel_without_pressure_has_rules_that_do_not_apply() -> None:
    values = {text: value for text, value in idle(1).items() if "pressure" not in text}
    values[f"{CPU}.ordinary"] = 1.0
    assert Day(values, 2).told() == set()


def test_writes_that_queue_are_no_slow_disk() -> None:
    queued: dict[str, Value] = {
        key("system.disk.await", device="nvme0n1", direction="write"): 2.0,
        key("system.disk.operations", device="nvme0n1", direction="write"): 500.0,
    }
    assert alone(queued, 1).told() == set()


def test_few_slow_reads_are_no_slow_disk() -> None:
    slow = {key("system.disk.await", **READS): 0.4, key("system.disk.operations", **READS): 2.0}
    assert alone(slow, 1).told() == set()


def test_a_first_start_fires_no_rule_on_boots() -> None:
    values: dict[str, Value] = {
        "system.uptime": lambda seconds: 30 + seconds,
        "system.boot_time": 1e9,
        "monitor.host.boots": 0.0,
        "monitor.host.unclean_boot": 0.0,
        "monitor.host.kernel_changed": 0.0,
    }
    boots = ("reboot_detected", "reboot_loop", "unclean_boot", "kernel_changed")
    assert Day(values, 1).firings(*boots) == []


def test_a_clock_that_is_set_is_no_reboot() -> None:
    moved = alone({"system.boot_time": while_(0.5, 1, 2e9, 1e9)}, 1)
    assert moved.firings("reboot_detected") == []


def test_a_kill_is_one_alert_however_many_processes_die() -> None:
    unit = key("cgroup.memory.oom_kills", unit="web.service")
    day = alone({unit: lambda s: np.where((s > 600) & (s % 240 < 10), 0.1, 0.0)}, 1, 10)
    assert len(day.firings("oom_kill")) == 1


def test_the_page_of_docs_has_each_with_its_severities_and_for() -> None:
    page = (Path(__file__).parents[2] / "docs/default-rules.md").read_text(encoding="utf-8")
    rows = [line.split("|") for line in page.splitlines() if line.startswith("| `")]
    told = {row[1].strip(" `"): (row[2].strip(), row[4].strip()) for row in rows}
    assert told == {
        name: (
            ", ".join(level.severity for level in rule.levels),
            format_seconds(rule.levels[0].for_seconds),
        )
        for name, rule in RULES.items()
    }
