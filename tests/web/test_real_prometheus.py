"""Debian's Prometheus scrapes node_exporter and writes to a running server of ours."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from monitor.model import key
from tests.conftest import StartServer
from tests.nginx import SERVERS
from tests.scrape import node
from tests.scrape.test_real_node_exporter import WANTED
from tests.serving import Server
from tests.web import raw

PROGRAM = SERVERS / "prometheus" / "usr" / "bin" / "prometheus"
"""Where `tools/servers.sh` puts it."""

PATIENCE_SECONDS = 30.0
"""No condition here takes a third of this on a quiet machine."""

HOST = "node-1"

CONFIGURATION = """
global: {{scrape_interval: 1s, scrape_timeout: 900ms}}
scrape_configs:
  - job_name: node
    static_configs: [{{targets: ["127.0.0.1:{exporter}"], labels: {{host: node-1}}}}]
remote_write:
  - url: {url}/api/v1/write
    queue_config:
      {{batch_send_deadline: 200ms, min_backoff: 50ms, max_backoff: 200ms, max_shards: 3}}
    metadata_config: {{send_interval: 1s}}
"""


@contextlib.contextmanager
def prometheus(folder: Path, exporter: int, url: str) -> Iterator[str]:
    """A Prometheus that scrapes an exporter and writes to us; its address."""
    if not PROGRAM.is_file():
        missing = "Prometheus is not there: tools/servers.sh fetches it"
        if os.environ.get("CI") == "true":
            pytest.fail(missing, pytrace=False)
        pytest.skip(missing)
    port = node.free_port()
    config, log = folder / "prometheus.yml", folder / "prometheus.log"
    config.write_text(CONFIGURATION.format(exporter=exporter, url=url))
    options = {
        "config.file": config,
        "storage.tsdb.path": folder / "tsdb",
        "web.listen-address": f"127.0.0.1:{port}",
    }
    with log.open("wb") as out:
        process = subprocess.Popen(
            [PROGRAM, *(f"--{name}={value}" for name, value in options.items())],
            stdout=out,
            stderr=out,
            env={**os.environ, "GOMAXPROCS": "1"},
        )
    try:
        yield f"http://127.0.0.1:{port}"
        assert process.poll() is None, log.read_text(errors="replace")
        assert "non-recoverable" not in log.read_text(errors="replace")
    finally:
        process.kill()
        process.wait()


def until(holds: Callable[[], object]) -> None:
    """Wait for something that must come about."""
    ends = time.monotonic() + PATIENCE_SECONDS
    while not holds():
        assert time.monotonic() < ends
        time.sleep(0.05)


def metrics_of(server: Server) -> dict[str, float]:
    answer = raw.get(server.url, f"/api/v1/hosts/{HOST}")
    found: dict[str, float] = answer.json()["metrics"] if answer.status == 200 else {}
    return found


def kept(server: Server, text: str, start: float, end: float) -> int:
    """How many values of a series are kept; buckets are a fifth of a second."""
    points = round((end - start) * 5)
    window = f"start={start}&end={end}&points={points}"
    answer = raw.get(server.url, f"/api/v1/history?host={HOST}&metric={text}&{window}")
    (series,) = answer.json()["series"]
    return sum(value is not None for value in series["avg"])


def scraped(url: str, at: float) -> list[float]:
    """The instants of every scrape that Prometheus has made."""
    answer: Any = json.loads(raw.get(url, f"/api/v1/query?query=up[5m]&time={at}").body)
    (result,) = answer["data"]["result"]
    return [instant for instant, _ in result["values"]]


def test_its_node_is_a_full_host_and_a_restart_of_ours_loses_nothing(
    start_server: StartServer, tmp_path: Path
) -> None:
    port, ours = node.free_port(), node.free_port()
    listen = ("--listen", f"127.0.0.1:{ours}")
    first = start_server(*listen)
    with (
        node.running(port, tmp_path / "exporter.log"),
        prometheus(tmp_path, port, first.url) as url,
    ):
        until(lambda: set(WANTED) <= metrics_of(first).keys())
        found = metrics_of(first)
        assert 0 <= found["system.cpu.utilization"] <= 1
        text = key("up", instance=f"127.0.0.1:{port}", job="node")
        assert found[text] == 1

        assert first.end() == 0
        time.sleep(2)  # two scrapes that only Prometheus knows of
        second = start_server(*listen)
        restarted = time.time()
        until(lambda: kept(second, text, restarted + 1, restarted + 3) > 0)
        at = time.time() - 1
        instants = scraped(url, at)
        until(lambda: kept(second, text, instants[0] - 0.5, at) >= len(instants))
        assert kept(second, text, instants[0] - 0.5, at) == len(instants)
