"""OpenTelemetry's own SDK for Python sends to a running server of ours."""

from __future__ import annotations

from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource

from monitor.model import key
from tests.serving import Server
from tests.web import raw

NEVER_MILLISECONDS = 3_600_000.0
"""Between two exports by itself: it is told when."""


def test_what_a_program_counts_is_its_hosts(running: Server) -> None:
    exporter = OTLPMetricExporter(f"{running.url}/v1/metrics", compression=Compression.Gzip)
    reader = PeriodicExportingMetricReader(exporter, NEVER_MILLISECONDS)
    resource = Resource({"host.name": "sdk-1", "service.name": "shop"})
    provider = MeterProvider([reader], resource, shutdown_on_exit=False)
    try:
        meter = provider.get_meter("shop")
        orders = meter.create_counter("shop.orders", unit="{order}")
        waiting = meter.create_up_down_counter("shop.waiting")
        latency = meter.create_histogram("shop.latency", unit="s")
        for number in range(5):
            orders.add(1, {"kind": "book"})
            waiting.add(2)
            latency.record(0.1 * number)
        assert provider.force_flush()
    finally:
        provider.shutdown()
    metrics = raw.get(running.url, "/api/v1/hosts/sdk-1").json()["metrics"]
    shop = {"service.name": "shop"}
    assert metrics[key("shop.orders", kind="book", **shop)] == 5
    assert metrics[key("shop.waiting", **shop)] == 10
    assert metrics[key("shop.latency_count", **shop)] == 5
