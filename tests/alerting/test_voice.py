"""The judge's voice: every event once, in order, whatever the log does.

Every name finishes the sentence "it must be that …".
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import pytest

from monitor.alerting.voice import AT_ONCE, SCOPE, Voice
from monitor.core import messages
from monitor.errors import Unavailable
from monitor.log.memory import MemoryLog
from monitor.model import Event
from monitor.ports import Unknown

NOW = 1_700_000_000.0


def _said(number: int) -> messages.Alert:
    return messages.Alert(
        alert=f"{number:016x}",
        rule="hot",
        host="web-1",
        attributes={},
        state="firing",
        was="inactive",
        severity="warning",
        value=1.0,
        since=NOW,
    )


class Faulty(MemoryLog):
    """A log whose next appends fail as `faults` says: before or after it stored."""

    def __init__(self) -> None:
        super().__init__()
        self.faults: list[str] = []
        self.batches: list[int] = []

    async def append(
        self, events: Sequence[Event], scope: str | None = None, expect: int | None = None
    ) -> int:
        fault = self.faults.pop(0) if self.faults else ""
        if fault == "down":
            raise Unavailable("it is down")
        if fault == "lost":
            raise Unknown("the answer was lost")
        last = await super().append(events, scope, expect)
        self.batches.append(len(events))
        if fault == "stored":
            raise Unknown("the answer was lost")
        if fault == "cut":
            raise Unavailable("cut off after all was stored")
        return last


class Said:
    """A voice, its log, and what was heard."""

    def __init__(self) -> None:
        self.log = Faulty()
        self.heard: list[Event] = []
        self.voice = Voice(self.log, self.heard.append)

    async def begin(self) -> Said:
        await self.voice.begin()
        return self

    def add(self, *numbers: int, now: float = NOW) -> None:
        self.voice.add([_said(number) for number in numbers], now)

    async def stored(self) -> list[Event]:
        found: list[Event] = []
        while True:
            page, _, _ = await self.log.read(found[-1].sequence if found else 0, None, 1_000)
            if not page:
                return found
            found += page

    async def is_all_once(self, *numbers: int) -> bool:
        """Whether the log and who listens have exactly these, in this order, alike."""
        stored = await self.stored()
        assert [int(str(each.data["alert"]), 16) for each in stored] == list(numbers)
        assert [each.sequence for each in self.heard] == [each.sequence for each in stored]
        assert [each.event_id for each in self.heard] == [each.event_id for each in stored]
        return self.voice.waiting == 0


async def test_all_is_said_once_in_order_and_in_batches() -> None:
    said = await Said().begin()
    many = range(2 * AT_ONCE + 50)
    said.add(*many)
    assert said.voice.waiting == len(many)
    assert await said.voice.say()
    assert not await said.voice.say()
    assert await said.is_all_once(*many)
    assert said.log.batches == [AT_ONCE, AT_ONCE, 50]


@pytest.mark.parametrize("fault", ["down", "lost", "stored", "cut"])
async def test_what_fails_is_said_once_all_the_same(fault: str) -> None:
    said = await Said().begin()
    said.add(1)
    await said.voice.say()
    said.log.faults = [fault]
    said.add(2, 3)
    if fault == "stored":
        assert await said.voice.say()
    else:
        with pytest.raises(Unavailable):
            await said.voice.say()
        assert said.voice.waiting == 2
        assert len(said.heard) == 1
        await said.voice.say()
    said.add(4)
    await said.voice.say()
    assert await said.is_all_once(1, 2, 3, 4)
    assert not said.voice.is_deposed


async def test_what_failed_in_the_middle_goes_on_there() -> None:
    said = await Said().begin()
    many = range(3 * AT_ONCE)
    said.add(*many)
    said.log.faults = ["", "lost"]
    with pytest.raises(Unavailable):
        await said.voice.say()
    assert said.voice.waiting == 2 * AT_ONCE
    await said.voice.say()
    assert await said.is_all_once(*many)


async def test_others_may_write_in_between() -> None:
    said = await Said().begin()
    said.add(1)
    await said.voice.say()
    other = (await said.stored())[0]
    await said.log.append([other])
    said.log.faults = ["stored"]
    said.add(2)
    await said.voice.say()
    assert [each.sequence for each in said.heard] == [1, 3]


async def test_who_is_deposed_says_nothing_any_more() -> None:
    said = await Said().begin()
    other = Voice(said.log, lambda _: None)
    await other.begin()
    other.add([_said(9)], NOW)
    await other.say()
    said.add(1, 2)
    with pytest.raises(Unavailable) as raised:
        await said.voice.say()
    assert raised.value.code == "not_judging"
    assert said.voice.is_deposed
    await said.voice.say()
    assert [int(str(each.data["alert"]), 16) for each in await said.stored()] == [9]
    assert said.heard == []


async def test_a_lost_answer_does_not_hide_that_another_was_there() -> None:
    said = await Said().begin()
    said.log.faults = ["lost"]
    said.add(1)
    with pytest.raises(Unavailable):
        await said.voice.say()
    other = Voice(said.log, lambda _: None)
    await other.begin()
    other.add([_said(9)], NOW)
    await other.say()
    with pytest.raises(Unavailable, match="another"):
        await said.voice.say()
    assert said.voice.is_deposed


async def test_a_restart_takes_up_the_scope_where_it_stands() -> None:
    said = await Said().begin()
    said.add(1)
    await said.voice.say()
    again = Voice(said.log, said.heard.append)
    await again.begin()
    again.add([_said(2)], NOW)
    await again.say()
    assert await said.is_all_once(1, 2)
    assert await said.log.last(SCOPE) == 2


async def test_instants_never_go_back() -> None:
    said = await Said().begin()
    said.add(1, now=NOW)
    said.add(2, now=NOW - 60)
    said.add(3, now=NOW + 1)
    await said.voice.say()
    assert [each.at for each in said.heard] == [NOW, NOW, NOW + 1]


async def test_what_is_too_large_is_said_without_its_evidence_and_nonsense_is_not() -> None:
    said = await Said().begin()
    huge = msgspec.structs.replace(_said(1), evidence={"text": "x" * 300_000})
    nonsense = msgspec.structs.replace(_said(2), summary="x" * 300_000)
    said.voice.add([huge, nonsense, _said(3)], NOW)
    await said.voice.say()
    assert await said.is_all_once(1, 3)
    assert said.heard[0].data.get("evidence") is None
