"""``/events``: it must be that everybody finds what happened, as far as they may see it."""

from __future__ import annotations

import html
import re
from collections.abc import AsyncIterator

import httpx
import pytest
import pytest_asyncio

from monitor.core import messages
from monitor.core.access import Role
from monitor.model import Event, EventType, HostStatus, RetentionClass, retention_class
from monitor.web import eventspage, eventsview
from tests.web.house import PeopledRig


@pytest_asyncio.fixture
async def rig() -> AsyncIterator[PeopledRig]:
    made = PeopledRig()
    async with made.serving():
        await made.person("ann", Role.ADMIN)
        await made.person("vic", Role.VIEWER)
        await made.person("wes", Role.VIEWER, "web-*")
        yield made


async def log(rig: PeopledRig, *said: messages.Message) -> None:
    now = rig.services.clock()
    made = [messages.event(each, now, f"e{n}") for n, each in enumerate(said)]
    for start in range(0, len(made), 500):
        await rig.log.append(made[start : start + 500])


def notice(text: str) -> messages.Message:
    return messages.Notice(kind="server", text=text)


def update(host: str, status: HostStatus = HostStatus.DOWN) -> messages.Message:
    return messages.HostUpdate(host=host, status=status, was=HostStatus.UP, reason="silent")


def whats(answer: httpx.Response) -> list[str]:
    """The sentences on a page, in order."""
    assert answer.status_code == 200, answer.text
    page = answer.text.partition("<template")[0]
    return [html.unescape(each) for each in re.findall(r'class="what">(.*?)</span>', page)]


def older(answer: httpx.Response) -> str:
    found = re.search(r'href="([^"]+)" rel="next"', answer.text)
    assert found is not None
    return html.unescape(found[1])


async def test_the_newest_stands_first_with_its_words(rig: PeopledRig) -> None:
    """It must be that each kind says what happened, to whom, and what came of it."""
    firing = messages.Alert(
        alert="a1",
        rule="disk_space",
        host="web-1",
        attributes={},
        state="firing",
        was="pending",
        severity="critical",
        value=0.9,
        since=1.0,
    )
    await log(rig, notice("started"), update("web-1"), firing)
    async with rig.as_person("ann") as ann:
        answer = await ann.get("/events")
        assert whats(answer)[:5] == [
            f"ann: session.open {next(iter(rig.office.directory.sessions))}",
            "disk_space on web-1: firing",
            "web-1 is down",
            "started",
            "root: account.create wes",
        ]
        assert "was up · silent" in answer.text
        assert "done · from command line · role viewer" in answer.text
        assert 'data-topics="log"' in answer.text


async def test_nobody_sees_what_is_not_theirs(rig: PeopledRig) -> None:
    """It must be that the audit trail is the administrators', and hidden hosts are absent."""
    await log(rig, notice("started"), update("web-1"), update("db-1"))
    async with rig.client() as nobody, rig.as_person("vic") as vic, rig.as_person("wes") as wes:
        assert (await nobody.get("/events")).headers["location"] == "/login?next=/events"
        everything = ["db-1 is down", "web-1 is down", "started"]
        assert whats(await vic.get("/events")) == everything
        assert whats(await vic.get("/events?kind=audit")) == []
        assert "kind=audit" not in (await vic.get("/events")).text
        assert whats(await wes.get("/events")) == ["web-1 is down"]
        assert whats(await wes.get("/events?q=db-1")) == []


async def test_kinds_and_words_are_searched(rig: PeopledRig) -> None:
    """It must be that a kind and a search leave what they mean, whatever is in them."""
    await log(rig, notice("Rain <b>in</b> Spain"), notice("sun"), update("web-1"))
    async with rig.as_person("vic") as vic:
        assert whats(await vic.get("/events?kind=server")) == ["sun", "Rain <b>in</b> Spain"]
        found = await vic.get("/events", params={"q": "<B>", "kind": "server"})
        assert whats(found) == ["Rain <b>in</b> Spain"]
        assert "<b>in" not in found.text
        for query, code in (
            ("kind=king", "bad_param"),
            ("q=a&q=b", "ambiguous_param"),
            ("x=1", "unknown_param"),
            ("q=" + "a" * 101, "too_long"),
            ("before=1", "bad_position"),
            ("before=0123456789abcdef-1", "bad_position"),
            (f"before={rig.log.epoch}-0", "bad_position"),
        ):
            refused = await vic.get(f"/events?{query}", headers={"Accept": "application/json"})
            assert (refused.status_code, refused.json()["code"]) == (400, code)


