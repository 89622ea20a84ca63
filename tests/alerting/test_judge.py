"""The judge: when what it sees becomes an event, each once, whatever log and clocks do."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from dataclasses import replace
from typing import Any

import msgspec
import pytest

from monitor.alerting import drills, telling
from monitor.alerting.shipped import shipped
from monitor.core.rules.reading import read_layers
from monitor.core.rules.ruleset import RuleSet
from monitor.errors import Unavailable
from monitor.log.memory import MemoryLog
from monitor.model import HostStatus
from monitor.ports import Unknown
from tests.alerting.judging import HOT, NOW, OWN, START, TWO, Stage, rules

FIRING = "pending firing warning"
OVER = "firing resolved warning"


class Faulty(MemoryLog):
    """A log that fails as it is told, before or after it has stored what it was given."""

    def __init__(self) -> None:
        super().__init__()
        self.before: Exception | None = None
        self.after: Exception | None = None

    async def append(self, *given: Any) -> int:
        """Append, or fail."""
        if (error := self.before) is not None:
            raise error
        last = await super().append(*given)
        if (error := self.after) is not None:
            self.after = None
            raise error
        return last


async def test_a_limit_that_is_crossed_for_long_enough_and_its_way_back() -> None:
    """It must be that `for` is exact, that both events have one id, and the first has evidence."""
    stage = Stage()
    await stage.live(3, 50)
    await stage.live(10, 90)
    assert await stage.told() == []
    (pending,) = stage.judge.pending()
    assert (pending.held_seconds, pending.for_seconds, pending.waits_for) == (9, 10, "")
    assert pending.began == START + 4
    await stage.live(1)
    assert await stage.told() == [FIRING]
    await stage.live(20, 75)
    assert await stage.told() == [FIRING], "between the limit and its way back"
    await stage.live(3, 60)
    fired, over = await stage.events()
    assert await stage.told() == [FIRING, OVER]
    assert fired["alert"] == over["alert"]
    assert fired["evidence"]["host"]["status"] == "up"
    assert not over.get("evidence")
    assert (fired["began"], fired["fired"], fired["since"]) == (START + 4, START + 14, START + 14)
    assert (over["fired"], over["since"], over["peak"]) == (START + 14, START + 35, 90)
    await stage.live(11, 90)
    again = (await stage.events())[-1]
    assert (again["state"], again["alert"] != fired["alert"]) == ("firing", True)
    assert [alert.id for alert in stage.judge.book.open.values()] == [again["alert"]]


async def test_silence_in_the_middle_is_not_counted() -> None:
    """It must be that exactly the ticks in which it was seen to hold make up its `for`."""
    stage = Stage(HOT.replace("10s", "60s"))
    await stage.live(20, 90)
    stage.values = {}
    await stage.live(300)
    (pending,) = stage.judge.pending()
    await stage.live(60 - int(pending.held_seconds) - 1, 90)
    assert await stage.told() == []
    await stage.live(1)
    assert await stage.told() == [FIRING]


async def test_severities_of_one_alert() -> None:
    stage = Stage(TWO)
    await stage.live(12, 90)
    await stage.live(11, 99)
    await stage.live(1, 90)
    await stage.live(1, 10)
    assert await stage.told() == [
        FIRING,
        "firing firing critical",
        FIRING.replace("pending", "firing"),
        OVER,
    ]
    assert len({each["alert"] for each in await stage.events()}) == 1


@pytest.mark.parametrize("error", [Unavailable("full"), Unknown()], ids=["unavailable", "unknown"])
async def test_a_log_that_takes_nothing_for_a_while(error: Exception) -> None:
    """It must be that nothing is lost and nothing is told twice, and nothing new is judged."""
    log = Faulty()
    stage = Stage(NOW, log)
    await stage.live(2, 10)
    log.before = error
    for _ in range(5):
        with pytest.raises(Unavailable):
            await stage.live(1, 90)
    with pytest.raises(Unavailable):
        await stage.live(1, 10)
    assert await stage.told() == []
    await stage.judge.keep(at_the_end=True)
    assert (await stage.registry.checkpoint("judge")).revision == 0, "nothing to be kept as told"
    log.before = None
    await stage.live(2)
    fired, over = await stage.events()
    assert (fired["state"], over["state"]) == ("firing", "resolved")
    assert fired["alert"] == over["alert"]


@pytest.mark.parametrize("error", [Unavailable("?"), Unknown()], ids=["unavailable", "unknown"])
async def test_an_append_that_was_stored_though_it_failed(error: Exception) -> None:
    """It must be that it is found again and not told twice: neither then nor at the next."""
    log = Faulty()
    stage = Stage(NOW, log)
    await stage.live(2, 10)
    log.after = error
    stage.values = {"web-1": {"a.b": 90}, "web-2": {"a.b": 90}}
    try:
        await stage.live(1)
    except Unavailable:
        await stage.live(1)
    await stage.live(2)
    assert [each["state"] for each in await stage.events()] == ["firing"] * 2
    assert set(stage.judge.book.open) == {each["alert"] for each in await stage.events()}


async def test_another_judge_on_the_same_log() -> None:
    """It must be that the one that comes late notices, says nothing any more, and says so."""
    one = Stage(NOW)
    await one.live(2, 10)
    other = Stage(NOW, one.log, one.registry)
    await other.judge.begin()
    await other.live(1, 90)
    for _ in range(3):
        with pytest.raises(Unavailable):
            await one.live(1, 90)
        one.steady += 20
        break
    await one.live(3)
    assert not one.judge.is_alive
    assert len(await one.events()) == 1
    await one.judge.keep(at_the_end=True)
    assert (await one.registry.checkpoint("judge")).revision == 0


async def test_a_tick_that_is_broken_off_anywhere() -> None:
    """It must be that the next one tells what it had found."""
    for awaits in range(12):
        stage = Stage(NOW)
        stage.values = {f"web-{number}": {"a.b": 90} for number in range(3)}
        tick: Awaitable[None] = stage.tick()
        running = tick.__await__()
        try:
            for _ in range(awaits):
                running.send(None)
            running.throw(asyncio.CancelledError)
        except (StopIteration, asyncio.CancelledError, RuntimeError):
            pass
        await stage.live(2)
        assert [each["state"] for each in await stage.events()] == ["firing"] * 3, awaits


class Yielding(MemoryLog):
    """A log that lets others run in every call."""

    async def append(self, *given: Any) -> int:
        """Others run before and after."""
        await asyncio.sleep(0)
        last = await super().append(*given)
        await asyncio.sleep(0)
        return last


async def test_a_tick_that_is_cancelled_while_others_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """It must be that cancelling loses nothing, wherever the loop had got to."""

    async def complete(frozen: dict[str, Any], *_: object, **__: object) -> dict[str, Any]:
        await asyncio.sleep(0)
        return frozen

    monkeypatch.setattr("monitor.alerting.judge.hindsight.complete", complete)
    for turns in range(1, 40):
        stage = Stage(NOW, Yielding())
        stage.values = {f"web-{number}": {"a.b": 90} for number in range(12)}
        task = asyncio.create_task(stage.tick())
        for _ in range(turns):
            await asyncio.sleep(0)
        was_done = task.done()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await stage.live(2)
        events = await stage.events()
        assert [each["state"] for each in events] == ["firing"] * 12, turns
        assert len({each["alert"] for each in events}) == 12
        if was_done:
            break
    else:
        pytest.fail("it never came to an end by itself")


async def test_a_fault_in_one_rule_costs_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    stage = Stage(NOW + HOT.replace("hot", "other").replace("10s", "3s"))
    await stage.live(1, 10)

    def fails(*_: object) -> list[object]:
        raise ZeroDivisionError

    monkeypatch.setattr(stage.judge._judges["hot"], "judge", fails)
    await stage.live(5, 90)
    assert [each["rule"] for each in await stage.events()] == ["other"]


async def test_an_alert_whose_evidence_cannot_be_had_is_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stage = Stage(NOW)

    def fails(*_: object) -> dict[str, object]:
        raise ZeroDivisionError

    monkeypatch.setattr("monitor.alerting.judge.evidence.freeze", fails)
    await stage.live(2, 90)
    assert [each["state"] for each in await stage.events()] == ["firing"]


async def test_what_no_log_can_take_does_not_keep_others_from_it() -> None:
    """It must be that a text without an encoding in one host's label costs that alert alone."""
    stage = Stage(NOW)
    stage.state.label("web-1", {"team": "\ud800"})
    stage.values = {"web-1": {"a.b": 90}, "web-2": {"a.b": 90}}
    await stage.live(3)
    assert [each["host"] for each in await stage.events()] == ["web-2"]


