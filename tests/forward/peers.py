"""Debian's VictoriaMetrics and Prometheus on free ports of loopback, as processes of the caller's.

They are where `tools/servers.sh` puts them; it knows nothing of what is sent to them.
"""

from __future__ import annotations

import http.client
import json
import os
import socket
import subprocess
import time
import urllib.parse
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.nginx import SERVERS

READY_SECONDS = 20.0
"""How long one may take until it answers: half a second on a quiet machine."""

END_SECONDS = 10.0
LOOK_SECONDS = 0.05

VICTORIA = SERVERS / "victoria-metrics/usr/bin/victoria-metrics"
PROMETHEUS = SERVERS / "prometheus/usr/bin/prometheus"
PROMTOOL = SERVERS / "prometheus/usr/bin/promtool"


def require(*programs: Path) -> None:
    """Skip the test that asks where one is not there; with CI=true it fails instead."""
    missing = [program.name for program in programs if not program.is_file()]
    if missing:
        said = f"{', '.join(missing)} is not there: tools/servers.sh fetches it"
        if os.environ.get("CI") == "true":
            raise AssertionError(said)
        pytest.skip(said)


def free_port() -> int:
    """A port that is nobody's now."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


@dataclass
class Peer:
    """A server that can be started, ended and started again on the same port and data."""

    line: list[str]
    port: int
    log: Path
    ready: str
    process: subprocess.Popen[bytes] | None = field(default=None, init=False)

    def start(self) -> None:
        """Start it and wait until it answers."""
        with self.log.open("ab") as output:
            self.process = subprocess.Popen(self.line, stdout=output, stderr=output)
        deadline = time.monotonic() + READY_SECONDS
        while time.monotonic() < deadline and self.process.poll() is None:
            try:
                self.get(self.ready)
            except (OSError, AssertionError, http.client.HTTPException):
                time.sleep(LOOK_SECONDS)
            else:
                return
        self.end()
        raise AssertionError(f"it never answered:\n{self.said()}")

    def end(self) -> None:
        """End it, where it runs."""
        if self.process is None:
            return
        self.process.terminate()
        try:
            self.process.wait(END_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.process = None

    def said(self) -> str:
        """Everything that it has written so far."""
        return self.log.read_text(errors="replace") if self.log.exists() else ""

    def get(self, path: str, **parameters: Any) -> bytes:
        """What it answers.  Raises `AssertionError` where that is no success."""
        query = urllib.parse.urlencode(parameters, doseq=True)
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        try:
            connection.request("GET", f"{path}?{query}" if query else path)
            answer = connection.getresponse()
            body = answer.read()
        finally:
            connection.close()
        assert answer.status in {200, 204}, (answer.status, body[:500])
        return body

    def asked(self, expression: str) -> list[dict[str, Any]]:
        """The result of an instant query."""
        found: list[dict[str, Any]] = json.loads(self.get("/api/v1/query", query=expression))[
            "data"
        ]["result"]
        return found


def victoria_metrics(folder: Path) -> Peer:
    """VictoriaMetrics, not started, its data in a folder."""
    port = free_port()
    line = [str(VICTORIA), f"-storageDataPath={folder}", f"-httpListenAddr=127.0.0.1:{port}"]
    return Peer(line, port, folder.with_suffix(".log"), "/health")


_SCRAPING = """\
global: {{scrape_interval: 1s}}
scrape_configs:
- job_name: monitor
  honor_labels: true
  static_configs: [{{targets: ['{scraped}']}}]
"""


def prometheus(folder: Path, scraped: str, port: int) -> Peer:
    """Prometheus that takes remote write and scrapes ``HOST:PORT`` every second, not started."""
    folder.mkdir()
    (folder / "prometheus.yml").write_text(_SCRAPING.format(scraped=scraped))
    line = [
        str(PROMETHEUS),
        f"--config.file={folder}/prometheus.yml",
        f"--storage.tsdb.path={folder}/data",
        f"--web.listen-address=127.0.0.1:{port}",
        "--web.enable-remote-write-receiver",
    ]
    return Peer(line, port, folder.with_suffix(".log"), "/-/ready")
