"""The programs that are compared: how each is started, read from and told to publish."""

from __future__ import annotations

import contextlib
import json
import select
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from bench.stream import payloads
from bench.stream.control import COMMANDS
from tests import nginx

START_SECONDS = 20.0
END_SECONDS = 5.0

SEPARATE = "separate"

ROOT = Path(__file__).resolve().parent.parent.parent

_NCHAN = """
server {
listen 127.0.0.1:PORT backlog=4096;
keepalive_requests 1000000000;
location = /stream {
  nchan_subscriber eventsource; nchan_channel_id alerts; nchan_subscriber_first_message newest; }
location = /publish {
  nchan_publisher; nchan_channel_id alerts; nchan_message_buffer_length 10;
  client_max_body_size 1m; client_body_buffer_size 64k; }
}
"""


@dataclass(frozen=True)
class Running:
    """A started program."""

    port: int
    control: int
    """Where the triggers go."""
    triggers: dict[str, str]
    """What to send there for one alert (`s`), a burst (`b`) and a tick (`t`).

    Where a burst is one event of many lines (nchan), `SEPARATE` has it as many events, each
    with its own id, as ours is."""
    pids: list[int]
    """The processes whose costs count."""
    path: str
    ready: str
    """Stands in the first bytes of a reader that is served."""

    def request(self, headers: str = "") -> str:
        """What a reader sends."""
        return (
            f"GET {self.path} HTTP/1.1\r\nHost: 127.0.0.1:{self.port}\r\n"
            f"Accept: text/event-stream\r\n{headers}\r\n"
        )


@dataclass(frozen=True)
class Program:
    """One of the programs."""

    name: str
    module: str
    """Of this package, run with ``python -m``; none for nginx."""
    path: str = "/stream"
    keeps: bool = False
    """Whether it is given a folder to keep its log in."""

    def running(self) -> AbstractContextManager[Running]:
        """Run it while a block does."""
        return _own(self) if self.module else _nchan()


_PATH = "/api/v1/stream?topics=fleet,alerts"

OURS = Program("awoooi-monitor", "ours", _PATH, keeps=True)
OURS_IN_MEMORY = Program("the same, log in memory", "ours", _PATH)
SEED = Program("seed's shape, Quart + Hypercorn", "seed")
STARLETTE = Program("sse-starlette on uvicorn", "starlette_app")
NCHAN = Program("nginx + nchan", "")
BARE = Program("bare uvloop writer", "bare")

PROGRAMS = (OURS, OURS_IN_MEMORY, SEED, STARLETTE, NCHAN, BARE)


@contextlib.contextmanager
def _own(program: Program) -> Iterator[Running]:
    line = [sys.executable, "-m", f"bench.stream.{program.module}"]
    with contextlib.ExitStack() as stack:
        if program.keeps:
            line.append(stack.enter_context(tempfile.TemporaryDirectory()))
        process = subprocess.Popen(line, cwd=ROOT, stdout=subprocess.PIPE)
        stack.callback(_end, process)
        assert process.stdout is not None
        if not select.select([process.stdout], [], [], START_SECONDS)[0]:
            raise RuntimeError(f"{program.name} did not start")
        said = process.stdout.readline()
        if not said:
            raise RuntimeError(f"{program.name} ended at once")
        where = json.loads(said)
        yield Running(
            port=where["port"],
            control=where["control"],
            triggers={command: command for command in COMMANDS},
            pids=[process.pid],
            path=program.path,
            ready="connected",
        )


def _end(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.wait()


@contextlib.contextmanager
def _nchan() -> Iterator[Running]:
    with (
        tempfile.TemporaryDirectory() as folder,
        nginx.running(Path(folder), _NCHAN, nchan=True) as server,
    ):
        made = payloads.Numbered()
        triggers = {command: _publication(made, command) for command in COMMANDS}
        triggers[SEPARATE] = "".join(_publication(made, "s") for _ in range(payloads.BURST))
        yield Running(
            port=server.port,
            control=server.port,
            triggers=triggers,
            pids=server.workers,
            path="/stream",
            ready="HTTP/1.1 200",
        )


def _publication(made: payloads.Numbered, command: str) -> str:
    """A request to nchan's publisher; a burst is one message of a line an event."""
    lines, kind = [], ""
    for kind, data, number in made.made(command):  # noqa: B007 - all of one kind
        lines.append(payloads.encoded(payloads.stamped(data, number)))
    body = payloads.AT.sub(f'"at":{payloads.AT_LATER}', "\n".join(lines))
    return (
        "POST /publish HTTP/1.1\r\nHost: 127.0.0.1\r\n"
        f"X-EventSource-Event: {kind}\r\nContent-Length: {len(body)}\r\n\r\n{body}"
    )


class LoadProcess:
    """The load generator's process, as an object whose calls are answered by it."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "bench.stream.load"],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            self._process.wait(END_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def call(self, name: str, **arguments: object) -> dict[str, Any]:
        """Have it do something.  Raises `RuntimeError` with the fault where it could not."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps([name, arguments]) + "\n")
        self._process.stdin.flush()
        answer: dict[str, Any] = json.loads(self._process.stdout.readline() or '{"fault":"ended"}')
        if "fault" in answer:
            raise RuntimeError(answer["fault"])
        return answer

    def open(
        self,
        server: Running,
        readers: int,
        limit: float,
        headers: str = "",
        *,
        keep: bool = False,
    ) -> float:
        """Connect so many readers; the seconds until each was served.

        With `headers`, which may have the answer compressed, its head counts as served.  With
        `keep` some readers keep every byte.
        """
        answer = self.call(
            "open",
            port=server.port,
            control=server.control,
            request=server.request(headers),
            ready="HTTP/1.1 200" if headers else server.ready,
            triggers=server.triggers,
            pids=server.pids,
            readers=readers,
            limit=limit,
            keep=keep,
        )
        return float(answer["seconds"])