# Hosts that are no more


async def test_a_host_that_is_retired_ends_its_alerts() -> None:
    stage = Stage(NOW)
    await stage.live(2, 90)
    host = stage.state.hosts["web-1"]
    host.status, host.since, stage.values = HostStatus.RETIRED, stage.wall, {}
    await stage.live(3)
    assert [each["state"] for each in await stage.events()] == ["firing", "resolved"]
    assert (await stage.events())[-1]["reason"] == telling.HOST_GONE
    await stage.live(2, 90)
    assert len({each["alert"] for each in await stage.events()}) == 2, "it came again"


async def test_a_host_that_is_deleted_is_forgotten() -> None:
    """It must be that neither the judge nor one that begins after it says anything of it."""
    stage = Stage(NOW)
    await stage.live(2, 90)
    await stage.judge.keep()
    stage.values = {}
    stage.state.forget("web-1")
    await stage.judge.forget("web-1")
    await stage.live(1)
    await stage.judge.keep()
    assert not stage.judge.book.open
    checkpoint = await stage.registry.checkpoint("judge")
    stage.judge = stage._made()
    await stage.judge.begin()
    assert not stage.judge.book.open
    assert checkpoint.state
    await stage.live(3)
    assert [each["state"] for each in await stage.events()] == ["firing"]


