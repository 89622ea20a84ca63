"""Every channel: it tries once, ends in time, says what came of it, and never raises.

It must be so whatever the receiver does, and nothing that it says holds a secret of its address.
"""

from __future__ import annotations

import asyncio
import math
import socket
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.core.secret import Secret
from monitor.notify.channel import Channel, Notification, Result, Told
from monitor.notify.channels import alertmanager, mail, webhook
from monitor.notify.channels.services import make as make_service
from monitor.notify.headline import FIRST_LINE_CHARACTERS
from monitor.notify.message import MESSAGE_BYTES, compose
from tests.notify.channels.receiving import PUBLIC_URL, Receiver, channel, reply
from tests.notify.channels.test_mail import server
from tests.notify.channels.told import alert, notification
from tests.outbound.servers import request, serving
from tests.secrets_planted import leaks, planted

Made = Callable[..., Channel]


def of_webhook(port: int, secret: str, seconds: float = 0.5) -> Channel:
    return channel(f"http://127.0.0.1:{port}/{secret}", secret=secret, deadline_seconds=seconds)


def of_mail(port: int, secret: str, seconds: float = 0.5) -> Channel:
    url = f"mailto://user:{secret}@127.0.0.1:{port}?from=a@example.com&to=b@example.com"
    return channel(url, deadline_seconds=seconds)


def of_alertmanager(port: int, secret: str, seconds: float = 0.5) -> Channel:
    return channel(f"alertmanager://127.0.0.1:{port}/{secret}", deadline_seconds=seconds)


def of_service(port: int, secret: str, seconds: float = 0.5) -> Channel:
    made = make_service("phone", Secret(f"tgram://123456789:{secret}abc/1/"), PUBLIC_URL)
    made._plugin.notify_url = f"http://127.0.0.1:{port}/bot"  # type: ignore[attr-defined]
    made._deadline_seconds = seconds
    return made


MADE: list[Any] = [
    pytest.param(made, id=made.__name__)
    for made in (of_webhook, of_mail, of_alertmanager, of_service)
]


