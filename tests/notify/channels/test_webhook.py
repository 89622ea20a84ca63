"""The webhook: documented, signed, the same in every attempt, and never led astray."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import socket
import struct
import tracemalloc
from email.utils import formatdate
from functools import partial
from pathlib import Path

import pytest

from monitor.notify.channel import DELIVERED, Result
from monitor.notify.channels.replies import LONGEST_RETRY_AFTER_SECONDS, retry_after
from monitor.outbound.client import REPLY_BYTES
from tests.notify.channels.receiving import NOW, PUBLIC_URL, Receiver, channel, reply
from tests.notify.channels.told import AT, FIRED, notification, told
from tests.outbound.servers import Answer, certificates, request, serving

ALERT_FIELDS = {
    *("id", "rule", "host", "attributes", "labels", "status", "severity", "title", "summary"),
    *("metric", "value", "peak", "limit", "style", "began", "fired", "resolved", "reason"),
    *("held", "is_flapping", "is_drill", "runbook_url", "url", "evidence"),
}
FIELDS = {
    *("version", "key", "channel", "at", "status", "severity", "is_drill", "is_repeat", "title"),
    *("text", "group", "url", "alerts", "left_out"),
}


async def test_the_body_is_as_documented() -> None:
    """It must be that version 1 has these fields and no others, and says what is so."""
    receiver = Receiver()
    async with serving(receiver) as port:
        through = channel(f"http://127.0.0.1:{port}/hook?token=t0k")
        assert (through.name, through.kind) == ("phone", "webhook")
        assert through.target == f"http://127.0.0.1:{port}"
        assert await through.deliver(notification(told(held=23))) == DELIVERED
        await through.close()
    assert receiver.lines == ["POST /hook?token=t0k HTTP/1.1"]
    assert receiver.heads[0]["content-type"] == "application/json"
    found = json.loads(receiver.bodies[0])
    assert set(found) == FIELDS
    assert set(found["alerts"][0]) == ALERT_FIELDS
    assert (found["version"], found["key"], found["at"]) == (1, "phone-17", AT)
    assert (found["status"], found["severity"]) == ("firing", "critical")
    assert found["title"].startswith("CRIT db-1 /var 97 % full")
    one = found["alerts"][0]
    assert (one["value"], one["peak"], one["held"], one["resolved"]) == (0.972, 0.981, 23, None)
    assert one["url"] == f"{PUBLIC_URL}/alerts/a1"
    assert one["evidence"]["processes"]["io"][0]["name"] == "logger"
    assert "series" not in one["evidence"], "what is for drawing is long"
    # The documentation shows the same fields.
    page = Path(__file__).parents[3] / "docs" / "notifications.md"
    shown = json.loads(page.read_text().split("```json\n")[1].split("```")[0])
    assert set(shown) == FIELDS
    assert set(shown["alerts"][0]) == ALERT_FIELDS


async def test_one_that_is_over_says_so() -> None:
    receiver = Receiver()
    async with serving(receiver) as port:
        through = channel(f"http://127.0.0.1:{port}/")
        await through.deliver(notification(told(resolved_at=FIRED + 60)))
        await through.close()
    found = json.loads(receiver.bodies[0])
    assert (found["status"], found["severity"]) == ("resolved", None)
    assert found["alerts"][0]["resolved"] == FIRED + 60


async def test_every_attempt_has_the_same_body_and_key() -> None:
    """It must be that a receiver can tell that it has had it, over a restart of ours too."""
    receiver = Receiver([reply(500), reply()])
    async with serving(receiver) as port:
        results = []
        for attempt in (1, 2):
            through = channel(f"http://127.0.0.1:{port}/")
            outcome = await through.deliver(notification(attempt=attempt))
            results.append(outcome.result)
            await through.close()
    assert results == [Result.RETRY, Result.DELIVERED]
    first, second = receiver.bodies
    assert first == second
    assert [head["idempotency-key"] for head in receiver.heads] == ["phone-17", "phone-17"]
    assert [head["x-awoooi-attempt"] for head in receiver.heads] == ["1", "2"]


async def test_the_signature_can_be_checked() -> None:
    """It must be that whoever has the secret can tell that it was us, and when."""
    receiver = Receiver()
    async with serving(receiver) as port:
        through = channel(f"http://127.0.0.1:{port}/", secret="s3cret")
        await through.deliver(notification())
        await through.close()
        bare = channel(f"http://127.0.0.1:{port}/")
        await bare.deliver(notification())
        await bare.close()
    at, signed = receiver.heads[0]["x-awoooi-signature"].split(",")
    assert at == f"t={int(NOW)}"
    content = f"{int(NOW)}.".encode() + receiver.bodies[0]
    assert signed == f"v1={hmac.new(b's3cret', content, hashlib.sha256).hexdigest()}"
    assert "x-awoooi-signature" not in receiver.heads[1]


ANSWERS = [
    *((status, Result.DELIVERED) for status in (200, 201, 202, 204)),
    *((status, Result.RETRY) for status in (301, 302, 304, 307, 308)),
    *((status, Result.RETRY) for status in (400, 401, 403, 404, 405, 408, 425, 429)),
    *((status, Result.GIVEN_UP) for status in (410, 413, 422)),
    *((status, Result.RETRY) for status in (500, 502, 503, 504, 599)),
]


async def test_what_each_status_means() -> None:
    """It must be that only what speaks of the very message is given up, and bodies never show."""
    receiver = Receiver(
        [
            reply(status, b"" if status in (204, 304) else b"raw <b>body</b>")
            for status, _ in ANSWERS
        ]
    )
    async with serving(receiver) as port:
        through = channel(f"http://127.0.0.1:{port}/s3cret-path")
        for status, result in ANSWERS:
            outcome = await through.deliver(notification())
            assert outcome.result is result, status
            assert "raw" not in outcome.reason
            assert "s3cret" not in outcome.reason
            assert (str(status) in outcome.reason) is (result is not Result.DELIVERED)
        await through.close()


async def test_a_receiver_may_ask_for_patience() -> None:
    receiver = Receiver([reply(429, headers={"Retry-After": "17"})])
    async with serving(receiver) as port:
        through = channel(f"http://127.0.0.1:{port}/")
        outcome = await through.deliver(notification())
        await through.close()
    assert (outcome.result, outcome.retry_after_seconds) == (Result.RETRY, 17.0)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("", 0.0),
        ("120", 120.0),
        (" 5 ", 5.0),
        ("999999999", LONGEST_RETRY_AFTER_SECONDS),
        ("9" * 400, 0.0),
        ("-1", 0.0),
        ("1.5", 0.0),
        ("soon", 0.0),
        ("٣", 0.0),
        (formatdate(NOW + 90, usegmt=True), 90.0),
        (formatdate(NOW - 90, usegmt=True), 0.0),
        ("Mon, 99 Foo 20 99:99:99 GMT", 0.0),
    ],
)
def test_when_to_come_again(text: str, seconds: float) -> None:
    assert retry_after(text, NOW) == seconds


async def hanging(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await request(reader)
    await asyncio.Event().wait()
    writer.close()


async def dribbling(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await request(reader)
    for _ in range(10_000):
        writer.write(b"X-Header: x\r\n" if _ else b"HTTP/1.1 200 OK\r\n")
        await writer.drain()
        await asyncio.sleep(0.01)


async def resetting(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await request(reader)
    connected = writer.get_extra_info("socket")
    connected.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


async def babbling(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await request(reader)
    writer.write(b"\x00\xff" * 500)


@pytest.mark.parametrize("answer", [hanging, dribbling, resetting, babbling])
async def test_a_receiver_that_fails_is_tried_again(answer: Answer) -> None:
    """It must be that hanging, dribbling, resetting and babbling each end, and lose nothing."""
    async with serving(answer) as port:
        through = channel(f"http://127.0.0.1:{port}/", deadline_seconds=0.3)
        outcome = await asyncio.wait_for(through.deliver(notification()), 10)
        await through.close()
    assert outcome.result is Result.RETRY
    assert f"127.0.0.1:{port}" in outcome.reason


async def test_a_receiver_that_is_not_there_is_tried_again() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    through = channel(f"http://127.0.0.1:{port}/")
    outcome = await through.deliver(notification())
    await through.close()
    assert outcome.result is Result.RETRY
    assert "cannot be reached" in outcome.reason


async def test_a_name_without_an_address_is_tried_again() -> None:
    def nobody(name: str) -> list[str]:
        raise socket.gaierror(socket.EAI_NONAME, name)

    through = channel("http://nowhere.lan/", look_up=nobody)
    outcome = await through.deliver(notification())
    await through.close()
    assert outcome.result is Result.RETRY
    assert "no such name" in outcome.reason


async def test_a_redirect_is_not_followed() -> None:
    """It must be that an answer that points at this machine's own doors opens none of them."""
    inner = Receiver()
    async with serving(inner) as inside:
        for status in (301, 302, 303, 307, 308):
            leading = {"Location": f"http://127.0.0.1:{inside}/admin"}
            async with serving(Receiver([reply(status, headers=leading)])) as port:
                through = channel(f"http://127.0.0.1:{port}/")
                outcome = await through.deliver(notification())
                await through.close()
            assert outcome.result is Result.RETRY
            assert "redirect" in outcome.reason
    assert inner.lines == []


