"""Debian's node_exporter on a free port of loopback, as a plain process of the caller's."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.nginx import SERVERS

PROGRAM = SERVERS / "node-exporter" / "usr" / "bin" / "prometheus-node-exporter"
"""Where `tools/servers.sh` puts it."""

READY_SECONDS = 10.0


def free_port() -> int:
    """A port that nobody has at this moment."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port: int = listening.getsockname()[1]
    return port


@contextlib.contextmanager
def running(port: int, log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A node_exporter that listens; where it was not fetched the test is skipped."""
    if not PROGRAM.is_file():
        missing = "node_exporter is not there: tools/servers.sh fetches it"
        if os.environ.get("CI") == "true":
            pytest.fail(missing, pytrace=False)
        pytest.skip(missing)
    with log.open("ab") as out:
        process = subprocess.Popen(
            [PROGRAM, f"--web.listen-address=127.0.0.1:{port}", "--collector.processes"],
            stdout=out,
            stderr=out,
            env={**os.environ, "GOMAXPROCS": "1"},
        )
    try:
        until = time.monotonic() + READY_SECONDS
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                break
            except ConnectionError:
                assert process.poll() is None, log.read_text(errors="replace")
                assert time.monotonic() < until, "it does not listen"
                time.sleep(0.02)
        yield process
    finally:
        process.kill()
        process.wait()