# Other rules


async def test_a_rule_that_is_removed_ends_its_alerts() -> None:
    stage = Stage(NOW)
    await stage.live(2, 90)
    (affected,) = stage.judge.affected(rules(NOW), rules(""))
    assert (affected.rule, affected.host, affected.after) == ("hot", "web-1", "")
    await stage.judge.take(rules(""))
    await stage.live(2)
    assert [each["state"] for each in await stage.events()] == ["firing", "resolved"]
    assert (await stage.events())[-1]["reason"] == telling.RULE_GONE
    await stage.judge.take(rules(NOW))
    await stage.live(1)
    assert len({each["alert"] for each in await stage.events()}) == 2


async def test_a_rule_with_another_limit_goes_on_with_its_alert() -> None:
    stage = Stage(NOW)
    await stage.live(2, 90)
    await stage.judge.take(rules(NOW.replace("80", "85")))
    await stage.live(70)
    assert [each["state"] for each in await stage.events()] == ["firing"]
    higher = rules(NOW.replace("80", "95"))
    assert [each.after for each in stage.judge.affected(stage.judge.rules, higher)] == [""]
    await stage.judge.take(higher)
    await stage.live(1)
    assert [each["state"] for each in await stage.events()] == ["firing", "resolved"]


async def test_a_rule_that_loses_the_level_that_fires() -> None:
    """It must be that the alert says the severity that it has by the rule as it is now."""
    stage = Stage(TWO)
    await stage.live(12, 99)
    less = rules(TWO.replace("critical.above = 95\n", ""))
    assert [each.after for each in stage.judge.affected(stage.judge.rules, less)] == ["warning"]
    await stage.judge.take(less)
    await stage.live(3)
    assert await stage.told() == [
        "pending firing critical",
        "firing firing warning",
    ]
    await stage.live(1, 10)
    assert (await stage.told())[-1] == OVER


async def test_a_rule_whose_every_level_is_another() -> None:
    """It must be that what fired by the old one does not fire for ever."""
    stage = Stage(TWO)
    await stage.live(12, 99)
    other = TWO.replace("warning.above = 80\ncritical.above = 95", "info.above = 200")
    await stage.judge.take(rules(other))
    await stage.live(3)
    assert [each["state"] for each in await stage.events()] == ["firing", "resolved"]


async def test_a_host_that_a_rule_is_no_more_about() -> None:
    """It must be that its alert ends, and that it is another one when it is again."""
    stage = Stage(NOW + 'hosts = "env=prod"\n')
    stage.state.label("web-1", {"env": "prod"})
    await stage.live(3, 90)
    stage.state.label("web-1", {"env": "test"})
    await stage.live(70)
    assert [each["state"] for each in await stage.events()] == ["firing", "resolved"]
    stage.state.label("web-1", {"env": "prod"})
    await stage.live(3, 10)
    assert len(await stage.events()) == 2
    await stage.live(3, 90)
    await stage.live(3, 10)
    assert len({each["alert"] for each in await stage.events()}) == 2
    assert [each["state"] for each in await stage.events()] == ["firing", "resolved"] * 2


# Drills, and what comes late


async def test_a_drill_begins_and_ends() -> None:
    stage = Stage(NOW)
    await stage.live(1, 10)
    wish = drills.Wish("hot", "web-1", "oscar", stage.wall)
    await stage.registry.put(f"{drills.WISHES}1", msgspec.json.encode(wish))
    await stage.live(1)
    assert [each["is_drill"] for each in await stage.events()] == [True]
    await stage.judge.keep(at_the_end=True)
    await stage.restart(away=20)
    await stage.live(30)
    assert [each["state"] for each in await stage.events()] == ["firing"]
    await stage.live(15)
    assert [each["state"] for each in await stage.events()] == ["firing", "resolved"]
    assert not stage.judge.book.open


