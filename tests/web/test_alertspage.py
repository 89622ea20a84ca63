"""The pages of alerts, asked by people: every alert in its place, and what may be done with it."""

from __future__ import annotations

import html
import re
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import httpx
import pytest_asyncio

from monitor.alerting.standing import Pending
from monitor.core.access import OPEN, Role
from monitor.core.messages import Notice, event
from monitor.core.rules.model import Severity
from monitor.core.selectors import Selector
from monitor.notify.channel import ChannelStatus
from monitor.notify.silences import Wish
from monitor.web.alertstanding import gather
from monitor.web.alertview import alerts_page
from tests.web.alertrig import ANN, VAR, AlertRig

CANARY = "</script><img src=x onerror=alert(1)>\" onmouseover='x {{7*7}} ${7*7} \u2028%s"

EVIDENCE: dict[str, Any] = {
    "at": 1_700_000_000.0,
    "processes": {
        "cpu": [{"pid": 812, "name": "postgres", "user": "pg", "value": 0.93}],
        "memory": [{"pid": 77, "name": "java", "user": "tomcat", "value": 2_147_483_648}],
        "io": [{"pid": 9, "name": "rsync", "user": "root", "value": 1_048_576}],
    },
    "pressure": {'system.linux.pressure{kind="some",resource="io"}': 0.42},
    "related": {'system.filesystem.usage{mountpoint="/var",state="free"}': 4_402_341_478},
    "series": [{"key": VAR, "style": "percent", "t": [1.0, 2.0, 3.0], "v": [0.8, 0.9, 0.97]}],
    "changes": [{"at": 1_700_000_000.0, "text": "new mount /mnt/backup"}],
    "host": {"status": "up", "uptime": 90_000},
    "forecast": {"full_in_seconds": 2_400},
}


@pytest_asyncio.fixture
async def rig() -> AsyncIterator[AlertRig]:
    made = AlertRig()
    made.know_rules()
    async with made.serving():
        for name, role in (("ann", Role.ADMIN), ("oscar", Role.OPERATOR), ("vic", Role.VIEWER)):
            await made.person(name, role)
        await made.person("wes", Role.OPERATOR, "web-*")
        for host in ("db-1", "web-1"):
            await made.send({VAR: 0.97}, host=host)
        await made.pipeline.tick(time.time())
        yield made


def section(answer: httpx.Response, name: str) -> str:
    """One section of the page."""
    assert answer.status_code == 200, answer.text
    found = re.search(rf'data-section="{name}".*?</section>', answer.text, re.DOTALL)
    assert found is not None, name
    return html.unescape(found[0])


def form_token(answer: httpx.Response) -> str:
    found = re.search(r'name="form_token" value="([^"]+)"', answer.text)
    assert found is not None
    return found[1]


async def test_every_alert_stands_in_its_one_place(rig: AlertRig) -> None:
    """It must be that held comes before silenced, that before acknowledged, that before firing."""
    for id_ in ("fires", "held", "quiet", "seen"):
        await rig.judge.say(id_, "db-1", attributes={"mountpoint": f"/{id_}"}, summary=f"S {id_}")
    await rig.judge.say("over", "db-1", summary="S over")
    await rig.judge.say(
        "over", "db-1", state="resolved", was="firing", summary="S over", peak=0.99, unit="percent"
    )
    for id_ in ("held", "quiet", "seen"):
        alert = rig.judge.book.get(id_)
        assert alert is not None
        await rig.notify.acks.acknowledge(ANN, alert, "on it")
    for id_ in ("held", "quiet"):
        match = Selector.parse(f"mountpoint=/{id_}")
        await rig.notify.silences.create(
            ANN, Wish(match, until=time.time() + 3_600, comment="move")
        )
    rig.judge.holds["held"] = "host_unreachable"
    rig.judge.pends.append(
        Pending("mem_low", "db-1", {}, Severity.WARNING, "system.memory.utilization",
                float("nan"), "> 90 %", time.time() - 60, 50, 300, "data")
    )  # fmt: skip
    async with rig.as_person("vic") as vic:
        page = await vic.get("/alerts")
        for name, what in (("firing", "S fires"), ("held", "S held"), ("silenced", "S quiet"),
                           ("acknowledged", "S seen"), ("resolved", "S over")):  # fmt: skip
            others = {"S fires", "S held", "S quiet", "S seen", "S over"} - {what}
            found = section(page, name)
            assert what in found
            assert not [other for other in others if other in found], name
        assert "1 held by db-1: host unreachable" in section(page, "held")
        assert "acknowledged by ann" in section(page, "acknowledged")
        assert "on it" in section(page, "acknowledged")
        assert "by ann: move" in section(page, "silenced")
        assert "held for 50 s of 5 min; waiting for data" in section(page, "pending")
        assert "99.0" in section(page, "resolved")
        rows = (await vic.get("/alerts/rows")).json()
        assert {each["name"]: each["count"] for each in rows["sections"]} == rows["counts"]
        assert [each["count"] for each in rows["sections"]] == [1, 1, 1, 1, 1, 1]
        count = (await vic.get("/alerts/count")).json()
        assert (count["count"], count["look"], count["words"]) == (1, "warn", "1 warning")
        text = await vic.get("/alerts", headers={"Accept": "text/plain"})
        assert text.text.splitlines()[1].split()[:3] == ["firing", "warning", "db-1"]


