"""``/api/v1/alerts`` and ``/api/v1/silences``: what is listed, and what people do to alerts."""

from __future__ import annotations

import time
from typing import Any

import msgspec
import pytest
import pytest_asyncio

from monitor.access.tokens import Wish as TokenWish
from monitor.alerting.standing import Pending
from monitor.core.access import Role, TokenKind
from monitor.core.messages import Notice, event
from monitor.core.rules.model import Severity
from monitor.core.selectors import Selector
from monitor.log.memory_registry import MemoryRegistry
from monitor.notify.config import SilenceConfig
from monitor.notify.silence import configured
from monitor.web import alertsapi
from monitor.web.app import create_app
from monitor.web.asgi import Application
from tests.web.alerting import Judge
from tests.web.calling import Answer, Caller
from tests.web.house import ROOT, PeopledRig

pytestmark = pytest.mark.asyncio(loop_scope="module")

HOSTS = ("web-1", "web-2", "db-1")


class Site:
    """A server with three hosts, and those who ask."""

    def __init__(self) -> None:
        self.rig = PeopledRig("main")
        self.application: Application = create_app(self.rig.services)
        self.notify = self.rig.notify
        self._callers: dict[str, Caller] = {}

    @property
    def judge(self) -> Judge:
        return self.rig.alerting.judge

    async def settle(self) -> None:
        self.rig.know(*HOSTS)
        self.rig.state.label("db-1", {"role": "db"})
        await self.rig.person("ann", Role.ADMIN)
        for name, scope, hosts in (
            ("viewer", "read", ("*",)),
            ("operator", "operate", ("*",)),
            ("team", "operate", ("web-*",)),
        ):
            wish = TokenWish(TokenKind.API, hosts, scopes=(scope,))
            text, _ = await self.rig.office.tokens.create(ROOT, wish)
            self._callers[name] = Caller(self.application, {"authorization": f"Bearer {text}"})

    async def ask(
        self, method: str, path: str, body: Any = None, who: str = "operator", **headers: str
    ) -> Answer:
        """One request; a body is sent as JSON."""
        sent = (
            b"" if body is None else body if isinstance(body, bytes) else msgspec.json.encode(body)
        )
        if body is not None or method == "DELETE":
            headers = {"content_type": "application/json"} | headers
        return await self._callers[who](method, f"/api/v1{path}", sent, **headers)

    async def get(self, path: str, who: str = "operator") -> Any:
        """The answer to a request that is granted."""
        answer = await self.ask("GET", path, who=who)
        assert answer.status == 200, answer.body
        return answer.json()

    async def listed(self, query: str = "", who: str = "operator") -> list[str | None]:
        """The ids of listed alerts."""
        return [each["alert"] for each in await self.get(f"/alerts{query}", who)]

    async def fire(self, *hosts: str) -> None:
        """An alert of each host, whose id is the host's with an a before it."""
        for host in hosts:
            await self.judge.say(f"a-{host}", host)

    def pend(self, host: str, severity: Severity = Severity.CRITICAL) -> None:
        self.judge.pends.append(
            Pending(
                "cpu_high",
                host,
                {"cpu": "0"},
                severity,
                "system.cpu.utilization",
                float("nan"),
                "> 90 %",
                1_000.0,
                30.0004,
                300.0,
                "data",
            )
        )


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def settled() -> Site:
    """One server for all tests."""
    made = Site()
    await made.settle()
    return made


@pytest.fixture
def site(settled: Site) -> Site:
    """The server with no alerts, silences or acknowledgements."""
    settled.rig.alerting.renew(settled.notify, settled.rig.log, MemoryRegistry())
    return settled


async def test_what_fires_is_listed(site: Site) -> None:
    """It must be that each is shaped as its event, with where it stands, the worst first."""
    await site.fire("web-1", "web-2")
    await site.judge.say("a-db-1", "db-1", severity="critical", since=1_000.0)
    found = await site.get("/alerts")
    assert [each["alert"] for each in found] == ["a-db-1", "a-web-2", "a-web-1"]
    worst = found[0]
    said = msgspec.to_builtins(site.judge.book.open["a-db-1"].said)
    assert {name: worst[name] for name in said} == said
    assert worst["evidence"] is None
    assert (worst["fired_at"], worst["resolved_at"]) == (1_000.0, None)
    assert worst["sequence"] == await site.rig.log.last()
    assert worst["acknowledged"] is worst["silenced_by"] is worst["held_back_by"] is None


