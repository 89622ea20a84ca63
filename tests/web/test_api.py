"""``/api/v1`` on a running server: what it says, and what it refuses."""

from __future__ import annotations

import socket
import time
from urllib.parse import quote

import pytest

from monitor import __version__
from tests.serving import Server
from tests.web import raw

NAME = socket.gethostname()


def wait_for_history(running: Server) -> None:
    """Wait until this host has a few seconds of history."""
    until = time.monotonic() + 15
    target = f"/api/v1/history?host={NAME}&metric=system.uptime&start=-1m&points=60"
    while time.monotonic() < until:
        series = raw.get(running.url, target).json()["series"][0]
        if sum(value is not None for value in series["avg"]) >= 3:
            return
        time.sleep(0.2)
    pytest.fail("no history came")


def problem(answer: raw.Answer) -> tuple[int, str]:
    assert answer.headers["content-type"] == "application/problem+json"
    return answer.status, answer.json()["code"]


def test_the_probes_say_ok_and_ready(running: Server) -> None:
    assert raw.get(running.url, "/healthz").json()["status"] == "ok"
    assert raw.get(running.url, "/readyz").json()["status"] == "ready"


def test_this_host_is_listed_and_up(running: Server) -> None:
    (host,) = raw.get(running.url, "/api/v1/hosts").json()
    assert host["host"] == NAME
    assert host["status"] == "up"
    assert abs(host["at"] - time.time()) < 5
    assert host["since"] <= time.time()


def test_a_host_has_the_metrics_of_the_foundation(running: Server) -> None:
    wait_for_history(running)
    metrics = raw.get(running.url, f"/api/v1/hosts/{NAME}").json()["metrics"]
    for key in (
        "system.cpu.utilization",
        "system.memory.utilization",
        "system.cpu.load_average.1m",
        'system.memory.usage{state="available"}',
        'system.network.io{direction="receive",interface="lo"}',
        "system.processes.count",
        'monitor.collector.success{collector="cpu"}',
    ):
        assert key in metrics
    assert 0 <= metrics["system.cpu.utilization"] <= 1
    # A counter's KEY carries its rate: a second of a processor has at most one second.
    assert 0 <= metrics['system.cpu.time{cpu="0",state="user"}'] <= 1.2


def test_the_servers_own_host_says_what_it_runs_as_those_of_agents_do(running: Server) -> None:
    info = raw.get(running.url, f"/api/v1/hosts/{NAME}").json()["info"]
    assert info["version"] == __version__
    assert {"kernel", "arch", "python"} <= set(info)
    assert all(isinstance(fact, str) for fact in info.values())
    (listed,) = raw.get(running.url, "/api/v1/hosts").json()
    assert listed["version"] == __version__


def test_its_numbers_agree_with_the_machine(running: Server) -> None:
    metrics = raw.get(running.url, f"/api/v1/hosts/{NAME}").json()["metrics"]
    with open("/proc/meminfo") as file:
        meminfo = {line.split(":")[0]: int(line.split()[1]) * 1024 for line in file}
    assert metrics["system.memory.limit"] == meminfo["MemTotal"]
    available = metrics['system.memory.usage{state="available"}']
    assert available == pytest.approx(meminfo["MemAvailable"], rel=0.1)
    with open("/proc/uptime") as file:
        assert metrics["system.uptime"] == pytest.approx(float(file.read().split()[0]), abs=5)


def test_a_host_says_which_series_it_has(running: Server) -> None:
    series = raw.get(running.url, f"/api/v1/hosts/{NAME}/series").json()
    by_key = {entry["key"]: entry for entry in series}
    assert by_key["system.cpu.utilization"] == {
        "key": "system.cpu.utilization",
        "kind": "gauge",
        "unit": "1",
    }
    assert by_key["system.cpu.context_switches"]["kind"] == "counter"


def test_its_top_processes_are_told_now_and_then(running: Server) -> None:
    wait_for_history(running)
    table = raw.get(running.url, f"/api/v1/hosts/{NAME}/processes").json()
    columns = {"pid", "name", "user", "cpu", "rss", "io", "command"}
    assert table["processes"]
    assert columns <= set(table["processes"][0])
    then = raw.get(running.url, f"/api/v1/hosts/{NAME}/processes?at=-1s").json()
    assert then["at"] <= table["at"]
    early = raw.get(running.url, f"/api/v1/hosts/{NAME}/processes?at=-300d")
    assert problem(early) == (404, "no_snapshot")


def test_history_has_buckets_with_minimum_average_and_maximum(running: Server) -> None:
    wait_for_history(running)
    key = quote('system.cpu.utilization{cpu="0"}')
    target = f"/api/v1/history?host={NAME}&metric={key}&metric=system.uptime&start=-2m&points=121"
    found = raw.get(running.url, target).json()
    assert len(found["t"]) <= 121
    assert {entry["key"] for entry in found["series"]} == {
        'system.cpu.utilization{cpu="0"}',
        "system.uptime",
    }
    assert found["step"] == 1
    for entry in found["series"]:
        assert entry["host"] == NAME
        assert len(entry["min"]) == len(entry["avg"]) == len(entry["max"]) == len(found["t"])
        assert None in entry["avg"]
        for low, mean, high in zip(entry["min"], entry["avg"], entry["max"], strict=True):
            assert low is None or low <= mean + 1e-9 <= high + 2e-9