async def test_the_worst_stands_first_then_the_newest(rig: AlertRig) -> None:
    """It must be that what wants somebody most is at the top, and only so much is printed."""
    now = time.time()
    for number in range(130):
        severity = "critical" if number % 13 == 0 else "warning"
        await rig.judge.say(f"a{number}", "db-1", severity=severity, summary=f"S{number}.",
                            fired=now - number, attributes={"n": str(number)})  # fmt: skip
    async with rig.as_person("vic") as vic:
        found = section(await vic.get("/alerts"), "firing")
        whats = re.findall(r">(S\d+)\.</a>", found)
        assert whats[:3] == ["S0", "S13", "S26"]
        assert whats[10] == "S1"
        assert len(whats) == 100
        assert "<span>30</span> more" in found
        alone = section(await vic.get("/alerts?state=firing"), "firing")
        assert len(re.findall(r">(S\d+)\.</a>", alone)) == 130


async def test_a_selector_in_the_address_filters(rig: AlertRig) -> None:
    """It must be that a selector leaves what it takes, and a bad one says what is wrong."""
    await rig.judge.say("a", "db-1", severity="critical", summary="S one")
    await rig.judge.say("b", "web-1", summary="S two")
    async with rig.as_person("vic") as vic:
        found = await vic.get("/alerts", params={"match": "severity=critical, env=prod"})
        assert "S one" in found.text
        assert "S two" not in found.text
        bad = await vic.get("/alerts?match=severity==")
        assert bad.status_code == 400
        assert "column" in bad.text
        assert "S one" in bad.text
        plain = await vic.get("/alerts?match=severity==", headers={"Accept": "text/plain"})
        assert plain.json()["code"] == "bad_selector"
        for query, code in (("state=king", "bad_param"), ("x=1", "unknown_param")):
            refused = await vic.get(f"/alerts?{query}", headers={"Accept": "application/json"})
            assert (refused.status_code, refused.json()["code"]) == (400, code)


async def test_calm_says_what_is_watched_and_who_is_told(rig: AlertRig) -> None:
    """It must be that quiet is told from nobody watching, and nobody told is said with the cure."""
    async with rig.as_person("vic") as vic:
        page = await vic.get("/alerts")
        rules = sum(state.is_applicable for state in rig.judge.stated)
        assert f"{rules} rules on 2 hosts; nothing fires." in page.text
        assert "nobody will be told: there is no channel" in page.text
        assert "monitor channel create phone URL" in page.text
        rig.notify.channels.append(
            ChannelStatus(
                "mail", "mail", "mx", failing_since=time.time() - 700, failure="550 no", waiting=2
            )
        )
        rig.services.alerting.reloads.state = REFUSED  # type: ignore[union-attr]
        page = await vic.get("/alerts")
        assert "nobody will be told" not in page.text
        assert "Channel mail has delivered nothing for 11 min, 2 messages waiting." in page.text
        assert "was not taken over" in page.text
        assert "550 no" not in page.text
        assert "x.toml:3:1" not in page.text
    async with rig.as_person("ann") as ann:
        page = await ann.get("/alerts")
        assert "550 no" in page.text
        assert "x.toml:3:1: no such key" in page.text


REFUSED = SimpleNamespace(
    failed=SimpleNamespace(at=1_700_000_000.0, complaints=("x.toml:3:1: no such key",)), last=None
)
"""A reload that was refused."""