async def test_each_stands_in_one_place(site: Site) -> None:
    """It must be that held goes before silenced, and silenced before acknowledged."""
    await site.fire("web-1", "web-2", "db-1")
    await site.judge.say("a-gone", "web-1", state="resolved", was="firing")
    site.pend("web-1")
    for host in HOSTS:
        assert (await site.ask("POST", f"/alerts/a-{host}/ack", {})).status == 200
    made = await site.ask("POST", "/silences", {"match": "host in (web-*)", "for": "1h"})
    site.judge.holds["a-web-1"] = "host_unreachable"
    assert await site.listed("?state=held") == ["a-web-1"]
    assert await site.listed("?state=silenced") == ["a-web-2"]
    assert await site.listed("?state=acknowledged") == ["a-db-1"]
    assert await site.listed("?state=resolved") == ["a-gone"]
    assert await site.listed("?state=pending") == [None]
    assert len(await site.listed("?state=firing")) == 3
    assert len(await site.listed("?state=all")) == 5
    (held,) = await site.get("/alerts?state=held")
    assert held["held_back_by"] == "host_unreachable"
    assert held["silenced_by"] == made.json()["id"]
    await site.judge.say("a-db-1", "db-1", severity="critical", was="firing")
    assert await site.listed("?state=acknowledged") == []
    (worse,) = await site.get("/alerts?host=db-1")
    assert worse["acknowledged"]["holds"] is False


async def test_what_pends_has_no_id(site: Site) -> None:
    """It must be that it says how long it holds, and that a value that is not known is null."""
    site.pend("web-1")
    (found,) = await site.get("/alerts?state=pending&match=cpu=0,host=web-1,rule=cpu_high")
    assert found["alert"] is found["value"] is None
    assert (found["state"], found["held_seconds"], found["for_seconds"]) == ("pending", 30.0, 300.0)
    assert (found["since"], found["waits_for"]) == (1_000.0, "data")


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("?match=host=web-*", ["a-web-2", "a-web-1"]),
        ("?match=env=prod,mountpoint=/var,rule=disk_space,severity=warning&host=db-1", ["a-db-1"]),
        ("?match=env=dev", []),
        ("?limit=2", ["a-db-1", "a-web-2"]),
    ],
)
async def test_filters(site: Site, query: str, expected: list[str]) -> None:
    """It must be that a selector, a host and a number choose; the total is told beside."""
    await site.fire(*HOSTS)
    assert await site.listed(query) == expected
    total = (await site.ask("GET", f"/alerts{query}")).headers["x-total-count"]
    assert total == ("3" if "limit" in query else str(len(expected)))


@pytest.mark.parametrize(
    ("query", "code", "field"),
    [
        ("?state=burning", "bad_param", "state"),
        ("?match=(", "bad_selector", "match"),
        ("?limit=0", "bad_range", "limit"),
        ("?limit=99999", "bad_range", "limit"),
        ("?host=nobody", "unknown_host", "host"),
        ("?state=all&state=all", "ambiguous_param", "state"),
        ("?stat=all", "unknown_param", "stat"),
    ],
)
async def test_what_is_asked_wrongly(site: Site, query: str, code: str, field: str) -> None:
    """It must be that a fault of the query is said, with its field."""
    answer = await site.ask("GET", f"/alerts{query}")
    assert (answer.status, answer.code, answer.json()["field"]) == (400, code, field)


async def test_one_alert_has_its_evidence_and_its_history(site: Site) -> None:
    """It must be that what it froze is read from its firing, and each step is told in order."""
    proof = {"at": 1.0, "processes": {"cpu": [{"pid": 7, "name": "dd"}]}}
    await site.judge.say("a-web-1", "web-1", evidence=proof)
    await site.judge.say("other", "web-1")
    await site.ask("POST", "/alerts/a-web-1/ack", {"note": "mine"})
    details = {"channel": "phone", "alerts": ["a-web-1"], "outcome": "delivered"}
    for about in (details, details | {"alerts": ["other"]}):
        notice = Notice(kind="delivery", text="told phone", details=about)
        await site.rig.log.append([event(notice, time.time(), "n")])
    await site.judge.say("a-web-1", "web-1", severity="critical", was="firing")
    await site.judge.say("a-web-1", "web-1", state="resolved", was="firing", reason="retired")
    found = await site.get("/alerts/a-web-1")
    assert found["evidence"] == proof
    assert (found["state"], found["reason"]) == ("resolved", "retired")
    steps = [(each["kind"], each["details"].get("state")) for each in found["history"]]
    assert steps == [
        ("alert", "firing"),
        ("ack", None),
        ("delivery", None),
        ("alert", "firing"),
        ("alert", "resolved"),
    ]
    assert found["history"][1]["details"]["note"] == "mine"
    assert found["history"][2]["details"] == {"channel": "phone", "outcome": "delivered"}


