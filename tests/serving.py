"""A real server in its own process, started and ended the way an operator would.

It knows the command line and the one line that says where the server listens; it knows
nothing of how the server is made.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
"""The checkout."""

READY_SECONDS = 20.0
"""How long a server may take to say that it listens: the target is 1 s, on a quiet machine."""

END_SECONDS = 5.0
"""How long it may take to end: the promise is 2 s, on a quiet machine."""

LOOK_SECONDS = 0.02
"""How often its log is looked at."""

LISTENING = re.compile(r"listening on (https?://\S+:\d+)")


@dataclass(frozen=True)
class Server:
    """A server that listens: where, as which process, on what data, and what it said."""

    url: str
    """`http://HOST:PORT`, or `https`, without a slash at the end."""
    process: subprocess.Popen[bytes]
    data: Path
    """Its data directory."""
    log: Path
    """The file that its standard output and standard error go to."""

    def said(self) -> str:
        """Everything that it has written so far."""
        return self.log.read_text(errors="replace")

    def end(self) -> int:
        """Send SIGTERM, once, and wait; the exit status.

        A server that does not end in time is killed, and `AssertionError` says what it wrote.
        """
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(END_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.send_signal(signal.SIGABRT)  # faulthandler writes where it stands
            self.process.wait()
            raise AssertionError(
                f"the server did not end within {END_SECONDS} s of SIGTERM:\n{self.said()}"
            ) from None


def checkout_command() -> list[str]:
    """What runs this checkout's `monitor` on the tests' own interpreter."""
    return [sys.executable, "-m", "monitor"]


def checkout_environment() -> dict[str, str]:
    """An environment in which that command finds the checkout from anywhere."""
    return {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONFAULTHANDLER": "1"}


def start(
    folder: Path,
    *options: str,
    command: Sequence[str] | None = None,
    environment: Mapping[str, str] | None = None,
) -> Server:
    """Start `monitor serve` on a free port of loopback and wait until it listens.

    `folder` is where it runs: its data goes to `folder/data` and what it says to
    `folder/server.log`; it exists afterwards.  `options` follow `serve`.  Raises
    `AssertionError`, with what the server said, where it ends or is silent.
    """
    folder.mkdir(parents=True, exist_ok=True)
    data, log = folder / "data", folder / "server.log"
    line = [*(command or checkout_command()), "serve", "--listen", "127.0.0.1:0"]
    with log.open("wb") as output:
        process = subprocess.Popen(
            [*line, "--data", str(data), *options],
            cwd=folder,
            env=checkout_environment() if environment is None else environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    deadline = time.monotonic() + READY_SECONDS
    while time.monotonic() < deadline:
        ended = process.poll() is not None
        listening = LISTENING.search(log.read_text(errors="replace"))
        if listening and not ended:
            return Server(listening[1], process, data, log)
        if ended:
            break
        time.sleep(LOOK_SECONDS)
    process.kill()
    status = process.wait()
    raise AssertionError(
        f"the server never listened (exit status {status}):\n{log.read_text(errors='replace')}"
    )