async def test_one_alert_says_why(rig: AlertRig) -> None:
    """It must be that culprits, changes, limit, story and the last time are on its page."""
    now = time.time()
    rig.judge.clock = lambda: now - 86_400
    for state, was in (("firing", "pending"), ("resolved", "firing")):
        await rig.judge.say("old", "db-1", state=state, was=was, summary="S old", unit="percent")
    rig.judge.clock = lambda: now - 600
    await rig.judge.say(
        "a1", "db-1", severity="critical", unit="percent", value=0.97, summary="/var is 97 % full",
        limit="> 97 %", evidence=EVIDENCE, peak=0.98, runbook_url="https://wiki/disk",
        began=now - 900,
    )  # fmt: skip
    await rig.judge.say("b1", "web-1", summary="S beside")
    delivery: dict[str, Any] = {
        "channel": "phone",
        "alerts": ["a1"],
        "outcome": "delivered",
        "attempts": 2,
    }
    lost: dict[str, Any] = {
        "channel": "mail",
        "alerts": ["a1"],
        "outcome": "given_up",
        "reason": "550 no",
    }
    for number, details in enumerate((delivery, lost)):
        notice = Notice(kind="delivery", text="x", details=details)
        await rig.log.append([event(notice, now, f"n{number}")])
    await rig.history("db-1", VAR, *(0.8 + 0.002 * n for n in range(90)))
    async with rig.as_person("vic") as vic:
        page = await vic.get("/alerts/a1")
        assert page.status_code == 200, page.text
        text = html.unescape(page.text)
        for words in (
            "/var is 97 % full", "firing for 10 min", "postgres", "java", "rsync", "IO, some",
            "42.0 %", "new mount /mnt/backup", "full in about 40 min", "S beside", "S old",
            "It fired at 97.0 %", "Told phone at the attempt number 2",
            "mail was not told, and will not be: 550 no", "limit 97.0 %, over at 94.0 %",
            'href="https://wiki/disk" rel="noopener', "98.0 %", "defaults:",
        ):  # fmt: skip
            assert words in text, words
        assert 'class="limit" d="M0 ' in page.text
        assert "<form" not in page.text.partition("<main")[2]
    async with rig.as_person("wes") as wes:
        hidden, none = await wes.get("/alerts/a1"), await wes.get("/alerts/nothing")
        assert hidden.status_code == none.status_code == 404
        assert hidden.text == none.text
        seen = await wes.get("/alerts/b1")
        assert "postgres" not in seen.text
        assert "metric =" not in seen.text


SPECIAL: tuple[tuple[dict[str, Any], str], ...] = (
    ({"is_drill": True}, "This is a drill"),
    ({"is_flapping": True}, "it is flapping"),
    ({"state": "resolved", "is_late": True, "reason": "breached"}, "its host reported late"),
    ({"state": "resolved", "reason": "retired"}, "another reason than its value: retired"),
    ({"notify": "never", "severity": "info"}, "nobody is told"),
)


async def test_what_is_special_is_said(rig: AlertRig) -> None:
    """It must be that nobody takes a drill, or what is long over, for what it is not."""
    async with rig.as_person("vic") as vic:
        for number, (more, words) in enumerate(SPECIAL):
            await rig.judge.say(f"a{number}", "db-1", **more)
            assert words in html.unescape((await vic.get(f"/alerts/a{number}")).text), more


