"""Services: those whose host the service fixes, and no others; none holds up the loop or a key."""

from __future__ import annotations

import asyncio
import inspect
import io
import logging
import re
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from monitor import logs
from monitor.core.secret import Secret
from monitor.notify.channel import DELIVERED, Result
from monitor.notify.channels import services
from monitor.notify.channels.services import ACTS_HERE, USE_THE_WEBHOOK, Service, make
from monitor.notify.message import compose
from monitor.outbound.faults import UrlNotAllowed
from tests.notify.channels.receiving import PUBLIC_URL, Receiver, reply
from tests.notify.channels.told import notification
from tests.notify.test_message import planted
from tests.outbound.servers import request, serving
from tests.secrets_planted import leaks
from tests.secrets_planted import planted as secrets_planted

BOT = "123456789:abcdefghijklmnopqrstuvwxyzABCDEFGHI"
TELEGRAM = f"tgram://{BOT}/12345/"


@pytest.fixture(autouse=True)
def as_it_was() -> Iterator[None]:
    """What is said of apprise's logger is taken back."""
    loggers = [logging.getLogger(name) for name in ("apprise", "urllib3", "requests")]
    before = [(each, each.handlers[:], each.propagate, each.level) for each in loggers]
    yield
    for each, handlers, propagates, level in before:
        each.handlers, each.propagate = handlers, propagates
        each.setLevel(level)


def telegram(port: int, *, bot: str = BOT, deadline_seconds: float = 10.0) -> Service:
    """A channel of Telegram's, which is on this machine for once."""
    made = make("phone", Secret(f"tgram://{bot}/12345/"), PUBLIC_URL)
    made._plugin.notify_url = f"http://127.0.0.1:{port}/bot"  # type: ignore[attr-defined]
    made._deadline_seconds = deadline_seconds
    return made


PASSING = {"slack", "tgram", "pover", "ntfy", "discord", "pagerduty", "opsgenie", "twilio", "webex"}
REFUSED = {
    *("json", "jsons", "xml", "form", "apprise", "gotify", "gotifys", "matrix", "mmost", "rocket"),
    *("mailto", "mailtos", "syslog", "rsyslog", "dbus", "gnome", "kde", "macosx", "windows"),
    *(
        "growl",
        "mqtt",
        "xmpp",
        "irc",
        "nextcloud",
        "ncloud",
        "hassio",
        "signal",
        "kodi",
        "synology",
    ),
    *("bsky", "nostr", "zulip", "vapid", "workflow", "workflows", "teams", "amqp", "smpp"),
}


def test_which_schemes_pass() -> None:
    """It must be that every scheme with a free host is refused, and most of the rest passes."""
    found = services.schemes()
    assert {scheme for scheme, why in found.items() if not why} >= PASSING
    assert not {scheme for scheme in REFUSED if not found.get(scheme, "unknown")}
    assert found["json"] == found["gotify"] == found["matrix"] == USE_THE_WEBHOOK
    assert found["syslog"] == ACTS_HERE
    assert not {"http", "https", "file", "exec", "alertmanager"} & set(found), "these are ours"
    passing = sum(not why for why in found.values())
    assert passing > 100
    page = (Path(__file__).parents[3] / "docs" / "notifications.md").read_text()
    assert f"{passing} of {len(found)} schemes pass" in page
    described = services._plugins()
    for scheme, why in found.items():
        if not why and scheme not in ("ntfy", "ntfys"):
            tokens = described[scheme].template_tokens
            assert "host" not in tokens, scheme
            assert "port" not in tokens, scheme


PUT_TOGETHER = {
    *("cliq", "zcliq", "zohocliq", "kaleyra", "klr"),  # of a table of regions
    *("sinch", "ringc"),  # one of a few regions, or of two environments
    *("ses", "sns"),  # a region: letters, digits and hyphens, of amazonaws.com
    "ryver",  # an organization: letters, digits, hyphens and underscores, of ryver.com
}
"""Schemes whose host is made of parts, which we have read: none of them can lead elsewhere."""


def test_hosts_that_are_put_together_have_been_read() -> None:
    """It must be that a new apprise brings no scheme whose host an address decides unseen."""
    described = services._plugins()
    made_of_parts = re.compile(r"""https?://[^"'\s/]*\{|://\{self\.(?:host|domain)|://%s""")
    found = {
        scheme
        for scheme, why in services.schemes().items()
        if not why
        and scheme not in ("ntfy", "ntfys")
        and made_of_parts.search(Path(inspect.getfile(described[scheme])).read_text())
    }
    assert found == PUT_TOGETHER


