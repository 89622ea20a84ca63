"""One hostile text in every field that an agent or a user can set, and every place it comes out.

It must be that it is text everywhere: no element, no script, no line, no header, no formula.
What can be refused is refused, with its code; of the rest nothing is lost.
"""

from __future__ import annotations

import csv
import io
import json
import logging
import re
import time
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import quote

import httpx
import pytest
import pytest_asyncio
import structlog
from playwright.async_api import Browser, Dialog

from monitor import logs
from monitor.access.tokens import Wish
from monitor.core.access import Role, TokenKind
from monitor.logs import LoggingConfig
from monitor.model import SeriesKey
from tests.web.house import PASSWORD, ROOT, PeopledRig

PLAIN = '=1|\'<img src=x onerror="alert(1)">{{7*7}}</script><b id=canary>&\\'
"""All that a line of printable characters can do."""

WHOLE = f"{PLAIN}\u2028\r\nSet-Cookie: x=1\r\n\r\nevent: bad\x1b[31m\u202e"
"""And what ends lines, moves cursors and turns text around."""

CPU = "system.cpu.utilization"

DISK = str(SeriesKey.of("system.filesystem.utilization", mountpoint=WHOLE, device=WHOLE))
KEYS = (CPU, str(SeriesKey.of("app.canary", note=WHOLE)), DISK)

PAGES = (
    "/",
    "/hosts/web-1",
    "/hosts/web-1?range=1h",
    f"/hosts/web-1?sort={quote(WHOLE)}",
    "/events",
    "/events?kind=audit",
    f"/events?q={quote(PLAIN)}",
    "/settings",
    "/settings/sessions",
    "/settings/accounts",
    "/settings/tokens",
    "/settings/about",
    f"/settings?done={quote(WHOLE)}",
    f"/{quote(WHOLE, safe='')}",
    f"/hosts/{quote(WHOLE, safe='')}",
    f"/settings/accounts/{quote(WHOLE, safe='')}",
)

UNSAFE = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e]")
"""What no output has raw; a line's end is looked for by itself."""

LINE_ENDS = re.compile("[\x00-\x09\x0b-\x1f\x7f\x85\u2028\u2029]")
"""What an event stream has not: its readers' lines may end there."""

CONTROLS = re.compile("[\x00-\x1f\x7f]")
"""What JSON has not, which nobody takes for anything but JSON."""

VIOLATIONS = """
globalThis.violations = [];
addEventListener("securitypolicyviolation", ({ violatedDirective, blockedURI }) => {
  violations.push(`${violatedDirective} ${blockedURI}`);
});
"""


@pytest_asyncio.fixture
async def rig() -> AsyncIterator[PeopledRig]:
    """A server whose log can be read, on which ann is administrator."""
    before = logging.getLogger().handlers[:]
    written = io.StringIO()
    logs.configure(LoggingConfig(format="json"), written)
    made = PeopledRig("main")
    made.said = written  # type: ignore[attr-defined]
    async with made.serving():
        await made.person("ann", Role.ADMIN)
        yield made
    logging.getLogger().handlers[:] = before
    structlog.reset_defaults()


def pushed(**changes: Any) -> dict[str, Any]:
    """A push that has the text wherever it may stand."""
    process = {"pid": 1, "name": WHOLE, "user": WHOLE, "command": WHOLE, WHOLE: WHOLE}
    return {
        "host": "web-1",
        "boot_id": "b-1",
        "seq": 1,
        "agent": PLAIN[:60],
        "schema": list(KEYS),
        "frames": [{"at": time.time() - 2, "values": [0.5, 1, 0.5]}],
        "labels": {"role": PLAIN},
        "info": {WHOLE: WHOLE, "os": PLAIN, "version": PLAIN},
        "snapshots": {"processes": [process]},
        **changes,
    }


REFUSED: tuple[tuple[dict[str, Any], int, str], ...] = (
    ({"host": WHOLE}, 400, "bad_host_name"),
    ({"host": PLAIN}, 400, "bad_host_name"),
    ({"host": "db-1"}, 403, "host_mismatch"),
    ({"boot_id": WHOLE}, 400, "limit_name"),
    ({"agent": WHOLE[-40:]}, 400, "limit_name"),
    ({"labels": {WHOLE: "x"}}, 400, "limit_labels"),
    ({"labels": {"role": WHOLE}}, 400, "limit_labels"),
    ({"info": {"os": WHOLE}}, 400, "limit_name"),
    ({"info": {"os": {"name": WHOLE}}}, 400, "bad_type"),
    ({"snapshots": {WHOLE: []}}, 400, "unknown_snapshot"),
    ({"schema": [WHOLE], "frames": []}, 400, "bad_key"),
    ({"schema": [f'{WHOLE}{{a="b"}}'], "frames": []}, 400, "bad_key"),
)


