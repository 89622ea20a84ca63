"""Other processes of the stream's tests: a server under load, and clients that stand still."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil

from tests import serving


@contextlib.contextmanager
def loaded(folder: Path, **options: float) -> Iterator[serving.Server]:
    """`tests.stream.served` with these options, while the block runs; it must end with 0."""
    folder.mkdir(parents=True, exist_ok=True)
    log = folder / "served.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.stream.served", json.dumps(options)],
            cwd=serving.ROOT,
            env=serving.checkout_environment(),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        yield serving.Server(_url(process, log), process, folder, log)
    finally:
        process.terminate()
        status = process.wait(serving.END_SECONDS)
    assert status == 0, log.read_text()
    assert "Traceback" not in log.read_text(), log.read_text()


def _url(process: subprocess.Popen[bytes], log: Path) -> str:
    deadline = time.monotonic() + serving.READY_SECONDS
    while not (found := serving.LISTENING.search(log.read_text())):
        assert process.poll() is None, log.read_text()
        assert time.monotonic() < deadline, "it never listened"
        time.sleep(serving.LOOK_SECONDS)
    return found[1]


def connections_of(server: serving.Server) -> int:
    """Connections that a server holds, the listener not counted."""
    return len(psutil.Process(server.process.pid).net_connections("tcp")) - 1


def descriptors_of(server: serving.Server) -> int:
    """Descriptors that a server has open."""
    return psutil.Process(server.process.pid).num_fds()


def resident_bytes_of(server: serving.Server) -> int:
    """Memory that a server has."""
    return int(psutil.Process(server.process.pid).memory_info().rss)


@contextlib.contextmanager
def curl(url: str, output: Path, *options: str) -> Iterator[subprocess.Popen[bytes]]:
    """Curl on a stream, writing to a file, while the block runs."""
    with output.open("wb") as file:
        process = subprocess.Popen(
            ["curl", "--silent", "--no-buffer", *options, url],
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.DEVNULL,
        )
    try:
        yield process
    finally:
        process.kill()
        process.wait()
