"""A whole fleet that disappears at once: everything is in the log, and people get a handful."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from monitor.alerting.checkpoint import Rows, packed, unpacked
from monitor.alerting.fleetboard import SETTLING_SECONDS
from monitor.alerting.judge import Judge
from monitor.alerting.shipped import shipped
from monitor.core.alerts import Kept
from monitor.core.rules.judging import RowKept
from monitor.core.rules.matching import Attributes
from monitor.core.rules.model import Severity
from monitor.core.rules.reading import read_layers
from monitor.core.rules.ruleset import RuleSet
from monitor.model import HostStatus
from monitor.notify.channel import MOST_TOLD
from monitor.notify.config import RouteConfig
from monitor.notify.dispatch import Notify
from tests.alerting.judging import OWN, Stage
from tests.notify.receiver import Receiver

HOSTS = 300
FOR_SECONDS = 120


class Fleet(Stage):
    """Hosts that are long known, judged by the shipped rules of these names."""

    def __init__(self, *names: str) -> None:
        self.names = names
        super().__init__()
        self.values[OWN] = {"a.b": 1.0}
        for name in (OWN, *(f"web-{number:03d}" for number in range(HOSTS))):
            self.hear(name, {"a.b": 1.0})
        self.wall += SETTLING_SECONDS

    def _made(self) -> Judge:
        made = super()._made()
        found, _ = read_layers([shipped()])
        made.rules = RuleSet({name: found.rules[name] for name in self.names})
        return made

    async def become(self, status: HostStatus) -> None:
        """Every host but this server's own goes, or comes back."""
        for name, host in self.state.hosts.items():
            if name != OWN:
                host.status, host.since = status, self.wall
        await self.tick()


@asynccontextmanager
async def told(fleet: Fleet) -> AsyncIterator[tuple[Notify, Receiver]]:
    """Somebody who is told of everything."""
    receiver = Receiver()
    notify = Notify(
        {receiver.name: receiver},
        [RouteConfig(channels=(receiver.name,), group_wait=0.0)],
        fleet.log,
        fleet.registry,
        lambda: fleet.wall,
        known=fleet.judge.book.open.values,
        host=OWN,
    )
    running = asyncio.create_task(notify.run())
    try:
        async with asyncio.timeout(10):
            while not notify.is_running:  # noqa: ASYNC110 - nobody tells
                await asyncio.sleep(0)
        yield notify, receiver
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def caught_up(fleet: Fleet, notify: Notify) -> None:
    """Everything in the log was folded, and nothing waits to be told."""
    notify.wake()
    async with asyncio.timeout(10):
        while notify.position < await fleet.log.last() or notify.status()[0].waiting:  # noqa: ASYNC110
            await asyncio.sleep(0.01)


async def test_a_fleet_that_disappears_is_one_message() -> None:
    """It must be that every host's alert is logged, and only that of the fleet is told."""
    fleet = Fleet("host_unreachable", "fleet_unreachable")
    await fleet.judge.take(fleet.judge.rules)
    async with told(fleet) as (notify, receiver):
        await fleet.tick()
        await fleet.become(HostStatus.DOWN)
        for _ in range(FOR_SECONDS + 1):
            await fleet.tick()
        await receiver.received()
        await caught_up(fleet, notify)
        rules = [each.rule for each in fleet.judge.book.open.values()]
        assert rules.count("host_unreachable") == HOSTS
        assert len(await fleet.events()) == HOSTS + 1
        await fleet.become(HostStatus.UP)
        await caught_up(fleet, notify)
        assert [each.rule for each in fleet.judge.book.open.values()] == ["fleet_unreachable"]
        (message,) = receiver.got
        assert [each.alert.rule for each in message.told] == ["fleet_unreachable"]


async def test_without_a_rule_on_the_fleet_it_is_one_message_and_one_that_it_is_over() -> None:
    """It must be that hosts of one moment are told together: the first ones, and how many more."""
    fleet = Fleet("host_unreachable")
    await fleet.judge.take(fleet.judge.rules)
    async with told(fleet) as (notify, receiver):
        await fleet.tick()
        await fleet.become(HostStatus.DOWN)
        for _ in range(FOR_SECONDS + 1):
            await fleet.tick()
        await receiver.received()
        await caught_up(fleet, notify)
        await fleet.become(HostStatus.UP)
        notify.wake()
        await receiver.received(2)
        await caught_up(fleet, notify)
        counts = [(len(each.told), each.left_out) for each in receiver.got]
        assert counts == [(MOST_TOLD, HOSTS - MOST_TOLD)] * 2


def test_what_pends_in_a_large_fleet_is_known_after_a_restart() -> None:
    """It must be that what values were, of every host, takes no room from what pends."""
    remembered: dict[tuple[str, Attributes], RowKept] = {
        (f"web-{number:05d}", ()): RowKept(Kept(), (number * 0.7310585 % 1,))
        for number in range(40_000)
    }
    pending = RowKept(Kept(held={Severity.CRITICAL: 60.0}, began=1.0), (1.0,))
    rows: Rows = {"changed": remembered, "slow": {("web-1", ()): pending}}
    value, left_out = packed(rows, [])
    restored = unpacked(value)
    assert restored is not None
    rows, _ = restored
    assert left_out == 0
    assert set(rows) == {"slow"}
    assert rows["slow"]["web-1", ()].kept.held == {Severity.CRITICAL: 60.0}
