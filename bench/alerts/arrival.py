"""How long from a breaching sample's push until a reader and a webhook know of the alert.

The server is `monitor serve` in a process of its own.  Hosts push once a second each; now and then
one pushes a value beyond the limit of a rule without a `for`, each host once.  The wait begins when
its request is sent, and ends when the `alert` event has come to a reader of the stream, and when
the webhook has the whole body.  Pushes are spread over the server's tick of a second, so that half
of it is in the median.  Groups are by host here, so that every alert is a message of its own; each
waits for its group first, a second by default, which counts.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import time
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field

import httpx
import numpy as np

from bench.alerts.shapes import host
from bench.door.house import house

METRIC = "app.bench.level"
CALM, BREACHING = 1.0, 200.0

SETTLE_SECONDS = 5.0
"""Every host has come some times by then, and the reader is there."""

APART_SECONDS = 0.37
"""Between breaches; no divisor of the tick, so that all of its parts are met."""

LONGEST_WAIT_SECONDS = 15.0

GROUP_WAIT_SECONDS = 1.0
"""As it is by default."""

CONFIG = """
[collect]
interval = "1h"
[defaults]
rules = false
[outbound]
allow = ["127.0.0.0/8"]
[rules.bench]
metric = "{metric}"
warning = {{ above = 100 }}
[channels.hook]
url = "http://127.0.0.1:{port}/"
[[routes]]
channels = ["hook"]
group_by = ["host"]
group_wait = "{wait:.0f}s"
"""


@dataclass(frozen=True)
class Arrived:
    """Waits in milliseconds, of as many breaches as came through."""

    where: str
    count: int
    p50_ms: float
    p99_ms: float
    most_ms: float
    missing: int


@dataclass
class _Seen:
    """When each host's alert came, by the bench's clock."""

    at: dict[str, float] = field(default_factory=dict)
    all_there: asyncio.Event = field(default_factory=asyncio.Event)
    wanted: int = 0

    def note(self, name: str) -> None:
        self.at.setdefault(name, time.monotonic())
        if len(self.at) >= self.wanted:
            self.all_there.set()


def arrival(count: int) -> list[Arrived]:
    """So many breaches."""
    return asyncio.run(_arrival(count))


async def _arrival(count: int) -> list[Arrived]:
    in_reader, in_hook = _Seen(wanted=count), _Seen(wanted=count)
    async with _hook(in_hook) as port:
        config = CONFIG.format(metric=METRIC, port=port, wait=GROUP_WAIT_SECONDS)
        with house(config=config) as server:
            url = f"http://127.0.0.1:{server.port}"
            async with httpx.AsyncClient(base_url=url, timeout=30.0) as client:
                sent = await _breached(client, count, in_reader, in_hook)
    return [
        _told("an event in a reader", sent, in_reader),
        _told("received by a webhook", sent, in_hook),
    ]


async def _breached(
    client: httpx.AsyncClient, count: int, in_reader: _Seen, in_hook: _Seen
) -> Mapping[str, float]:
    """Have every host breach once; when each sent it."""
    names = [host(number) for number in range(count)]
    values = dict.fromkeys(names, CALM)
    tasks = [asyncio.create_task(_read(client, in_reader))]
    tasks += [
        asyncio.create_task(_push_each_second(client, name, values, number / count))
        for number, name in enumerate(names)
    ]
    sent: dict[str, float] = {}
    try:
        await asyncio.sleep(SETTLE_SECONDS)
        for name in names:
            values[name] = BREACHING
            sent[name] = time.monotonic()
            await _push(client, name, BREACHING)
            await asyncio.sleep(APART_SECONDS)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LONGEST_WAIT_SECONDS):
                await in_reader.all_there.wait()
                await in_hook.all_there.wait()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    return sent


async def _push(client: httpx.AsyncClient, name: str, value: float) -> None:
    document = {"host": name, "metrics": {METRIC: value}}
    answer = await client.post("/api/v1/push", json=document)
    answer.raise_for_status()


async def _push_each_second(
    client: httpx.AsyncClient, name: str, values: Mapping[str, float], offset: float
) -> None:
    due = time.monotonic() + offset
    while True:
        await asyncio.sleep(max(0.0, due - time.monotonic()))
        if values[name] == CALM:  # who has breached has said so, and says nothing new
            await _push(client, name, CALM)
        due += 1.0


async def _read(client: httpx.AsyncClient, seen: _Seen) -> None:
    """A reader of the stream."""
    async with client.stream("GET", "/api/v1/stream?topics=alerts", timeout=None) as stream:
        stream.raise_for_status()
        is_alert = False
        async for line in stream.aiter_lines():
            if line.startswith("event:"):
                is_alert = line == "event: alert"
            elif is_alert and line.startswith("data:"):
                said = json.loads(line.removeprefix("data:"))
                if said["state"] == "firing":
                    seen.note(said["host"])


@contextlib.asynccontextmanager
async def _hook(seen: _Seen) -> AsyncIterator[int]:
    """A webhook's receiver; its port."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # Whoever is still connected at the end is cut off.
        over = (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError)
        with contextlib.suppress(*over):
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = re.search(rb"content-length: *(\d+)", head, re.IGNORECASE)
                said = json.loads(await reader.readexactly(int(length[1]) if length else 0))
                for each in said["alerts"]:
                    seen.note(each["host"])
                writer.write(b"HTTP/1.1 204 No Content\r\n\r\n")
                await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield int(server.sockets[0].getsockname()[1])


def _told(where: str, sent: Mapping[str, float], seen: _Seen) -> Arrived:
    waits = [(seen.at[name] - at) * 1e3 for name, at in sent.items() if name in seen.at]
    if not waits:
        raise RuntimeError(f"nothing was {where}")
    p50, p99 = np.percentile(waits, (50, 99)).tolist()
    return Arrived(where, len(waits), p50, p99, max(waits), len(sent) - len(waits))