async def test_a_reply_without_end_costs_little() -> None:
    """It must be that of ten gigabytes only the first 64 KiB are read: the status has come."""
    sent = 0

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        await request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 10000000000\r\n\r\n")
        while True:
            writer.write(bytes(1 << 16))
            await writer.drain()
            sent += 1 << 16

    async with serving(answer) as port:
        through = channel(f"http://127.0.0.1:{port}/")
        tracemalloc.start()
        try:
            outcome = await asyncio.wait_for(through.deliver(notification()), 10)
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        await through.close()
    assert outcome == DELIVERED
    assert sent < 200 * REPLY_BYTES
    assert peak < 20 << 20


async def test_certificates_are_verified(tmp_path: Path) -> None:
    """It must be that only a certificate of a known authority, for this name, is spoken to."""
    receiver = Receiver()
    context, authority = certificates(tmp_path, "hook.lan")
    async with serving(receiver, context) as port:
        for name, trusted, expected in (
            ("hook.lan", authority, Result.DELIVERED),
            ("hook.lan", None, Result.RETRY),
            ("other.lan", authority, Result.RETRY),
        ):
            through = channel(f"https://{name}:{port}/", tls_ca=trusted, allow=("127.0.0.0/8",))
            outcome = await through.deliver(notification())
            await through.close()
            assert outcome.result is expected, outcome
            assert ("certificate" in outcome.reason) is (expected is Result.RETRY)
    assert len(receiver.lines) == 1


def leading_to(address: str, _name: str) -> list[str]:
    return [address]


async def test_a_name_that_leads_here_is_refused_when_connecting() -> None:
    """It must be that a name whose address changes to this machine's is not followed there."""
    receiver = Receiver()
    async with serving(receiver) as port:
        for address in ("127.0.0.1", "169.254.169.254", "::ffff:127.0.0.1"):
            through = channel(f"http://hook.lan:{port}/", look_up=partial(leading_to, address))
            outcome = await through.deliver(notification())
            await through.close()
            assert outcome.result is Result.RETRY
            assert "not allowed" in outcome.reason
    assert receiver.lines == []
