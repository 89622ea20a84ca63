"""Alerting as one running part: what pends is shown, what reloads holds, and pauses are told."""

from __future__ import annotations

import asyncio
import time
from array import array
from collections.abc import Mapping
from pathlib import Path

import pytest

from monitor.alarm import PAUSE_SECONDS, Alarm
from monitor.config import Settings, load
from monitor.core.state import LiveState
from monitor.log.memory import MemoryLog
from monitor.log.memory_registry import MemoryRegistry
from monitor.model import Event, EventType, Frame, Schema
from monitor.pipeline import Pipeline
from monitor.store.memory import MemoryStore
from monitor.stream.hub import EventPublisher

RULES = """
[defaults]
rules = false
[channels.hook]
url = "http://127.0.0.1:1999/hook"
[rules.queue]
metric = "app.queue.length"
warning = { above = 10 }
for = "1h"
"""


class House:
    """A server's alerting without the server, over a log in memory."""

    def __init__(self, folder: Path) -> None:
        self.file = folder / "config.toml"
        self.file.write_text(RULES)
        self.file.chmod(0o600)
        self.state = LiveState()
        self.log = MemoryLog()
        self.store = MemoryStore()
        self.hub = EventPublisher(self.log, self.state, time.time)

        settings = self.read()
        self.alarm = Alarm(
            settings,
            self.read,
            self.state,
            self.store,
            self.log,
            MemoryRegistry(time.monotonic),
            self.hub,
            folder,
            time.time,
        )
        self.pipeline = Pipeline(self.state, self.store, self.log, self.hub.offer, time.time)

    def read(self) -> Settings:
        return load(self.file)

    async def push(self, value: float) -> None:
        schema = Schema(("app.queue.length",))
        await self.pipeline.accept(Frame("web-1", time.time(), schema, array("d", [value])), [])
        await self.alarm.tick(time.time())

    async def events(self) -> list[Event]:
        found, _, _ = await self.log.read(0, None, 100)
        return found


@pytest.fixture
async def house(tmp_path: Path) -> House:
    made = House(tmp_path)
    await made.alarm.begin()
    return made


async def test_what_pends_is_state(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """It must be that a pending condition is shown on the stream while it pends, and not logged."""
    shown: dict[str, Mapping[str, object]] = {}

    def show(topic: str, key: str, type_: EventType, data: Mapping[str, object]) -> None:
        assert (topic, type_) == ("alerts", EventType.ALERT)
        shown[key] = data

    monkeypatch.setattr(house.hub, "show", show)
    monkeypatch.setattr(house.hub, "hide", lambda _topic, key: shown.pop(key))
    await house.push(20)
    (said,) = shown.values()
    assert (said["state"], said["rule"], said["host"]) == ("pending", "queue", "web-1")
    await house.push(5)
    assert not shown
    assert EventType.ALERT not in {event.type for event in await house.events()}


async def test_a_reload_is_all_or_nothing(house: House) -> None:
    """It must be that a file whose channel may never be told anything changes no rule either."""
    house.file.write_text(RULES.replace("above = 10", "above = 30"))
    result = await house.alarm.reloads.reload("asked", "a test")
    assert result.ok
    assert "queue" in result.diff.changed
    before = house.alarm.judge.rules
    house.file.write_text(RULES.replace("http://127.0.0.1:1999/hook", "file:///etc/passwd"))
    result = await house.alarm.reloads.reload("asked", "a test")
    assert not result.ok
    assert house.alarm.judge.rules is before
    assert [each.name for each in house.alarm.status()] == ["hook"]
    kinds = [event.data.get("kind") for event in await house.events()]
    assert kinds.count("reload") == 2


async def test_a_channel_that_stays_is_the_same(house: House) -> None:
    """It must be that a reload which changes a rule alone closes no channel."""
    before = dict(house.alarm._channels)
    house.file.write_text(RULES.replace("above = 10", "above = 30"))
    assert (await house.alarm.reloads.reload("asked", "a test")).ok
    assert house.alarm._channels == before
    assert house.alarm._channels["hook"][1] is before["hook"][1]


async def test_a_pause_is_told_once(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """It must be that a server which stood still says so, whatever the wall clock says."""
    await house.push(5)
    offset = PAUSE_SECONDS + 300
    real = time.monotonic
    monkeypatch.setattr("monitor.alarm.time.monotonic", lambda: real() + offset)
    await house.push(5)
    await house.push(5)
    notices = [
        event.data["text"]
        for event in await house.events()
        if event.type is EventType.NOTICE and event.data["kind"] == "server"
    ]
    assert len(notices) == 1
    assert "stood still for 5m 5s" in str(notices[0])


async def test_an_absence_is_told(tmp_path: Path) -> None:
    """It must be that a server which comes back after long says how long nobody watched."""
    house = House(tmp_path)
    house.state.recall("web-1", {}, time.time()).at = time.time() - 7_200
    await house.alarm.begin()
    (event,) = await house.events()
    assert "2h" in str(event.data["text"])


async def test_its_tasks_end(house: House) -> None:
    """It must be that everything that it runs ends when it is cancelled."""
    tasks = [asyncio.create_task(work) for work in house.alarm.tasks().values()]
    await asyncio.sleep(0.05)
    assert not [task for task in tasks if task.done()]
    for task in tasks:
        task.cancel()
    _, pending = await asyncio.wait(tasks, timeout=10)
    assert not pending
