"""It must be that an agent whose link is cut brings everything back: no gap, and nothing twice.

A real server over its own TLS and a real agent in another network, which pins the server's
authority.
"""

from __future__ import annotations

import contextlib
import signal
import subprocess
import time
from pathlib import Path

import numpy as np
import pytest

from monitor.store import opening
from monitor.store.loading import loaded
from monitor.store.reading import Reader
from tests import serving
from tests.elsewhere import Elsewhere

HOST = "edge-1"
CUT_SECONDS = 8.0
INTERVAL_SECONDS = 0.2
BACK_SECONDS = 20.0
"""Within so long after the link is back everything is there."""


def command(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """One command of ours; what it wrote."""
    return subprocess.run(
        [*serving.checkout_command(), *words],
        cwd=folder,
        env=serving.checkout_environment(),
        check=True,
        capture_output=True,
        text=True,
        timeout=30,
    )


def instants(data: Path, host: str = HOST) -> list[float]:
    """The instants of every frame that the file has of a host, as often as it has them."""
    with contextlib.closing(opening.opened(data)) as connection:
        found = loaded(connection, time.time())
        known = found.hosts.by_name.get(host)
        if known is None:
            return []
        reader = Reader(connection, found.shapes)
        keys = ("system.cpu.load_average.1m", "system.uptime")  # the first frames lack some
        piece = reader.rows(known.view(), keys, 0.0, time.time() + 60)
        return [float(at) for at in piece.at]


def test_a_cut_link_leaves_no_gap_and_nothing_twice(elsewhere: Elsewhere, tmp_path: Path) -> None:
    data = tmp_path / "data"
    made = command(tmp_path, "token", "create", "--host", HOST, "--data", str(data))
    token = tmp_path / "token"
    token.write_text(made.stdout.strip())
    token.chmod(0o600)
    pin = command(tmp_path, "tls", "init", "--data", str(data))
    found = [word for word in (pin.stdout + pin.stderr).split() if word.startswith("sha256:")]
    server = serving.start(tmp_path, "--listen", f"{elsewhere.address}:0")
    config = tmp_path / "agent.toml"
    config.write_text(f'[collect]\ninterval = "{INTERVAL_SECONDS * 1000:.0f}ms"\n')
    log = tmp_path / "agent.log"
    line = elsewhere.line(
        *serving.checkout_command(),
        *("agent", "--server", server.url, "--token-file", str(token), "--pin", found[0]),
        *("--spool", str(tmp_path / "spool"), "--name", HOST, "--config", str(config)),
    )
    with log.open("wb") as output:
        agent = subprocess.Popen(
            line,
            cwd=tmp_path,
            env=serving.checkout_environment(),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        wait(lambda: len(instants(data)) > 10, 20, log)
        elsewhere.cut()
        cut_at = time.time()
        time.sleep(CUT_SECONDS)
        before = instants(data)
        assert before[-1] < cut_at + 1
        elsewhere.mend()
        mended_at = time.time()
        # What is live comes first, within two seconds once there is a connection again.
        wait(lambda: instants(data)[-1] > mended_at, BACK_SECONDS, log)
        # And then what was kept, without a gap.
        wait(lambda: gap(instants(data)) < 4 * INTERVAL_SECONDS, BACK_SECONDS, log)
        agent.send_signal(signal.SIGTERM)
        assert agent.wait(10) == 0, log.read_text()
    finally:
        agent.kill()
        agent.wait()
        server.end()
    kept = instants(data)
    assert len(set(kept)) == len(kept)
    assert kept == sorted(kept)
    assert gap(kept) < 4 * INTERVAL_SECONDS


def gap(kept: list[float]) -> float:
    """The longest time between two frames."""
    return float(np.diff(kept).max())


def wait(holds: object, seconds: float, log: Path) -> None:
    """Wait until something holds; what the agent said where it does not come to that."""
    assert callable(holds)
    deadline = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > deadline:
            pytest.fail(f"it did not come to that; the agent said:\n{log.read_text()}")
        time.sleep(0.2)