async def test_one_whose_beginning_the_log_has_let_go_of(site: Site) -> None:
    """It must be that it is shown all the same, without what is gone."""
    await site.judge.say("a-web-1", "web-1", evidence={"at": 1.0})
    await site.rig.log.erase("host:web-1")
    found = await site.get("/alerts/a-web-1")
    assert (found["alert"], found["evidence"], found["history"]) == ("a-web-1", None, [])


async def test_acknowledging_and_taking_it_back(site: Site) -> None:
    """It must be that it is who asked, with the note, until it is taken back."""
    await site.fire("web-1")
    answer = await site.ask("POST", "/alerts/a-web-1/ack", {"note": "mine"})
    assert answer.status == 200
    ack = answer.json()["acknowledged"]
    assert ack["by"].startswith("api token ")
    assert (ack["note"], ack["holds"]) == ("mine", True)
    assert (await site.get("/alerts"))[0]["acknowledged"] == ack
    back = await site.ask("DELETE", "/alerts/a-web-1/ack")
    assert back.json() == {"alert": "a-web-1", "acknowledged": None}
    assert (await site.get("/alerts"))[0]["acknowledged"] is None
    await site.judge.say("a-web-1", "web-1", state="resolved", was="firing")
    over = await site.ask("POST", "/alerts/a-web-1/ack", {})
    assert (over.status, over.code) == (409, "alert_over")


SHAPES = [
    (b"", "bad_shape"),
    (b"[]", "bad_shape"),
    (b"{", "bad_shape"),
    (b'{"note":1}', "bad_shape"),
    (b'{"note":"\xff"}', "bad_shape"),
    (b"[" * 10_000, "bad_shape"),
    (msgspec.json.encode({"note": "x" * 501}), "too_long"),
    (msgspec.json.encode({"note": "x" * 5_000}), "bad_shape"),
    (b'{"note":"x\\ny"}', "bad_text"),
]


@pytest.mark.parametrize(("body", "code"), SHAPES, ids=range(len(SHAPES)))
async def test_bodies_are_read_strictly(site: Site, body: bytes, code: str) -> None:
    """It must be that what is not of the shape is refused, and nothing is done."""
    await site.fire("web-1")
    answer = await site.ask("POST", "/alerts/a-web-1/ack", body)
    assert (answer.status, answer.code) == (400, code)
    assert site.notify.acks.all() == {}


async def test_bodies_are_bounded_and_json(site: Site) -> None:
    """It must be that 64 KB is the most, and that JSON says that it is."""
    await site.fire("web-1")
    large = b'{"note":"' + b"x" * 65_536 + b'"}'
    assert (await site.ask("POST", "/alerts/a-web-1/ack", large)).status == 413
    plain = await site.ask("POST", "/alerts/a-web-1/ack", b"{}", content_type="text/plain")
    assert (plain.status, plain.code) == (415, "unsupported_media_type")


MAKING = [
    ({"match": "host=web-1", "for": "1h"}, {"state": "active"}),
    ({"match": "host=web-1", "until": 4e9}, "bad_until"),
    ({"match": "host=web-1", "until": "2026-01-01"}, "bad_until"),
    ({"match": "host=web-1", "until": "soon"}, "bad_until"),
    ({"match": "host=web-1"}, "bad_until"),
    ({"match": "host=web-1", "for": "1h", "until": 4e9}, "bad_until"),
    ({"match": "host=web-1", "for": "5"}, "bad_until"),
    ({"match": "", "for": "1h"}, "bad_selector"),
    ({"match": "host=*", "for": "1h"}, {"match": "host=*"}),
    ({"match": "host~x", "for": "1h"}, "bad_selector"),
    ({"for": "1h"}, "bad_shape"),
    ({"match": "host=a", "for": "1h", "by": "me"}, "bad_shape"),
    ({"match": "host=a", "schedule": "Mon-Fri 20:00-06:00 Europe/Berlin"}, {"until": None}),
    ({"match": "host=a", "schedule": "sometimes"}, "bad_schedule"),
    ({"match": "host=a", "schedule": "Sat", "for": "365d"}, {"schedule": "Sat"}),
    ({"match": "host=a", "for": "2y"}, "bad_until"),
    ({"match": "host=a", "for": "1h", "comment": "x" * 501}, "too_long"),
]


@pytest.mark.parametrize(("wish", "expected"), MAKING, ids=range(len(MAKING)))
async def test_making_a_silence(site: Site, wish: Any, expected: Any) -> None:
    """It must be that it is made as it was wished, or refused with the field that is wrong."""
    answer = await site.ask("POST", "/silences", wish)
    if isinstance(expected, str):
        assert (answer.status, answer.code) == (400, expected)
        assert await site.get("/silences") == []
        return
    assert answer.status == 201
    assert expected.items() <= answer.json().items()
    assert await site.get("/silences") == [answer.json()]


