"""It must be that a backup of a server under load, put back, answers with all that was taken."""

from __future__ import annotations

import json
import subprocess
import threading
import time
import urllib.parse
import urllib.request
from pathlib import Path
from typing import Any

from tests import serving
from tests.conftest import StartServer

KEY = "app.number"
FEW = 40


def asked(url: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
    """What a server answers to a GET, or to a POST of JSON."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=10) as answer:
        found: dict[str, Any] = json.load(answer)
        return found


def monitor(*arguments: str | Path) -> str:
    """What a command says on its standard output; it must end well."""
    done = subprocess.run(
        [*serving.checkout_command(), *map(str, arguments)],
        capture_output=True,
        env=serving.checkout_environment(),
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


class Sender:
    """Pushes a frame after the other and counts those that were acknowledged."""

    def __init__(self, url: str, base: float) -> None:
        self.taken = 0
        self._url, self._base = f"{url}/api/v1/push", base
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        while not self._ending.is_set():
            number = self.taken
            document = {
                "host": "web-1",
                "boot_id": "b",
                "seq": number,
                "schema": [KEY],
                "frames": [{"at": self._base + number, "values": [number]}],
            }
            asked(self._url, document)
            self.taken = number + 1

    def wait_for(self, count: int) -> None:
        """Wait until so many were taken."""
        while self.taken < count:
            assert self._thread.is_alive()
            time.sleep(0.01)

    def end(self) -> None:
        self._ending.set()
        self._thread.join()


def test_a_backup_under_load_has_all_that_was_acknowledged_before_it(
    start_server: StartServer, tmp_path: Path
) -> None:
    server = start_server()
    base = time.time() // 60 * 60 - 3_600
    sender = Sender(server.url, base)
    try:
        sender.wait_for(FEW)
        before = sender.taken
        said = monitor("backup", "--data", server.data, tmp_path / "b.tar")
        after = sender.taken
        sender.wait_for(after + FEW)
        doctor = json.loads(monitor("doctor", "--json", "--data", server.data))
    finally:
        sender.end()
    assert "series.db: " in said
    assert doctor["well"]
    assert doctor["figures"]["server"] == server.process.pid
    again = tmp_path / "again"
    monitor("restore", "--data", again / "data", tmp_path / "b.tar")
    restored = start_server(name="again")
    query = urllib.parse.urlencode(
        {"host": "web-1", "metric": KEY, "start": base, "end": base + 3_600, "points": 3_600}
    )
    found = asked(f"{restored.url}/api/v1/history?{query}")
    seen = [value for value in found["series"][0]["avg"] if value is not None]
    assert seen == list(range(len(seen)))
    assert before <= len(seen) <= after + 1
