"""What the OpenTelemetry Collector's hostmetrics receiver sends of a small Linux machine.

Made from the documentation of its scrapers: names, attributes, kinds; each scraper reads a few
milliseconds after the one before.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.metrics.v1.metrics_pb2 import AggregationTemporality, Metric

GIB = 2**30
CUMULATIVE = AggregationTemporality.AGGREGATION_TEMPORALITY_CUMULATIVE
DELTA = AggregationTemporality.AGGREGATION_TEMPORALITY_DELTA
STATES = ("user", "system", "idle", "interrupt", "nice", "softirq", "steal", "wait")


def value(found: str | float | bool) -> AnyValue:
    match found:
        case bool():
            return AnyValue(bool_value=found)
        case str():
            return AnyValue(string_value=found)
        case int():
            return AnyValue(int_value=found)
        case _:
            return AnyValue(double_value=found)


def attributes(found: Mapping[str, str | float | bool]) -> list[KeyValue]:
    return [KeyValue(key=name, value=value(each)) for name, each in found.items()]


class Request:
    """A request of one resource, to which metrics are added."""

    def __init__(self, at: float, **resource: str) -> None:
        self.at = at
        self.message = ExportMetricsServiceRequest()
        self.resource = self.message.resource_metrics.add()
        named = {name.replace("__", "."): each for name, each in resource.items()}
        self.resource.resource.attributes.extend(attributes(named))
        self.scope = self.resource.scope_metrics.add()

    def metric(self, name: str) -> Metric:
        metrics = list(self.scope.metrics)
        found: Metric | None = next((known for known in metrics if known.name == name), None)
        return cast("Metric", self.scope.metrics.add(name=name)) if found is None else found

    def add(
        self,
        name: str,
        number: float,
        *,
        later: float = 0.0,
        gauge: bool = False,
        temporality: AggregationTemporality.ValueType = CUMULATIVE,
        **found: Any,
    ) -> None:
        """A point of a sum, or of a gauge, so many seconds later than the request."""
        metric = self.metric(name)
        if not gauge:
            metric.sum.aggregation_temporality = temporality
            metric.sum.is_monotonic = True
        points = (metric.gauge if gauge else metric.sum).data_points
        point = points.add(time_unix_nano=round((self.at + later) * 1e9))
        named = {key.replace("__", "."): each for key, each in found.items()}
        point.attributes.extend(attributes(named))
        if isinstance(number, int):
            point.as_int = number
        else:
            point.as_double = number

    def encoded(self) -> bytes:
        return bytes(self.message.SerializeToString())


def machine(at: float, busy_seconds: float = 0.0, idle_seconds: float = 0.0) -> Request:
    """All of a machine, with the scrapers' defaults, on one look."""
    made = Request(at, host__name="otel-1", os__type="linux", host__arch="amd64")
    for cpu in ("cpu0", "cpu1"):
        for state in STATES:
            spent = {"user": busy_seconds, "idle": idle_seconds, "wait": 1.0}.get(state, 0.0)
            made.add("system.cpu.time", float(spent), cpu=cpu, state=state)
    for minutes, load in (("1m", 0.5), ("5m", 0.4), ("15m", 0.3)):
        made.add(f"system.cpu.load_average.{minutes}", load, later=0.001, gauge=True)
    for state, size in (
        *(("used", 6), ("free", 5), ("cached", 4), ("buffered", 1)),
        *(("slab_reclaimable", 1), ("slab_unreclaimable", 1)),
    ):
        made.add("system.memory.usage", size * GIB, later=0.002, state=state)
    for direction, number in (("read", 10), ("write", 20)):
        for device in ("sda", "sda1", "loop0"):
            found: dict[str, Any] = {"device": device, "direction": direction, "later": 0.003}
            made.add("system.disk.io", number * 4096 + round(at), **found)
            made.add("system.disk.operations", number + round(at), **found)
            made.add("system.disk.operation_time", 0.5, **found)
    made.add("system.disk.io_time", 1.0 + busy_seconds, later=0.003, device="sda")
    made.add("system.disk.weighted_io_time", 2.0 + busy_seconds, later=0.003, device="sda")
    made.add("system.disk.pending_operations", 0, later=0.003, device="sda")
    mounts = (("/", "ext4", "/dev/sda1"), ("/run", "tmpfs", "tmpfs"), ("/data", "xfs", "/dev/sdb"))
    for mount, type_, device in mounts:
        found = {"device": device, "mode": "rw", "mountpoint": mount, "type": type_, "later": 0.004}
        for state, size in (("used", 45), ("free", 50), ("reserved", 5)):
            made.add("system.filesystem.usage", size * GIB, state=state, **found)
        for state, size in (("used", 40), ("free", 60)):
            made.add("system.filesystem.inodes.usage", size, state=state, **found)
    for device in ("eth0", "lo", "veth12"):
        for direction in ("receive", "transmit"):
            found = {"device": device, "direction": direction, "later": 0.005}
            made.add("system.network.io", round(at * 1000), **found)
            made.add("system.network.packets", round(at), **found)
            made.add("system.network.errors", 0, **found)
            made.add("system.network.dropped", 0, **found)
    for state, count in (("ESTABLISHED", 12), ("LISTEN", 5)):
        made.add("system.network.connections", count, later=0.006, protocol="tcp", state=state)
    for state, size in (("used", 1), ("free", 3)):
        made.add("system.paging.usage", size * GIB, later=0.007, device="/dev/dm-1", state=state)
    for direction in ("page_in", "page_out"):
        for type_ in ("major", "minor"):
            made.add("system.paging.operations", 8192, later=0.007, direction=direction, type=type_)
    for type_ in ("major", "minor"):
        made.add("system.paging.faults", 7, later=0.007, type=type_)
    for status, count in (("running", 2), ("sleeping", 90), ("blocked", 1), ("zombies", 0)):
        made.add("system.processes.count", count, later=0.008, status=status)
    made.add("system.processes.created", 1000 + round(at), later=0.008)
    made.add("system.uptime", 5000.0, later=0.009, gauge=True)
    return made
