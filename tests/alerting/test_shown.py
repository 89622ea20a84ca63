"""An alert end to end: it must be that a push that breaches a rule is told by every channel.

A real server in its own process, a webhook, a server of mail and Debian's Alertmanager as its three
channels.  What each of them is told at the beginning it is told at the end.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
import urllib.request
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest

from tests import alertmanager, serving
from tests.forward.peers import Peer
from tests.notify.channels.receiving import Receiver
from tests.notify.channels.test_mail import Server as MailServer
from tests.notify.channels.test_mail import server as mail_server
from tests.outbound.servers import serving as listening

ENOUGH_SECONDS = 20.0
"""It takes three: one to be seen, one of waiting for others, one to be told."""

PERIOD_SECONDS = 0.5
"""Between two pushes."""

CONFIG = """
[channels.hook]
url = "http://127.0.0.1:{hook}/here"
[channels.mail]
url = "mailto://localhost:{mail}?from=monitor@example.com&to=ops@example.com"
[channels.am]
url = "alertmanager://127.0.0.1:{alertmanager}"
[rules.queue_long]
metric = "app.queue.length"
critical = {{ above = 100, clear_below = 80 }}
summary = "{{host}}: {{value}} waiting"
"""


@contextlib.contextmanager
def running(peer: Peer) -> Iterator[None]:
    """Alertmanager, as long as it is needed."""
    peer.start()
    try:
        yield
    finally:
        peer.end()


@contextlib.asynccontextmanager
async def pushing(url: str, value: float) -> AsyncIterator[None]:
    """Have a host say a value again and again."""
    body = json.dumps({"host": "web-1", "metrics": {"app.queue.length": value}}).encode()
    request = urllib.request.Request(
        f"{url}/api/v1/push", body, {"Content-Type": "application/json"}
    )

    def once() -> None:
        with urllib.request.urlopen(request, timeout=10) as answer:
            answer.read()

    async def again() -> None:
        while True:
            await asyncio.to_thread(once)
            await asyncio.sleep(PERIOD_SECONDS)

    pushes = asyncio.create_task(again())
    try:
        yield
    finally:
        pushes.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await pushes


async def comes(found: Callable[[], object], said: Callable[[], str]) -> None:
    """Wait until something is found."""
    deadline = time.monotonic() + ENOUGH_SECONDS
    while not found():
        assert time.monotonic() < deadline, said()
        await asyncio.sleep(0.05)


class Told:
    """What the three have heard, as titles or states."""

    def __init__(self, hook: Receiver, mail: MailServer, beyond: Receiver) -> None:
        self._hook = hook
        self._mail = mail
        self._beyond = beyond

    def of(self, status: str) -> dict[str, list[str]]:
        """By channel, the titles of what fires or is resolved."""
        first = {"firing": "CRIT", "resolved": "OK"}[status]
        return {
            "hook": [
                body["title"]
                for body in map(json.loads, self._hook.bodies)
                if body["status"] == status
            ],
            "mail": [
                subject
                for subject in (str(each["Subject"]) for each in self._mail.mails())
                if subject.startswith(first)
            ],
            "am": [
                f"{each['labels']['host']}: {each['labels']['alertname']}"
                for body in map(json.loads, self._beyond.bodies)
                for each in body["alerts"]
                if each["status"] == status
            ],
        }

    def by_all(self, status: str) -> bool:
        """Whether each was told of it."""
        return all(self.of(status).values())


async def test_a_breach_and_its_end_reach_every_channel(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    program = alertmanager.unpacked(tmp_path_factory.mktemp("alertmanager"))
    hook, beyond = Receiver(), Receiver()
    async with (
        listening(hook) as hook_port,
        listening(beyond) as beyond_port,
        mail_server() as (mail, mail_port),
    ):
        peer = alertmanager.peer(program, tmp_path, beyond_port)
        config = tmp_path / "config.toml"
        config.write_text(CONFIG.format(hook=hook_port, mail=mail_port, alertmanager=peer.port))
        with running(peer):
            server = await asyncio.to_thread(
                serving.start, tmp_path / "server", "--config", str(config)
            )
            try:
                told = Told(hook, mail, beyond)

                def said() -> str:
                    return f"{told.of('firing')} {told.of('resolved')}\n{server.said()}"

                async with pushing(server.url, 150):
                    await comes(lambda: told.by_all("firing"), said)
                assert told.of("resolved") == {"hook": [], "mail": [], "am": []}
                async with pushing(server.url, 10):
                    await comes(lambda: told.by_all("resolved"), said)
                ended = await asyncio.to_thread(server.end)
            finally:
                server.process.kill()
    assert ended == 0
    firing, resolved = told.of("firing"), told.of("resolved")
    assert firing["hook"] == firing["mail"] == ["CRIT web-1: 150 waiting"]
    assert set(firing["am"]) == {"web-1: queue_long"}
    assert len(resolved["hook"]) == 1
    assert resolved["hook"] == resolved["mail"]
    assert resolved["hook"][0].startswith("OK web-1 queue_long: resolved after ")
    assert set(resolved["am"]) == {"web-1: queue_long"}