def inert(answer: httpx.Response) -> None:
    """Whatever was asked, the head has no line of it, and a page no element."""
    assert "set-cookie" not in answer.headers or "x=1" not in answer.headers["set-cookie"]
    kind = answer.headers.get("content-type", "")
    if "html" in kind:
        assert "<img src=x" not in answer.text
        assert "<b id=canary" not in answer.text
        assert "{{7*7}}" in answer.text or "onerror=" not in answer.text
    elif "json" in kind:
        assert CONTROLS.search(answer.text) is None, answer.url
    else:
        assert UNSAFE.search(answer.text.replace("\r\n", "\n")) is None, answer.url
    if "problem+json" in kind:
        assert len(answer.json()["detail"]) < 400
        assert answer.content.count(b"\n") == 0


async def plant(rig: PeopledRig, ann: httpx.AsyncClient) -> None:
    """The text in every field; what cannot be is refused."""
    text, _ = await rig.office.tokens.create(ROOT, Wish(TokenKind.INGEST, ("web-*",)))
    push = {"Authorization": f"Bearer {text}"}
    answer = await ann.post("/api/v1/push", json=pushed(), headers=push)
    assert answer.status_code == 200, answer.text
    refusals = []
    for number, (changes, _, _) in enumerate(REFUSED):
        document = pushed(seq=10 + number, **changes)
        answer = await ann.post("/api/v1/push", json=document, headers=push)
        refusals.append((answer.status_code, answer.json().get("code")))
        inert(answer)
    assert refusals == [(status, code) for _, status, code in REFUSED]
    page = (await ann.get("/settings")).text
    (form_token,) = set(re.findall(r'name="form_token" value="([0-9a-f]{64})"', page))

    async def post(path: str, **fields: str) -> httpx.Response:
        answer = await ann.post(f"/settings{path}", data={"form_token": form_token, **fields})
        inert(answer)
        return answer

    noted = await post("/tokens", kind="api", scope="read", note=PLAIN)
    assert noted.status_code == 200
    labelled = await post("/tokens", kind="agent", host="web-5", labels=f"role={PLAIN[:20]}")
    assert labelled.status_code == 200, labelled.text
    for path, fields in (
        ("/tokens", {"kind": "agent", "host": WHOLE}),
        ("/tokens", {"kind": "agent", "host": "web-6", "labels": f"role={WHOLE}"}),
        ("/tokens", {"kind": "ingest", "hosts": WHOLE}),
        ("/tokens", {"kind": WHOLE}),
        ("/tokens", {"kind": "api", "scope": "read", "note": WHOLE}),
        ("/tokens", {"kind": "api", "scope": WHOLE}),
        ("/tokens", {"kind": "enroll", "uses": WHOLE, "expires": WHOLE}),
        ("/accounts", {"name": WHOLE, "role": "viewer", "password": PASSWORD}),
        ("/accounts", {"name": "bob", "role": WHOLE, "password": PASSWORD}),
        ("/accounts", {"name": "bob", "role": "viewer", "password": PASSWORD, "hosts": WHOLE}),
        ("/accounts", {"name": "bob", "role": "viewer", "password": PASSWORD, WHOLE: "x"}),
    ):
        assert (await post(path, **fields)).status_code == 400, fields
    async with rig.client(**{"User-Agent": PLAIN}) as other:
        for name, after, status in (
            ("ann", WHOLE, 303),
            ("ann", f"//{PLAIN}", 303),
            ("ann", "/\r\nSet-Cookie: x=1", 303),
            (WHOLE[-64:], "/", 400),
            (PLAIN[:64], "/", 401),
        ):
            fields = {"username": name, "password": PASSWORD, "next": after}
            answer = await other.post("/login", data=fields)
            assert answer.status_code == status, answer.text
            assert answer.headers.get("location", "/") == "/"
            inert(answer)


def told(text: str) -> list[str]:
    """A program's log, which must be a JSON object a line, and nothing that moves a cursor."""
    lines = text.splitlines()
    assert "".join(f"{line}\n" for line in lines) == text
    assert UNSAFE.search(text) is None
    for line in lines:
        json.loads(line)
    return lines


