"""Silences: made, ended, followed, known again, asked of alerts."""

from __future__ import annotations

import asyncio
import contextlib
import math
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest

from monitor.access.audit import Actor
from monitor.core.selectors import Selector
from monitor.errors import InputError, MonitorError, NotFound, Unavailable
from monitor.log.memory import MemoryLog
from monitor.log.memory_registry import MemoryRegistry
from monitor.notify import silences as module
from monitor.notify.config import SilenceConfig
from monitor.notify.schedules import Schedule
from monitor.notify.silence import Silence, configured
from monitor.notify.silences import PREFIX, SHOWN_SECONDS, Silences, Wish
from monitor.ports import Unknown
from tests.notify.alerts import alert, notices

OSCAR = Actor("oscar", "127.0.0.1")
NOW = 1_000_000.0
HOUR = 3_600.0


class Desk:
    """Silences over a registry, and a clock that a test sets."""

    def __init__(self, *config: SilenceConfig) -> None:
        self.now = NOW
        self.log = MemoryLog()
        self.registry = MemoryRegistry()
        self.configured = configured(
            config, {"silences.0": "main.toml:3", "silences.1": "main.toml:7"}
        )
        self.silences = self.another()

    def another(self) -> Silences:
        """Another process's, over the same registry and log."""
        return Silences(self.registry, self.log, lambda: self.now, self.configured)

    async def make(self, match: str, seconds: float = HOUR, **more: Any) -> Silence:
        wish = Wish(Selector.parse(match), until=self.now + seconds, **more)
        return await self.silences.create(OSCAR, wish)

    def takes(self, labels: dict[str, str] | None = None) -> str:
        found = alert().labels if labels is None else labels
        return self.silences.silencing(found, self.now)


@contextlib.asynccontextmanager
async def following(silences: Silences) -> AsyncIterator[asyncio.Event]:
    """Silences that follow the registry, and the event of their next change."""
    changed = asyncio.Event()
    silences.changed.append(changed.set)
    task = asyncio.create_task(silences.follow())
    try:
        yield changed
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


MATCHES = [
    ("host=web-1", True),
    ("host=web-2", False),
    ("host in (web-1, web-2)", True),
    ("host=web-*", True),
    ("env=prod, severity=warning", True),
    ("env=prod, severity=critical", False),
    ("rule=disk_space, mountpoint=/var", True),
    ("mountpoint=/", False),
    ("env!=dev", True),
    ('team=""', True),
    ('team in ("", ops)', True),
    ("host=*", True),
    ("host=w*", True),
    ("host=web-?", True),
    ("host in (db-*, web-*)", True),
    ("host in (db-*, web-1)", True),
    ("host in (db-*, we?-2)", False),
    (r'host="web-\\*"', False),
    (r'host="web-\1*"', True),
    ("team=?*", False),
    ('team in ("", o*)', True),
]


@pytest.mark.parametrize(("match", "expected"), MATCHES)
async def test_which_alerts_it_takes(match: str, expected: bool) -> None:
    """It must be that labels, attributes and reserved names of the alert decide."""
    desk = Desk()
    made = await desk.make(match)
    found = desk.silences.silenced(alert().labels, desk.now)
    assert found == (made if expected else None)
    assert desk.takes() == (made.id if expected else "")


async def test_it_holds_until_its_end() -> None:
    """It must be that it silences from its making to its end, whichever way the clock moves."""
    desk = Desk()
    made = await desk.make("host=web-1", seconds=100.0)
    later = await desk.make("host=web-1", seconds=500.0, starts=NOW + 200.0)
    for now, expected in ((0, made.id), (99.9, made.id), (100, ""), (199, ""), (200, later.id)):
        desk.now = NOW + now
        assert desk.takes() == expected, now
    desk.now = NOW + 500.0
    assert desk.takes() == ""
    desk.now = NOW + 50.0
    assert desk.takes() == made.id


async def test_a_maintenance_holds_on_its_schedule() -> None:
    """It must be that one with a schedule silences within its windows, and is a maintenance."""
    desk = Desk()
    schedule = Schedule.parse("02:00-03:00")
    await desk.silences.create(OSCAR, Wish(Selector.parse("host=web-1"), schedule=schedule))
    midnight = 12 * 86_400.0
    for seconds, expected in ((7_199, False), (7_200, True), (10_799, True), (10_800, False)):
        desk.now = midnight + seconds
        assert bool(desk.takes()) is expected, seconds
    (notice,) = await notices(desk.log, "silence", "maintenance")
    assert (notice["kind"], notice["details"]["schedule"]) == ("maintenance", "02:00-03:00")
    assert notice["details"]["until"] is None


async def test_ending_one() -> None:
    """It must be that it is over at once, still shown, and ended once only."""
    desk = Desk()
    made = await desk.make("host=web-1")
    desk.now += 60.0
    ended = await desk.silences.delete(Actor("ann"), made.id)
    assert (ended.until, ended.ended_by, ended.state(desk.now)) == (desk.now, "ann", "expired")
    assert desk.takes() == ""
    assert desk.silences.all() == (ended,)
    desk.now += 60.0
    assert await desk.silences.delete(OSCAR, made.id) == ended
    assert [each["details"]["action"] for each in await notices(desk.log, "silence")] == [
        "create",
        "end",
    ]


