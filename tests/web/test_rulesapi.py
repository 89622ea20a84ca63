"""``/api/v1/rules`` and ``/api/v1/channels``: what holds, reloads, backtests, trying a channel."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import time
from array import array
from collections.abc import Mapping
from typing import Any

import msgspec
import pytest
import pytest_asyncio

from monitor.access.tokens import Wish
from monitor.alerting.backtesting import backtest
from monitor.alerting.standing import Pending, RuleState
from monitor.core.access import Role, TokenKind
from monitor.core.rules.diff import Affected, Change, Diff
from monitor.core.rules.model import Rule, Severity
from monitor.core.rules.reading import read
from monitor.errors import MonitorError
from monitor.log.memory_registry import MemoryRegistry
from monitor.model import Frame, Schema
from monitor.notify.channel import ChannelStatus, Outcome, Result
from monitor.web import rulesapi
from monitor.web.app import create_app
from monitor.web.asgi import Application
from tests.web.alerting import Result as Reload
from tests.web.calling import Answer, Caller
from tests.web.house import ROOT, PeopledRig

pytestmark = pytest.mark.asyncio(loop_scope="module")

QUEUE: Mapping[str, Any] = {
    "metric": "app.queue",
    "warning": {"above": 100, "clear_below": 80},
    "critical": {"above": 1000},
    "for": "5m",
    "hosts": "host in (web-1, db-1)",
    "labels": {"team": "ops"},
    "runbook_url": "https://wiki/queue",
}


def rule(name: str = "queue", origin: str = "conf.d/app.toml:7") -> Rule:
    """A rule as the configuration makes it."""
    rules, faults = read({name: QUEUE})
    assert faults == []
    return dataclasses.replace(rules.rules[name], origin=origin)


class Site:
    """A server, and those who ask."""

    def __init__(self) -> None:
        self.rig = PeopledRig("main")
        self.application: Application = create_app(self.rig.services)
        self._callers: dict[str, Caller] = {}

    async def settle(self) -> None:
        self.rig.know("web-1", "db-1")
        await self.rig.person("ann", Role.ADMIN)
        for name, scope, hosts in (
            ("viewer", "read", ("*",)),
            ("operator", "operate", ("*",)),
            ("team", "operate", ("web-*",)),
        ):
            wish = Wish(TokenKind.API, hosts, scopes=(scope,))
            text, _ = await self.rig.office.tokens.create(ROOT, wish)
            self._callers[name] = Caller(self.application, {"authorization": f"Bearer {text}"})

    async def get(self, path: str, who: str = "viewer") -> Any:
        answer = await self._callers[who]("GET", f"/api/v1{path}")
        assert answer.status == 200, answer.body
        return answer.json()

    async def post(self, path: str, body: Any = None, who: str = "operator") -> Answer:
        sent = b"" if body is None else msgspec.json.encode(body)
        return await self._callers[who](
            "POST", f"/api/v1{path}", sent, content_type="application/json"
        )

    async def past(self, host: str, values: list[float], every: float = 60.0) -> None:
        """What a host's queue was, up to a moment ago."""
        schema, now = Schema(("app.queue",)), time.time()
        frames = [
            Frame(host, now - (len(values) - place) * every, schema, array("d", [value]))
            for place, value in enumerate(values)
        ]
        await self.rig.store.append(frames)


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def settled() -> Site:
    """One server for all tests."""
    made = Site()
    await made.settle()
    return made


@pytest.fixture
def site(settled: Site) -> Site:
    """The server as if nothing had happened."""
    settled.rig.alerting.renew(settled.rig.notify, settled.rig.log, MemoryRegistry())
    return settled


# Rules


async def test_rules_are_listed(site: Site) -> None:
    """It must be that each has its place, its words, its state, and itself as TOML."""
    made = rule()
    site.rig.alerting.judge.stated = [
        RuleState(made, 4, 2, 1, 3),
        RuleState(rule("shipped", "defaults:40"), 0, 0, 0, 0),
        RuleState(rule("odd", "--rule"), 1, 1, 0, 0),
    ]
    first, second, third = await site.get("/rules")
    assert first == {
        "name": "queue",
        "severity": "critical",
        "file": "conf.d/app.toml",
        "line": 7,
        "state": "firing",
        "firing": 1,
        "pending": 3,
        "series": 4,
        "hosts": 2,
        "condition": [
            "warning: app.queue > 100, until < 80 for 5m",
            "critical: app.queue > 1000 for 5m",
        ],
        "metric": "app.queue",
        "default": False,
        "labels": {"team": "ops"},
        "held_by": [],
        "notify_resolved": True,
        "runbook_url": "https://wiki/queue",
        "toml": made.text,
    }
    assert (second["file"], second["line"], second["state"]) == ("defaults", 40, "not_applicable")
    assert (third["file"], third["line"], third["state"]) == ("--rule", None, "inactive")


