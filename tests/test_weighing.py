"""Overload of a real server: see `monitor.weighing` and `monitor.core.load`."""

from __future__ import annotations

import asyncio
import json
import time

import httpx

from monitor import weighing
from monitor.core.load import Load, Seen, Shed
from tests.browser.rig import Rig


def test_memory_is_seen_as_the_system_sees_it() -> None:
    """It must be that a process that holds more is seen to."""
    before = weighing.memory_bytes()
    held = bytearray(64 << 20)
    assert weighing.memory_bytes() - before > 48 << 20
    del held
    assert weighing.machine_bytes() > 2**28


def test_a_program_that_stood_still_was_not_busy() -> None:
    """It must be that who was stopped turns nobody away for it, and who was busy does."""
    assert weighing.lag_seconds(300.0, 0.1) == 0
    assert weighing.lag_seconds(300.0, 200.0) == 300
    assert weighing.lag_seconds(1.8, 0.0) == 1.8
    assert weighing.lag_seconds(-0.1, 0.0) == 0


async def test_a_late_event_loop_is_seen() -> None:
    """It must be that whatever stops the loop for seconds leads to shedding."""
    load = Load(2**62)
    watching = asyncio.create_task(weighing.watch(load))
    await asyncio.sleep(0.05)
    time.sleep(1.8)  # noqa: ASYNC251 - this is the fault
    await asyncio.sleep(0.01)
    watching.cancel()
    assert load.level >= Shed.QUERIES


def push(host: str, *names: str) -> str:
    return json.dumps({"host": host, "metrics": dict.fromkeys(names, 1)})


async def test_work_is_shed_in_its_order_and_health_never() -> None:
    """It must be that what is open and known goes on the longest, and a reason is given."""
    rig = Rig("web-1")
    async with rig.serving(), httpx.AsyncClient(base_url=rig.url, timeout=10) as client:
        await rig.send({"a.b": 1.0})
        json_ = {"content-type": "application/json"}

        async def statuses() -> dict[str, int]:
            known = push("web-2", "a.b")
            history = "/api/v1/history?host=web-1&metric=a.b"
            return {
                "new": (
                    await client.post(
                        "/api/v1/push",
                        content=push("web-3", f"n.{rig.services.load.level}"),
                        headers=json_,
                    )
                ).status_code,
                "query": (await client.get(history)).status_code,
                "stream": (await client.get("/api/v1/stream?follow=0")).status_code,
                "open": await opened(rig.url),
                "known": (
                    await client.post("/api/v1/push", content=known, headers=json_)
                ).status_code,
                "health": (await client.get("/healthz")).status_code,
                "page": (await client.get("/")).status_code,
            }

        calm = await statuses()
        assert set(calm.values()) == {200}
        load = rig.services.load
        load.most_memory_bytes = 1_000
        expected = dict(calm)
        for memory, what, status in (
            (800, "new", 429),
            (870, "query", 503),
            (930, "open", 429),
            (970, "known", 429),
        ):
            load.update(Seen(memory, 0.0), 0.0)
            expected[what] = status
            assert await statuses() == expected
        page = (await client.get("/", headers={"accept": "text/html"})).text
        assert "Overload" in page
        refused = await client.get("/api/v1/history?host=web-1&metric=a.b")
        assert refused.json()["code"] == "overloaded"
        assert 5 <= int(refused.headers["retry-after"]) <= 16


async def opened(url: str) -> int:
    """The status of a stream that stays; it is left at once."""
    async with (
        httpx.AsyncClient(base_url=url, timeout=10) as client,
        client.stream("GET", "/api/v1/stream") as answer,
    ):
        return answer.status_code