async def test_what_is_written_down() -> None:
    """It must be that the log says who did what, and the audit trail from where."""
    desk = Desk()
    made = await desk.make("host=web-1", comment="  disks are swapped ")
    (notice,) = await notices(desk.log, "silence")
    assert notice["text"] == "oscar silenced host=web-1 for 1h"
    assert notice["details"] == {
        "id": made.id,
        "action": "create",
        "match": "host=web-1",
        "by": "oscar",
        "until": NOW + HOUR,
        "comment": "disks are swapped",
    }
    (audit,) = await notices(desk.log, "audit")
    assert audit["details"] == {
        "actor": "oscar",
        "address": "127.0.0.1",
        "action": "silence.create",
        "target": made.id,
        "outcome": "done",
    }


async def test_it_is_known_again() -> None:
    """It must be that silences survive a restart exactly."""
    desk = Desk()
    await desk.make("host=web-1", comment="x")
    schedule = Schedule.parse("Mon 02:00-03:00 Europe/Berlin")
    wish = Wish(Selector.parse("env=prod"), until=NOW + 9 * HOUR, schedule=schedule)
    await desk.silences.create(OSCAR, wish)
    after = desk.another()
    await after.load()
    assert after.all() == desk.silences.all()
    assert len(after.all()) == 2


async def test_other_processes_follow() -> None:
    """It must be that what one makes and ends the other one obeys."""
    desk = Desk()
    other = desk.another()
    async with following(other) as changed:
        made = await desk.make("host=web-1")
        await asyncio.wait_for(changed.wait(), 5)
        assert other.silencing(alert().labels, desk.now) == made.id
        changed.clear()
        await desk.silences.delete(OSCAR, made.id)
        await asyncio.wait_for(changed.wait(), 5)
        assert other.silencing(alert().labels, desk.now) == ""
        changed.clear()
        desk.now += SHOWN_SECONDS
        await desk.silences.tidy()
        await asyncio.wait_for(changed.wait(), 5)
        assert other.all() == ()


async def test_two_who_end_the_same() -> None:
    """It must be that whoever has an old view of it is told, and then sees the new one."""
    desk = Desk()
    made = await desk.make("host=web-1")
    other = desk.another()
    await other.load()
    await desk.silences.delete(OSCAR, made.id)
    with pytest.raises(InputError) as raised:
        await other.delete(OSCAR, made.id)
    assert (raised.value.status, raised.value.code) == (409, "changed_meanwhile")
    assert other.all() == desk.silences.all()


async def test_one_that_may_have_been_written(monkeypatch: pytest.MonkeyPatch) -> None:
    """It must be that it is looked whether it was, and said where it was not."""
    desk = Desk()
    create = desk.registry.create

    async def written(key: str, value: bytes) -> int:
        await create(key, value)
        raise Unknown

    async def lost(key: str, value: bytes) -> int:
        raise Unknown

    monkeypatch.setattr(desk.registry, "create", written)
    made = await desk.make("host=web-1")
    assert desk.takes() == made.id
    monkeypatch.setattr(desk.registry, "create", lost)
    with pytest.raises(Unavailable, match="look before trying again"):
        await desk.make("host=web-2")
    assert len(desk.silences.all()) == 1


async def test_the_configurations() -> None:
    """It must be that they hold, know their place, and are ended in their file alone."""
    desk = Desk(
        SilenceConfig(match=Selector.parse("env=prod"), until="2030-01-01T00:00Z", comment="c"),
        SilenceConfig(match=Selector.parse("host=web-1"), schedule="Sat,Sun"),
    )
    first, second = desk.silences.all()
    assert (first.id, first.origin, first.until) == ("config:0", "main.toml:3", 1_893_456_000.0)
    assert (second.id, second.schedule) == ("config:1", Schedule.parse("Sat,Sun"))
    assert desk.takes() == "config:0"
    with pytest.raises(InputError, match=r"stands in main.toml:3") as raised:
        await desk.silences.delete(OSCAR, "config:0")
    assert (raised.value.status, raised.value.code) == (409, "configured")
    desk.silences.reconfigure(())
    assert desk.takes() == ""
    assert desk.silences.all() == ()


async def test_there_is_no_such_silence() -> None:
    """It must be that an unknown id is a 404."""
    with pytest.raises(NotFound):
        await Desk().silences.delete(OSCAR, "0123456789")


