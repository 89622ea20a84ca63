"""The pages of rules and silences, and the one that tries a rule on the past."""

from __future__ import annotations

import html
import time
from collections.abc import AsyncIterator
from types import SimpleNamespace

import pytest_asyncio

from monitor.core.access import Role
from monitor.core.selectors import Selector
from monitor.notify.silences import Wish
from tests.web.alertrig import ANN, VAR, AlertRig
from tests.web.test_alertspage import CANARY, form_token

RULE = '[rules.var_full]\nmetric = "system.filesystem.utilization"\nwarning.above = "90%"\n'


@pytest_asyncio.fixture
async def rig() -> AsyncIterator[AlertRig]:
    made = AlertRig()
    made.know_rules()
    async with made.serving():
        for name, role in (("ann", Role.ADMIN), ("vic", Role.VIEWER)):
            await made.person(name, role)
        await made.person("wes", Role.OPERATOR, "web-*")
        values = [0.95 if 10 <= n < 20 else 0.5 for n in range(40)]
        await made.history("db-1", VAR, *values, step=10)
        await made.send({"a": 1.0}, host="web-1")
        await made.pipeline.tick(time.time())
        yield made


async def test_every_rule_is_listed_with_its_state(rig: AlertRig) -> None:
    """It must be that place, condition, state and noise are said, and what nothing can fire."""
    await rig.judge.say("a1", "db-1", rule="disk_space")
    async with rig.as_person("vic") as vic:
        text = html.unescape((await vic.get("/rules")).text)
        for state in rig.judge.stated:
            assert f'href="/rules/{state.rule.name}"' in text
        assert "system.filesystem.utilization > 90%" in text
        assert "defaults:" in text
        assert "no host sends" in text.partition("Not applicable here")[2]
        assert "Read them anew now" not in text
        one = html.unescape((await vic.get("/rules/disk_space")).text)
        for words in ("[rules.disk_space]", "12 series of 12 hosts", "Fires a week", "Firing now"):
            assert words in one, words
        assert 'href="/rules/backtest?rule=disk_space"' in one
        gone = await vic.get("/rules/x", headers={"Accept": "application/json"})
        assert (gone.status_code, gone.json()["code"]) == (404, "unknown_rule")
    async with rig.as_person("wes") as wes:
        for path in ("/rules", "/rules/disk_space", "/rules/backtest?rule=disk_space"):
            text = (await wes.get(path)).text
            assert "[rules.disk_space]" not in text, path
            assert "db-1" not in text, path
            assert "defaults:" not in text, path


async def test_files_are_read_anew_on_a_press(rig: AlertRig) -> None:
    """It must be that who operates may, that it is known who did, and what came of it is said."""
    change = SimpleNamespace(key="for", before='"5m"', after='"10m"')
    affected = SimpleNamespace(rule="disk_space", host="db-1", before="warning", after="")
    diff = SimpleNamespace(
        added=("queue_long",), removed=("old",), changed={"disk_space": (change,)},
        affected=(affected,), text="rules: 1 added, 1 removed, 1 changed",
    )  # fmt: skip
    last = SimpleNamespace(at=time.time(), by="ann", diff=diff, needs_restart=("server",))
    rig.alerting.reloads.state = SimpleNamespace(last=last, failed=None)  # type: ignore[attr-defined]
    async with rig.as_person("ann") as ann:
        token = form_token(await ann.get("/rules"))
        answer = await ann.post("/rules", data={"form_token": token})
        assert answer.headers["location"] == "/rules#reload"
        assert rig.alerting.reloads.asked == [("asked for", "ann")]
        text = html.unescape((await ann.get("/rules")).text)
        for words in (
            "+ queue_long",
            "− old",
            'disk_space: for "5m" → "10m"',
            "alert of disk_space on db-1: warning → over",
            "after a restart: server",
        ):
            assert words in text, words
    async with rig.as_person("vic") as vic:
        token = form_token(await vic.get("/rules/backtest"))
        assert (await vic.post("/rules", data={"form_token": token})).status_code == 403


async def test_a_rule_is_tried_on_the_past(rig: AlertRig) -> None:
    """It must be that firings are counted, listed and drawn, and the text is handed back."""
    async with rig.as_person("vic") as vic:
        asked = await vic.get("/rules/backtest?rule=disk_space&since=6h")
        assert "[rules.disk_space]" in asked.text
        token = form_token(asked)
        fields = {"form_token": token, "toml": RULE, "since": "1h", "hosts": "host=db-*"}
        found = await vic.post("/rules/backtest", data=fields)
        text = html.unescape(found.text)
        assert found.status_code == 200, text
        assert "var_full would have fired once on db-1" in text
        assert "of the 1 h asked for" in text
        assert 'class="fires"' in text
        assert 'class="limit"' in text
        assert text.count(RULE.strip()) == 2
        for toml, since, words in (
            (RULE.replace("above", "abvoe"), "1h", "line 3"),
            ("x = ", "1h", "Not tried"),
            (RULE, "1e9d", "Not tried"),
            (CANARY, "1h", "Not tried"),
        ):
            wrong = await vic.post(
                "/rules/backtest", data={"form_token": token, "toml": toml, "since": since}
            )
            assert wrong.status_code == 400
            assert words in html.unescape(wrong.text)
            assert "<img src=x" not in wrong.text
    async with rig.as_person("wes") as wes:
        fields = {"form_token": form_token(await wes.get("/rules/backtest")), "toml": RULE}
        assert "there is no history" in (await wes.post("/rules/backtest", data=fields)).text


async def test_silences_are_made_and_ended(rig: AlertRig) -> None:
    """It must be that one sees first what one would take, and only within what one sees."""
    await rig.judge.say("a1", "db-1", summary="S one")
    async with rig.as_person("ann") as ann:
        page = await ann.get("/silences", params={"match": "host=db-*"})
        assert "It would take 1 alert that fires now." in page.text
        token = form_token(page)
        fields = {"form_token": token, "match": "host=db-*", "schedule": "Mon-Fri 20:00-06:00",
                  "comment": CANARY.replace("\u2028", "")}  # fmt: skip
        seen = await ann.post("/silences/preview", data=fields)
        assert "S one" in seen.text
        assert "Mon-Fri 20:00-06:00" in seen.text
        assert (await ann.post("/silences", data=fields)).status_code == 303
        (made,) = rig.notify.silences.all()
        assert made.schedule is not None
        text = (await ann.get("/silences")).text
        assert "<img src=x" not in text
        assert "Mon-Fri 20:00-06:00" in text
        assert (await ann.post(f"/silences/{made.id}/end", data={"form_token": token})).is_redirect
        assert made.id in (await ann.get("/silences")).text
        for more, words in (
            ({"for": "1e9d"}, "Not silenced"),
            ({"match": "x=="}, "column"),
            ({}, "an end"),
        ):
            wrong = await ann.post(
                "/silences", data={"form_token": token, "match": "host=a"} | more
            )
            assert wrong.status_code == 400
            assert words in wrong.text
    await rig.notify.silences.create(ANN, Wish(Selector.parse("host=db-1"), until=time.time() + 60))
    async with rig.as_person("wes") as wes:
        page = await wes.get("/silences")
        assert "host=db-1" not in page.text
        fields = {"form_token": form_token(page), "match": "rule=disk_space", "for": "1h"}
        refused = await wes.post("/silences", data=fields)
        assert refused.status_code == 403
        assert "name hosts within that" in html.unescape(refused.text)
        fields["match"] = "host=web-*, rule=disk_space"
        assert (await wes.post("/silences", data=fields)).status_code == 303
