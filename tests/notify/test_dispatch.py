"""The notifier over a real log: it must be that each channel is told, whatever another does."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import structlog

from monitor.core.messages import HostUpdate, event
from monitor.core.selectors import Selector
from monitor.errors import MonitorError, NotFound, Unavailable
from monitor.log.checkpoints import PREFIX
from monitor.model import Event, HostStatus
from monitor.notify import consumer, deliveries, dispatch, retrying, telling, trials
from monitor.notify.channel import MOST_TOLD, Notification, Outcome, Result
from monitor.notify.config import RouteConfig
from monitor.notify.dispatch import Notify
from monitor.notify.keeping import Frozen
from monitor.ports import EventLog, Registry, Unknown
from tests.log.logs import opened
from tests.notify.alerts import said
from tests.notify.receiver import FAILED, REFUSED, Receiver
from tests.notify.stage import Ack, route

QUICK = 0.01
"""A group's wait in these tests, and how long the first retry waits."""


@pytest.fixture(params=["memory", "sqlite"])
async def stores(
    request: pytest.FixtureRequest, tmp_path: Path
) -> AsyncIterator[tuple[EventLog, Registry]]:
    async with opened(request.param, tmp_path) as both:
        yield both


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Waits are short: what is tested is their order."""
    monkeypatch.setattr(retrying, "FIRST_SECONDS", QUICK)
    monkeypatch.setattr(retrying, "LONGEST_SECONDS", QUICK)
    monkeypatch.setattr(deliveries, "TRY_AGAIN_SECONDS", QUICK)
    monkeypatch.setattr(dispatch, "TRY_AGAIN_SECONDS", QUICK)
    monkeypatch.setattr(dispatch, "FLUSH_SECONDS", 10 * QUICK)


class House:
    """A notifier, its log, and whoever it tells."""

    def __init__(self, stores: tuple[EventLog, Registry], *receivers: Receiver) -> None:
        self.log, self.registry = stores
        self.receivers = {each.name: each for each in receivers or (Receiver(),)}
        self.routes: tuple[RouteConfig, ...] = ()
        self.silences: list[Selector] = []
        self.acks: dict[str, Ack] = {}
        self.shift = 0.0
        self._stands = 0.0
        self.notify: Notify

    def clock(self) -> float:
        return (self._stands or time.time()) + self.shift

    def stand(self) -> float:
        """The clock stands from now on, until it is shifted; where."""
        self._stands = time.time()
        return self._stands

    async def folded(self) -> None:
        """All of the log was taken in."""
        self.notify.wake()
        last = await self.log.last()
        async with asyncio.timeout(60):
            while True:
                if self.notify.position >= last:
                    return
                await asyncio.sleep(QUICK)

    def _silenced(self, labels: Mapping[str, str], _now: float) -> object:
        return any(each.matches(labels) for each in self.silences)

    @contextlib.asynccontextmanager
    async def told(self) -> AsyncIterator[Notify]:
        """The notifier, while it runs; it has begun."""
        routes = self.routes or (route("", *self.receivers, group_wait=QUICK),)
        self.notify = Notify(
            self.receivers,
            routes,
            self.log,
            self.registry,
            self.clock,
            silenced=self._silenced,
            acknowledged=self.acks.get,
        )
        task = asyncio.create_task(self.notify.run())
        try:
            async with asyncio.timeout(20):
                while not self.notify.is_running:
                    assert not task.done(), task.result()
                    await asyncio.sleep(0)
            yield self.notify
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def say(self, *ids: str, host: str = "web-1", **more: Any) -> None:
        """Alerts are logged, in one append."""
        now = self.clock()
        messages = [said(each, host, **({"since": now, "fired": now} | more)) for each in ids]
        await self.log.append(
            [event(each, now, f"{each.alert}-{each.state}-{now}") for each in messages]
        )
        self.notify.wake()

    async def ends(self, *ids: str, **more: Any) -> None:
        await self.say(*ids, **({"state": "resolved", "was": "firing"} | more))

    async def notices(self, count: int = 1) -> list[Mapping[str, Any]]:
        """What the log says of deliveries, once there are so many."""
        async with asyncio.timeout(20):
            while True:
                page, _, _ = await self.log.read(0, None, 1_000)
                found = [each.data for each in page if each.data.get("kind") == "delivery"]
                if len(found) >= count:
                    return found
                await asyncio.sleep(QUICK)

    async def settled(self, name: str = "phone") -> None:
        """Nothing is under way on a channel."""
        async with asyncio.timeout(20):
            while True:
                status = {each.name: each for each in self.notify.status()}
                if not status[name].waiting:
                    return
                await asyncio.sleep(QUICK)


async def test_an_alert_is_told_on_every_channel_and_logged(
    stores: tuple[EventLog, Registry],
) -> None:
    house = House(stores, Receiver("phone"), Receiver("mail"))
    async with house.told() as notify:
        await house.say("a1", evidence={"processes": {}}, summary="full")
        assert await house.receivers["phone"].received() == ["a1"]
        assert await house.receivers["mail"].received() == ["a1"]
        (told,) = house.receivers["phone"].got[0].told
        assert told.alert.evidence == {"processes": {}}
        assert told.alert.summary == "full"
        notices = await house.notices(2)
        details = {each["details"]["channel"]: each["details"] for each in notices}
        assert details["phone"]["key"] == house.receivers["phone"].got[0].key
        assert details["phone"]["outcome"] == "delivered"
        assert details["phone"]["alerts"] == ["a1"]
        assert details["mail"]["key"] != details["phone"]["key"]
        await house.settled()
        (mail, phone) = notify.status()
        assert (mail.name, phone.name) == ("mail", "phone")
        assert phone.delivered == 1
        assert phone.delivered_at > 0
        assert phone.failing_since == 0
        await house.ends("a1")
        assert await house.receivers["phone"].received(2) == ["a1", "a1(ok)"]
        ended = house.receivers["phone"].got[1].told[0]
        assert ended.alert.state == "resolved"
        assert ended.fired_at == told.fired_at
        assert ended.alert.evidence == {"processes": {}}, "the end has what the firing showed"


async def test_a_channel_that_hangs_delays_no_other(stores: tuple[EventLog, Registry]) -> None:
    house = House(stores, Receiver("phone"), Receiver("mail"))
    house.receivers["phone"].hangs = asyncio.Event()
    async with house.told():
        await house.say("a1")
        await house.receivers["phone"].attempted(1)
        for number in range(4):
            await house.say(f"b{number}")
        mail = house.receivers["mail"]
        async with asyncio.timeout(20):
            while sum(len(each.told) for each in mail.got) < 5:
                await mail.received(len(mail.got) + 1)


async def test_a_channel_that_never_answers_is_tried_again(
    stores: tuple[EventLog, Registry], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deliveries, "ATTEMPT_SECONDS", QUICK)
    house = House(stores)
    phone = house.receivers["phone"]
    phone.hangs = asyncio.Event()
    async with house.told() as notify:
        await house.say("a1")
        first, second = (await phone.attempted(2))[:2]
        assert first.key == second.key
        assert (first.attempt, second.attempt) == (1, 2)
        assert dataclasses.replace(second, attempt=1) == first
        assert "no answer" in notify.status()[0].failure
        phone.hangs.set()
        monkeypatch.undo()


async def test_what_fails_is_tried_again_with_the_same_content_and_the_rest_gathers(
    stores: tuple[EventLog, Registry],
) -> None:
    house = House(stores)
    phone = house.receivers["phone"]
    phone.outcome = FAILED
    async with house.told() as notify:
        await house.say("a1")
        attempts = list(await phone.attempted(3))
        assert len({each.key for each in attempts}) == 1
        assert all(each.told == attempts[0].told for each in attempts)
        status = notify.status()[0]
        assert status.failing_since
        assert status.failure == "it answered 500"
        for number in range(6):
            await house.say(f"b{number}", rule=f"r{number}")
        before = len(phone.attempts)
        await phone.attempted(before + 5)
        await house.ends("a1")
        for number in range(4):
            await house.ends(f"b{number}", rule=f"r{number}")
        await phone.attempted(len(phone.attempts) + 5)
        phone.outcome = Outcome(Result.DELIVERED)
        lines = await phone.received(2)
        assert lines[0] == "a1"
        assert lines[1] == "b4 b5 a1(ok) b0(ok) b1(ok) b2(ok) b3(ok)"
        await house.settled()
        assert notify.status()[0].failing_since == 0
        assert len(phone.got) == 2
        (first, _) = await house.notices(2)
        assert first["details"]["attempts"] > 10


async def test_what_is_refused_is_given_up_and_said_so(
    stores: tuple[EventLog, Registry],
) -> None:
    house = House(stores)
    phone = house.receivers["phone"]
    phone.outcome = REFUSED
    async with house.told() as notify:
        await house.say("a1")
        (notice,) = await house.notices()
        assert notice["details"]["outcome"] == "given_up"
        assert notice["details"]["reason"] == "it answered 410"
        assert "could not be told of 1 alert" in notice["text"]
        await house.settled()
        status = notify.status()[0]
        assert (status.given_up, status.delivered) == (1, 0)
        assert status.failing_since
        assert len(phone.attempts) == 1
        assert notify.failing() == {"phone": False}
        house.shift = consumer.FAILING_SECONDS + 1
        assert notify.failing() == {"phone": True}


async def test_after_a_day_a_notification_is_given_up_and_said_so(
    stores: tuple[EventLog, Registry],
) -> None:
    house = House(stores)
    phone = house.receivers["phone"]
    phone.outcome = FAILED
    async with house.told():
        await house.say("a1")
        await phone.attempted(3)
        house.shift = retrying.GIVE_UP_SECONDS + 1
        (notice,) = await house.notices()
        assert notice["details"]["outcome"] == "given_up"
        assert notice["details"]["reason"] == "tried for 24 hours: it answered 500"


async def test_a_receiver_that_asks_for_patience_gets_it(
    stores: tuple[EventLog, Registry],
) -> None:
    house = House(stores)
    phone = house.receivers["phone"]
    phone.outcome = Outcome(Result.RETRY, "it answered 429", retry_after_seconds=600.0)
    now = house.stand()
    async with house.told() as notify:
        await house.say("a1")
        house.shift = QUICK
        notify.look_again()
        await phone.attempted(1)
        async with asyncio.timeout(20):
            while True:
                if (status := notify.status()[0]).next_try_at:
                    break
                await asyncio.sleep(QUICK)
        assert status.next_try_at == pytest.approx(now + QUICK + 600.0)
        assert status.waiting == 1
        assert len(phone.attempts) == 1


async def test_a_channels_own_fault_loses_nothing(stores: tuple[EventLog, Registry]) -> None:
    house = House(stores)
    phone = house.receivers["phone"]
    count = 0

    def breaks() -> Outcome:
        nonlocal count
        count += 1
        if count < 3:
            raise RuntimeError("https://secret@example.org")
        if count == 3:
            return Outcome(Result.RETRY, "half a letter: \udc80")
        return Outcome(Result.DELIVERED)

    phone.outcome = breaks
    with structlog.testing.capture_logs() as logged:
        async with house.told() as notify:
            await house.say("a1")
            await phone.attempted(2)
            assert notify.status()[0].failure == "the channel failed: RuntimeError"
            assert await phone.received() == ["a1"]
    said = str(logged)
    assert "RuntimeError" in said
    assert "secret" not in said


async def test_a_fault_of_ours_holds_nothing_up_for_ever(
    stores: tuple[EventLog, Registry], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(consumer, "FAULT_SECONDS", QUICK)
    real = telling.notification
    keys: set[str] = set()

    async def faulty(log: EventLog, channel: str, frozen: Frozen) -> Notification | None:
        keys.add(frozen.key)
        if len(keys) == 1:
            raise RuntimeError
        return await real(log, channel, frozen)

    monkeypatch.setattr(telling, "notification", faulty)
    house = House(stores)
    phone = house.receivers["phone"]
    async with house.told() as notify:
        await house.say("a1")
        await house.folded()
        async with asyncio.timeout(20):
            while True:
                if notify.status()[0].failing_since:
                    break
                await asyncio.sleep(QUICK)
        await house.say("b1", rule="other")
        house.shift = retrying.GIVE_UP_SECONDS + 1
        assert "b1" in (await phone.received())[0]
        assert notify.status()[0].given_up == 1


async def test_a_failing_channel_is_told_of_on_others(stores: tuple[EventLog, Registry]) -> None:
    house = House(stores, Receiver("phone"), Receiver("mail"))
    async with house.told():
        failing: dict[str, Any] = {
            "rule": "channel_failing",
            "metric": 'monitor.channel.failing{channel="phone"}',
            "attributes": {"channel": "phone"},
        }
        await house.say("a1", **failing)
        await house.say("b1")
        assert (await house.receivers["mail"].received(2)) == ["a1", "b1"]
        assert (await house.receivers["phone"].received()) == ["b1"]


# Starting, stopping, starting again


async def test_a_new_channel_is_told_of_what_fires_from_then_on(
    stores: tuple[EventLog, Registry],
) -> None:
    house = House(stores)
    async with house.told() as notify:
        await house.say("a1")
        assert await house.receivers["phone"].received() == ["a1"]
        mail = Receiver("mail")
        channels = {**house.receivers, "mail": mail}
        await notify.reconfigure(channels, (route("", *channels, group_wait=QUICK),))
        await house.say("b1")
        assert await mail.received() == ["b1"]
        await house.ends("a1", "b1")
        assert await house.receivers["phone"].received(3) == ["a1", "b1", "a1(ok) b1(ok)"]
        assert await mail.received(2) == ["b1", "b1(ok)"]


async def test_a_channel_that_goes_is_forgotten_and_closed(
    stores: tuple[EventLog, Registry],
) -> None:
    house = House(stores, Receiver("phone"), Receiver("mail"))
    async with house.told() as notify:
        await house.say("a1")
        await house.receivers["mail"].received()
        phone = house.receivers["phone"]
        await phone.received()
        await notify.reconfigure({"phone": phone}, (route("", "phone", group_wait=QUICK),))
        assert house.receivers["mail"].closed == 1
        assert phone.closed == 0
        assert await house.registry.keys(f"{PREFIX}notify/") == [f"{PREFIX}notify/phone"]
        assert [each.name for each in notify.status()] == ["phone"]
        await house.say("b1", rule="other")
        assert await phone.received(2) == ["a1", "b1"]
    assert phone.closed == 1
    assert len(house.receivers["mail"].got) == 1


async def test_a_channel_that_is_mended_goes_on_at_once(
    stores: tuple[EventLog, Registry], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retrying, "FIRST_SECONDS", 600.0)
    monkeypatch.setattr(retrying, "LONGEST_SECONDS", 600.0)
    house = House(stores)
    broken, mended = house.receivers["phone"], Receiver()
    broken.outcome = FAILED
    async with house.told() as notify:
        await house.say("a1")
        await broken.attempted(1)
        await notify.reconfigure({"phone": mended}, ())
        assert await mended.received() == ["a1"]
        assert mended.got[0].key == broken.attempts[0].key
        assert broken.closed == 1


async def test_channels_that_went_while_it_was_off_hold_no_trimming_back(
    stores: tuple[EventLog, Registry],
) -> None:
    house = House(stores, Receiver("phone"), Receiver("mail"))
    async with house.told():
        pass
    del house.receivers["mail"]
    async with house.told():
        assert await house.registry.keys(f"{PREFIX}notify/") == [f"{PREFIX}notify/phone"]


async def test_a_restart_tells_what_was_said_meanwhile_and_nothing_twice(
    stores: tuple[EventLog, Registry],
) -> None:
    house = House(stores)
    phone = house.receivers["phone"]
    async with house.told():
        await house.say("a1", "a2")
        await phone.received()
        await house.settled()
    await house.say("b1", rule="other")
    await house.ends("a1")
    async with house.told():
        assert sorted(await phone.received(3)) == ["a1 a2", "a1(ok)", "b1"]
        await house.ends("a2")
        assert "a2(ok)" in await phone.received(4)
        await house.settled()
    assert len(phone.got) == 4


async def test_a_channel_that_is_behind_another_catches_up_alone(
    stores: tuple[EventLog, Registry],
) -> None:
    house = House(stores, Receiver("phone"), Receiver("mail"))
    phone, mail = house.receivers["phone"], house.receivers["mail"]
    async with house.told():
        pass
    del house.receivers["mail"]
    kept = await house.registry.checkpoint("notify/mail")
    async with house.told():
        await house.say("a1")
        await phone.received()
        await house.ends("a1")
        await phone.received(2)
        await house.settled()
    house.receivers["mail"] = mail
    await house.registry.save("notify/mail", kept.state, kept.positions, 0)
    async with house.told():
        await house.say("b1")
        assert "b1" in (await phone.received(3))[2]
        await mail.received()
        await house.settled("mail")
    assert [line for line in await phone.received(3) if "a1" in line] == ["a1", "a1(ok)"]


async def test_what_was_silenced_while_nobody_told_is_not_told_afterwards(
    stores: tuple[EventLog, Registry],
) -> None:
    house = House(stores)
    async with house.told():
        pass
    house.silences = [Selector.parse("host=web-1")]
    house.shift = -60.0
    await house.log.append([event(said("a1", since=1.0), house.clock(), "e1")])
    house.shift = 0.0
    over = said("a1", state="resolved", was="firing", since=1.0)
    await house.log.append([event(over, house.clock(), "e2")])
    async with house.told():
        await house.say("b1", host="web-2")
        assert await house.receivers["phone"].received() == ["b1"]
        await house.settled()
    assert len(house.receivers["phone"].got) == 1


async def test_nothing_is_told_while_more_of_the_log_is_folded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with opened("memory", tmp_path) as (log, registry):
        house = House((log, registry))
        goes_on, waits = asyncio.Event(), asyncio.Event()
        async with house.told() as notify:
            monkeypatch.setattr(dispatch, "PAGE_EVENTS", 1)
            monkeypatch.setattr(consumer, "BEHIND_SECONDS", 0.0)
            read = log.read

            async def slow(after: int, of: Any, limit: int) -> Any:
                if of == dispatch.TOPICS and after == notify.position == first:
                    waits.set()
                    await goes_on.wait()
                return await read(after, of, limit)

            first = await log.last() + 1
            log.read = slow  # type: ignore[method-assign]
            await house.say("a1", "a2")
            await waits.wait()
            house.shift = 60.0
            for _ in range(20):
                notify.look_again()
                await asyncio.sleep(0)
            assert not house.receivers["phone"].attempts
            goes_on.set()
            assert await house.receivers["phone"].received() == ["a1 a2"]


async def test_what_failed_before_a_restart_is_tried_under_the_same_key(
    stores: tuple[EventLog, Registry],
) -> None:
    house = House(stores)
    phone = house.receivers["phone"]
    phone.outcome = FAILED
    async with house.told():
        await house.say("a1", evidence={"at": 1})
        await phone.attempted(2)
    phone.outcome = Outcome(Result.DELIVERED)
    await house.ends("a1")
    async with house.told():
        assert await phone.received(2) == ["a1", "a1(ok)"]
    assert {each.key for each in phone.attempts[:-1]} == {phone.got[0].key}
    assert phone.got[0].told == phone.attempts[0].told
    assert phone.got[0].attempt == len(phone.attempts) - 1, "attempts are counted over restarts"


async def test_a_delivery_that_the_log_knows_of_is_not_repeated(
    stores: tuple[EventLog, Registry],
) -> None:
    house = House(stores)
    phone = house.receivers["phone"]
    saves = 0
    save = house.registry.save

    async def loses_the_last(
        name: str, state: bytes, positions: Mapping[str, int], revision: int
    ) -> int:
        nonlocal saves
        saves += 1
        if saves > 2:  # the first begins, the second keeps the notification
            await asyncio.Event().wait()
        return await save(name, state, positions, revision)

    house.registry.save = loses_the_last  # type: ignore[method-assign]
    async with house.told():
        await house.say("a1")
        await house.notices()
    house.registry.save = save  # type: ignore[method-assign]
    async with house.told() as notify:
        await house.settled()
        await house.ends("a1")
        assert await phone.received(2) == ["a1", "a1(ok)"]
        assert notify.status()[0].delivered_at > 0
    assert len(phone.attempts) == 2


# A log and a registry that have trouble of their own


class Troubled:
    """Does what another does, but for the trouble that is prepared."""

    def __init__(self, real: Any) -> None:
        self.real = real
        self.trouble: dict[str, list[tuple[bool, Exception]]] = {}
        """By method: whether it is done all the same, and what is raised then."""

    def __getattr__(self, name: str) -> Any:
        method = getattr(self.real, name)
        if name not in self.trouble:
            return method

        async def troubled(*given: Any) -> Any:
            if not (prepared := self.trouble[name]):
                return await method(*given)
            is_done, error = prepared.pop(0)
            if is_done:
                await method(*given)
            raise error

        return troubled


TROUBLE: Sequence[tuple[str, str, list[tuple[bool, Exception]]]] = [
    ("log", "last", [(False, Unavailable("busy")), (False, Unavailable("busy"))]),
    ("log", "read", [(False, Unavailable("busy"))] * 3),
    ("log", "append", [(False, Unavailable("full"))] * 2),
    ("log", "append", [(True, Unknown("slow"))]),
    ("log", "append", [(False, Unknown("slow"))]),
    ("registry", "save", [(False, Unavailable("full"))] * 2),
    ("registry", "save", [(True, Unknown("slow"))]),
    ("registry", "save", [(False, Unknown("slow"))]),
    ("registry", "checkpoint", [(False, Unavailable("busy"))]),
]


@pytest.mark.parametrize(
    ("which", "method", "trouble"),
    TROUBLE,
    ids=[f"{which}-{method}-{number}" for number, (which, method, _) in enumerate(TROUBLE)],
)
@pytest.mark.parametrize("when", ["start", "later"])
async def test_trouble_of_the_log_and_the_registry_passes(
    tmp_path: Path,
    which: str,
    method: str,
    trouble: list[tuple[bool, Exception]],
    when: str,
) -> None:
    async with opened("memory", tmp_path) as (log, registry):
        troubled = Troubled(log if which == "log" else registry)
        stores: Any = (troubled, registry) if which == "log" else (log, troubled)
        house = House(stores)
        if when == "start":
            troubled.trouble[method] = list(trouble)
        phone = house.receivers["phone"]
        async with house.told():
            if when == "later":
                troubled.trouble[method] = list(trouble)
            elif method == "append":
                troubled.trouble = {}
            now = time.time()
            made = event(said("a1", since=now, fired=now), now, "e1")
            await log.append([made])
            house.notify.wake()
            assert await phone.received() == ["a1"]
            await house.notices()
            await house.settled()
            assert len(await house.notices()) == 1
        assert len(phone.attempts) == 1


async def test_a_checkpoint_that_somebody_else_writes_stops_the_channel_alone(
    stores: tuple[EventLog, Registry],
) -> None:
    house = House(stores, Receiver("phone"), Receiver("mail"))
    async with house.told() as notify:
        kept = await house.registry.checkpoint("notify/phone")
        await house.registry.save("notify/phone", b"another", kept.positions, kept.revision)
        await house.say("a1")
        assert await house.receivers["mail"].received() == ["a1"]
        await house.say("a2")
        assert await house.receivers["mail"].received(2) == ["a1", "a2"]
        phone = notify.status()[1]
        assert "another process" in phone.failure
    assert not house.receivers["phone"].attempts
    kept = await house.registry.checkpoint("notify/phone")
    assert kept.state == b"another", "what the other one wrote stays"


async def test_a_checkpoint_of_another_epoch_begins_anew(tmp_path: Path) -> None:
    async with opened("memory", tmp_path / "one") as (log, registry):
        house = House((log, registry))
        async with house.told():
            await house.say("a1")
            await house.receivers["phone"].received()
            await house.settled()
        async with opened("memory", tmp_path / "two") as (other, _):
            house.log = other
            async with house.told():
                await house.say("b1")
                assert await house.receivers["phone"].received(2) == ["a1", "b1"]


async def test_the_deletion_of_a_host_loses_nothing_of_others(
    stores: tuple[EventLog, Registry],
) -> None:
    house = House(stores)
    phone = house.receivers["phone"]
    phone.outcome = FAILED
    async with house.told() as notify:
        await house.say("a1", host="web-1")
        await phone.attempted(1)
        await house.say("gone", host="web-2", rule="other")
        notify.forget("web-2")
        await house.log.erase("host:web-2")
        phone.outcome = Outcome(Result.DELIVERED)
        assert await phone.received() == ["a1"]
    await house.say("b1", host="web-1", rule="other")
    await house.say("gone2", host="web-3")
    await house.log.erase("host:web-3")
    async with house.told():
        assert await phone.received(2) == ["a1", "b1"]
        await house.ends("a1", host="web-1")
        assert await phone.received(3) == ["a1", "b1", "a1(ok)"]


async def test_hosts_that_are_away_hold_back_until_they_are_back(
    stores: tuple[EventLog, Registry],
) -> None:
    house = House(stores)
    phone = house.receivers["phone"]

    def update(status: HostStatus, id_: str) -> Event:
        return event(HostUpdate(host="web-1", status=status, was=None, reason=""), time.time(), id_)

    async with house.told() as notify:
        await house.log.append([update(HostStatus.STALE, "h1")])
        await house.say("a1")
        await house.say("b1", host="web-2", rule="other")
        assert await phone.received() == ["b1"]
        await house.log.append([update(HostStatus.UP, "h2")])
        notify.wake()
        async with asyncio.timeout(20):
            while len(phone.got) < 2:
                notify.look_again()
                await asyncio.sleep(QUICK)
        assert await phone.received(2) == ["b1", "a1"]


async def test_a_silence_that_ends_lets_it_through(stores: tuple[EventLog, Registry]) -> None:
    house = House(stores)
    house.silences = [Selector.parse("rule=disk_space")]
    async with house.told() as notify:
        await house.say("a1")
        await house.say("b1", rule="other")
        assert await house.receivers["phone"].received() == ["b1"]
        house.silences = []
        notify.look_again()
        assert await house.receivers["phone"].received(2) == ["b1", "a1"]


# Many


async def test_ten_thousand_hosts_that_disappear_are_one_message(tmp_path: Path) -> None:
    async with opened("sqlite", tmp_path) as stores:
        house = House(stores)
        house.routes = (route("", "phone", group_wait=1.0),)
        phone = house.receivers["phone"]
        now = house.stand()
        async with house.told() as notify:
            rule = {"rule": "host_unreachable", "attributes": {}, "severity": "critical"}
            for batch in range(10):
                hosts = [f"web-{batch * 1000 + number}" for number in range(1_000)]
                await house.log.append(
                    [
                        event(said(f"{host}-d", host, since=now, fired=now, **rule), now, host)
                        for host in hosts
                    ]
                )
            await house.folded()
            assert not phone.attempts
            house.shift = 1.0
            notify.look_again()
            (line,) = await phone.received()
            assert line.endswith(f" +{10_000 - MOST_TOLD}")
            await house.settled()
            checkpoint = await house.registry.checkpoint("notify/phone")
            assert len(checkpoint.state) < 64 * 1024


# Trying a channel


async def test_a_test_is_marked_and_says_what_came_of_it(
    stores: tuple[EventLog, Registry],
) -> None:
    house = House(stores)
    phone = house.receivers["phone"]
    async with house.told() as notify:
        assert (await notify.test("phone", "ada")).result is Result.DELIVERED
        (told,) = phone.got[0].told
        assert phone.got[0].is_drill
        assert told.alert.is_drill
        assert "ada" in told.alert.summary
        phone.outcome = FAILED
        assert await notify.test("phone", "ada") == FAILED
        first, second = await house.notices(2)
        assert first["details"]["by"] == "ada"
        assert first["details"]["is_test"]
        assert second["details"]["reason"] == "it answered 500"
        assert notify.status()[0].failing_since == 0, "a test is no alert that did not arrive"


async def test_tests_are_one_at_a_time_and_few(stores: tuple[EventLog, Registry]) -> None:
    house = House(stores)
    phone = house.receivers["phone"]
    async with house.told() as notify:
        with pytest.raises(NotFound):
            await notify.test("nobody", "ada")
        phone.hangs = asyncio.Event()
        first = asyncio.create_task(notify.test("phone", "ada"))
        await phone.attempted(1)
        with pytest.raises(MonitorError) as busy:
            await notify.test("phone", "ada")
        assert (busy.value.status, busy.value.code) == (429, "too_many_requests")
        phone.hangs.set()
        await first
        for _ in range(trials.MOST_TESTS - 1):
            await notify.test("phone", "ada")
        with pytest.raises(MonitorError) as often:
            await notify.test("phone", "ada")
        assert often.value.status == 429
        assert 0 < (often.value.retry_after or 0) <= trials.TESTS_SECONDS + 1


async def test_without_channels_nobody_is_told_and_nothing_is_kept(
    stores: tuple[EventLog, Registry],
) -> None:
    house = House(stores)
    house.receivers = {}
    async with house.told() as notify:
        assert not notify.has_channels
        assert notify.status() == ()
        await house.say("a1")
        assert await house.registry.keys(PREFIX) == []