REFUSED = [
    ({}, "has an end"),
    ({"until": NOW}, "ends after it begins"),
    ({"until": NOW - 1}, "ends after it begins"),
    ({"until": math.nan}, "ends after it begins"),
    ({"until": math.inf}, "ends after it begins"),
    ({"until": NOW + 100, "starts": NOW + 100}, "ends after it begins"),
    ({"until": NOW + 367 * 86_400}, "lasts a year at most"),
    ({"until": NOW + HOUR, "comment": "x" * 501}, "at most 500 characters"),
    ({"until": NOW + HOUR, "comment": "x\r\nBcc: y"}, "one line of text"),
    (
        {"starts": NOW + 367 * 86_400, "schedule": Schedule.parse("Sat")},
        "lasts a year at most",
    ),
]


@pytest.mark.parametrize(("wish", "why"), REFUSED, ids=range(len(REFUSED)))
async def test_what_may_not_be(wish: dict[str, Any], why: str) -> None:
    """It must be that it is refused, and nothing is written."""
    desk = Desk()
    with pytest.raises(InputError, match=why):
        await desk.silences.create(OSCAR, Wish(Selector.parse("host=web-1"), **wish))
    assert await desk.registry.keys("") == []
    assert await desk.log.last() == 0


async def test_they_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """It must be that one too many is refused, unless one that is over makes room for it."""
    monkeypatch.setattr(module, "MOST_SILENCES", 3)
    desk = Desk()
    made = [await desk.make(f"host=web-{number}") for number in range(3)]
    with pytest.raises(InputError) as raised:
        await desk.make("host=web-9")
    assert (raised.value.status, raised.value.limit) == (409, 3)
    await desk.silences.delete(OSCAR, made[1].id)
    last = await desk.make("host=web-9")
    assert {each.id for each in desk.silences.all()} == {made[0].id, made[2].id, last.id}


async def test_what_is_over_goes_after_a_week() -> None:
    """It must be that it is shown for a week, and that what lasts is let be."""
    desk = Desk()
    await desk.make("host=web-1", seconds=60.0)
    await desk.make("host=web-2", seconds=30 * 86_400.0)
    desk.now += 60.0 + SHOWN_SECONDS - 1.0
    await desk.silences.tidy()
    assert len(desk.silences.all()) == 2
    desk.now += 1.0
    await desk.silences.tidy()
    assert [each.match.text for each in desk.silences.all()] == ["host=web-2"]
    assert len(await desk.registry.keys(PREFIX)) == 1


@pytest.mark.parametrize(
    "value",
    [b"", b"{}", b"[]", b"\xff", b'{"match":"(","starts":0}', b'{"match":"a=b","starts":"x"}'],
)
async def test_a_damaged_one(value: bytes) -> None:
    """It must be that what cannot be read silences nothing, and the others hold."""
    desk = Desk()
    made = await desk.make("host=web-1")
    await desk.registry.put(f"{PREFIX}bad", value)
    after = desk.another()
    await after.load()
    assert [each.id for each in after.all()] == [made.id]


async def test_a_log_that_cannot_be_written() -> None:
    """It must be that the silence holds all the same: it is the registry's."""
    desk = Desk()
    await desk.log.close()
    made = await desk.make("host=web-1")
    assert desk.takes() == made.id


async def test_a_registry_that_cannot_be_written(monkeypatch: pytest.MonkeyPatch) -> None:
    """It must be that nothing is claimed, and that tidying goes on another time."""
    desk = Desk()
    await desk.make("host=web-1", seconds=1.0)

    async def fails(*_: object) -> int:
        raise Unavailable("the disk is full")

    for name in ("create", "update", "delete"):
        monkeypatch.setattr(desk.registry, name, fails)
    with pytest.raises(MonitorError, match="the disk is full"):
        await desk.make("host=web-2")
    desk.now += 2 * SHOWN_SECONDS
    await desk.silences.tidy()
    assert len(desk.silences.all()) == 1


async def test_many_of_them() -> None:
    """It must be that an alert asks only those that name something of its own."""
    asked = 0
    desk = Desk()
    for number in range(1_000):
        match = f"host=h{number}" if number % 2 else f"env=prod, host in (h{number}-*, x)"
        value = msgspec.json.encode({"match": match, "starts": 0, "until": 2e6})
        await desk.registry.put(f"{PREFIX}s{number}", value)
    await desk.silences.load()
    assert desk.takes({"host": "h77"}) == "s77"
    matches = Selector.matches

    def counted(self: Selector, labels: Any) -> bool:
        nonlocal asked
        asked += 1
        return matches(self, labels)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Selector, "matches", counted)
        assert desk.takes({"host": "h78-1", "env": "prod"}) == "s78"
        assert desk.takes({"host": "h79", "env": "prod"}) == "s79"
        assert desk.takes({"host": "h78", "env": "prod"}) == ""
    assert asked == 2


async def test_records_stay_readable() -> None:
    """It must be that a record of a newer version, with more in it, is read as far as known."""
    desk = Desk()
    value = msgspec.json.encode({"match": "host=a", "starts": 0, "until": 2e6, "colour": "red"})
    await desk.registry.put(f"{PREFIX}new", value)
    await desk.silences.load()
    assert desk.takes({"host": "a"}) == "new"
