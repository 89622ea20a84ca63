"""Mail: handed in over TLS or not at all, to whom the address says, and once."""

from __future__ import annotations

import asyncio
import contextlib
import email
import email.policy
import ssl
import warnings
from collections.abc import AsyncIterator
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.smtp import SMTP, AuthResult, Envelope

from monitor.notify.channel import DELIVERED, Channel, Result
from monitor.notify.channels import mail
from monitor.notify.channels.mail import parse, written
from monitor.notify.message import compose
from tests.notify.channels.receiving import PUBLIC_URL, channel
from tests.notify.channels.told import notification, told
from tests.notify.test_message import CANARY, planted
from tests.outbound.servers import certificates, serving

TO = "from=monitor@example.com&to=ops@example.com,night@example.com"


class Server:
    """Keeps what it takes; answers to a recipient or to the mail itself what it is told to."""

    def __init__(self) -> None:
        self.taken: list[Envelope] = []
        self.secure: list[bool] = []
        self.rcpt: dict[str, str] = {}
        self.data = ""
        self.users: list[tuple[bytes, bytes]] = []

    async def handle_RCPT(  # noqa: N802 - aiosmtpd's name
        self, _server: SMTP, _session: Any, envelope: Envelope, address: str, _options: list[str]
    ) -> str:
        said = self.rcpt.get(address) or self.rcpt.get("*")
        if said:
            return said
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(  # noqa: N802 - aiosmtpd's name
        self, _server: SMTP, session: Any, envelope: Envelope
    ) -> str:
        if self.data:
            return self.data
        self.taken.append(envelope)
        self.secure.append(session.ssl is not None)
        return "250 OK"

    def authenticate(
        self, _server: Any, _session: Any, _envelope: Any, _way: str, data: Any
    ) -> Any:
        self.users.append((data.login, data.password))
        return AuthResult(success=data.password == b"s3cret:@/", handled=False)

    def mails(self) -> list[EmailMessage]:
        return [
            email.message_from_bytes(_bytes(each.content), policy=email.policy.default)
            for each in self.taken
        ]


def _bytes(content: object) -> bytes:
    assert isinstance(content, bytes)
    return content


class Protocol(SMTP):
    """A session that can be ended from outside."""

    def end(self) -> None:
        if isinstance(self.transport, asyncio.WriteTransport):
            self.transport.abort()


@contextlib.asynccontextmanager
async def server(
    tls: ssl.SSLContext | None = None, at_once: ssl.SSLContext | None = None
) -> AsyncIterator[tuple[Server, int]]:
    """A real server of SMTP, and its port; with a context it wants STARTTLS, or TLS at once."""
    found = Server()
    sessions: list[Protocol] = []

    def protocol() -> SMTP:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that passwords may be said in the clear, here
            made = Protocol(
                found,
                hostname="mail.lan",
                authenticator=found.authenticate,
                auth_require_tls=tls is not None,
                tls_context=tls,
                require_starttls=tls is not None,
            )
        sessions.append(made)
        return made

    loop = asyncio.get_running_loop()
    listening = await loop.create_server(protocol, "127.0.0.1", 0, ssl=at_once)
    try:
        yield found, listening.sockets[0].getsockname()[1]
    finally:
        listening.close()
        for each in sessions:
            each.end()
        await asyncio.sleep(0)
        await asyncio.sleep(0)


def to(port: int, user: str = "", scheme: str = "mailto", **more: Any) -> Channel:
    more.setdefault("allow", ("127.0.0.0/8",))
    return channel(f"{scheme}://{user}mail.lan:{port}?{TO}", **more)


