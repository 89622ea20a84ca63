"""The board of the fleet: what stands on it of hosts as a whole, and whom rules know.

Every name finishes the sentence "it must be that …".
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from monitor.alerting.changes import Changes
from monitor.alerting.fleetboard import (
    DOWN,
    FLEET_DOWN,
    GOODBYE_SECONDS,
    SETTLING_SECONDS,
    SILENCE,
    SKEW,
    FleetBoard,
)
from monitor.core.rules.judging import RuleJudge
from monitor.core.rules.model import Above, Clause, Condition, Level, Rule, Severity
from monitor.core.state import HostState, LiveState
from monitor.model import HostStatus, key
from tests.frames import frame

NOW = 1_700_000_000.0
OWN = "monitor"
FAILING = key("monitor.channel.failing", channel="phone")


def _judge(metric: str = "a.b", limit: float = 90.0) -> RuleJudge:
    clause = Clause(Condition(metric), Above(limit, limit))
    return RuleJudge(Rule("r", (Level(Severity.WARNING, (clause,)),)))


class Fleet:
    """A live state, its board, and judges."""

    def __init__(self, *judges: RuleJudge) -> None:
        self.state = LiveState()
        self.own: dict[str, float] = {"monitor.store.lag": 1.0}
        self.board = FleetBoard(self.state, Changes(), OWN, lambda _: self.own, NOW)
        self.judges = judges or (_judge(),)
        self.now = NOW

    def hear(self, *hosts: str, value: float = 1.0) -> None:
        for name in hosts:
            host = self.state.fold(frame(self.now, {"a.b": value, "c": 2.0}, name), (), self.now)
            if host.status is None:
                self.status(name, HostStatus.UP)

    def status(self, name: str, status: HostStatus, ago: float = 0.0) -> HostState:
        host = self.state.hosts[name]
        host.status, host.since = status, self.now - ago
        return host

    async def look(self, **more: Any) -> list[str]:
        return await self.board.look(self.judges, self.now, more.pop("offset", 0.0), **more)

    def value(self, name: str, text: str) -> float:
        """What a rule would see."""
        known = self.board._placed[name]
        columns = known.made.index
        column = columns.get(text, len(columns) + known.schema.index.get(text, 10**6))
        place = known.place
        if column >= place.size:
            return math.nan
        cells = np.array([place.start + column], np.intp)
        hosts = np.array([place.number], np.intp)
        return float(self.board.board.read(cells, hosts, self.now)[0])


async def test_hosts_series_and_those_that_are_made_stand_side_by_side() -> None:
    fleet = Fleet()
    fleet.hear("a", OWN, value=7.0)
    fleet.state.hosts["a"].skew_seconds = -4.0
    fleet.now += 3
    await fleet.look()
    found = {text: fleet.value("a", text) for text in ("a.b", "c", DOWN, SILENCE, SKEW)}
    assert found == {"a.b": 7.0, "c": 2.0, DOWN: 0.0, SILENCE: 3.0, SKEW: 4.0}
    assert fleet.value(OWN, "monitor.store.lag") == 1.0
    assert fleet.judges[0].hosts == 2


async def test_only_what_changed_is_copied_and_that_is() -> None:
    fleet = Fleet()
    fleet.hear("a", "b", value=1.0)
    await fleet.look()
    fleet.now += 1
    fleet.hear("b", value=5.0)
    await fleet.look()
    assert (fleet.value("a", "a.b"), fleet.value("b", "a.b")) == (1.0, 5.0)


async def test_a_host_of_which_nothing_ever_came_was_never_silent() -> None:
    fleet = Fleet()
    fleet.state.label("a", {})
    fleet.state.recall("b", {}, NOW - 40)
    await fleet.look()
    assert math.isnan(fleet.value("a", SILENCE))
    assert math.isnan(fleet.value("a", SKEW))
    assert fleet.value("b", SILENCE) == 40.0


async def test_while_the_program_stood_still_nobody_was_silent() -> None:
    fleet = Fleet()
    fleet.hear("a")
    fleet.now += 600
    await fleet.look(resumed_at=fleet.now - 2)
    assert fleet.value("a", SILENCE) == 2.0


@pytest.mark.parametrize(
    ("status", "ago", "said_goodbye", "expected"),
    [
        (HostStatus.UP, 0, False, 0.0),
        (HostStatus.STALE, 0, False, 0.0),
        (HostStatus.DOWN, 0, False, 1.0),
        (HostStatus.DOWN, GOODBYE_SECONDS - 1, True, 0.0),
        (HostStatus.DOWN, GOODBYE_SECONDS, True, 1.0),
    ],
    ids=["up", "stale", "down", "goodbye", "goodbye long ago"],
)
async def test_a_host_is_down_unless_it_said_goodbye_just_now(
    status: HostStatus, ago: float, said_goodbye: bool, expected: float
) -> None:
    fleet = Fleet()
    fleet.hear("a")
    fleet.status("a", status, ago).said_goodbye = said_goodbye
    await fleet.look()
    assert fleet.value("a", DOWN) == expected


async def test_the_share_of_hosts_that_went_down_together() -> None:
    fleet = Fleet()
    hosts = [f"h{number}" for number in range(10)]
    fleet.hear(*hosts[:3], OWN)
    await fleet.look()
    assert math.isnan(fleet.value(OWN, FLEET_DOWN)), "of few hosts nothing is said"
    fleet.hear(*hosts[3:9])
    fleet.status("h0", HostStatus.DOWN, 10)
    fleet.status("h1", HostStatus.DOWN, 60)
    fleet.status("h2", HostStatus.DOWN, 61)
    fleet.status("h3", HostStatus.DOWN, 5).said_goodbye = True
    fleet.status("h4", HostStatus.STALE, 5)
    await fleet.look()
    assert fleet.value(OWN, FLEET_DOWN) == pytest.approx(2 / 10)
    fleet.hear("h9")
    fleet.status("h9", HostStatus.RETIRED)
    await fleet.look()
    assert fleet.value(OWN, FLEET_DOWN) == pytest.approx(2 / 10), "retired hosts do not count"
    assert math.isnan(fleet.value("h0", FLEET_DOWN)), "it is the server's own series"


async def test_who_is_retired_is_known_no_more_until_it_comes_back() -> None:
    fleet = Fleet()
    fleet.hear("a", "b")
    await fleet.look()
    fleet.status("a", HostStatus.RETIRED)
    assert await fleet.look() == ["a"]
    assert not fleet.board.has("a")
    assert fleet.judges[0].hosts == 1
    fleet.status("a", HostStatus.UP)
    assert await fleet.look() == []
    assert fleet.judges[0].hosts == 2


async def test_a_host_that_was_deleted_and_comes_again_is_another() -> None:
    fleet = Fleet()
    fleet.hear("a", "b", value=95.0)
    await fleet.look()
    fleet.state.forget("a")
    fleet.board.drop("a", fleet.judges)
    fleet.now += 1
    fleet.hear("a", value=5.0)
    fleet.hear("b", value=6.0)
    await fleet.look()
    assert (fleet.value("a", "a.b"), fleet.value("b", "a.b")) == (5.0, 6.0)
    fleet.state.forget("a")
    fleet.now += 1
    fleet.hear("a", value=8.0)
    await fleet.look()
    assert fleet.value("a", "a.b") == 8.0, "though nobody said so in between"


async def test_series_and_labels_that_change_are_seen() -> None:
    judge = _judge("d")
    fleet = Fleet(judge)
    fleet.hear("a")
    await fleet.look()
    assert judge.series == 0
    fleet.now += 1
    fleet.state.fold(frame(fleet.now, {"d": 95.0, "a.b": 3.0}, "a"), (), fleet.now)
    await fleet.look()
    assert judge.series == 1
    assert (fleet.value("a", "d"), fleet.value("a", "a.b")) == (95.0, 3.0)
    (said,) = judge.judge(fleet.board.board, fleet.now, 0.0)
    assert (said.row.host, said.value) == ("a", 95.0)
    before = fleet.board._placed["a"].labels
    fleet.state.label("a", {"role": "db"})
    await fleet.look()
    assert fleet.board._placed["a"].labels == {"role": "db"} != before


async def test_what_the_server_speaks_of_no_more_is_gone() -> None:
    """A channel that fails and is taken out of the configuration does not fail for ever."""
    judge = _judge("monitor.channel.failing", 0.5)
    fleet = Fleet(judge)
    fleet.hear(OWN)
    fleet.own[FAILING] = 1.0
    await fleet.look()
    assert fleet.value(OWN, FAILING) == 1.0
    assert fleet.value(OWN, "a.b") == 1.0
    del fleet.own[FAILING]
    fleet.own = dict(fleet.own)
    await fleet.look()
    assert math.isnan(fleet.value(OWN, FAILING))
    assert fleet.value(OWN, "a.b") == 1.0
    judge.judge(fleet.board.board, fleet.now, 0.0)
    assert judge.series == 0
    fleet.own = {**fleet.own, FAILING: 0.0}
    await fleet.look()
    assert fleet.value(OWN, FAILING) == 0.0


async def test_a_new_rule_knows_every_host() -> None:
    fleet = Fleet()
    fleet.hear("a", "b")
    await fleet.look()
    fresh = _judge("c")
    fleet.board.place_all(fresh)
    assert fresh.hosts == 2
    one = _judge("c")
    fleet.board.place_in(one, "a")
    fleet.board.place_in(one, "nobody")
    assert one.hosts == 1


async def test_what_was_kept_of_hosts_that_are_no_more_is_forgotten() -> None:
    fleet = Fleet(_judge())
    fleet.hear("a", "b", value=95.0)
    await fleet.look()
    fleet.judges[0].judge(fleet.board.board, fleet.now, 0.0)
    other = Fleet(_judge())
    other.judges[0].restore(fleet.judges[0].kept())
    other.hear("a")
    await other.look()
    assert other.judges[0].unplaced() == []
    assert {host for host, _ in other.judges[0].kept()} == {"a"}


async def test_who_has_just_come_is_not_settled_nor_is_a_server_that_just_began() -> None:
    fleet = Fleet()
    fleet.hear("a", "b", OWN)
    fleet.status("a", HostStatus.UP, SETTLING_SECONDS - 1)
    fleet.status("b", HostStatus.UP, SETTLING_SECONDS)
    fleet.status(OWN, HostStatus.UP, 9_999)
    await fleet.look()

    def settled(name: str) -> bool:
        return bool(fleet.board.settled[fleet.board._placed[name].place.number])

    assert (settled("a"), settled("b"), settled(OWN)) == (False, True, False)
    fleet.now += SETTLING_SECONDS
    await fleet.look()
    assert settled("a")
    assert settled(OWN)


async def test_time_that_is_ahead_of_the_clock_makes_nothing_older() -> None:
    fleet = Fleet()
    fleet.hear("a")
    fleet.now += 100
    await fleet.look(offset=100.0)
    assert fleet.value("a", "a.b") == 1.0
    assert fleet.value("a", SILENCE) == 0.0


async def test_many_hosts_come_and_go_and_none_has_anothers_values() -> None:
    fleet = Fleet()
    for turn in range(6):
        names = [f"h{turn}-{number}" for number in range(40)]
        for number, name in enumerate(names):
            fleet.hear(name, value=float(number))
        await fleet.look()
        assert [fleet.value(name, "a.b") for name in names] == [float(n) for n in range(40)]
        assert fleet.judges[0].hosts == 40
        for name in names:
            fleet.state.forget(name)
        fleet.now += 1
    assert sorted(await fleet.look()) == sorted(names)
    assert fleet.judges[0].hosts == 0
