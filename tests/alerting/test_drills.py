"""Drills: wishes that are heard once, and what the log is told."""

from __future__ import annotations

import msgspec
import pytest

from monitor.alerting import drills
from monitor.alerting.drafts import draft
from monitor.core.book import Book
from monitor.core.messages import event
from monitor.log.memory import MemoryLog
from monitor.log.memory_registry import MemoryRegistry

NOW = 1_000_000.0


def wish(at: float = NOW) -> drills.Wish:
    """A drill of the rule, as the command line wishes it."""
    return drills.Wish("queue", "web-1", "oscar", at)


async def test_wishes_are_heard_once() -> None:
    """It must be that what is old or no wish is taken away unheard, and all are taken."""
    registry = MemoryRegistry()
    for place, value in enumerate(
        (
            msgspec.json.encode(wish()),
            msgspec.json.encode(wish(NOW - drills.FRESH_SECONDS - 1)),
            msgspec.json.encode(wish(NOW + 3_600)),
            b"nonsense",
        )
    ):
        await registry.put(f"{drills.WISHES}{place}", value)
    assert await drills.heard(registry, NOW) == [wish()]
    assert await registry.keys("") == []
    assert await drills.heard(registry, NOW) == []


async def test_many_wishes() -> None:
    """It must be that one look hears a few, and the next one others."""
    registry = MemoryRegistry()
    for number in range(15):
        await registry.put(f"{drills.WISHES}{number:02}", msgspec.json.encode(wish()))
    assert len(await drills.heard(registry, NOW)) == drills.MOST_AT_ONCE
    assert len(await drills.heard(registry, NOW)) == 5


@pytest.mark.parametrize("severity", ["info", "warning", "critical"])
async def test_what_the_log_is_told(severity: str) -> None:
    """It must be that a drill is marked, has the labels of host and rule, and ends by itself."""
    rule = draft(f'[rules.q]\nmetric = "a.b"\n{severity}.above = 9\nlabels = {{ team = "ops" }}\n')
    log, book = MemoryLog(), Book()

    async def tell(*said: object) -> None:
        for each in said:
            position = await log.append([event(each, NOW, f"{len(book.open)}")])  # type: ignore[arg-type]
            (found,), _, _ = await log.read(position - 1, None, 1)
            book.fold(found)

    await tell(drills.firing(rule, wish(), {"env": "prod"}, "d1", NOW))
    said = book.open["d1"].said
    assert (said.is_drill, said.severity, said.host) == (True, severity, "web-1")
    assert said.labels == {"env": "prod", "team": "ops"}
    assert said.notify == ("never" if severity == "info" else "always")
    assert "oscar" in said.summary
    assert len(said.limit) < 40  # the limit alone, as of any alert
    assert drills.over(book.open.values(), NOW + drills.LASTING_SECONDS - 1) == []
    await tell(*drills.over(book.open.values(), NOW + drills.LASTING_SECONDS))
    assert not book.open
    over = book.get("d1")
    assert over is not None
    assert (over.said.state, over.said.reason) == ("resolved", "drill")
