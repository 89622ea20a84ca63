"""Retiring, adopting, deleting hosts, and who was turned away: over the API and from pages."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator

import httpx
import pytest
import pytest_asyncio

from monitor.access.tokens import Wish
from monitor.core.access import Role, TokenKind
from monitor.errors import InputError, MonitorError
from monitor.model import HostStatus, Introduction
from monitor.ports import Gap
from tests.web.house import ROOT, PeopledRig

CPU = "system.cpu.utilization"


@pytest_asyncio.fixture
async def rig() -> AsyncIterator[PeopledRig]:
    """A server with two hosts beside its own, an administrator, an operator and two viewers."""
    made = PeopledRig("hub")
    async with made.serving():
        for name in ("hub", "web-1", "db-1"):
            await made.send({CPU: 0.5}, host=name)
        await made.person("ann", Role.ADMIN)
        await made.person("oscar", Role.OPERATOR)
        await made.person("vic", Role.VIEWER)
        await made.person("tim", Role.VIEWER, "web-*")
        yield made


async def bearer(rig: PeopledRig, scope: str, *hosts: str) -> dict[str, str]:
    """What a script comes in with."""
    wish = Wish(TokenKind.API, hosts or ("*",), scopes=(scope,))
    text, _ = await rig.office.tokens.create(ROOT, wish)
    return {"Authorization": f"Bearer {text}", "Accept": "application/json"}


async def turn_away(rig: PeopledRig, host: str, agent: str = "second") -> MonitorError:
    """Another machine comes under a host's name."""
    await rig.fleet.met(Introduction(host, agent="first"))
    said = Introduction(host, agent=agent, info={"version": "9.9"})
    with pytest.raises(InputError) as refusal:
        rig.fleet.require(said)
    rig.fleet.refused(said, refusal.value, "192.0.2.7")
    return refusal.value


def problem(answer: httpx.Response) -> tuple[int, str]:
    """What was wrong."""
    return answer.status_code, answer.json()["code"]


async def test_a_host_says_who_sends_and_with_what(rig: PeopledRig) -> None:
    info = {"version": "1.2", "os": "Debian"}
    await rig.fleet.met(Introduction("web-1", agent="a", info=info, skew_seconds=3.25))
    async with rig.client(**await bearer(rig, "read")) as script:
        listed = {host["host"]: host for host in (await script.get("/api/v1/hosts")).json()}
        one = (await script.get("/api/v1/hosts/web-1")).json()
    said = {"version": "1.2", "skew_seconds": 3.25, "sources": ["agent"], "ephemeral": False}
    assert listed["web-1"].items() >= said.items()
    assert (listed["db-1"]["version"], listed["db-1"]["skew_seconds"]) == (None, None)
    assert one.items() >= said.items()
    assert one["info"] == info


async def test_a_host_is_retired_by_an_operator(rig: PeopledRig) -> None:
    async with rig.client(**await bearer(rig, "read")) as reader:
        answer = await reader.post("/api/v1/hosts/web-1/retire")
        assert problem(answer) == (403, "forbidden")
    async with rig.client(**await bearer(rig, "operate")) as script:
        answer = await script.post("/api/v1/hosts/web-1/retire")
        assert (answer.status_code, answer.json()) == (200, {"host": "web-1", "done": "retire"})
        assert problem(await script.delete("/api/v1/hosts/web-1")) == (403, "forbidden")
        assert problem(await script.post("/api/v1/hosts/nobody/retire")) == (404, "unknown_host")
    assert rig.state.hosts["web-1"].status is HostStatus.RETIRED
    assert ("host.retire", "web-1", "done") in await rig.audited()


async def test_a_host_is_deleted_with_its_history_by_an_administrator(rig: PeopledRig) -> None:
    async with rig.client(**await bearer(rig, "admin")) as script:
        answer = await script.delete("/api/v1/hosts/web-1")
        assert (answer.status_code, answer.json()) == (200, {"host": "web-1", "done": "delete"})
        assert (await script.get("/api/v1/hosts/web-1")).status_code == 404
        assert problem(await script.delete("/api/v1/hosts/web-1")) == (404, "unknown_host")
        names = [host["host"] for host in (await script.get("/api/v1/hosts")).json()]
    assert names == ["db-1", "hub"]
    assert await rig.store.series("web-1") == ()
    assert await rig.store.series("db-1") == (CPU,)
    with pytest.raises(Gap) as gap:  # its events are gone, so whoever reads all begins behind them
        await rig.audited()
    events, _, _ = await rig.log.read(gap.value.floor, None, 100)
    said = [event.data["details"] for event in events]
    assert [details["action"] for details in said if isinstance(details, dict)] == ["host.delete"]


@pytest.mark.parametrize("verb", ["retire", "adopt", "delete"])
async def test_the_servers_own_host_stays(rig: PeopledRig, verb: str) -> None:
    async with rig.client(**await bearer(rig, "admin")) as script:
        method, path = ("DELETE", "") if verb == "delete" else ("POST", f"/{verb}")
        answer = await script.request(method, f"/api/v1/hosts/hub{path}")
    assert problem(answer) == (409, "own_host")
    assert rig.state.hosts["hub"].status is HostStatus.UP
    assert (f"host.{verb}", "hub", "refused") in await rig.audited()