async def test_ending_a_silence(site: Site) -> None:
    """It must be that it is over and listed; a configured one is ended in its file."""
    made = (await site.ask("POST", "/silences", {"match": "host=web-1", "for": "1h"})).json()
    ended = await site.ask("DELETE", f"/silences/{made['id']}")
    assert (ended.status, ended.json()["state"]) == (200, "expired")
    assert ended.json()["ended_by"] == made["by"]
    assert (await site.ask("DELETE", "/silences/0123456789")).status == 404
    config = SilenceConfig(match=Selector.parse("host=web-1"), schedule="Sat")
    site.notify.silences.reconfigure(configured([config], {"silences.0": "main.toml:3"}))
    first = (await site.get("/silences"))[0]
    assert (first["id"], first["origin"], first["configured"]) == ("config:0", "main.toml:3", True)
    assert first["starts"] is first["created"] is None
    refused = await site.ask("DELETE", "/silences/config:0")
    assert (refused.status, refused.code) == (409, "configured")
    assert "main.toml:3" in refused.json()["detail"]


async def test_a_preview(site: Site) -> None:
    """It must be that it shows what would be taken now, of what fires and pends, and makes none."""
    await site.fire(*HOSTS)
    site.pend("web-1")
    await site.judge.say("gone", "web-1", state="resolved", was="firing")
    answer = await site.ask("POST", "/silences/preview", {"match": "host=web-1"})
    assert [each["alert"] for each in answer.json()] == ["a-web-1", None]
    assert answer.headers["x-total-count"] == "2"
    assert await site.get("/silences") == []


# Who sees not all


async def test_alerts_of_hidden_hosts_are_none(site: Site) -> None:
    """It must be that they are not listed, and one by its id is as one that is not there."""
    await site.fire(*HOSTS)
    await site.judge.say("over", "db-1", state="resolved", was="firing")
    site.pend("db-1")
    assert await site.listed("?state=all", "team") == ["a-web-2", "a-web-1"]
    for method, path, body in (
        ("GET", "/alerts/{}", None),
        ("POST", "/alerts/{}/ack", {"note": "x"}),
        ("DELETE", "/alerts/{}/ack", None),
        ("GET", "/alerts?host={}", None),
    ):
        hidden = "db-1" if "host=" in path else "a-db-1"
        foreign = await site.ask(method, path.format(hidden), body, "team")
        missing = await site.ask(method, path.format(hidden.replace("1", "9")), body, "team")
        assert foreign.status == missing.status in {400, 404}
        assert foreign.body.replace(b"db-1", b"db-9") == missing.body
        assert foreign.headers == missing.headers
    taken = await site.ask("POST", "/silences/preview", {"match": "rule=*"}, "team")
    assert [each["alert"] for each in taken.json()] == ["a-web-2", "a-web-1"]


async def test_silences_of_who_sees_not_all(site: Site) -> None:
    """It must be that theirs name hosts that they see, and others' are as if there were none."""
    await site.fire(*HOSTS)
    for match in ("env=prod", "host=*", "host=db-1", "host in (web-1, db-1)", "host!=db-1"):
        answer = await site.ask("POST", "/silences", {"match": match, "for": "1h"}, "team")
        assert (answer.status, answer.code) == (403, "hosts_required"), match
    own = await site.ask("POST", "/silences", {"match": "host=web-*", "for": "1h"}, "team")
    assert own.status == 201
    other = await site.ask("POST", "/silences", {"match": "host in (db-1, web-2)", "for": "1h"})
    assert await site.get("/silences", "team") == [own.json()]
    assert len(await site.get("/silences")) == 2
    foreign = await site.ask("DELETE", f"/silences/{other.json()['id']}", who="team")
    missing = await site.ask("DELETE", "/silences/0123456789", who="team")
    assert (foreign.status, foreign.body, foreign.headers) == (404, missing.body, missing.headers)
    await site.ask("DELETE", f"/silences/{own.json()['id']}", who="team")
    found = {each["alert"]: each["silenced_by"] for each in await site.get("/alerts", "team")}
    assert found == {"a-web-1": None, "a-web-2": alertsapi.HIDDEN}


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/alerts/a-web-1/ack"),
        ("DELETE", "/alerts/a-web-1/ack"),
        ("POST", "/silences"),
        ("POST", "/silences/preview"),
        ("DELETE", "/silences/0123456789"),
    ],
)
async def test_viewers_look_only(site: Site, method: str, path: str) -> None:
    """It must be that they change nothing."""
    await site.fire("web-1")
    answer = await site.ask(method, path, {"match": "host=web-1", "for": "1h"}, "viewer")
    assert (answer.status, answer.code) == (403, "forbidden")
