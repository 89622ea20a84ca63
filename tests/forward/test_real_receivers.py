"""It must be that VictoriaMetrics and Prometheus get what we have, and scrape us without a word."""

from __future__ import annotations

import http.client
import json
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests import serving
from tests.forward import peers
from tests.forward.peers import PROMETHEUS, PROMTOOL, VICTORIA, Peer
from tests.serving import Server

ENOUGH_SECONDS = 20.0
"""How long something may take that takes one or two on a quiet machine."""

CONFIG = """
[host]
name = "hub"
[remote_write.far]
url = "http://127.0.0.1:{port}/api/v1/write"
interval = "100ms"
"""

KEYS = ['system.cpu.time{cpu="0",state="user"}', "app.value"]


def until(holds: Callable[[], object], what: str) -> None:
    deadline = time.monotonic() + ENOUGH_SECONDS
    while not holds():
        assert time.monotonic() < deadline, what
        time.sleep(0.1)


def request(server: Server, method: str, path: str, body: bytes = b"", **headers: str) -> bytes:
    place = server.url.partition("//")[2]
    connection = http.client.HTTPConnection(place, timeout=10)
    try:
        connection.request(method, path, body, headers)
        answer = connection.getresponse()
        found = answer.read()
    finally:
        connection.close()
    assert answer.status == 200, (answer.status, found[:300])
    return found


def push(server: Server, boot: str, rows: dict[float, list[float]]) -> None:
    """Frames of the host web-1, which the server has when this returns."""
    document = {
        "host": "web-1",
        "agent": "a-1",
        "boot_id": boot,
        "seq": 1,
        "schema": KEYS,
        "frames": [{"at": at, "values": values} for at, values in rows.items()],
    }
    body = json.dumps(document).encode()
    request(server, "POST", "/api/v1/push", body, **{"Content-Type": "application/json"})


def exported(victoria: Peer, match: str) -> dict[int, float]:
    """Every sample of one series: milliseconds to value."""
    victoria.get("/internal/force_flush")
    lines = victoria.get("/api/v1/export", **{"match[]": match}).splitlines()
    assert len(lines) <= 1
    found = json.loads(lines[0]) if lines else {"timestamps": [], "values": []}
    return dict(zip(found["timestamps"], found["values"], strict=True))


@pytest.fixture
def victoria(tmp_path: Path) -> Iterator[Peer]:
    peers.require(VICTORIA)
    peer = peers.victoria_metrics(tmp_path / "victoria")
    try:
        yield peer
    finally:
        peer.end()


def test_victoria_metrics_has_what_we_have_after_both_were_away(
    tmp_path: Path, victoria: Peer
) -> None:
    config = tmp_path / "config.toml"
    config.write_text(CONFIG.format(port=victoria.port))
    began = int(time.time()) - 20.0
    rows = {began + n: [n + 0.125, n / 4] for n in range(15)}
    instants = list(rows)

    def some(first: int, last: int) -> dict[float, list[float]]:
        return {at: rows[at] for at in instants[first:last]}

    server = serving.start(tmp_path / "one", "--config", str(config))
    try:
        victoria.start()
        push(server, "b-1", some(0, 5))
        match = 'app_value{host="web-1"}'
        until(lambda: len(exported(victoria, match)) == 5, "the first ones do not come")
        victoria.end()
        push(server, "b-2", some(5, 10))
    finally:
        server.process.kill()
        server.process.wait()
    # Killed before VictoriaMetrics came back: what waited is on disk.
    server = serving.start(tmp_path / "one", "--config", str(config))
    try:
        push(server, "b-3", some(10, 15))
        victoria.start()
        until(lambda: len(exported(victoria, match)) == 15, "what waited does not come")
        expected = [{round(at * 1000): row[n] for at, row in rows.items()} for n in (0, 1)]
        assert exported(victoria, match) == expected[1]
        count = 'system_cpu_time_seconds_total{host="web-1",cpu="0",state="user"}'
        assert exported(victoria, count) == expected[0]
        hub = 'system_memory_limit_bytes{host="hub"}'
        until(lambda: len(exported(victoria, hub)) >= 2, "this host's own do not come")
        assert len(set(exported(victoria, hub).values())) == 1
        told = request(server, "GET", "/metrics").decode()
        assert 'monitor_forward_up{remote_write="far"} 1\n' in told
        assert 'monitor_forward_dropped_samples_total{remote_write="far"} 0\n' in told
    finally:
        server.end()