async def test_what_is_not_seen_is_not_there(rig: PeopledRig) -> None:
    """It must be that a host out of sight is answered as one that does not exist."""
    async with rig.client(**await bearer(rig, "admin", "web-*")) as script:
        for method, path in (("POST", "/retire"), ("POST", "/adopt"), ("DELETE", "")):
            hidden = await script.request(method, f"/api/v1/hosts/db-1{path}")
            missing = await script.request(method, f"/api/v1/hosts/db-2{path}")
            assert problem(hidden) == (404, "unknown_host")
            assert hidden.text.replace("db-1", "db-2") == missing.text
    assert rig.state.hosts["db-1"].status is HostStatus.UP


async def test_who_was_turned_away_is_listed_for_those_who_see_the_host(rig: PeopledRig) -> None:
    error = await turn_away(rig, "web-1")
    await turn_away(rig, "db-1")
    async with rig.client(**await bearer(rig, "read", "web-*")) as script:
        (found,) = (await script.get("/api/v1/fleet/refused")).json()
    assert (found["host"], found["code"], found["count"]) == ("web-1", "host_taken", 1)
    assert (found["detail"], found["address"], found["version"]) == (
        error.detail,
        "192.0.2.7",
        "9.9",
    )
    assert found["since"] <= found["last"]


async def test_another_machine_is_accepted(rig: PeopledRig) -> None:
    await turn_away(rig, "web-1")
    async with rig.client(**await bearer(rig, "admin")) as script:
        answer = await script.post("/api/v1/hosts/web-1/adopt")
        assert (answer.status_code, answer.json()) == (200, {"host": "web-1", "done": "adopt"})
        assert (await script.get("/api/v1/fleet/refused")).json() == []
    assert rig.fleet.agent_of("web-1") == "second"
    rig.fleet.require(Introduction("web-1", agent="second"))
    with pytest.raises(InputError):
        rig.fleet.require(Introduction("web-1", agent="first"))


# From pages


async def form(browser: httpx.AsyncClient, page: str, action: str) -> httpx.Response:
    """Send the form of a page that has this action."""
    text = (await browser.get(page)).text
    found = re.search(rf'<form[^>]* action="{re.escape(action)}">(.*?)</form>', text, re.DOTALL)
    assert found is not None, f"{page} has no form for {action}"
    token = re.search(r'name="form_token" value="([0-9a-f]+)"', found[1])
    assert token is not None
    return await browser.post(action, data={"form_token": token[1]})


async def test_a_silent_host_is_retired_and_deleted_from_its_page(rig: PeopledRig) -> None:
    rig.state.hosts["web-1"].status = HostStatus.DOWN
    async with rig.as_person("ann") as ann:
        answer = await form(ann, "/hosts/web-1", "/hosts/web-1/retire")
        assert (answer.status_code, answer.headers["location"]) == (303, "/hosts/web-1")
        page = (await ann.get("/hosts/web-1")).text
        assert 'action="/hosts/web-1/retire"' not in page
        assert 'class="status is-retired"' in page
        answer = await form(ann, "/hosts/web-1", "/hosts/web-1/delete")
        assert (answer.status_code, answer.headers["location"]) == (303, "/")
        assert "web-1" not in (await ann.get("/")).text
    assert "web-1" not in rig.state.hosts


async def test_who_may_not_has_no_button_and_is_refused(rig: PeopledRig) -> None:
    rig.state.hosts["web-1"].status = HostStatus.DOWN
    async with rig.as_person("vic") as vic, rig.as_person("oscar") as oscar:
        page = (await vic.get("/hosts/web-1")).text
        assert 'action="/hosts/' not in page
        page = (await oscar.get("/hosts/web-1")).text
        assert 'action="/hosts/web-1/retire"' in page
        assert 'action="/hosts/web-1/delete"' not in page
        for browser in (vic, oscar):
            found = re.search(r'name="form_token" value="([0-9a-f]+)"', page)
            assert found is not None
            data = {"form_token": found[1]}
            assert (await browser.post("/hosts/web-1/delete", data=data)).status_code == 403
    assert "web-1" in rig.state.hosts


async def test_a_form_without_its_token_is_refused(rig: PeopledRig) -> None:
    async with rig.as_person("ann") as ann:
        for verb in ("retire", "adopt", "delete"):
            answer = await ann.post(f"/hosts/web-1/{verb}", data={"x": "y"})
            assert answer.status_code == 403
    assert rig.state.hosts["web-1"].status is HostStatus.UP


async def test_the_fleet_page_says_who_was_turned_away_and_what_to_do(rig: PeopledRig) -> None:
    await turn_away(rig, "web-1", agent="<b>x</b>")
    await turn_away(rig, "db-1")
    async with rig.as_person("ann") as ann, rig.as_person("tim") as tim:
        page = (await ann.get("/")).text
        assert "Another machine calls itself <b>web-1</b>" in page
        assert "192.0.2.7" in page
        mine = (await tim.get("/")).text
        assert "Another machine calls itself <b>web-1</b>" in mine
        assert "db-1" not in mine
        assert "/adopt" not in mine
        answer = await form(ann, "/", "/hosts/web-1/adopt")
        assert (answer.status_code, answer.headers["location"]) == (303, "/hosts/web-1")
        assert "calls itself <b>web-1</b>" not in (await ann.get("/")).text
    assert rig.fleet.agent_of("web-1") == "<b>x</b>"