@pytest.fixture
def far(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is connected to is not this machine, as far as mail is concerned."""
    monkeypatch.setattr(mail, "_is_loopback", lambda _: False)


async def test_a_mail_arrives() -> None:
    """It must be that it comes from and to whom the address says, as text and as HTML."""
    made = notification(told(host="db-1", summary="/vär of db-1 is 97 % full"))
    async with server() as (found, port):
        through = to(port)
        assert (through.kind, through.target) == ("mail", f"mailto://mail.lan:{port}")
        assert await through.deliver(made) == DELIVERED
        await through.close()
    (envelope,), (arrived,) = found.taken, found.mails()
    assert envelope.mail_from == "monitor@example.com"
    assert envelope.rcpt_tos == ["ops@example.com", "night@example.com"]
    expected = compose(made, PUBLIC_URL)
    assert arrived["subject"] == expected.first
    assert arrived["subject"].startswith("CRIT db-1 /vär 97 % full")
    assert arrived["to"] == "ops@example.com, night@example.com"
    assert arrived["auto-submitted"] == "auto-generated"
    text, html = arrived.get_body(("plain",)), arrived.get_body(("html",))
    assert text is not None
    assert html is not None
    assert text.get_content().splitlines() == expected.text.splitlines()
    assert '<a href="https://mon.lan:8460/alerts/a1">' in html.get_content()
    assert all(each.get_content_type() != "image/png" for each in arrived.walk())


async def test_every_attempt_is_the_same_mail_and_a_group_is_a_thread() -> None:
    """It must be that programs of mail tell twins apart by the key, and gather a group."""
    address = parse(f"mailto://mail.lan?{TO}")
    first = written(notification(), address, PUBLIC_URL)
    assert bytes(first) == bytes(written(notification(attempt=9), address, PUBLIC_URL))
    over = written(notification(told(resolved_at=1.0), key="phone-18"), address, PUBLIC_URL)
    other = written(notification(key="x", group={"rule": "x"}), address, PUBLIC_URL)
    assert first["message-id"] != over["message-id"]
    assert first["references"] == first["in-reply-to"] == over["references"]
    assert first["references"] != other["references"]


def test_no_field_of_an_alert_becomes_a_header() -> None:
    """It must be that who gets it, and what headers it has, is nothing that strangers decide."""
    address = parse(f"mailto://mail.lan?{TO}")
    for made in (planted(), notification(channel=CANARY, key=CANARY, group={CANARY: CANARY})):
        raw = bytes(written(made, address, PUBLIC_URL))
        found = email.message_from_bytes(raw, policy=email.policy.default)
        assert set(found.keys()) == {
            *("From", "To", "Subject", "Date", "Message-ID", "In-Reply-To", "References"),
            *("Auto-Submitted", "MIME-Version", "Content-Type"),
        }
        assert found["to"] == "ops@example.com, night@example.com"
        assert b"\nbcc:" not in raw.lower()
        assert [each.get_content_type() for each in found.walk()] == [
            *("multipart/alternative", "text/plain", "text/html"),
        ]
        assert max(len(line) for line in raw.split(b"\r\n")) <= 998


async def test_starttls_comes_before_anything_that_is_secret(tmp_path: Path, far: None) -> None:
    """It must be that user, password and mail are said over TLS, to a certificate that is right."""
    context, authority = certificates(tmp_path, "mail.lan")
    user = "monitor%40example.com:s3cret%3A%40%2F@"
    async with server(context) as (found, port):
        assert await to(port, user, tls_ca=authority).deliver(notification()) == DELIVERED
        assert found.users == [(b"monitor@example.com", b"s3cret:@/")]
        assert found.secure == [True]
        unknown = await to(port, user).deliver(notification())
        assert (unknown.result, "certificate" in unknown.reason) == (Result.RETRY, True)
    assert (len(found.taken), len(found.users)) == (1, 1)


async def test_tls_from_the_first_byte(tmp_path: Path, far: None) -> None:
    context, authority = certificates(tmp_path, "mail.lan")
    async with server(at_once=context) as (found, port):
        through = to(port, scheme="mailtos", tls_ca=authority)
        assert await through.deliver(notification()) == DELIVERED
        unknown = await to(port, scheme="mailtos").deliver(notification())
        assert (unknown.result, "certificate" in unknown.reason) == (Result.RETRY, True)
    assert len(found.taken) == 1


async def test_a_stripped_starttls_is_refused(far: None) -> None:
    """It must be that where nobody offers TLS nothing is sent, and it is said why."""
    async with server() as (found, port):
        outcome = await to(port, "u:s3cret@").deliver(notification())
    assert outcome.result is Result.RETRY
    assert "STARTTLS" in outcome.reason
    assert (found.taken, found.users) == ([], [])


async def test_a_password_that_is_refused_is_mended_by_somebody(far: None, tmp_path: Path) -> None:
    context, authority = certificates(tmp_path, "mail.lan")
    async with server(context) as (found, port):
        outcome = await to(port, "u:wr0ng@", tls_ca=authority).deliver(notification())
    assert outcome.result is Result.RETRY
    assert "user or password" in outcome.reason
    assert "wr0ng" not in outcome.reason
    assert found.taken == []


@pytest.mark.parametrize(
    ("rcpt", "data", "result"),
    [
        ({"*": "450 4.7.1 Greylisted, <b>come again</b>"}, "", Result.RETRY),
        ({"*": "421 4.3.2 shutting down"}, "", Result.RETRY),
        ({"*": "550 5.1.1 no such user"}, "", Result.GIVEN_UP),
        (
            {"ops@example.com": "550 5.1.1 no such", "night@example.com": "450 4.2.0 later"},
            "",
            Result.RETRY,
        ),
        ({}, "451 4.3.0 try again", Result.RETRY),
        ({}, "552 5.3.4 too big", Result.GIVEN_UP),
        ({}, "554 5.7.1 looks like spam", Result.GIVEN_UP),
        ({"ops@example.com": "550 5.1.1 no such user"}, "", Result.DELIVERED),
    ],
)
async def test_what_each_answer_means(rcpt: dict[str, str], data: str, result: Result) -> None:
    """It must be that 4xx is tried again and 5xx given up, with the code and none of the words."""
    async with server() as (found, port):
        found.rcpt, found.data = rcpt, data
        outcome = await to(port).deliver(notification())
    assert outcome.result is result, outcome
    codes = ("450", "broke off", "550", "451", "552", "554")  # after 421 nothing more is said
    assert any(code in outcome.reason for code in codes)
    for word in ("come again", "such", "spam", "big", "shutting"):
        assert word not in outcome.reason


async def test_a_greylisted_mail_arrives_later_once() -> None:
    async with server() as (found, port):
        found.rcpt = {"*": "450 4.7.1 greylisted"}
        first = await to(port).deliver(notification())
        found.rcpt = {}
        second = await to(port).deliver(notification(attempt=2))
    assert (first.result, second.result) == (Result.RETRY, Result.DELIVERED)
    assert len(found.taken) == 1


async def test_a_server_that_is_silent_or_babbles_or_goes_is_tried_again() -> None:
    """It must be that each of them ends in time, and in a sentence without their words."""

    async def silent(_reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
        await asyncio.Event().wait()

    async def babbling(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for _ in range(10_000):
            writer.write(b"220-welcome to <b>babble</b>\r\n" * 100)
            await writer.drain()

    async def gone(_reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
        return

    async def other(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 400 babble\r\n\r\n")
        await reader.read()

    for answer in (silent, babbling, gone, other):
        async with serving(answer) as port:
            through = to(port, deadline_seconds=0.3)
            outcome = await asyncio.wait_for(through.deliver(notification()), 10)
        assert outcome.result is Result.RETRY
        assert outcome.reason.startswith(f"mail.lan:{port} ")
        assert "babble" not in outcome.reason


async def test_a_name_that_leads_here_is_refused_when_connecting() -> None:
    """It must be that the address which was connected to is judged, not the name."""
    async with server() as (found, port):
        outcome = await to(port, allow=()).deliver(notification())
    assert outcome.result is Result.RETRY
    assert "not allowed" in outcome.reason
    assert found.taken == []