def test_prometheus_takes_and_scrapes_without_a_complaint(tmp_path: Path) -> None:
    peers.require(PROMETHEUS, PROMTOOL)
    config = tmp_path / "config.toml"
    port = peers.free_port()
    config.write_text(CONFIG.format(port=port))
    server = serving.start(tmp_path / "one", "--config", str(config))
    scraped = server.url.partition("//")[2]
    prometheus = peers.prometheus(tmp_path / "prometheus", scraped, port)
    try:
        now = int(time.time())
        push(server, "b-1", {now - 1.0: [1.0, 2.0], now - 0.0: [3.0, 4.0]})
        prometheus.start()
        up = 'up{job="monitor"} == 1'
        until(lambda: prometheus.asked(up), "it does not scrape us")
        is_up = 'monitor_host_up{host="web-1",job="monitor"} == 1'
        until(lambda: prometheus.asked(is_up), "the fleet is not there")
        found = prometheus.asked('app_value{host="web-1",job="monitor"}')
        assert [result["value"][1] for result in found] == ["4"]
        # What was written carries no job.
        sent = 'app_value{host="web-1",job=""}'
        until(lambda: prometheus.asked(sent), "what is written does not come")
        assert [result["value"][1] for result in prometheus.asked(sent)] == ["4"]
        joined = 'system_cpu_time_seconds_total{job="monitor"} * on (host) group_left () '
        assert prometheus.asked(joined + "monitor_host_info")
        complaints = [
            line
            for line in prometheus.said().splitlines()
            if "level=warn" in line or "level=error" in line
        ]
        assert complaints == []
        text = request(server, "GET", "/metrics")
        checked = subprocess.run(
            [PROMTOOL, "check", "metrics"], input=text, capture_output=True, check=False
        )
        said = checked.stdout + checked.stderr
        assert (checked.returncode, said.decode()) == (0, "")
        # One that it finds too old is refused with everything in its request; the rest is not lost.
        push(server, "b-2", {now - 30.0: [0.0, 1.0]})
        refused = 'monitor_forward_refused_samples_total{remote_write="far"} 2\n'
        until(lambda: refused in request(server, "GET", "/metrics").decode(), "nothing is refused")
        push(server, "b-3", {now + 1.0: [5.0, 6.0]})
        until(lambda: prometheus.asked(sent + " == 6"), "what comes after is held up")
        assert refused in request(server, "GET", "/metrics").decode()
    finally:
        prometheus.end()
        server.end()


def test_another_server_of_ours_has_the_same_series(tmp_path: Path) -> None:
    far = serving.start(tmp_path / "far")
    config = tmp_path / "config.toml"
    config.write_text(CONFIG.format(port=far.url.rpartition(":")[2]))
    server = serving.start(tmp_path / "one", "--config", str(config))
    try:
        now = int(time.time())
        push(server, "b-1", {now - 1.0: [1.0, 2.0], now - 0.0: [3.0, 4.0]})

        def hosts() -> list[str]:
            return [host["host"] for host in json.loads(request(far, "GET", "/api/v1/hosts"))]

        until(lambda: {"hub", "web-1"} <= set(hosts()), "the hosts do not come")
        listed = json.loads(request(far, "GET", "/api/v1/hosts/web-1/series"))
        assert {series["key"] for series in listed} >= {KEYS[0], "app_value"}
        detail = json.loads(request(far, "GET", "/api/v1/hosts/web-1"))
        assert detail["metrics"]["app_value"] == 4.0
        assert detail["metrics"][KEYS[0]] == 2.0  # the rate of what was sent as a count
        own = json.loads(request(far, "GET", "/api/v1/hosts/hub"))["metrics"]
        assert "system.memory.utilization" in own
    finally:
        server.end()
        far.end()
