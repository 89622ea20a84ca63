"""It must be that our series have the names in Prometheus that OpenTelemetry's rules give them."""

from __future__ import annotations

import re

import pytest

from monitor.core.catalog import METRICS, Kind
from monitor.core.prometheus_names import built, catalog_name, exported, label_name, prometheus_name
from monitor.model import SeriesKey


@pytest.mark.parametrize(
    ("name", "unit", "counts", "expected"),
    [
        # The examples of the rules' own documentation.
        ("(lambda).function.executions(#)", "", False, "lambda_function_executions"),
        ("system.filesystem.usage", "By", False, "system_filesystem_usage_bytes"),
        ("system.network.dropped", "{packets}", False, "system_network_dropped"),
        ("system.network.dropped", "packets", False, "system_network_dropped_packets"),
        ("system.memory.utilization", "1", False, "system_memory_utilization_ratio"),
        ("astro.light.speed", "m/s", False, "astro_light_speed_meters_per_second"),
        ("system.processes.created", "{processes}", True, "system_processes_created_total"),
        ("redis.keyspace.hits", "1", True, "redis_keyspace_hits_total"),
        # What they say of corners.
        ("request.duration.seconds", "s", False, "request_duration_seconds"),
        ("total.errors.total", "", True, "errors_total"),
        ("disk.ratio.used", "1", False, "disk_used_ratio"),
        ("5xx.replies", "", True, "_5xx_replies_total"),
        ("broker.rate", "{message}/s", False, "broker_rate_per_second"),
        ("broker.rate.second", "{message}/s", False, "broker_rate_second"),
        ("a..b__c", "", False, "a_b_c"),
        ("job:up:sum", "", False, "job:up:sum"),
    ],
)
def test_a_name_is_made_by_the_rules(name: str, unit: str, counts: bool, expected: str) -> None:
    assert built(name, unit, counts=counts) == expected


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("system.cpu.time", "system_cpu_time_seconds_total"),
        ("system.cpu.utilization", "system_cpu_utilization_ratio"),
        ("system.cpu.logical.count", "system_cpu_logical_count"),
        ("system.cpu.load_average.1m", "system_cpu_load_average_1m"),
        ("system.memory.usage", "system_memory_usage_bytes"),
        ("system.network.io", "system_network_io_bytes_total"),
        ("system.network.speed", "system_network_speed_bit_per_second"),
        ("hw.temperature", "hw_temperature_celsius"),
        ("hw.fan.speed", "hw_fan_speed_rpm"),
        # Not in the catalog: nothing is known of its unit.
        ("node_load1", "node_load1"),
        ("go_gc_duration_seconds_sum", "go_gc_duration_seconds_sum"),
        ("__odd__name_", "__odd__name_"),
        ("app.queue-length/now", "app_queue_length_now"),
    ],
)
def test_a_metric_has_the_name_that_its_unit_gives_it(name: str, expected: str) -> None:
    assert prometheus_name(name) == expected


def test_every_name_of_the_catalog_is_a_name_and_leads_back() -> None:
    made = {metric.name: prometheus_name(metric.name) for metric in METRICS}
    assert len(set(made.values())) == len(made)
    for name, found in made.items():
        assert re.fullmatch(r"[a-z_][a-z0-9_]*", found)
        assert catalog_name(found) == name
    for metric in METRICS:
        assert made[metric.name].endswith("_total") is (metric.kind is Kind.COUNTER)
    # OpenMetrics calls a counter's family by its name without the ending.
    families = [found.removesuffix("_total") for found in made.values()]
    assert len(set(families)) == len(families)


def test_what_is_not_ours_has_no_name_in_the_catalog() -> None:
    assert catalog_name("node_cpu_seconds_total") is None
    assert catalog_name("system.cpu.time") is None


def test_attributes_become_labels_in_order() -> None:
    key = SeriesKey.of("system.cpu.time", state="user", cpu="0")
    assert exported(key) == (
        "system_cpu_time_seconds_total",
        (("cpu", "0"), ("state", "user")),
    )


def test_an_attribute_is_never_taken_for_the_host_or_a_reserved_label() -> None:
    assert label_name("host") == "exported_host"
    assert label_name("__name__") == "key__name__"
    assert label_name("http.method") == "http_method"
    assert label_name(":odd") == "_odd"


def test_attributes_of_one_label_are_joined() -> None:
    key = SeriesKey("app.x", (("a-b", "1"), ("a.b", "2"), ("host", "y")))
    assert exported(key) == ("app_x", (("a_b", "1;2"), ("exported_host", "y")))