async def test_it_is_acknowledged_and_silenced(rig: AlertRig) -> None:
    """It must be that operators may, viewers not, and the silence takes this alert alone."""
    strange = 'a "b*" \\c, d'
    await rig.judge.say("a1", "db-1", attributes={"mountpoint": strange})
    await rig.judge.say("a2", "db-1", attributes={"mountpoint": 'a "bb" \\c, d'})
    async with rig.as_person("vic") as vic:
        token = form_token(await vic.get("/settings"))
        for path in ("ack", "unack", "silence"):
            answer = await vic.post(f"/alerts/a1/{path}", data={"form_token": token})
            assert answer.status_code == 403
    async with rig.as_person("oscar") as oscar:
        token = form_token(await oscar.get("/alerts/a1"))
        fields = {"form_token": token, "note": "mine", "next": "/alerts?state=firing"}
        answer = await oscar.post("/alerts/a1/ack", data=fields)
        assert (answer.status_code, answer.headers["location"]) == (303, "/alerts?state=firing")
        ack = rig.notify.acks.get("a1")
        assert ack is not None
        assert (ack.by, ack.note) == ("oscar", "mine")
        assert "Take the acknowledgement back" in (await oscar.get("/alerts/a1")).text
        await oscar.post("/alerts/a1/unack", data={"form_token": token})
        assert rig.notify.acks.get("a1") is None
        answer = await oscar.post("/alerts/a1/silence", data={"form_token": token, "for": "8h"})
        assert answer.headers["location"] == "/alerts/a1?done=silenced"
        assert "Nobody is told while that lasts" in (await oscar.get("/alerts/a1")).text
        rows = (await oscar.get("/alerts/rows")).json()
        assert [each["id"] for each in rows["sections"][0]["rows"]] == ["a2"]
        for wrong in ("1e9d", "-5m", ""):
            fields = {"form_token": token, "for": wrong or "never"}
            answer = await oscar.post("/alerts/a1/silence", data=fields)
            assert answer.status_code == 400
    audited = [action for action, _, _ in await rig.audited() if "session" not in str(action)]
    assert audited[-3:] == ["ack.create", "ack.delete", "silence.create"]


async def test_nothing_that_was_sent_is_anything_but_text(rig: AlertRig) -> None:
    """It must be that hostile text in any field is shown as it is, on every page that has it."""
    evidence = {
        "processes": {"cpu": [{"pid": CANARY, "name": CANARY, "user": CANARY, "value": CANARY}]},
        "pressure": {CANARY: 0.5},
        "related": {CANARY: 1.0},
        "series": [{"key": CANARY, "style": CANARY, "t": [1, 2, 3], "v": [1, 2, None]}],
        "changes": [{"at": 5.0, "text": CANARY}],
        "host": {"status": CANARY, "uptime": "x"},
    }
    rule = CANARY[:200]
    await rig.judge.say(
        "a1", "db-1", rule=rule, attributes={CANARY: CANARY}, summary=CANARY, limit=CANARY,
        labels={CANARY: CANARY}, metric=CANARY, unit=CANARY, evidence=evidence,
        runbook_url="javascript:alert(1)",
    )  # fmt: skip
    alert = rig.judge.book.get("a1")
    assert alert is not None
    await rig.notify.acks.acknowledge(ANN, alert, CANARY.replace("\u2028", " "))
    rig.judge.pends.append(
        Pending(
            CANARY,
            "web-1",
            {CANARY: CANARY},
            Severity.CRITICAL,
            CANARY,
            1.0,
            CANARY,
            1.0,
            1.0,
            5.0,
            CANARY,
        )
    )
    rig.judge.holds["b1"] = CANARY
    await rig.judge.say("b1", "web-1", summary=CANARY)
    async with rig.as_person("ann") as ann:
        for path in ("/alerts", "/alerts/a1", "/alerts/b1", "/hosts/web-1", "/events", "/silences"):
            answer = await ann.get(path, params={"match": CANARY} if path == "/silences" else {})
            assert answer.status_code in {200, 400}, answer.text
            assert "<img" not in answer.text.replace('<img src="/static/favicon.svg"', ""), path
            assert "onmouseover='x" not in answer.text
            assert " onerror=alert(1)>" not in answer.text
            assert "javascript:" not in answer.text
        rows = await ann.get("/alerts/rows")
        assert rows.headers["content-type"] == "application/json"


async def test_a_silence_that_may_not_be_seen_says_nothing(rig: AlertRig) -> None:
    """It must be that who sees some hosts learns that it is silenced, and not by what words."""
    await rig.judge.say("b1", "web-1")
    match = Selector.parse("host in (web-1, secret-9)")
    await rig.notify.silences.create(
        ANN, Wish(match, until=time.time() + 60, comment="of secret-9")
    )
    async with rig.as_person("wes") as wes:
        for path in ("/alerts", "/alerts/b1", "/silences", "/hosts/web-1"):
            answer = await wes.get(path)
            assert "secret-9" not in answer.text
            assert "of secret" not in answer.text
        assert "Silenced" in (await wes.get("/alerts/b1")).text


async def test_a_server_without_a_judge_says_so(rig: AlertRig) -> None:
    """It must be that pages are answered, and say that nothing is judged, where nothing is."""
    services = replace(rig.services, alerting=None)
    page = alerts_page(gather(services, OPEN.view))
    assert page.calm == "No rule is judged here."