async def test_what_holds_an_alert_back() -> None:
    stage = Stage(NOW)
    await stage.live(2, 90)
    (alert,) = stage.judge.book.open.values()
    assert stage.judge.held(alert) == ""
    stage.state.hosts["web-1"].status = HostStatus.DOWN
    assert stage.judge.held(alert) == "host_unreachable"


async def test_shipped_rules_wait_for_a_host_that_has_just_come() -> None:
    """It must be that they pend for its first 5 minutes, and that rules of people do not."""
    stage = Stage(NOW)
    found, _ = read_layers([shipped()])
    hot = rules(NOW).rules["hot"]
    shipped_one = next(each for each in found if each.is_of_levels)
    ours = replace(hot, name="ours", origin=shipped_one.origin, is_default=shipped_one.is_default)
    assert ours.is_default
    await stage.judge.take(RuleSet({"ours": ours, "hot": hot}))
    await stage.live(5, 90)
    assert [each["rule"] for each in await stage.events()] == ["hot"]
    assert [(each.rule, each.waits_for) for each in stage.judge.pending()] == [
        ("ours", "just come")
    ]
    await stage.live(300)
    assert [each["rule"] for each in await stage.events()] == ["hot", "ours"]


# Clocks


@pytest.mark.parametrize("jump", [-3_600.0, 3_600.0], ids=["back", "forward"])
async def test_a_clock_that_is_set(jump: float) -> None:
    """It must be that nothing fires or ends by it, and that timers go on as time did."""
    stage = Stage(HOT + NOW.replace("hot", "now").replace("80", "60"))
    await stage.live(6, 90)
    assert [each["rule"] for each in await stage.events()] == ["now"]
    await set_clock(stage, jump)
    await stage.live(4)
    assert [each["rule"] for each in await stage.events()] == ["now"]
    (pending,) = stage.judge.pending()
    assert pending.began <= stage.wall
    await stage.live(1)
    assert [each["rule"] for each in await stage.events()] == ["now", "hot"]
    fired = (await stage.events())[-1]
    assert fired["began"] <= fired["since"] == stage.wall
    await set_clock(stage, -jump)
    await stage.live(5)
    await stage.live(3, 10)
    assert [each["state"] for each in await stage.events()] == ["firing"] * 2 + ["resolved"] * 2
    now, hot, *over = await stage.events()
    for fired in (now, hot):
        (end,) = (each for each in over if each["alert"] == fired["alert"])
        assert (end["began"], end["fired"]) == (fired["began"], fired["fired"])


async def set_clock(stage: Stage, seconds: float) -> None:
    """As the pipeline does it: where the clock goes back, what was heard goes with it."""
    stage.wall += seconds
    if seconds < 0:
        for host in stage.state.hosts.values():
            host.move(seconds)


SILENT = '[rules.silent]\nmetric = "monitor.host.silence"\nwarning.above = 30\n'


async def test_a_program_that_stood_still() -> None:
    """It must be that 5 minutes of it neither fire, nor reset, nor blame a host for silence."""
    stage = Stage(HOT + SILENT)
    await stage.live(6, 90)
    stage.wall += 300
    stage.steady += 300
    await stage.judge.tick(stage.wall)
    assert await stage.told() == []
    (pending,) = stage.judge.pending()
    assert 5 <= pending.held_seconds <= 6
    await stage.live(3)
    assert await stage.told() == []
    await stage.live(3)
    assert await stage.told() == [FIRING]
    stage.values = {}
    await stage.live(40)
    assert [each["rule"] for each in await stage.events()] == ["hot", "silent"]


async def test_it_is_alive_while_it_judges() -> None:
    stage = Stage()
    assert not stage.judge.is_alive
    await stage.live(1, 1)
    assert stage.judge.is_alive
    stage.steady += 11
    assert not stage.judge.is_alive


async def test_how_rules_stand() -> None:
    stage = Stage(TWO)
    stage.values = {"web-1": {"a.b": 90}, "web-2": {"a.b": 10}, OWN: {"x.y": 1}}
    await stage.live(3)
    (state,) = stage.judge.states()
    assert (state.series, state.hosts, state.firing, state.pending) == (2, 2, 0, 1)
    await stage.live(10)
    (state,) = stage.judge.states()
    assert (state.firing, state.pending) == (1, 0)


async def test_a_checkpoint_that_another_keeps() -> None:
    """It must be that this judge lets it be from then on, and goes on judging."""
    stage = Stage(NOW)
    await stage.live(2, 90)
    await stage.registry.save("judge", b"", {"log": 0}, 0)
    await stage.judge.keep()
    stage.steady += 10
    await stage.judge.keep()
    assert (await stage.registry.checkpoint("judge")).state == b""
    await stage.live(1, 10)
    assert [each["state"] for each in await stage.events()] == ["firing", "resolved"]
