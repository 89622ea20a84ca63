"""It must be that whatever is killed, and whenever, every frame that was collected is kept once.

A real server and a real agent at ten frames a second, killed at random, each by itself; the ledger
is written outside of both, once a frame is in the spool.
"""

from __future__ import annotations

import contextlib
import random
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from tests import serving
from tests.agent.test_outage import instants
from tests.seeds import rounds

HOST = "edge-1"
ROUNDS = 6
LIVED_SECONDS = 1.5
BROUGHT_SECONDS = 30.0


class House:
    """A server at an address that stays, and an agent that knows it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.ledger = folder / "ledger"
        self.log = (folder / "agent.log").open("ab")
        (folder / "agent.toml").write_text('[collect]\ninterval = "100ms"\n')
        self.server = serving.start(folder)
        self.place = self.server.url.removeprefix("http://")
        self.agent = self.started()

    def started(self) -> subprocess.Popen[bytes]:
        line = [sys.executable, "-m", "tests.agent.ledger", str(self.ledger)]
        options = ("--server", f"http://{self.place}", "--spool", str(self.folder / "spool"))
        config = ("--name", HOST, "--config", str(self.folder / "agent.toml"))
        return subprocess.Popen(
            [*line, *options, *config],
            cwd=serving.ROOT,
            env=serving.checkout_environment(),
            stdin=subprocess.DEVNULL,
            stdout=self.log,
            stderr=subprocess.STDOUT,
        )

    def kill_agent(self) -> None:
        self.agent.kill()
        self.agent.wait()
        self.agent = self.started()

    def kill_server(self) -> None:
        self.server.process.kill()
        self.server.process.wait()
        self.server = serving.start(self.folder, "--listen", self.place)

    def collected(self) -> np.ndarray:
        """What the ledger has; a line that the kill cut short was never written whole."""
        lines = self.ledger.read_text().split("\n")[:-1]
        return np.array(sorted({float(line) for line in lines}))

    def missing(self) -> int:
        """How many frames were collected and are not in the history."""
        kept = np.array(instants(self.folder / "data", HOST))
        return len(np.setdiff1d(self.collected(), kept))

    def close(self) -> None:
        for process in (self.agent, self.server.process):
            process.kill()
            process.wait()
        self.log.close()


@pytest.mark.timeout(0)
def test_nothing_collected_is_lost_or_doubled_however_both_are_killed(tmp_path: Path) -> None:
    seed = random.randrange(2**32)
    chance = random.Random(seed)
    with contextlib.closing(House(tmp_path)) as house:
        for _ in range(rounds(ROUNDS)):
            time.sleep(chance.uniform(0.0, LIVED_SECONDS))
            chance.choice((house.kill_agent, house.kill_server))()
        time.sleep(LIVED_SECONDS)
        house.agent.terminate()  # what is not brought in by its end stays in the spool
        house.agent.wait(10)
        collected = len(house.collected())
        house.agent = house.started()
        deadline = time.monotonic() + BROUGHT_SECONDS
        while house.missing() and time.monotonic() < deadline:
            time.sleep(0.3)
        said = (tmp_path / "agent.log").read_text()
        assert house.missing() == 0, f"seed {seed}\n{said}"
        kept = instants(tmp_path / "data", HOST)
        assert len(set(kept)) == len(kept), f"seed {seed}"
        assert collected > 5 * rounds(ROUNDS), said
