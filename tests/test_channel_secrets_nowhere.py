"""Addresses of channels are secrets: used on a real server, and looked for in all that comes out.

It must be that what stands in them beyond a host's name is in no page, answer, log, event, figure,
command's output, data or backup; neither while they work, nor when they fail, nor when they are
refused.
"""

from __future__ import annotations

import asyncio
import json
import time
from pathlib import Path

from tests.conftest import StartServer
from tests.forward.peers import free_port
from tests.notify.channels.receiving import Receiver, reply
from tests.outbound.servers import serving as listening
from tests.secrets_planted import leaks, planted
from tests.test_secrets_nowhere import EMPTY, command, look_from_beside, raw
from tests.test_secrets_nowhere import Visit as Kept

ENOUGH_SECONDS = 20.0

CONFIG = """
[logging]
level = "debug"
[heartbeat]
url = "http://127.0.0.1:{port}/{0}?key={1}"
interval = "10s"
[channels.works]
url = "http://127.0.0.1:{port}/{2}?key={3}"
secret_file = "signing"
[channels.fails]
url = "http://localhost:{nobody}/{5}"
[channels.mail]
url = "mailto://{6}:{7}@localhost:{nobody}?from=a@example.com&to=b@example.com"
[channels.beyond]
url = "alertmanager://127.0.0.1:{nobody}/{8}"
[channels.service]
url = "slack://{9}"
"""

SERVICE = "T1JJ3T3L2/A1BRTD4JD/"
"""What an address of Slack begins with; the token follows."""

REFUSED = """
[channels.odd]
url = "http://127.1/{0}"
[channels.cloud]
url = "http://169.254.169.254/{1}"
[channels.strange]
url = "strange://{2}/{3}"
[channels.bare]
url = "{3}"
[channels.person]
url = "https://{4}:{5}@example.com/{6}"
[channels.mail]
url = "mailto://{7}:{8}@/{9}"
[channels.service]
url = "slack://{10}"
[heartbeat]
url = "file:///{11}"
"""

PAGES = (
    "/",
    "/alerts",
    "/rules",
    "/rules/queue_long",
    "/silences",
    "/events",
    "/settings",
    "/settings/about",
    "/metrics",
    "/healthz",
    "/readyz",
    "/api/v1/alerts?state=all",
    "/api/v1/channels",
    "/api/v1/rules",
    "/api/v1/silences",
    "/api/v1/stream?topics=log,fleet,alerts&follow=0&last_event_id=0-0",
)

RULE = """
[rules.queue_long]
metric = "app.queue.length"
critical.above = 100
"""


def visited(server_url: str, kept: Kept) -> None:
    """Have every channel tried, and keep all that the server says of it."""
    client = kept.client
    breach = {"host": "web-1", "metrics": {"app.queue.length": 150}}
    deadline = time.monotonic() + ENOUGH_SECONDS
    while True:
        assert client.post("/api/v1/push", json=breach).status_code == 200
        found = client.get("/api/v1/channels").json()
        if all(each["failure"] or each["delivered_at"] for each in _listed(found)):
            break
        assert time.monotonic() < deadline, found
        time.sleep(0.3)
    for name in ("works", "fails", "mail", "beyond", "nobody"):
        kept.keep(
            f"test {name}",
            client.post(f"/api/v1/channels/{name}/test", headers={"Origin": server_url}),
        )
    alert = client.get("/api/v1/alerts").json()
    for path in (*PAGES, f"/alerts/{_listed(alert)[0]['alert']}"):
        for accept in ("text/html", "text/plain", "*/*"):
            kept.keep(path, client.get(path, headers={"Accept": accept}))


def _listed(document: object) -> list[dict[str, object]]:
    if isinstance(document, dict):
        document = next(iter(document.values()))
    assert isinstance(document, list), document
    return document


async def test_no_address_of_a_channel_is_in_any_output(
    tmp_path: Path, start_server: StartServer
) -> None:
    marks = planted(12)
    marks[9] = SERVICE + planted(1)[0][:24]
    receiver = Receiver([reply(), reply(200, b"taken")])
    config = tmp_path / "config" / "monitor.toml"
    config.parent.mkdir()
    signing = config.parent / "signing"
    signing.write_text(marks[4])
    signing.chmod(0o600)
    data = tmp_path / "server" / "data"
    async with listening(receiver) as port:
        text = CONFIG.format(*marks, port=port, nobody=free_port()) + RULE
        config.write_text(text)
        config.chmod(0o600)
        server = await asyncio.to_thread(start_server, "--config", str(config))
        kept = Kept(server)
        try:
            await asyncio.to_thread(visited, server.url, kept)
            config.write_text(REFUSED.format(*marks))
            again = await asyncio.to_thread(
                kept.client.post, "/api/v1/rules/reload", headers={"Origin": server.url}
            )
            assert kept.keep("reload", again).status_code == 400
            assert len(again.json()["complaints"]) >= 8, again.text
            for path in ("/rules", "/alerts", "/"):
                kept.keep("refused", await asyncio.to_thread(kept.client.get, path))
        finally:
            kept.client.close()
        said = command(data, "config", "check", "--config", str(config))
        kept.texts["check of what is refused"] = said
        config.write_text(text)
        look_from_beside(kept, data, config, server.process.pid)
        for words in (("channel", "list", "--json"), ("channel", "test", "works", "fails")):
            kept.texts[" ".join(words)] = await asyncio.to_thread(
                command, data, *words, "--config", str(config)
            )
        assert await asyncio.to_thread(server.end) == 0
    kept.texts["log"] = server.said()
    for file in data.rglob("*"):
        if file.is_file() and file.name != "ballast":  # 64 MiB of nothing, read in vain
            kept.texts[f"data: {file.relative_to(data)}"] = file.read_bytes()
    lines = " ".join(receiver.lines)
    assert marks[0] in lines
    assert marks[2] in lines
    assert "127.0.0.1" in json.dumps(kept.texts["channel list --json"])
    markers = [mark.rpartition("/")[2] for mark in marks]
    texts = {name: EMPTY.sub(b"", raw(text)) for name, text in kept.texts.items()}
    assert leaks(texts, markers) == []
