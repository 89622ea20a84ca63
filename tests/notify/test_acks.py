"""Acknowledgements: made, taken back, known again, let go of."""

from __future__ import annotations

import pytest

from monitor.access.audit import Actor
from monitor.core.book import Alert
from monitor.errors import InputError
from monitor.log.memory import MemoryLog
from monitor.log.memory_registry import MemoryRegistry
from monitor.notify import acks as module
from monitor.notify.acks import PREFIX, SHOWN_SECONDS, Acks
from tests.notify.alerts import alert, notices

OSCAR = Actor("oscar", "127.0.0.1")
NOW = 1_000_000.0


class Desk:
    """Acknowledgements over a registry, a clock that a test sets, and the alerts that there are."""

    def __init__(self) -> None:
        self.now = NOW
        self.log = MemoryLog()
        self.registry = MemoryRegistry()
        self.alerts: dict[str, Alert] = {}
        self.acks = self.another()

    def another(self) -> Acks:
        """Another process's, over the same registry and log."""
        return Acks(self.registry, self.log, lambda: self.now, self.alerts.get)


async def test_acknowledging() -> None:
    """It must be that it is known who did it, and the log and the audit trail say so."""
    desk = Desk()
    ack = await desk.acks.acknowledge(OSCAR, alert(), " I am at it ")
    assert desk.acks.get("a1") == ack
    assert (ack.by, ack.at, ack.note, ack.severity) == ("oscar", NOW, "I am at it", "warning")
    (notice,) = await notices(desk.log, "ack")
    assert notice["text"] == "oscar acknowledged disk_space of web-1: I am at it"
    assert notice["details"] == {
        "alert": "a1",
        "action": "create",
        "rule": "disk_space",
        "host": "web-1",
        "by": "oscar",
        "note": "I am at it",
    }
    (audit,) = await notices(desk.log, "audit")
    assert (audit["details"]["action"], audit["details"]["target"]) == ("ack.create", "a1")
    after = desk.another()
    await after.load()
    assert after.all() == {"a1": ack}


async def test_it_holds_while_it_is_no_worse() -> None:
    """It must be that an escalation breaks through it, until somebody acknowledges that too."""
    desk = Desk()
    ack = await desk.acks.acknowledge(OSCAR, alert())
    assert [ack.covers(each) for each in ("info", "warning", "critical")] == [True, True, False]
    ack = await desk.acks.acknowledge(Actor("ann"), alert(severity="critical"))
    assert ack.covers("critical")
    assert desk.acks.get("a1") == ack


async def test_taking_it_back() -> None:
    """It must be that the alert is as if nobody had acknowledged it, and once only."""
    desk = Desk()
    await desk.acks.acknowledge(OSCAR, alert())
    await desk.acks.take_back(Actor("ann"), alert())
    await desk.acks.take_back(Actor("ann"), alert())
    assert desk.acks.get("a1") is None
    assert await desk.registry.keys(PREFIX) == []
    assert [each["details"]["by"] for each in await notices(desk.log, "ack")] == ["oscar", "ann"]


async def test_what_is_over() -> None:
    """It must be that there is nothing to acknowledge any more."""
    desk = Desk()
    with pytest.raises(InputError) as raised:
        await desk.acks.acknowledge(OSCAR, alert(state="resolved"))
    assert (raised.value.status, raised.value.code) == (409, "alert_over")


@pytest.mark.parametrize("note", ["x" * 501, "x\r\ny", "\u202e"])
async def test_notes_are_lines(note: str) -> None:
    """It must be that a note that is too long or no line is refused, and nothing written."""
    desk = Desk()
    with pytest.raises(InputError):
        await desk.acks.acknowledge(OSCAR, alert(), note)
    assert await desk.registry.keys("") == []


async def test_they_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """It must be that one too many is refused; to acknowledge again is always possible."""
    monkeypatch.setattr(module, "MOST_ACKS", 2)
    desk = Desk()
    for id_ in ("a1", "a2"):
        await desk.acks.acknowledge(OSCAR, alert(id_))
    with pytest.raises(InputError) as raised:
        await desk.acks.acknowledge(OSCAR, alert("a3"))
    assert (raised.value.status, raised.value.limit) == (409, 2)
    await desk.acks.acknowledge(OSCAR, alert("a2"), "again")


async def test_they_go_a_day_after_the_alert() -> None:
    """It must be that they last as long as the alert is open, and a day beyond."""
    desk = Desk()
    for id_ in ("open", "over", "forgotten"):
        await desk.acks.acknowledge(OSCAR, alert(id_))
    desk.alerts["open"] = alert("open")
    desk.now += 10 * SHOWN_SECONDS
    desk.alerts["over"] = alert("over", state="resolved", since=desk.now)
    await desk.acks.tidy()
    assert set(desk.acks.all()) == {"open", "over"}
    desk.now += SHOWN_SECONDS
    await desk.acks.tidy()
    assert set(desk.acks.all()) == {"open"}


async def test_one_of_another_alert() -> None:
    """It must be that a record that lies under another alert's key counts for nothing."""
    desk = Desk()
    await desk.acks.acknowledge(OSCAR, alert("a1"))
    found = await desk.registry.get(f"{PREFIX}a1")
    assert found is not None
    await desk.registry.put(f"{PREFIX}a2", found.value)
    after = desk.another()
    await after.load()
    assert set(after.all()) == {"a1"}
