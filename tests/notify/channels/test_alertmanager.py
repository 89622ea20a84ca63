"""Alertmanager: Debian's own takes what we post, tells twins apart, and lets go of what is over."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from monitor.core.secret import Secret
from monitor.notify.channel import Channel, Notification, Result, Told
from monitor.notify.channels.alertmanager import ENDS_AFTER_SECONDS, REPEAT_SECONDS, body
from monitor.notify.channels.making import make
from monitor.notify.config import ChannelConfig
from monitor.outbound.guard import Guard
from monitor.outbound.resolving import Resolver
from tests import alertmanager
from tests.forward.peers import Peer
from tests.notify.channels.receiving import PUBLIC_URL, Receiver, channel, reply
from tests.notify.channels.told import AT, alert, notification, told
from tests.notify.test_message import planted
from tests.outbound.servers import serving

ENOUGH_SECONDS = 20.0
COMMON = {"alertname": "disk_space", "env": "prod", "role": "db"}


def fires(now: float, **more: Any) -> Told:
    """An alert that fired a minute ago by the real clock, which is what Alertmanager goes by."""
    return Told(alert(since=now - 60, fired=now - 60, **more), now - 60)


def over(one: Told, now: float) -> Told:
    return Told(one.alert, one.fired_at, now - 1)


@pytest.fixture
async def hook() -> AsyncIterator[tuple[Receiver, int]]:
    """Whom Alertmanager tells."""
    receiver = Receiver()
    async with serving(receiver) as port:
        yield receiver, port


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Debian's."""
    return alertmanager.unpacked(tmp_path_factory.mktemp("alertmanager"))


@pytest.fixture
async def real(program: Path, tmp_path: Path, hook: tuple[Receiver, int]) -> AsyncIterator[Peer]:
    """Debian's Alertmanager."""
    peer = alertmanager.peer(program, tmp_path, hook[1])
    await asyncio.to_thread(peer.start)
    yield peer
    await asyncio.to_thread(peer.end)


@pytest.fixture
async def through(real: Peer) -> AsyncIterator[Channel]:
    """The channel that leads there."""
    config = ChannelConfig(url=Secret(f"alertmanager://127.0.0.1:{real.port}"))
    made = make("am", config, Guard(), Resolver(), PUBLIC_URL)
    yield made
    await made.close()


async def known(peer: Peer) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(await asyncio.to_thread(peer.get, "/api/v2/alerts"))
    return found


async def hears(receiver: Receiver, status: str, count: int) -> list[dict[str, Any]]:
    """What its own receiver was told, once that is so many alerts of a status."""
    deadline = time.monotonic() + ENOUGH_SECONDS
    while True:
        heard = [
            each
            for content in receiver.bodies
            for each in json.loads(content)["alerts"]
            if each["status"] == status
        ]
        if len({each["fingerprint"] for each in heard}) >= count:
            return heard
        assert time.monotonic() < deadline, (status, heard)
        await asyncio.sleep(0.02)


async def test_the_real_one(real: Peer, through: Channel, hook: tuple[Receiver, int]) -> None:
    """It must be that it knows what fires once, however often told, and that it is over."""
    receiver, _ = hook
    now = time.time()
    one = fires(now, value=0.97)
    other = fires(now, alert="a2", host="db-2", attributes={"mountpoint": "/"}, severity="warning")
    for repeat in range(3):
        # What changes of an alert while it fires makes no other one of it.
        changed = fires(
            now, value=0.97 + repeat / 100, summary=f"/var of db-1 is {97 + repeat} % full"
        )
        made = notification(changed, other, at=now + repeat, is_repeat=bool(repeat))
        assert (await through.deliver(made)).result is Result.DELIVERED
    found = sorted(await known(real), key=lambda each: str(each["labels"]["host"]))
    assert [each["labels"] for each in found] == [
        {
            **COMMON,
            "severity": "critical",
            "host": "db-1",
            "instance": "db-1",
            "mountpoint": "/var",
        },
        {
            **COMMON,
            "severity": "warning",
            "host": "db-2",
            "instance": "db-2",
            "mountpoint": "/",
        },
    ]
    assert found[0]["annotations"]["summary"].startswith("CRIT db-1 /var 99 % full")
    assert found[0]["annotations"]["limit"] == "above 97 %"
    assert found[0]["generatorURL"] == f"{PUBLIC_URL}/alerts/a1"
    assert all(each["status"]["state"] == "active" for each in found)
    firing = await hears(receiver, "firing", 2)
    assert {each["labels"]["host"] for each in firing} == {"db-1", "db-2"}

    resolved = notification(over(one, now), over(other, now), at=now)
    assert (await through.deliver(resolved)).result is Result.DELIVERED
    assert await known(real) == []
    await hears(receiver, "resolved", 2)


async def test_the_real_one_takes_whatever_strangers_wrote(real: Peer, through: Channel) -> None:
    """It must be that no label of an alert makes it refuse the others."""
    (odd,) = planted().told
    now = time.time()
    labels = {"1st": "x", "": "y", "empty": "", "a-b.c": "z", "ünï": "w", "__name__": "n"}
    made: list[Told] = [
        Told(odd.alert, now - 60),
        fires(now, alert="a3", host="web-1", labels=labels),
    ]
    assert (await through.deliver(notification(*made, at=now))).result is Result.DELIVERED
    found = {each["labels"]["host"]: each["labels"] for each in await known(real)}
    assert set(found) == {"db-1", "web-1"}
    assert found["web-1"]["a_b_c"] == "z"
    assert found["web-1"]["_1st"] == "x"


def test_what_fires_ends_unless_it_is_told_again() -> None:
    """It must be that the end moves with the attempt: one that was late does not look resolved."""
    assert ENDS_AFTER_SECONDS > 2 * REPEAT_SECONDS
    made: Notification = notification()
    first, later = (json.loads(body(made, "", at))[0] for at in (AT, AT + 3_600))
    assert first["startsAt"] == later["startsAt"] == "2026-09-21T14:03:20+00:00"
    assert first["endsAt"] == "2026-09-21T14:17:20+00:00"
    assert later["endsAt"] == "2026-09-21T15:17:20+00:00"
    assert "generatorURL" not in first
    resolved = json.loads(body(notification(told(resolved_at=AT - 5)), "", AT))[0]
    assert resolved["endsAt"] == "2026-09-21T14:13:15+00:00"
    assert resolved["labels"] == first["labels"]


def test_a_drill_can_be_told_from_the_real_thing() -> None:
    found = json.loads(body(notification(told(is_drill=True), is_drill=True), "", AT))[0]
    assert found["labels"]["drill"] == "true"


async def test_what_its_answers_mean() -> None:
    """It must be that what it finds invalid is given up, and all else is tried again."""
    statuses = {
        200: Result.DELIVERED,
        400: Result.GIVEN_UP,
        401: Result.RETRY,
        404: Result.RETRY,
        413: Result.GIVEN_UP,
        429: Result.RETRY,
        503: Result.RETRY,
    }
    receiver = Receiver([reply(status, b"raw") for status in statuses])
    async with serving(receiver) as port:
        through = channel(f"alertmanager://127.0.0.1:{port}/prefix/")
        for status, result in statuses.items():
            outcome = await through.deliver(notification())
            assert (outcome.result, "raw" in outcome.reason) == (result, False), status
        await through.close()
    assert set(receiver.lines) == {"POST /prefix/api/v2/alerts HTTP/1.1"}
