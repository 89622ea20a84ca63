"""Being polled.  Every name finishes the sentence "it must be that …"."""

from __future__ import annotations

import asyncio
import contextlib
import math
import ssl
import time
from array import array
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as open_families
from prometheus_client.parser import text_string_to_metric_families as families

from monitor.agent.config import AgentConfig
from monitor.agent.listening import MOST_CONNECTIONS, Page
from monitor.errors import ConfigError, StartError
from monitor.model import Frame, Schema, key
from monitor.tls import making

SCHEMA = Schema(
    (
        key("system.cpu.time", cpu="0", state="user"),
        key("system.cpu.time", cpu="1", state="user"),
        "system.cpu.utilization",
        key("system.filesystem.utilization", mountpoint='/a"b\\c\nd'),
        "system.memory.limit",
    )
)
FRAME = Frame("web-1", time.time(), SCHEMA, array("d", [12.5, 13, 0.25, 0.5, math.nan]))


@contextlib.asynccontextmanager
async def _page(config: AgentConfig, frame: Frame | None = FRAME) -> AsyncIterator[Page]:
    page = Page(config)
    await page.open()
    if frame is not None:
        page.show(frame)
    try:
        yield page
    finally:
        await page.close()


async def _ask(
    page: Page,
    *lines: str,
    method: str = "GET",
    path: str = "/metrics",
    context: ssl.SSLContext | None = None,
) -> tuple[int, dict[str, str], str]:
    reader, writer = await asyncio.open_connection("127.0.0.1", page.port, ssl=context)
    head = "\r\n".join((f"{method} {path} HTTP/1.1", "Host: x", "Connection: close", *lines))
    writer.write(f"{head}\r\n\r\n".encode())
    answer = (await reader.read()).decode()
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()
    first, _, body = answer.partition("\r\n\r\n")
    status, *found = first.split("\r\n")
    headers = {line.partition(":")[0].lower(): line.partition(":")[2].strip() for line in found}
    return int(status.split(" ")[1]), headers, body


OPEN = AgentConfig(listen="127.0.0.1:0")


async def test_the_page_is_prometheus_text_and_openmetrics_when_asked() -> None:
    async with _page(OPEN) as page:
        status, headers, plain = await _ask(page)
        assert status == 200
        assert headers["content-type"].startswith("text/plain; version=0.0.4")
        _, headers, text = await _ask(page, "Accept: application/openmetrics-text; version=1.0.0")
        assert headers["content-type"].startswith("application/openmetrics-text")
        assert text.endswith("# EOF\n")
    for found in (list(families(plain)), list(open_families(text))):  # type: ignore[no-untyped-call]
        samples = {
            (sample.name, *sorted(sample.labels.items())): sample.value
            for family in found
            for sample in family.samples
        }
        assert samples == {
            ("system_cpu_time_seconds_total", ("cpu", "0"), ("state", "user")): 12.5,
            ("system_cpu_time_seconds_total", ("cpu", "1"), ("state", "user")): 13.0,
            ("system_cpu_utilization_ratio",): 0.25,
            ("system_filesystem_utilization_ratio", ("mountpoint", '/a"b\\c\nd')): 0.5,
        }


async def test_what_is_read_seldom_is_served_until_it_is_read_again() -> None:
    """It must be that a frame without a slow collector's values does not hide them."""
    async with _page(OPEN) as page:
        nothing = array("d", [13.5, 14, 0.5, math.nan, math.nan])
        page.show(Frame("web-1", FRAME.at + 29, SCHEMA, nothing))
        _, _, text = await _ask(page)
        assert "system_cpu_utilization_ratio 0.5\n" in text
        assert "system_filesystem_utilization_ratio{" in text
        page.show(Frame("web-1", FRAME.at + 100, SCHEMA, nothing))
        _, _, text = await _ask(page)
        assert "system_filesystem_utilization_ratio{" not in text
        gone = Schema(SCHEMA.texts[:3])
        page.show(FRAME)
        page.show(Frame("web-1", FRAME.at + 1, gone, array("d", [14.5, 15, 0.75])))
        _, _, text = await _ask(page)
        assert "system_filesystem_utilization_ratio{" not in text