async def test_every_event_stands_on_one_page(rig: PeopledRig) -> None:
    """It must be that turning pages shows each event once, in order, to the first."""
    texts = [f"event {n}" for n in range(1_234)]
    await log(rig, *map(notice, texts))
    found, pages, path = [], 0, "/events?kind=server"
    async with rig.as_person("vic") as vic:
        while path:
            answer = await vic.get(path)
            found += whats(answer)
            pages += 1
            path = older(answer) if 'rel="next"' in answer.text else ""
            assert "kind=server" in path or not path
    assert found == texts[::-1]
    assert pages <= 14


async def test_a_request_looks_at_so_much_and_says_so(
    rig: PeopledRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It must be that a rare event is found page by page, and no request reads the whole log."""
    monkeypatch.setattr(eventspage, "MOST_POSITIONS", 1_000)
    await log(rig, update("web-1"), *(notice("noise") for _ in range(2_500)))
    async with rig.as_person("vic") as vic:
        first = await vic.get("/events?kind=host")
        assert whats(first) == []
        assert "older ones may have it" in first.text
        second = await vic.get(older(first))
        third = await vic.get(older(second))
        assert whats(third) == ["web-1 is down"]


async def test_what_was_let_go_of_is_not_missed(rig: PeopledRig) -> None:
    """It must be that the page ends where the log begins."""
    await log(rig, *(update(f"web-{n}") for n in range(50)))
    await log(rig, notice("started"))
    await rig.log.trim(RetentionClass.HOSTS, rig.services.clock() + 1)
    async with rig.as_person("vic") as vic:
        answer = await vic.get("/events")
        assert whats(answer) == ["started"]
        assert 'rel="next"' not in answer.text
        gone = await vic.get(f"/events?before={rig.log.epoch}-20")
        assert whats(gone) == []


async def test_what_is_kept_for_longer_is_shown_beside_what_was_let_go_of(
    rig: PeopledRig,
) -> None:
    """It must be that who did what is found also where it is older than the oldest host event."""
    await log(rig, notice("first"), *(update(f"web-{n}") for n in range(700)), notice("second"))
    await log(rig, *(update(f"db-{n}") for n in range(2)))
    await rig.log.trim(RetentionClass.HOSTS, 0.0, max_bytes=900)  # the last two stay
    await rig.log.erase("host:db-0")
    async with rig.as_person("ann") as ann:
        answer = await ann.get("/events")
        assert whats(answer)[1:4] == ["db-1 is down", "second", "first"]
        assert whats(answer)[4:] == [
            f"root: account.create {name}" for name in ("wes", "vic", "ann")
        ]
        assert 'rel="next"' not in answer.text
        audit = whats(await ann.get("/events?kind=audit"))
        assert audit == [whats(answer)[0], *whats(answer)[4:]]
        assert whats(await ann.get("/events?kind=host")) == ["db-1 is down"]


def test_every_kind_is_read_where_it_is_kept() -> None:
    """It must be that no kind is looked for in another class than its events are of."""
    types = {
        "host": EventType.HOST_UPDATE,
        "alert": EventType.ALERT,
        "approval": EventType.APPROVAL,
        "investigation": EventType.AI_THINKING,
        "console": EventType.TERMINAL_THOUGHT,
    }
    for kind in eventsview.KINDS[1:]:
        made = Event(types.get(kind, EventType.NOTICE), (), {"kind": kind}, 1.0, "e")
        assert eventsview.event_row(made).kind == kind
        assert eventspage.classes(kind) == {retention_class(made)}


async def test_a_terminal_gets_text(rig: PeopledRig) -> None:
    """It must be that curl gets lines, in which nothing that was sent moves the cursor."""
    await log(rig, notice("a\x1b[2Jb"), update("web-1"))
    async with rig.as_person("vic") as vic:
        answer = await vic.get("/events", headers={"Accept": "text/plain"})
        assert answer.headers["content-type"].startswith("text/plain")
        first, second, third = answer.text.splitlines()
        assert first.split() == ["TIME", "(UTC)", "KIND", "WHAT"]
        assert second.endswith("host    web-1 is down (was up · silent)")
        assert third.endswith(r"server  a\x1b[2Jb")


async def test_a_flapping_alert_is_called_so_once(rig: PeopledRig) -> None:
    """It must be that a mark and a reason of the same word are one word."""
    said = messages.Alert(
        alert="a1", rule="flappy", host="web-1", attributes={}, state="firing", was="firing",
        severity="warning", value=1.0, since=0.0, is_flapping=True, reason="flapping",
    )  # fmt: skip
    await log(rig, said)
    async with rig.as_person("ann") as ann:
        answer = await ann.get("/events", headers={"Accept": "text/html"})
    assert answer.text.count("· flapping") == 1