async def test_rules_say_nothing_of_hidden_hosts(site: Site) -> None:
    """It must be that counts are of hosts that are seen, and no text names another."""
    judge = site.rig.alerting.judge
    judge.stated = [RuleState(rule(), 4, 2, 1, 1)]
    await judge.say("a1", "db-1", rule="queue")
    judge.pends = [
        Pending("queue", host, {}, Severity.WARNING, "app.queue", 101.0, "> 100", 1.0, 1.0, 300.0)
        for host in ("db-1", "web-1")
    ]
    (found,) = await site.get("/rules", "team")
    assert (found["state"], found["firing"], found["pending"]) == ("pending", 0, 1)
    assert found["series"] is found["hosts"] is found["toml"] is None
    assert "db-1" not in str(found)


async def test_a_reload(site: Site) -> None:
    """It must be that it is asked for by name, and says what is different."""
    reloads = site.rig.alerting.reloads
    diff = Diff(
        ("queue",),
        changed={"inodes": (Change("hosts", "", '"host=db-1"'),)},
        affected=tuple(
            Affected(f"a-{host}", "inodes", host, {}, "warning", "") for host in ("web-1", "db-1")
        ),
    )
    reloads.result = Reload(diff=diff, at=5.0, needs_restart=("server",))
    found = (await site.post("/rules/reload")).json()
    assert (found["at"], found["needs_restart"]) == (5.0, ["server"])
    assert found["diff"] == json.loads(msgspec.json.encode(diff))
    ((reason, by),) = reloads.asked
    assert reason == "asked for"
    assert by.startswith("api token ")
    partly = (await site.post("/rules/reload", who="team")).json()["diff"]
    assert (partly["added"], partly["changed"]) == (["queue"], {"inodes": []})
    assert [each["host"] for each in partly["affected"]] == ["web-1"]


async def test_a_reload_of_bad_files(site: Site) -> None:
    """It must be that it is a 400 that has every complaint."""
    complaints = ("main.toml:3: rules.x.abvoe: unknown key", "main.toml:9: routes[0]: …")
    site.rig.alerting.reloads.result = Reload(ok=False, complaints=complaints)
    answer = await site.post("/rules/reload")
    assert (answer.status, answer.code) == (400, "bad_config")
    assert answer.json()["complaints"] == list(complaints)


# Backtests

TEXT = '[rules.queue]\nmetric = "app.queue"\nwarning = { above = 100, clear_below = 80 }\n'


async def test_a_backtest(site: Site) -> None:
    """It must be that it says how often the rule would have fired, where and how long."""
    await site.past("web-1", [50.0] * 20 + [150.0] * 10 + [50.0] * 20)
    await site.past("db-1", [50.0] * 20 + [250.0] * 10 + [50.0] * 20)
    wish = {"toml": TEXT, "since": "2h"}
    answer = await site.post("/rules/backtest", wish, "viewer")
    assert answer.status == 200, answer.body
    found = answer.json()
    assert {"resolution", "history", "firings", "summary"} <= set(found)
    assert {(each["host"], each["peak"]) for each in found["firings"]} == {
        ("web-1", 150.0),
        ("db-1", 250.0),
    }
    assert found["count"] == 2
    for each in found["firings"]:
        assert 300 <= each["end"] - each["start"] <= 1200
        assert (each["severity"], each["attributes"]) == ("warning", {})
    partly = (await site.post("/rules/backtest", wish, "team")).json()
    assert {each["host"] for each in partly["firings"]} == {"web-1"}
    assert "db-1" not in str(partly)
    chosen = (await site.post("/rules/backtest", wish | {"hosts": "host=db-*"})).json()
    assert {each["host"] for each in chosen["firings"]} == {"db-1"}


