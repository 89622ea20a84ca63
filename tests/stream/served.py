"""A server in a process of its own, under a load that a test chooses.

    python -m tests.stream.served '{"keys": 3000, "frame_seconds": 0.1}'

It is the real application without collectors, as `tests.browser.rig` has it; it says where it
listens, ends at SIGTERM, and logs `events` notices in a burst whenever it gets a SIGUSR1.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import signal
import sys

from monitor.bootstrap import _allow_many_descriptors
from monitor.stream import hub, speech
from monitor.web import server
from tests.browser.rig import Rig
from tests.stream.making import notice


async def serve(options: dict[str, float]) -> None:
    """Serve until SIGTERM, with a frame of so many keys every so often."""
    hub.HEARTBEAT_SECONDS = options.get("heartbeat_seconds", hub.HEARTBEAT_SECONDS)
    hub.STALL_SECONDS = options.get("stall_seconds", hub.STALL_SECONDS)
    server.USER_TIMEOUT_MILLISECONDS = int(options.get("user_timeout_milliseconds", 10_000))
    if "retry_milliseconds" in options:
        most = int(options["retry_milliseconds"])
        speech.retry.__defaults__ = ((most // 2, most),)
    loop = asyncio.get_running_loop()
    ending = asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, ending.set)
    rig = Rig("web-1")
    rig.know("web-1")

    async def burst() -> None:
        for number in range(int(options.get("events", 0))):
            await rig.log.append([notice(f"{number}")])

    bursts: set[asyncio.Task[None]] = set()
    loop.add_signal_handler(signal.SIGUSR1, lambda: bursts.add(loop.create_task(burst())))
    async with rig.serving():
        values = {f"metric.{number}": number / 7 for number in range(int(options.get("keys", 1)))}
        await rig.send(values)
        print(f"listening on {rig.url}", flush=True)  # noqa: T201 - for who started us
        loading = asyncio.create_task(_load(rig, values, options.get("frame_seconds", 1.0)))
        await ending.wait()
        loading.cancel()


async def _load(rig: Rig, values: dict[str, float], seconds: float) -> None:
    for step in itertools.count():
        await asyncio.sleep(seconds)
        await rig.send({key: value + step for key, value in values.items()})


if __name__ == "__main__":
    _allow_many_descriptors()
    asyncio.run(serve(json.loads(sys.argv[1])))
