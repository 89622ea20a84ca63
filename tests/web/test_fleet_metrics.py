"""It must be that a scrape brings every host's newest values, and nothing that is old."""

from __future__ import annotations

import asyncio
import math
import zlib
from array import array
from collections.abc import Mapping
from typing import Any

import pytest
from prometheus_client.openmetrics import parser as openmetrics_parser
from prometheus_client.parser import text_string_to_metric_families

from monitor.core.state import HostState, LiveState
from monitor.model import Frame, HostStatus, Schema, key
from monitor.web.exposition import Family, wants_openmetrics
from monitor.web.fleet_metrics import FleetMetrics

NOW = 1_800_000_000.0
read_strictly: Any = openmetrics_parser.text_string_to_metric_families
OWN = (
    Family.single("process_cpu_seconds_total", "Processor time.", "counter", 7),
    Family.single("monitor_hosts", "Hosts known.", "gauge", 2),
)


def fed(
    state: LiveState, host: str, values: Mapping[str, float], at: float = NOW, source: str = ""
) -> HostState:
    """A host that has brought these values, and is up."""
    schema = Schema(tuple(values))
    frame = Frame(host, at, schema, array("d", values.values()), source)
    found = state.fold(frame, (), NOW)
    found.status = HostStatus.UP
    return found


def written(state: LiveState, *, openmetrics: bool = False, metrics: Any = None) -> str:
    writer = metrics or FleetMetrics()
    pieces = asyncio.run(writer.written(OWN, list(state.hosts.values()), openmetrics=openmetrics))
    return zlib.decompress(b"".join(pieces), wbits=31).decode()


def test_the_bytes_are_exactly_these() -> None:
    state = LiveState()
    fed(
        state,
        "web-1",
        {
            key("system.cpu.time", cpu="0", state="user"): 12.5,
            "system.memory.limit": 4096.0,
            key("app.odd-name", path='a"b\\c\nd', host="x"): math.inf,
        },
    ).labels = {"role": "web"}
    fed(state, "db-1", {key("system.cpu.time", cpu="0", state="user"): 3.0})
    text = written(state)
    assert text == (
        "# HELP process_cpu_seconds_total Processor time.\n"
        "# TYPE process_cpu_seconds_total counter\n"
        "process_cpu_seconds_total 7\n"
        "# HELP monitor_hosts Hosts known.\n"
        "# TYPE monitor_hosts gauge\n"
        "monitor_hosts 2\n"
        "# HELP monitor_host_up 1 where a host's frames come as they should.\n"
        "# TYPE monitor_host_up gauge\n"
        'monitor_host_up{host="web-1"} 1\n'
        'monitor_host_up{host="db-1"} 1\n'
        "# HELP monitor_host_info Always 1; a host's labels.\n"
        "# TYPE monitor_host_info gauge\n"
        'monitor_host_info{host="web-1",role="web"} 1\n'
        'monitor_host_info{host="db-1"} 1\n'
        "# HELP app_odd_name Not in the catalog: as it was received.\n"
        "# TYPE app_odd_name untyped\n"
        'app_odd_name{host="web-1",exported_host="x",path="a\\"b\\\\c\\nd"} +Inf\n'
        "# HELP system_cpu_time_seconds_total Time each logical processor spent in each state.\n"
        "# TYPE system_cpu_time_seconds_total counter\n"
        'system_cpu_time_seconds_total{host="web-1",cpu="0",state="user"} 12.5\n'
        'system_cpu_time_seconds_total{host="db-1",cpu="0",state="user"} 3.0\n'
        "# HELP system_memory_limit_bytes Memory of the whole host.\n"
        "# TYPE system_memory_limit_bytes gauge\n"
        'system_memory_limit_bytes{host="web-1"} 4096.0\n'
    )


def test_openmetrics_reads_it_to_its_end() -> None:
    state = LiveState()
    fed(state, "web-1", {"system.memory.oom_kills": 3.0, "x_total": 1.0, "odd": 2.5})
    text = written(state, openmetrics=True)
    families = {family.name: family for family in read_strictly(text)}
    assert text.endswith("\n# EOF\n")
    assert families["system_memory_oom_kills"].type == "counter"
    assert families["odd"].type == "unknown"
    assert families["process_cpu_seconds"].samples[0].value == 7