@pytest.mark.parametrize(
    "url",
    [
        TELEGRAM,
        "slack://T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ",
        "pover://uuuuuuuuuuuuuuuuuuuuuuuuuuuuuu@aaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
        "ntfy://topic",
        "ntfys://topic?priority=high",
        "discord://4174216298/JHMHI8qBe7bk2ZwO5U711o3dV_js?verify=yes",
    ],
)
def test_what_passes(url: str) -> None:
    found = make("phone", Secret(url))
    assert found.kind == url.partition(":")[0]
    assert found.target == f"{found.kind}://"


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("json://s3cret@127.0.0.1:8080/", "use the webhook"),
        ("gotify://127.0.0.1/s3cretS3cret", "use the webhook"),
        ("ntfy://127.0.0.1/s3cret", "use the webhook"),
        ("ntfys://u:s3cret@ntfy.lan/topic", "use the webhook"),
        ("ntfy://s3cret?mode=private", "use the webhook"),
        ("zulip://bot@org.evil.example/s3crets3crets3crets3crets3crets3", "use the webhook"),
        ("syslog://", "the machine itself"),
        ("dbus://", "dbus://"),
        ("frob://s3cret", "no service"),
        ("slack://s3cret", "expected slack://{token_a}/{token_b}/{token_c}"),
        (f"{TELEGRAM}?template=/etc/passwd", "leads to a file"),
        ("fcm://project/target?keyfile=http://169.254.169.254/", "leads to a file"),
        (f"{TELEGRAM}?verify=no", "always verified"),
        (f"{TELEGRAM}?retry=9&wait=60", "not for an address"),
        (f"{TELEGRAM}?rto=9999", "not for an address"),
        ("s3cret", "expected an address"),
        ("tgram://s3cret\nx", "expected an address"),
    ],
)
def test_what_is_refused_says_why_and_no_secret(url: str, why: str) -> None:
    with pytest.raises(UrlNotAllowed) as caught:
        make("phone", Secret(url))
    assert why in caught.value.detail
    assert "s3cret" not in caught.value.detail.lower()
    assert caught.value.code == "url_not_allowed"


@pytest.fixture
async def receiver() -> AsyncIterator[tuple[Receiver, int]]:
    """Telegram's server."""
    found = Receiver([reply(200, b'{"ok":true,"result":{}}')])
    async with serving(found) as port:
        yield found, port


async def test_a_message_arrives(receiver: tuple[Receiver, int]) -> None:
    """It must be that the first line and the rest arrive, and the loop goes on meanwhile."""
    found, port = receiver
    through = telegram(port)
    assert await through.deliver(notification()) == DELIVERED
    await through.close()
    assert found.lines[-1].startswith(f"POST /bot{BOT}/sendMessage")
    sent = found.bodies[-1].decode()
    assert "CRIT db-1 /var 97 % full, 4.1 GB free" in sent
    assert "logger 250 MB/s (pid 4242, app)" in sent


async def test_what_strangers_wrote_does_nothing(receiver: tuple[Receiver, int]) -> None:
    found, port = receiver
    through = telegram(port)
    assert await through.deliver(planted()) == DELIVERED
    await through.close()
    sent = found.bodies[-1].decode()
    for live in ("@everyone", "<script", "<!channel", "](http", "\\u202e", "://evil"):
        assert live not in sent
    assert compose(planted(), PUBLIC_URL).first


@pytest.mark.parametrize("status", [400, 401, 404, 410, 429, 500, 502])
async def test_a_service_that_refuses_is_tried_again(status: int) -> None:
    """It must be that its status is told, and nothing of what it said."""
    answer = b'{"ok":false,"description":"raw words"}'
    async with serving(Receiver([reply(status, answer)])) as port:
        outcome = await telegram(port).deliver(notification())
    assert outcome.result is Result.RETRY
    assert outcome.reason == f"Telegram answered {status}"


async def test_a_redirect_is_not_followed() -> None:
    inner = Receiver()
    async with serving(inner) as inside:
        leading = reply(302, headers={"Location": f"http://127.0.0.1:{inside}/admin"})
        async with serving(Receiver([leading])) as port:
            outcome = await telegram(port).deliver(notification())
    assert outcome.result is Result.RETRY
    assert inner.lines == []


async def test_a_service_that_hangs_is_left_and_has_one_thread_at_most() -> None:
    """It must be that an attempt ends in time, and that those that wait do not pile up."""
    waits = asyncio.Event()

    async def hanging(reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
        await request(reader)
        waits.set()
        await asyncio.Event().wait()

    async with serving(hanging) as port:
        through = telegram(port, deadline_seconds=0.3)
        first = await asyncio.wait_for(through.deliver(notification()), 5)
        await asyncio.wait_for(waits.wait(), 10)
        second = await asyncio.wait_for(through.deliver(notification()), 5)
    assert (first.result, second.result) == (Result.RETRY, Result.RETRY)
    assert "in time" in first.reason
    assert "last attempt" in second.reason
    assert through._thread is not None
    await asyncio.to_thread(through._thread.join, 20)
    assert not through._thread.is_alive()


async def test_nothing_that_is_logged_holds_a_key() -> None:
    """It must be that even at the level of debugging no key, and no message, is in the log."""
    said = io.StringIO()
    root = logging.getLogger()
    before = root.handlers[:], root.level
    logs.configure(logs.LoggingConfig(level="debug"), said)
    keys = secrets_planted(1)
    try:
        async with serving(Receiver([reply(403, b"{}"), reply(500, b"{}"), reply()])) as port:
            through = telegram(port, bot=f"123456789:{keys[0]}abc")
            reasons = [(await through.deliver(notification())).reason for _ in range(3)]
        with pytest.raises(UrlNotAllowed) as caught:
            make("phone", Secret(f"slack://{keys[0]}"))
    finally:
        root.handlers[:], root.level = before
    texts = {"log": said.getvalue(), "reasons": " ".join(reasons), "refusal": str(caught.value)}
    assert leaks(texts, keys) == []
    assert "db-1" not in said.getvalue()
    assert "apprise" not in said.getvalue(), "its lines are for nobody"
