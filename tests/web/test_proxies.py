"""The docs' lines for proxies, in real ones before a real server.

It must be that they are enough for people, streams and agents, and let nobody lie about himself.
"""

from __future__ import annotations

import asyncio
import base64
import ssl
import subprocess
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest

from monitor.tls.folder import kept
from tests import serving
from tests.web import proxies

PASSWORD = "correct horse battery"

KINDS = ("nginx", *proxies.KINDS)

LIE = "203.0.113.9"
"""Where the browser says that it is."""

LIES = {
    "X-Forwarded-For": LIE,
    "X-Real-IP": LIE,
    "Forwarded": f"for={LIE};proto=http;host=evil.example",
    "X-Forwarded-Proto": "http",
}

FIRST_EVENT_SECONDS = 1.0

PATIENCE_SECONDS = 10.0

ORIGIN = {"Origin": f"https://{proxies.NAME}"}

NAMED = {"sni_hostname": proxies.NAME}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A server's folder with an account."""
    made = tmp_path_factory.mktemp("behind")
    monitor(made, "user", "create", "ann", "--role", "admin", "--password-stdin")
    return made


@pytest.fixture(scope="module")
def token(folder: Path) -> str:
    """What writes every host."""
    return monitor(folder, "token", "create", "--ingest", "*").strip()


@pytest.fixture(scope="module")
def server(folder: Path, token: str) -> Iterator[serving.Server]:
    """A server with the docs' configuration, which all proxies share."""
    assert token
    config = folder / "config.toml"
    config.write_text(proxies.snippets("security.md")["toml"])
    made = serving.start(folder, "--config", str(config))
    yield made
    assert made.end() == 0, made.said()


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A proxy's own, with its key."""
    return kept(tmp_path_factory.mktemp("certificate"), (proxies.NAME,), time.time()).server


def monitor(folder: Path, *arguments: str) -> str:
    """What a command says on its standard output."""
    found = subprocess.run(
        [*serving.checkout_command(), *arguments, "--data", str(folder / "data")],
        input=PASSWORD,
        text=True,
        capture_output=True,
        env=serving.checkout_environment(),
        cwd=folder,
        check=True,
    )
    return found.stdout


def browser(port: int, address: str) -> httpx.AsyncClient:
    """A browser at an address, which sends every header that a proxy might believe."""
    return httpx.AsyncClient(
        base_url=f"https://127.0.0.1:{port}",
        transport=httpx.AsyncHTTPTransport(verify=False, local_address=address),
        headers={"Host": proxies.NAME, "Accept": "text/html", "User-Agent": "Mozilla/5.0", **LIES},
        timeout=PATIENCE_SECONDS,
    )


async def wait_for(lines: AsyncIterator[str], text: str) -> str:
    """The first line in which a text stands."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        async for line in lines:
            if text in line:
                return line
    raise AssertionError(f"the stream ended without {text}")


@pytest.mark.parametrize("kind", KINDS)
async def test_the_lines_of_the_docs_are_enough(
    kind: str, server: serving.Server, token: str, certificate: Path, tmp_path: Path
) -> None:
    """It must be that people, streams, hosts and agents are served.

    That is to say: people log in and see what comes as it comes, hosts push, agents have their
    WebSocket, and the trail names the client's own address.
    """
    upstream, address = urlsplit(server.url).port, f"127.0.0.{71 + KINDS.index(kind)}"
    assert upstream
    lines = proxies.lines_of(kind)
    with proxies.running(kind, tmp_path / kind, lines, upstream, certificate) as port:
        async with browser(port, address) as client:
            await log_in(client)
            await push_and_see_it(client, f"{kind}-1", token)
            trail = await client.get(
                "/events?kind=audit", headers={"Accept": "text/plain"}, extensions=NAMED
            )
        (opened,) = [line for line in trail.text.splitlines() if f"from {address}" in line]
        assert "ann: session.open" in opened
        assert LIE not in trail.text
        assert await upgraded(port, token) == b"HTTP/1.1 101"


async def log_in(client: httpx.AsyncClient) -> None:
    asked = await client.get("/events", extensions=NAMED)
    assert asked.headers.get("location") == "/login?next=/events", asked.text
    form = {"username": "ann", "password": PASSWORD}
    came_in = await client.post("/login", data=form, headers=ORIGIN, extensions=NAMED)
    assert came_in.status_code == 303, came_in.text
    name, _, attributes = came_in.headers["set-cookie"].partition("=")
    assert name == "__Host-monitor_session"
    assert "Secure" in attributes
    page = await client.get("/", extensions=NAMED)
    assert page.status_code == 200
    assert "ann" in page.text


async def push(client: httpx.AsyncClient, host: str, token: str, value: int) -> None:
    answer = await client.post(
        "/api/v1/push",
        json={"host": host, "metrics": {"app.queue.length": value}},
        headers={"Authorization": f"Bearer {token}"},
        extensions=NAMED,
    )
    assert answer.is_success, answer.text


async def push_and_see_it(client: httpx.AsyncClient, host: str, token: str) -> None:
    await push(client, host, token, 5)
    began = time.monotonic()
    asked = {"Accept": "text/event-stream"}
    target = f"/api/v1/stream?topics=host:{host}"
    async with client.stream("GET", target, headers=asked, extensions=NAMED) as stream:
        assert stream.status_code == 200
        lines = stream.aiter_lines()
        await wait_for(lines, "event: connected")
        assert time.monotonic() - began < FIRST_EVENT_SECONDS
        await push(client, host, token, 6)
        began = time.monotonic()
        await wait_for(lines, '"app.queue.length":6')
        assert time.monotonic() - began < 2 * FIRST_EVENT_SECONDS  # it has a tick a second


async def upgraded(port: int, token: str) -> bytes:
    """The beginning of the answer to who wants a WebSocket."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_alpn_protocols(["http/1.1"])
    reader, writer = await asyncio.open_connection(
        "127.0.0.1", port, ssl=context, server_hostname=proxies.NAME
    )
    lines = [
        "GET /api/v1/agent HTTP/1.1",
        f"Host: {proxies.NAME}",
        "Connection: Upgrade",
        "Upgrade: websocket",
        "Sec-WebSocket-Version: 13",
        f"Sec-WebSocket-Key: {base64.b64encode(bytes(16)).decode()}",
        "Sec-WebSocket-Protocol: awoooi.v1",
        f"Authorization: Bearer {token}",
    ]
    writer.write("\r\n".join([*lines, "", ""]).encode())
    async with asyncio.timeout(PATIENCE_SECONDS):
        first = await reader.readline()
    writer.close()
    return first[:12]