async def test_it_is_text_wherever_it_comes_out(rig: PeopledRig) -> None:
    """It must be that stream, log, CSV, figures, text, JSON and the audit trail stay whole."""
    async with rig.as_person("ann") as ann:
        await plant(rig, ann)
        for path in PAGES:
            for accept in ("text/html", "text/plain", "application/json"):
                answer = await ann.get(path, headers={"Accept": accept})
                assert answer.status_code < 500, (path, answer.text)
                inert(answer)
        for path in (
            "/api/v1/hosts",
            "/api/v1/hosts/web-1",
            "/api/v1/hosts/web-1/series",
            "/api/v1/hosts/web-1/processes",
            f"/api/v1/hosts/{quote(WHOLE, safe='')}",
            f"/api/v1/history?host=web-1&metric={quote(WHOLE)}",
            f"/api/v1/history?match={quote(WHOLE)}&metric={CPU}",
            f"/api/v1/stream?topics={quote(WHOLE)}",
            f"/api/v1/hosts?{quote(WHOLE)}=1",
        ):
            answer = await ann.get(path, headers={"Accept": "*/*"})
            assert answer.status_code < 500, path
            assert b"\n" not in answer.content
            inert(answer)
        found = (await ann.get("/api/v1/hosts/web-1/processes")).json()["processes"][0]
        assert found["command"] == WHOLE  # nothing of it is lost

        figures = (await ann.get("/metrics")).text
        for line in figures.splitlines():
            assert re.fullmatch(r"# .*|[a-z_]+(\{[a-z_]+=\"[ -~]*\"\})? [0-9.e+-]+", line), line

        table = await ann.get(
            "/api/v1/history",
            params={
                "match": "host=*",
                "metric": CPU,
                "aggregate": "avg",
                "by": "role",
                "format": "csv",
                "points": "5",
            },
        )
        assert table.status_code == 200, table.text
        cells = [cell for row in csv.reader(io.StringIO(table.text)) for cell in row]
        assert f"'{PLAIN}" in cells
        assert not [cell for cell in cells if cell.startswith(("=", "+", "@", "\t", "\r"))]

        heard = await ann.get(
            "/api/v1/stream?topics=fleet,host:web-1,log&follow=0&last_event_id=0-0",
            headers={"Accept": "text/event-stream"},
        )
        text = heard.content.decode()
        assert LINE_ENDS.search(text) is None
        for line in text.split("\n"):
            name, _, value = line.partition(":")
            assert name in {"", "event", "id", "retry", "data"}
            assert value.strip() != "bad"
            if name == "data":
                json.loads(value)
        events, _, _ = await rig.log.read(0, None, 1_000)
        for event in events:
            details = event.data.get("details")
            if event.data.get("kind") == "audit" and isinstance(details, dict):
                assert UNSAFE.search(str(event.data["text"])) is None, event.data
                assert "\n" not in str(event.data["text"])
    lines = told(rig.said.getvalue())  # type: ignore[attr-defined]
    assert any("onerror" in line for line in lines)


@pytest.mark.browser
async def test_a_browser_makes_nothing_of_it(rig: PeopledRig, browser: Browser) -> None:
    """It must be that pages show it as text, live too: no element, dialog, request, violation."""
    context = await browser.new_context()
    context.set_default_timeout(15_000)
    await context.add_init_script(VIOLATIONS)
    page = await context.new_page()
    dialogs: list[str] = []
    asked: list[str] = []

    async def dismiss(dialog: Dialog) -> None:
        dialogs.append(dialog.message)
        await dialog.dismiss()

    page.on("dialog", dismiss)
    page.on("request", lambda request: asked.append(request.url))
    async with rig.as_person("ann") as ann:
        await plant(rig, ann)
        cookie = ann.cookies["monitor_session"]
    await context.add_cookies([{"name": "monitor_session", "value": cookie, "url": rig.url}])
    shown = set()
    for path in PAGES:
        await page.goto(rig.url + path)
        if path in {"/", "/hosts/web-1", "/events"}:
            await page.locator("[data-live]", has_text="Live").wait_for()
            await rig.send(
                {CPU: 0.7, DISK: 0.7},
                {"processes": [{"pid": 1, "name": WHOLE, "command": WHOLE}]},
                host="web-1",
            )
            await rig.office.audit.record(ROOT, "canary", PLAIN)
            if path == "/events":
                await page.get_by_text("root: canary").first.wait_for()
        assert await page.locator("#canary, img[src='x'], [onerror]").count() == 0, path
        assert await page.evaluate("violations") == [], path
        if "onerror=" in await page.locator("body").inner_text():
            shown.add(path)
    assert {"/hosts/web-1", "/events", "/settings/tokens", "/settings/sessions"} <= shown
    assert dialogs == []
    assert not [url for url in asked if url.endswith("/x")]
    await context.close()
