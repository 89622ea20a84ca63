"""The judge over a restart: what fired fires under its id, what pended pends, nothing twice."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from monitor.alerting import checkpoint, restoring, telling
from monitor.core.messages import Alert, event
from monitor.core.rules.model import Severity
from monitor.log.memory import MemoryLog
from monitor.model import Event, HostStatus
from tests.alerting.judging import HOT, NOW, START, TWO, Stage

ABSENT = '[rules.gone]\nmetric = "c.d"\nwarning = { absent_for = "20s" }\n'
CHANGED = '[rules.other]\nmetric = "c.d"\nover = "10m"\nwarning = { changed = true }\n'


async def states(stage: Stage) -> list[str]:
    """The states that the log tells of alerts."""
    return [each["state"] for each in await stage.events()]


async def test_what_pends_goes_on_where_it_stood() -> None:
    """It must be that the time in between neither adds to a `for` nor resets it."""
    stage = Stage(HOT)
    await stage.live(6, 90)
    (before,) = stage.judge.pending()
    await stage.judge.keep(at_the_end=True)
    await stage.restart(away=1_000)
    await stage.live(1)
    (after,) = stage.judge.pending()
    assert after.began == before.began
    assert after.held_seconds == before.held_seconds
    await stage.live(4)
    assert await states(stage) == []
    await stage.live(1)
    assert await states(stage) == ["firing"]
    assert (await stage.events())[0]["began"] == before.began


async def test_what_fires_goes_on_under_its_id() -> None:
    stage = Stage(HOT)
    await stage.live(12, 90)
    await stage.judge.keep(at_the_end=True)
    await stage.restart()
    (alert,) = stage.judge.book.open.values()
    await stage.live(5, 75)
    assert await states(stage) == ["firing"], "between the limit and its way back it stays"
    await stage.live(1, 60)
    fired, over = await stage.events()
    assert (over["state"], over["alert"]) == ("resolved", fired["alert"])
    assert alert.id == fired["alert"]
    assert over["fired"] == fired["fired"]


async def test_what_the_log_has_after_the_checkpoint_counts_more() -> None:
    """It must be that what fired, ended or became worse since is as the log says."""
    stage = Stage(TWO.replace("10s", "2s"))
    for host in ("ends", "worse", "better"):
        stage.values[host] = {"a.b": 99 if host == "better" else 90}
    await stage.live(5)
    await stage.judge.keep(at_the_end=True)
    stage.values = {"ends": {"a.b": 1}, "worse": {"a.b": 99}, "better": {"a.b": 90}}
    await stage.live(4)
    stage.values["new"] = {"a.b": 90}
    await stage.live(4)
    told = await stage.events()
    ids = {host: alert["alert"] for alert in told for host in [alert["host"]]}
    await stage.restart()
    assert {each.host: each.said.severity for each in stage.judge.book.open.values()} == {
        "worse": "critical",
        "better": "warning",
        "new": "warning",
    }
    await stage.live(5)
    assert await stage.events() == told, "everything is as it was told"
    for host in stage.values:
        stage.values[host] = {"a.b": 1}
    await stage.live(2)
    ended = (await stage.events())[len(told) :]
    assert {each["host"]: each["alert"] for each in ended} == {
        host: id_ for host, id_ in ids.items() if host != "ends"
    }
    assert {each["state"] for each in ended} == {"resolved"}


async def test_without_a_checkpoint_the_log_is_enough() -> None:
    stage = Stage(HOT)
    await stage.live(12, 90)
    await stage.restart()
    await stage.live(3)
    assert await states(stage) == ["firing"]
    await stage.live(1, 10)
    assert await states(stage) == ["firing", "resolved"]
    assert len({each["alert"] for each in await stage.events()}) == 1


async def test_what_became_better_while_nobody_looked() -> None:
    stage = Stage(NOW)
    await stage.live(2, 90)
    await stage.judge.keep(at_the_end=True)
    stage.values["web-1"] = {"a.b": 1}
    await stage.restart()
    await stage.live(1)
    assert await states(stage) == ["firing", "resolved"]


async def test_a_host_that_never_comes_back() -> None:
    """It must be that its alert stays until it is retired, and ends then."""
    stage = Stage(NOW)
    await stage.live(2, 90)
    await stage.judge.keep(at_the_end=True)
    stage.values = {}
    await stage.restart()
    await stage.live(400)
    assert await states(stage) == ["firing"]
    host = stage.state.hosts["web-1"]
    host.status, host.since = HostStatus.RETIRED, stage.wall
    await stage.live(1)
    assert await states(stage) == ["firing", "resolved"]
    assert (await stage.events())[-1]["reason"] == telling.HOST_GONE


async def test_a_host_that_was_deleted_meanwhile() -> None:
    stage = Stage(NOW)
    await stage.live(2, 90)
    await stage.judge.keep(at_the_end=True)
    stage.values = {}
    stage.state.forget("web-1")
    await stage.restart()
    await stage.live(1)
    assert await states(stage) == ["firing", "resolved"]


async def test_a_series_that_never_comes_back() -> None:
    """It must be that its alert ends some minutes after its host is there again without it."""
    stage = Stage(NOW)
    await stage.live(2, 90)
    await stage.judge.keep(at_the_end=True)
    stage.values["web-1"] = {"x.y": 1}
    await stage.restart()
    await stage.live(290)
    assert await states(stage) == ["firing"]
    await stage.live(20)
    assert await states(stage) == ["firing", "resolved"]
    assert (await stage.events())[-1]["reason"] == telling.GONE


async def test_a_rule_that_is_gone_after_a_restart() -> None:
    stage = Stage(NOW)
    await stage.live(2, 90)
    await stage.judge.keep(at_the_end=True)
    await stage.restart(text=HOT.replace("hot", "another"))
    await stage.live(2)
    assert await states(stage) == ["firing", "resolved"]
    assert (await stage.events())[-1]["reason"] == telling.RULE_GONE


async def test_a_rule_that_is_milder_after_a_restart() -> None:
    stage = Stage(TWO)
    await stage.live(12, 99)
    await stage.judge.keep(at_the_end=True)
    await stage.restart(text=TWO.replace("critical.above = 95\n", ""))
    await stage.live(2)
    assert await stage.told() == ["pending firing critical", "firing firing warning"]


@pytest.mark.parametrize("when", ["before", "meanwhile"])
async def test_what_ends_is_missed_though_it_ended_while_nobody_looked(when: str) -> None:
    stage = Stage(ABSENT)
    stage.values["web-1"] = {"a.b": 1, "c.d": 1}
    await stage.live(5)
    if when == "before":
        stage.values["web-1"] = {"a.b": 1}
        await stage.live(40)
        assert len(await stage.events()) <= 1
    await stage.judge.keep(at_the_end=True)
    stage.values["web-1"] = {"a.b": 1}
    await stage.restart()
    await stage.live(25)
    assert await states(stage) == ["firing"]
    stage.values["web-1"] = {"a.b": 1, "c.d": 1}
    await stage.live(2)
    assert await states(stage) == ["firing", "resolved"]
    assert len({each["alert"] for each in await stage.events()}) == 1


async def test_what_changed_while_nobody_looked() -> None:
    stage = Stage(CHANGED)
    stage.values["web-1"] = {"c.d": 1}
    await stage.live(5)
    await stage.judge.keep(at_the_end=True)
    await stage.restart()
    await stage.live(3)
    assert await states(stage) == [], "it is as it was"
    await stage.judge.keep(at_the_end=True)
    stage.values["web-1"] = {"c.d": 2}
    await stage.restart()
    await stage.live(3)
    assert await states(stage) == ["firing"]


async def test_a_row_that_nobody_was_told_of_is_told() -> None:
    """It must be that what a checkpoint calls firing and no log tells of fires again, anew."""
    stage = Stage(NOW)
    await stage.live(2, 90)
    await stage.judge.keep(at_the_end=True)
    stage.log = MemoryLog()  # an older log was put back
    await stage.restart()
    assert not stage.judge.book.open
    await stage.live(2)
    assert await states(stage) == ["firing"]
    await stage.live(2, 10)
    assert await states(stage) == ["firing", "resolved"]
    assert len({each["alert"] for each in await stage.events()}) == 1


async def test_a_checkpoint_that_cannot_be_read() -> None:
    stage = Stage(HOT)
    await stage.live(12, 90)
    await stage.registry.save("judge", b"nonsense", {"log": 1}, 0)
    await stage.restart()
    await stage.live(1)
    assert len(stage.judge.book.open) <= 1
    await stage.live(30)
    assert len((await stage.folded()).open) == 1


async def test_a_checkpoint_that_would_be_too_large(monkeypatch: pytest.MonkeyPatch) -> None:
    """It must be that no alert is lost by it: the log has those that do not fit."""
    stage = Stage(NOW)
    stage.values = {f"web-{number}": {"a.b": 90} for number in range(200)}
    await stage.live(2)
    monkeypatch.setattr(checkpoint, "MOST_BYTES", 4_000)
    await stage.judge.keep(at_the_end=True)
    found = await stage.registry.checkpoint("judge")
    assert len(found.state) <= 4_000
    assert 0 < found.positions["log"] < 200
    stage.values["web-7"] = {"a.b": 1}
    await stage.live(1)
    told = await stage.events()
    await stage.restart()
    assert len(stage.judge.book.open) == 199
    await stage.live(3)
    assert await stage.events() == told
    stage.values = {host: {"a.b": 1} for host in stage.values}
    await stage.live(1)
    assert not (await stage.folded()).open


async def test_what_merely_pends_is_left_out_first(monkeypatch: pytest.MonkeyPatch) -> None:
    stage = Stage(HOT + NOW.replace("hot", "now").replace("80", "95"))
    stage.values = {f"web-{number}": {"a.b": 90} for number in range(200)}
    stage.values["web-0"] = {"a.b": 99}
    await stage.live(2)
    monkeypatch.setattr(checkpoint, "MOST_BYTES", 900)
    await stage.judge.keep(at_the_end=True)
    kept = checkpoint.unpacked((await stage.registry.checkpoint("judge")).state)
    assert kept is not None
    rows, opened = kept
    assert [alert.host for alert in opened] == ["web-0"]
    assert {rule: len(kept) for rule, kept in rows.items() if kept} == {"now": 1}


async def test_nothing_is_written_while_nothing_happens() -> None:
    stage = Stage(NOW)
    await stage.live(2, 90)
    await stage.judge.keep(at_the_end=True)
    revision = (await stage.registry.checkpoint("judge")).revision
    for _ in range(5):
        await stage.live(6)
        await stage.judge.keep()
    assert (await stage.registry.checkpoint("judge")).revision == revision
    await stage.log.append([_about_a_host(number) for number in range(1_000)])
    await stage.live(6)
    await stage.judge.keep()
    assert (await stage.registry.checkpoint("judge")).revision > revision, "the log waits for it"


def _about_a_host(number: int) -> Event:
    said: Mapping[str, Any] = {
        "alert": f"x{number}",
        "rule": "no_more",
        "host": "web-9",
        "attributes": {},
        "state": "resolved",
        "was": "firing",
        "severity": "info",
        "value": None,
        "since": START,
    }
    return event(Alert(**said), START, f"e{number}")


async def test_of_an_alert_that_only_the_log_tells_of() -> None:
    """It must be that all levels up to its own are reached."""
    stage = Stage(TWO)
    await stage.live(12, 99)
    (alert,) = stage.judge.book.open.values()
    kept = restoring.firing(alert).kept
    assert set(kept.reached) >= {Severity.WARNING, Severity.CRITICAL}
    assert kept.began == alert.said.began