async def test_a_connection_is_kept_between_scrapes() -> None:
    async with _page(OPEN) as page:
        reader, writer = await asyncio.open_connection("127.0.0.1", page.port)
        for _ in range(3):
            writer.write(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")
            head = await reader.readuntil(b"\r\n\r\n")
            length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
            assert b"system_cpu_time_seconds_total" in await reader.readexactly(length)
        writer.close()
        await writer.wait_closed()


@pytest.mark.parametrize(
    ("method", "path", "lines", "status"),
    [("POST", "/metrics", (), 405), ("GET", "/etc/passwd", (), 404),
     ("GET", "/metrics", ("Content-Length: 3",), 400), ("GET", "/metrics?x=1", (), 200),
     ("GET", "/metrics", ("Transfer-Encoding: chunked",), 400), ("HEAD", "/metrics", (), 200)],
)  # fmt: skip
async def test_it_answers_one_question(
    method: str, path: str, lines: tuple[str, ...], status: int
) -> None:
    async with _page(OPEN) as page:
        found, _, body = await _ask(page, *lines, method=method, path=path)
        assert found == status
        assert (method == "HEAD") == (body == "")


async def test_before_the_first_frame_there_is_nothing() -> None:
    async with _page(OPEN, None) as page:
        assert (await _ask(page))[0] == 503


async def test_a_request_that_is_none_costs_its_connection_alone() -> None:
    async with _page(OPEN) as page:
        for rubbish in (b"\x16\x03\x01" * 10 + b"\r\n\r\n", b"GET\r\n\r\n", b"x" * 100_000):
            reader, writer = await asyncio.open_connection("127.0.0.1", page.port)
            writer.write(rubbish)
            with contextlib.suppress(ConnectionError):
                writer.write_eof()
                await reader.read()
            writer.close()
        assert (await _ask(page))[0] == 200


async def test_connections_are_bounded() -> None:
    async with _page(OPEN) as page:
        many = [
            await asyncio.open_connection("127.0.0.1", page.port)
            for _ in range(MOST_CONNECTIONS + 4)
        ]
        with contextlib.suppress(ConnectionError):
            assert await many[-1][0].read() == b""
        assert page._open <= MOST_CONNECTIONS
        for _, writer in many:
            writer.close()


async def test_beyond_this_machine_it_asks_for_the_token_by_tls(tmp_path: Path) -> None:
    now = datetime.now(UTC)
    authority = making.authority("test", now)
    chain, token = tmp_path / "chain.pem", tmp_path / "token"
    for path, content in (
        (chain, making.signed(authority, ["127.0.0.1"], now)),
        (token, b"sEcret"),
    ):
        path.write_bytes(content)
        path.chmod(0o600)
    config = AgentConfig(listen="127.0.0.1:0", token_file=token, tls_cert=chain, tls_key=chain)
    context = ssl.create_default_context(cadata=making.pem(authority.certificate).decode())
    async with _page(config) as page:
        bearer = "Authorization: Bearer sEcret"
        assert (await _ask(page, bearer, context=context))[0] == 200
        for wrong in ("X: y", f"{bearer}x", "Authorization: Basic sEcret"):
            status, headers, body = await _ask(page, wrong, context=context)
            assert (status, headers["www-authenticate"]) == (401, "Bearer")
            assert "system" not in body
    chain.chmod(0o644)
    with pytest.raises(ConfigError, match="others"):
        Page(config)


async def test_a_busy_port_is_said() -> None:
    async with _page(OPEN) as page:
        other = Page(AgentConfig(listen=f"127.0.0.1:{page.port}"))
        with pytest.raises(StartError, match="cannot listen"):
            await other.open()
        await other.close()
