"""Prometheus of Debian with a password (bcrypt, cost 10), and the same question without one.

It keeps the outcome of bcrypt for each pair of name and password that it was shown lately, a wrong
one too; so a wrong password is another one each time here, as it is of one who guesses.
"""

from __future__ import annotations

import base64
import contextlib
import os
import socket
import statistics
import subprocess
import tempfile
import time
from collections.abc import Iterator
from itertools import count, cycle
from pathlib import Path

from bench.door.costs import Asked
from bench.door.house import People, house
from bench.door.wire import Blocking, bearer, get, strangers_token
from bench.stream.accounts import cpu
from tests.nginx import SERVERS, NotFetched

PROGRAM = SERVERS / "prometheus" / "usr" / "bin" / "prometheus"
START_SECONDS = 30.0
PASSWORD = "bench of the door"
HASH = "$2b$10$hJQps/16kwILaIQMvq2f2u0GJ6FMdEzPn3n2LZEEKozDlePCaxP9S"
"""What bcrypt makes of it."""

WRONG_REQUESTS = 20
"""Of a password that is compared with bcrypt each time: some 50 ms."""


def passwords(windows: int, requests: int) -> list[Asked]:
    """Server CPU for a request of somebody who is known, and of one who guesses: ours, theirs.

    Raises `NotFetched` where there is no Prometheus.
    """
    if not PROGRAM.is_file():
        raise NotFetched("Prometheus is not there: `sh tools/servers.sh bench` fetches it")
    rows = []
    with _prometheus(auth=False) as bare, _prometheus(auth=True) as held:
        question = "/api/v1/labels"
        plain = _cost(bare, cycle([get(question)]), windows, requests, 200)
        known = _cost(held, cycle([get(question, _basic(PASSWORD))]), windows, requests, 200)
        guesses = (get(question, _basic(f"guess {number}")) for number in count())
        wrong = _cost(held, guesses, 3, WRONG_REQUESTS, 401)
        rows += [
            Asked("Prometheus, no password", plain, 0.0),
            Asked("Prometheus, password", known, known - plain),
            Asked("Prometheus, wrong passwords", wrong, wrong - plain),
        ]
    with house(People(readers=100)) as server:
        ours = (server.port, server.pid)
        made_up = (get("/api/v1/hosts", bearer(strangers_token())) for _ in count())
        wrong = _cost(ours, made_up, windows, requests, 401)
        rows.append(Asked("ours, wrong tokens", wrong, 0.0))
    return rows


def _cost(
    where: tuple[int, int], made: Iterator[bytes], windows: int, requests: int, wanted: int
) -> float:
    port, pid = where
    found = []
    for _ in range(windows + 1):
        line = Blocking(port)  # ours answers a thousand requests on a connection
        before = cpu([pid])
        for _ in range(requests):
            status = line.ask(next(made))
            if status != wanted:
                raise RuntimeError(f"it answered {status}, not {wanted}")
        found.append(1e6 * (cpu([pid]) - before) / requests)
        line.close()
    return statistics.median(found[1:])


def _basic(password: str) -> str:
    return f"Authorization: Basic {base64.b64encode(f'bench:{password}'.encode()).decode()}"


@contextlib.contextmanager
def _prometheus(*, auth: bool) -> Iterator[tuple[int, int]]:
    """One that scrapes nothing: its port and its process."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = int(free.getsockname()[1])
    libraries = {str(path.parent) for path in (SERVERS / "prometheus").rglob("lib*.so*")}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "prometheus.yml").write_text("global: {}\n")
        (folder / "web.yml").write_text(f'basic_auth_users:\n  bench: "{HASH}"\n' if auth else "")
        process = subprocess.Popen(
            [
                str(PROGRAM),
                f"--config.file={folder}/prometheus.yml",
                f"--web.config.file={folder}/web.yml",
                f"--storage.tsdb.path={folder}/data",
                f"--web.listen-address=127.0.0.1:{port}",
            ],
            env={**os.environ, "LD_LIBRARY_PATH": ":".join(sorted(libraries))},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            _wait(port, get("/-/ready", _basic(PASSWORD)))
            yield port, process.pid
        finally:
            process.kill()
            process.wait()


def _wait(port: int, question: bytes) -> None:
    until = time.monotonic() + START_SECONDS
    while time.monotonic() < until:
        with contextlib.suppress(OSError, ValueError):
            if Blocking(port).ask(question) == 200:
                return
        time.sleep(0.1)
    raise RuntimeError("Prometheus does not answer")