def test_what_is_absent_or_late_is_left_out_with_its_family() -> None:
    state = LiveState()
    fed(state, "web-1", {"gone": 1.0, "here": 2.0}, NOW - 400)
    fed(state, "web-1", {"gone": math.nan, "here": 3.0, "never": math.nan})
    assert "gone" not in written(state)
    assert "never" not in written(state)
    assert 'here{host="web-1"} 3.0\n' in written(state)


@pytest.mark.parametrize("status", [HostStatus.STALE, HostStatus.DOWN, HostStatus.RETIRED, None])
def test_a_host_that_is_not_up_has_no_values(status: HostStatus | None) -> None:
    state = LiveState()
    fed(state, "web-1", {"x": 1.0}).status = status
    text = written(state)
    assert 'monitor_host_up{host="web-1"} 0\n' in text
    assert "\nx{" not in text


def test_the_servers_names_are_shared_in_one_family() -> None:
    state = LiveState()
    fed(state, "web-1", {"process_cpu_seconds_total": 9.0, "monitor_host_up": 0.0})
    text = written(state)
    assert text.count("# TYPE process_cpu_seconds_total ") == 1
    assert 'process_cpu_seconds_total 7\nprocess_cpu_seconds_total{host="web-1"} 9.0\n' in text
    assert text.count("monitor_host_up{") == 1


def test_two_keys_of_one_name_and_labels_are_one_line() -> None:
    state = LiveState()
    mine = key("system.memory.usage", state="used")
    theirs = key("system_memory_usage_bytes", state="used")
    fed(state, "web-1", {mine: 1.0, theirs: 2.0})
    assert written(state).count("system_memory_usage_bytes{") == 1


def test_new_series_and_new_values_are_seen_by_the_next_scrape() -> None:
    state, metrics = LiveState(), FleetMetrics()
    fed(state, "web-1", {"x": 1.0})
    fed(state, "web-2", {"x": 5.0})
    assert 'x{host="web-1"} 1.0\n' in written(state, metrics=metrics)
    fed(state, "web-1", {"x": 2.0}, NOW + 1)
    assert 'x{host="web-1"} 2.0\n' in written(state, metrics=metrics)
    fed(state, "web-1", {"x": 3.0, "y": 4.0}, NOW + 2)
    text = written(state, metrics=metrics)
    assert 'x{host="web-1"} 3.0\n' in text
    assert 'y{host="web-1"} 4.0\n' in text
    assert 'x{host="web-2"} 5.0\n' in text


def test_a_gauge_is_not_taken_for_a_part_of_a_histogram() -> None:
    state = LiveState()
    fed(state, "web-1", {"system.users.count": 2.0})
    assert "# TYPE system_users_count untyped\n" in written(state)


def test_labels_that_are_reserved_are_renamed() -> None:
    state = LiveState()
    fed(state, "web-1", {"x": 1.0}).labels = {"__name__": "a", "host": "b"}
    text = written(state)
    assert 'monitor_host_info{host="web-1",key__name__="a",exported_host="b"} 1\n' in text


def test_what_is_written_is_read_by_prometheus_own_client() -> None:
    state = LiveState()
    values = {key("app.value", number=str(number)): number / 3 for number in range(10_000)}
    fed(state, "web-1", values)
    families = {family.name: family for family in text_string_to_metric_families(written(state))}
    read = {sample.labels["number"]: sample.value for sample in families["app_value"].samples}
    assert read == {str(number): number / 3 for number in range(10_000)}


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        ("", False),
        ("*/*", False),
        ("text/plain", False),
        ("application/openmetrics-text", True),
        (
            "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
            True,
        ),
        ("text/plain;version=0.0.4,application/openmetrics-text;q=0.3", False),
    ],
)
def test_openmetrics_comes_to_who_asks_for_it(accept: str, expected: bool) -> None:
    assert wants_openmetrics(accept) is expected
