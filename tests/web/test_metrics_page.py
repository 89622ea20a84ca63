"""It must be that ``/metrics`` gives each caller the hosts that are theirs to see, as asked."""

from __future__ import annotations

import dataclasses
import gzip
import re
import time
from collections.abc import AsyncIterator

import httpx
import pytest

from monitor.core.access import Role
from monitor.core.load import Shed
from monitor.forward.forwards import ForwardStatus
from monitor.notify.channel import ChannelStatus
from monitor.web import metricspage
from monitor.web.own_metrics import gathered
from tests.web.house import PeopledRig

HOST = re.compile(r'^app_value\{host="([^"]+)"\}', re.MULTILINE)


@pytest.fixture
async def rig() -> AsyncIterator[PeopledRig]:
    """Three hosts, and two people who see all of them or some."""
    made = PeopledRig()
    async with made.serving():
        await made.person("ada", Role.ADMIN)
        await made.person("wim", Role.VIEWER, "web-*")
        for name in ("web-1", "web-2", "db-1"):
            await made.send({"app.value": 1.0}, host=name)
        made.state.hosts["web-2"].labels = {"env": "prod"}
        yield made


async def hosts(client: httpx.AsyncClient, query: str = "") -> list[str]:
    answer = await client.get(f"/metrics{query}")
    assert answer.status_code == 200
    return HOST.findall(answer.text)


async def test_everybody_sees_what_they_may(rig: PeopledRig) -> None:
    async with rig.as_person("ada") as ada, rig.as_person("wim") as wim:
        assert await hosts(ada) == ["web-1", "web-2", "db-1"]
        assert await hosts(wim) == ["web-1", "web-2"]
        assert "db-1" not in (await wim.get("/metrics")).text


async def test_hosts_are_asked_for_by_name_or_selector(rig: PeopledRig) -> None:
    async with rig.as_person("wim") as wim:
        assert await hosts(wim, "?host=web-2&host=web-1") == ["web-2", "web-1"]
        assert await hosts(wim, "?match=env%3Dprod") == ["web-2"]
        assert await hosts(wim, "?match=host%3Ddb-*") == []
        for query, code in (
            ("?host=db-1", "unknown_host"),
            ("?host=nowhere", "unknown_host"),
            ("?match=role~x", "bad_selector"),
            ("?match=a%3Db&match=c%3Dd", "ambiguous_param"),
            ("?hosts=web-1", "unknown_param"),
        ):
            answer = await wim.get(f"/metrics{query}", headers={"Accept": "*/*"})
            assert (answer.status_code, answer.json()["code"]) == (400, code)


async def test_the_format_is_the_one_asked_for(rig: PeopledRig) -> None:
    async with rig.as_person("ada") as ada:
        old = await ada.get("/metrics", headers={"Accept": "text/plain"})
        assert old.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
        assert "# EOF" not in old.text
        new = await ada.get("/metrics", headers={"Accept": "application/openmetrics-text"})
        assert new.headers["content-type"] == (
            "application/openmetrics-text; version=1.0.0; charset=utf-8"
        )
        assert new.text.endswith("\n# EOF\n")
        assert new.headers["vary"] == "Accept, Accept-Encoding"


async def test_it_is_compressed_where_that_is_taken_and_whole_where_not(
    rig: PeopledRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(metricspage, "SMALL_BYTES", 0)  # so that it is sent in pieces
    monkeypatch.setattr(metricspage, "INFLATED_BYTES", 1_000)
    async with rig.as_person("ada") as ada:
        bare = {"Accept-Encoding": "identity"}
        plain = await ada.get("/metrics", headers=bare)
        assert "content-encoding" not in plain.headers
        assert HOST.findall(plain.text) == ["web-1", "web-2", "db-1"]
        async with ada.stream("GET", "/metrics", headers={"Accept-Encoding": "gzip"}) as small:
            assert small.headers["content-encoding"] == "gzip"
            body = b"".join([part async for part in small.aiter_raw()])
        assert HOST.findall(gzip.decompress(body).decode()) == ["web-1", "web-2", "db-1"]
        assert (await ada.head("/metrics")).status_code == 200


async def test_a_server_with_too_much_to_do_tells_of_itself_alone(rig: PeopledRig) -> None:
    rig.services.load.level = Shed.QUERIES
    async with rig.as_person("ada") as ada:
        text = (await ada.get("/metrics")).text
    assert "\nmonitor_load_level 2\n" in text
    assert not HOST.findall(text)


async def test_receivers_are_counted_and_one_that_is_long_away_is_told_of(rig: PeopledRig) -> None:
    away = ForwardStatus(
        name="far",
        place="10.0.0.9:8428",
        pending_samples=7,
        pending_bytes=100,
        size_bytes=200,
        most_bytes=1000,
        behind_seconds=90.0,
        sent_at=0.0,
        failing_since=time.time() - 125,
        fault="10.0.0.9:8428 answered 503: no",
        refusal="",
        requests_total=4,
        retries_total=3,
        sent_samples_total=0,
        sent_bytes_total=0,
        refused_samples_total=0,
        dropped_samples_total=5,
    )
    services = dataclasses.replace(rig.services, forwards=lambda: (away,))
    families = {family.name: family for family in await gathered(services)}
    assert families["monitor_forward_up"].samples == (({"remote_write": "far"}, 0.0),)
    assert families["monitor_forward_pending_samples"].samples[0][1] == 7
    assert families["monitor_forward_dropped_samples_total"].samples[0][1] == 5
    (said,) = [warning.text for warning in services.warnings() if warning.code == "remote_write"]
    assert said == "Remote write far has taken nothing for 2m 5s; 7 samples wait on disk."


async def test_what_fires_and_who_was_told_is_counted(rig: PeopledRig) -> None:
    """It must be that the judge and channels are watched from outside, and that no drill counts."""
    judge = rig.alerting.judge
    names = {family.name for family in await gathered(rig.services)}
    assert "monitor_judge_age_seconds" not in names  # nothing was judged yet
    assert "monitor_notifications_waiting" not in names
    await judge.say("a1", "web-1", severity="critical")
    await judge.say("a2", "web-1", severity="warning", is_drill=True)
    judge.judged_at, judge.transitions_total = rig.services.clock() - 90, 7
    rig.notify.channels = [ChannelStatus("phone", "webhook", "x", waiting=2, delivered=5)]
    families = {family.name: family.samples for family in await gathered(rig.services)}
    firing = {labels["severity"]: value for labels, value in families["monitor_alerts_firing"]}
    assert firing == {"critical": 1.0, "warning": 0.0, "info": 0.0}
    assert families["monitor_alerts_pending"] == (({}, 0.0),)
    assert families["monitor_rules"] == (({}, float(len(judge.rules))),)
    assert families["monitor_judge_transitions_total"] == (({}, 7.0),)
    ((_, age),) = families["monitor_judge_age_seconds"]
    assert age >= 90
    for name, value in (("delivered_total", 5), ("given_up_total", 0), ("waiting", 2)):
        samples = families[f"monitor_notifications_{name}"]
        assert samples == (({"channel": "phone"}, float(value)),)
    async with rig.as_person("ada") as ada:
        text = (await ada.get("/metrics", headers={"Accept": "text/plain"})).text
    assert 'monitor_notifications_delivered_total{channel="phone"} 5' in text
