"""It must be that what ``/metrics`` says is read by Prometheus as it was meant."""

from __future__ import annotations

import math
import os
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

import monitor
from monitor.web.exposition import Family, text
from tests.serving import Server
from tests.web import raw


def read(written: str) -> dict[str, Any]:
    """Families by name as Prometheus's own client for Python reads them."""
    return {family.name: family for family in text_string_to_metric_families(written)}


def test_the_bytes_are_exactly_these() -> None:
    families = (
        Family("a_total", 'Says "hello"\nand \\.', "counter", (({"to": 'a"b\\c\nd'}, 3.0),)),
        Family("b_ratio", "Half.", "gauge", (({}, 0.5), ({"x": "1", "y": "ü"}, math.inf))),
        Family("c", "None yet.", "gauge", ()),
    )
    assert text(families) == (
        '# HELP a_total Says "hello"\\nand \\\\.\n'
        "# TYPE a_total counter\n"
        'a_total{to="a\\"b\\\\c\\nd"} 3\n'
        "# HELP b_ratio Half.\n"
        "# TYPE b_ratio gauge\n"
        "b_ratio 0.5\n"
        'b_ratio{x="1",y="ü"} +Inf\n'
        "# HELP c None yet.\n"
        "# TYPE c gauge\n"
    )


@pytest.mark.parametrize("sign", ["\r", "\t", "\0", "\x1b", "\x85", "\u2028", "\u202e"])
def test_what_is_no_text_stands_by_its_number(sign: str) -> None:
    family = Family("a", "A.", "gauge", (({"to": f"a{sign}b\n"}, 1.0),))
    assert f'a{{to="a\\\\u{ord(sign):04x}b\\n"}} 1' in text([family]).split("\n")


_LABELS = st.dictionaries(
    st.from_regex(r"[a-z][a-z0-9_]{0,8}", fullmatch=True), st.text(max_size=20), max_size=4
)
# No control characters: they are written by their numbers.
_VALUES = st.floats(allow_nan=True, allow_infinity=True) | st.integers(-(2**60), 2**60)


@given(_LABELS, _VALUES, st.text(alphabet='a "\\\n{}é', max_size=20))
def test_prometheus_reads_what_was_written(
    labels: dict[str, str], value: float, help_: str
) -> None:
    labels = {
        name: "".join(each if each.isprintable() or each == "\n" else " " for each in held)
        for name, held in labels.items()
    }
    written = text([Family("a_metric", help_, "gauge", ((labels, float(value)),))])
    family = read(written)["a_metric"]
    (sample,) = family.samples
    assert sample.labels == labels
    assert sample.value == float(value) or (math.isnan(sample.value) and math.isnan(value))
    assert family.documentation.strip() == help_.strip()
    assert family.type == "gauge"


@pytest.mark.parametrize(
    "family",
    [
        Family.single("a b", "", "gauge", 1),
        Family.single("a_total", "", "gauge", 1),
        Family.single("a", "", "counter", 1),
        Family("a", "", "gauge", (({"x-y": "1"}, 1),)),
        Family("a", "", "gauge", (({"__name__": "1"}, 1),)),
    ],
)
def test_a_name_that_is_none_is_our_own_fault_and_said(family: Family) -> None:
    with pytest.raises(ValueError, match="name"):
        text([family])


def test_a_family_stands_once() -> None:
    with pytest.raises(ValueError, match="twice"):
        text([Family.single("a", "", "gauge", 1)] * 2)


def test_the_server_tells_of_itself(running: Server) -> None:
    answer = raw.get(running.url, "/metrics")
    assert answer.status == 200
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    families = read(answer.body.decode())
    assert {
        "monitor_stream_readers",
        "monitor_stream_deliveries",
        "monitor_stream_sent_bytes",
        "monitor_stream_conflations",
        "monitor_stream_gaps",
        "monitor_stream_evictions",
        "monitor_stream_stalls",
        "monitor_log_last_position",
        "monitor_pushes",
        "monitor_hosts",
        "monitor_build_info",
        "process_cpu_seconds",
        "process_resident_memory_bytes",
        "process_open_fds",
        "process_start_time_seconds",
    } <= set(families)
    for family in families.values():
        assert family.documentation
        assert family.type in {"counter", "gauge", "unknown"}

    def value(name: str) -> float:
        found: float = families[name].samples[0].value
        return found

    assert value("monitor_hosts") == 1
    assert value("monitor_stream_readers") == 0
    assert families["monitor_build_info"].samples[0].labels == {"version": monitor.__version__}
    pid = running.process.pid
    with open(f"/proc/{pid}/statm") as file:
        resident = int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    assert value("process_resident_memory_bytes") == pytest.approx(resident, rel=0.2)
    open_now = len(os.listdir(f"/proc/{pid}/fd"))  # noqa: PTH208
    assert value("process_open_fds") == pytest.approx(open_now, abs=10)
    assert value("process_start_time_seconds") == pytest.approx(time.time(), abs=60)
    assert value("process_cpu_seconds") > 0.1


def test_readers_are_counted_while_they_read(running: Server) -> None:
    def readers() -> float:
        told = read(raw.get(running.url, "/metrics").body.decode())
        found: float = told["monitor_stream_readers"].samples[0].value
        return found

    with raw.connect(running.url) as connection:
        connection.sendall(b"GET /api/v1/stream HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert connection.recv(64)
        assert readers() == 1
    until = time.monotonic() + 5
    while readers() and time.monotonic() < until:
        time.sleep(0.05)
    assert readers() == 0


def test_it_takes_no_parameters(running: Server) -> None:
    assert raw.get(running.url, "/metrics?x=1").status == 400