def test_a_name_stands_for_all_its_series_and_raw_gives_counts(running: Server) -> None:
    wait_for_history(running)
    target = f"/api/v1/history?host={NAME}&metric=system.cpu.time&start=-30s&points=30"
    rated = raw.get(running.url, target).json()["series"]
    counted = raw.get(running.url, target + "&raw=1").json()["series"]
    assert len(rated) == len(counted) >= 8
    idle = next(entry for entry in counted if 'state="idle"' in entry["key"])
    assert max(value for value in idle["avg"] if value is not None) > 1.5


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("", (400, "missing_param")),
        (f"host={NAME}", (400, "missing_param")),
        ("host=nobody&metric=system.uptime", (400, "unknown_host")),
        (f"host={NAME}&metric=nothing.like.it", (400, "unknown_metric")),
        (f"host={NAME}&metric=system.uptime&start=20&end=10", (400, "bad_range")),
        (f"host={NAME}&metric=system.uptime&start=NaN", (400, "bad_range")),
        (f"host={NAME}&metric=system.uptime&start=1e400", (400, "bad_range")),
        (f"host={NAME}&metric=system.uptime&start=yesterday", (400, "bad_range")),
        (f"host={NAME}&metric=system.uptime&end=9999-99-99", (400, "bad_range")),
        (f"host={NAME}&metric=system.uptime&points=0", (400, "bad_range")),
        (f"host={NAME}&metric=system.uptime&points=-1", (400, "bad_range")),
        (f"host={NAME}&metric=system.uptime&points=11001", (400, "bad_range")),
        (f"host={NAME}&metric=system.uptime&points=1e3", (400, "bad_range")),
        (f"host={NAME}&metric=system.uptime&points=5&points=6", (400, "ambiguous_param")),
        (f"host={NAME}&metric=system.cpu.time&points=11000", (400, "too_many_values")),
        (f"host={NAME}&metric=system.uptime&raw=yes", (400, "bad_param")),
        (f"host={NAME}&metric=system.uptime&nonsense=1", (400, "unknown_param")),
        (f"host[]={NAME}&metric=system.uptime", (400, "unknown_param")),
    ],
)
def test_a_query_that_makes_no_sense_is_told_why(
    running: Server, query: str, expected: tuple[int, str]
) -> None:
    assert problem(raw.get(running.url, f"/api/v1/history?{query}")) == expected


@pytest.mark.parametrize(
    "target",
    ["/api/v1/hosts/nobody", "/api/v1/hosts/nobody/series", "/api/v1/hosts/nobody/processes"],
)
def test_an_unknown_host_in_a_path_is_not_found(running: Server, target: str) -> None:
    assert problem(raw.get(running.url, target)) == (404, "unknown_host")


def test_what_was_asked_is_echoed_escaped_and_cut(running: Server) -> None:
    answer = raw.get(running.url, "/api/v1/hosts/" + "%1b" * 200)
    assert answer.status == 404
    assert len(answer.json()["detail"]) < 120
    assert "\x1b" not in answer.json()["detail"]


def test_the_openapi_document_describes_every_route(running: Server) -> None:
    document = raw.get(running.url, "/api/v1/openapi.json").json()
    assert document["openapi"].startswith("3.1")
    assert {
        "/healthz",
        "/readyz",
        "/api/v1/hosts",
        "/api/v1/hosts/{host}",
        "/api/v1/hosts/{host}/retire",
        "/api/v1/hosts/{host}/adopt",
        "/api/v1/fleet/refused",
        "/api/v1/hosts/{host}/series",
        "/api/v1/hosts/{host}/processes",
        "/api/v1/hosts/{host}/markers",
        "/api/v1/history",
        "/api/v1/stream",
        "/api/v1/push",
        "/api/v1/write",
        "/v1/metrics",
        "/api/v1/enroll",
        "/api/v1/alerts",
        "/api/v1/alerts/{alert}",
        "/api/v1/alerts/{alert}/ack",
        "/api/v1/silences",
        "/api/v1/silences/preview",
        "/api/v1/silences/{silence}",
        "/api/v1/rules",
        "/api/v1/rules/reload",
        "/api/v1/rules/backtest",
        "/api/v1/channels",
        "/api/v1/channels/{channel}/test",
        "/metrics",
        "/api/v1/openapi.json",
    } == set(document["paths"])
    text = raw.get(running.url, "/api/v1/openapi.json").body.decode()
    for part in text.split('"$ref":"#/components/schemas/')[1:]:
        assert part.split('"')[0] in document["components"]["schemas"]