async def mute(reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
    await request(reader)
    await asyncio.Event().wait()


async def deaf(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.transport.abort()


async def mad(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"\x00\xff\r\n-1 \xf0 ??\r\n\r\n" * 50)
    await reader.read(1)


@pytest.mark.parametrize("made", MADE)
async def test_a_receiver_that_fails_is_tried_again(made: Made) -> None:
    secrets = planted(1)
    reasons = []
    for answer in (mute, deaf, mad):
        async with serving(answer) as port:
            through = made(port, secrets[0])
            outcome = await asyncio.wait_for(through.deliver(notification()), 10)
            reasons.append(outcome.reason)
            assert outcome.result is Result.RETRY, outcome
            assert outcome.reason
            reasons += [through.target, through.kind, repr(through)]
            await through.close()
    with socket.create_server(("127.0.0.1", 0)) as gone:
        port = gone.getsockname()[1]
    through = made(port, secrets[0])
    outcome = await through.deliver(notification())
    reasons.append(outcome.reason)
    assert outcome.result is Result.RETRY
    await through.close()
    assert leaks({"said": "\n".join(reasons)}, secrets) == []


@pytest.mark.parametrize("made", MADE)
async def test_an_attempt_can_be_called_off(made: Made) -> None:
    """It must be that cancellation ends it at once, and that it is closed after that."""
    begun = asyncio.Event()

    async def waiting(reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
        begun.set()
        await mute(reader, _writer)

    async with serving(waiting) as port:
        through = made(port, "s3cret" * 6, 15.0)
        attempt = asyncio.create_task(through.deliver(notification()))
        await begun.wait()
        attempt.cancel()
        with pytest.raises(asyncio.CancelledError):
            await attempt
        await through.close()
        await through.close()


@pytest.mark.parametrize("made", MADE)
async def test_what_arrived_is_delivered(made: Made) -> None:
    async with server() as (_, mail_port):
        answer = reply(200, b'{"ok":true,"result":{}}')
        async with serving(Receiver([answer])) as port:
            if made is of_mail:
                through = channel(
                    f"mailto://127.0.0.1:{mail_port}?from=a@example.com&to=b@example.com"
                )
            else:
                through = made(port, "x" * 32, 15.0)
            assert (await through.deliver(notification())).result is Result.DELIVERED
            await through.close()


ANY_NUMBER = st.floats(allow_nan=True, allow_infinity=True)
ANY_TEXT = st.text(max_size=60)
ANY_LABELS = st.dictionaries(ANY_TEXT, ANY_TEXT, max_size=4)
ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | ANY_NUMBER | ANY_TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(ANY_TEXT, inner, max_size=3),
    max_leaves=8,
)
ROWS = st.lists(
    st.fixed_dictionaries({"pid": ANYTHING, "name": ANYTHING, "user": ANYTHING, "value": ANYTHING}),
    max_size=3,
)
EVIDENCE = st.none() | st.fixed_dictionaries(
    {
        "processes": st.dictionaries(st.sampled_from(["cpu", "io", "memory"]), ROWS) | ANYTHING,
        "pressure": st.dictionaries(ANY_TEXT, ANYTHING, max_size=2) | ANYTHING,
        "related": st.dictionaries(ANY_TEXT, ANYTHING, max_size=2) | ANYTHING,
        "changes": st.lists(st.fixed_dictionaries({"at": ANYTHING, "text": ANYTHING})) | ANYTHING,
        "forecast": st.fixed_dictionaries({"full_in_seconds": ANY_NUMBER}) | ANYTHING,
        "host": ANYTHING,
        "units": ANYTHING,
    }
)
STYLES = st.sampled_from(["percent", "bytes", "seconds", "number", "flag", "celsius", "odd", ""])


@st.composite
def notifications(draw: st.DrawFn) -> Notification:
    alerts = []
    for _ in range(draw(st.integers(0, 3))):
        said = alert(
            host=draw(st.from_regex(r"[A-Za-z0-9._-]{1,253}", fullmatch=True)),
            rule=draw(ANY_TEXT),
            attributes=draw(ANY_LABELS),
            labels=draw(ANY_LABELS),
            severity=draw(st.sampled_from(["info", "warning", "critical"])),
            value=draw(st.none() | ANY_NUMBER),
            peak=draw(st.none() | ANY_NUMBER),
            began=draw(st.none() | ANY_NUMBER),
            summary=draw(ANY_TEXT),
            limit=draw(ANY_TEXT),
            unit=draw(STYLES),
            metric=draw(
                ANY_TEXT | st.sampled_from(["system.cpu.utilization", "monitor.host.down"])
            ),
            evidence=draw(EVIDENCE),
            runbook_url=draw(ANY_TEXT),
            reason=draw(ANY_TEXT),
        )
        instant = st.floats(0, 1e12)
        over = draw(st.just(0.0) | instant)
        alerts.append(Told(said, draw(instant), over, draw(st.integers(0, 10**6))))
    return Notification(
        key=draw(ANY_TEXT),
        channel="phone",
        at=draw(st.floats(0, 1e12)),
        told=tuple(alerts),
        left_out=draw(st.integers(0, 10**6)),
        group=draw(ANY_LABELS),
        is_repeat=draw(st.booleans()),
        is_drill=draw(st.booleans()),
    )


ADDRESS = mail.parse("mailto://mail.lan?from=monitor@example.com&to=ops@example.com")


@settings(max_examples=40, deadline=None, derandomize=True)
@given(notifications())
def test_whatever_is_told_can_be_written(made: Notification) -> None:
    """It must be that no alert, however odd, makes a channel fail: it would be tried for a day."""
    found = compose(made, PUBLIC_URL)
    assert 0 < len(found.first) <= FIRST_LINE_CHARACTERS
    assert all(line.isprintable() or "\u200b" in line for line in (found.first, *found.lines))
    assert len(found.text.encode("utf-8", "replace")) <= MESSAGE_BYTES
    assert len(found.html.encode("utf-8", "replace")) <= MESSAGE_BYTES
    assert webhook.body(made, PUBLIC_URL)
    assert alertmanager.body(made, PUBLIC_URL, math.pi)
    assert bytes(mail.written(made, ADDRESS, PUBLIC_URL))