WRONG = [
    ({"since": "1d"}, 400, "bad_shape"),
    ({"toml": ""}, 400, "bad_rule"),
    ({"toml": "[rules.x]\nabvoe = 1"}, 400, "bad_rule"),
    ({"toml": TEXT, "since": "5"}, 400, "bad_range"),
    ({"toml": TEXT, "since": "1s"}, 400, "bad_range"),
    ({"toml": TEXT, "since": "9y"}, 400, "bad_range"),
    ({"toml": TEXT, "hosts": "("}, 400, "bad_selector"),
    ({"toml": TEXT, "until": "1d"}, 400, "bad_shape"),
    ({"toml": "#" * 70_000}, 413, "body_too_large"),
]


@pytest.mark.parametrize(("wish", "status", "code"), WRONG, ids=range(len(WRONG)))
async def test_a_backtest_of_what_is_none(
    site: Site, wish: dict[str, str], status: int, code: str
) -> None:
    """It must be that it is refused with the fault, and its line in the rule."""
    answer = await site.post("/rules/backtest", wish)
    assert (answer.status, answer.code) == (status, code)


async def test_backtests_run_one_at_a_time(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """It must be that others wait, and not for ever."""
    going, done = asyncio.Event(), asyncio.Event()

    async def slow(*arguments: Any) -> Any:
        going.set()
        await done.wait()
        return await backtest(*arguments)

    monkeypatch.setattr(rulesapi, "backtest", slow)
    monkeypatch.setattr(rulesapi, "WAIT_SECONDS", 0.01)
    first = asyncio.create_task(site.post("/rules/backtest", {"toml": TEXT, "since": "1h"}))
    await going.wait()
    second = await site.post("/rules/backtest", {"toml": TEXT, "since": "1h"})
    assert (second.status, second.code) == (503, "busy")
    assert int(second.headers["retry-after"]) > 0
    done.set()
    assert (await first).status == 200


# Channels


async def test_channels_are_listed(site: Site) -> None:
    """It must be that each says how it stands, and where it leads without secrets."""
    site.rig.notify.channels = [
        ChannelStatus("phone", "webhook", "https://hook.lan/…", failing_since=5.0, failure="500"),
        ChannelStatus("mail", "mail", "ops@lan", delivered_at=9.0, delivered=3),
    ]
    first, second = await site.get("/channels")
    assert (first["name"], first["failing_since"], first["delivered_at"]) == ("phone", 5.0, None)
    assert (second["target"], second["delivered"], second["next_try_at"]) == ("ops@lan", 3, None)


async def test_trying_a_channel(site: Site) -> None:
    """It must be that what came of it is said, and the audit trail has who tried it."""
    notify = site.rig.notify
    notify.channels = [ChannelStatus("phone", "webhook", "https://hook.lan/…")]
    answer = await site.post("/channels/phone/test")
    assert answer.json() == {"channel": "phone", "outcome": "delivered", "reason": ""}
    notify.outcome = Outcome(Result.RETRY, "the receiver answers 500")
    failed = await site.post("/channels/phone/test")
    assert failed.json()["outcome"] == "retry"
    assert failed.json()["reason"] == "the receiver answers 500"
    assert ("channel.test", "phone", "done") in await site.rig.audited()


async def test_who_may_try_a_channel_and_how_often(site: Site) -> None:
    """It must be that viewers may not, and that nobody may a thousand times a minute."""
    notify = site.rig.notify
    notify.channels = [ChannelStatus("phone", "webhook", "https://hook.lan/…")]
    assert (await site.post("/channels/phone/test", who="viewer")).status == 403
    assert notify.tested == []
    assert (await site.post("/channels/other/test")).code == "unknown_channel"
    notify.outcome = MonitorError("wait", code="too_many_requests", status=429, retry_after=7)
    answer = await site.post("/channels/phone/test")
    assert (answer.status, answer.headers["retry-after"]) == (429, "7")


async def test_a_server_that_judges_nothing() -> None:
    """It must be that it says so, as a 503 that has its code."""
    rig = PeopledRig("main")
    rig.services = dataclasses.replace(rig.services, alerting=None, notify=None)
    ask = Caller(create_app(rig.services))
    for path in ("alerts", "alerts/x", "rules", "channels", "silences"):
        answer = await ask("GET", f"/api/v1/{path}")
        assert (answer.status, answer.code) in {(503, "not_judging"), (503, "not_notifying")}
