"""The heartbeat out: somebody elsewhere is told, again and again, that this server judges.

Whoever is told raises the alarm when it is told no more: that is how a monitor that is dead, cut
off or stuck is noticed.  So nothing is sent while the judge does not judge, whatever else works.
It knows no judge and no alerts, but asks for a summary.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import msgspec
import structlog

import monitor
from monitor.core.secret import Secret
from monitor.errors import MonitorError
from monitor.notify.config import HeartbeatConfig
from monitor.outbound import client
from monitor.outbound.addresses import METADATA, METADATA_NAMES, reached
from monitor.outbound.connecting import Connector, trusting
from monitor.outbound.faults import UrlNotAllowed
from monitor.outbound.guard import Guard
from monitor.outbound.resolving import Resolver
from monitor.outbound.targets import judge_url, parse_url

AGENT = f"awoooi-monitor/{monitor.__version__}"

LOOK_SECONDS = 1.0
"""How often it is asked whether the judge judges again, while it does not."""

RETRY_SECONDS = 15.0
"""How soon it is told again where it did not arrive, unless the interval is shorter: whoever waits
allows for one that is lost."""

DEADLINE_SECONDS = 10.0
"""For one, connecting included."""

_NO_POST = frozenset({404, 405, 501})
"""Answers of receivers that know only GET, as some uptime monitors do."""


@dataclass(frozen=True, slots=True)
class Beat:
    """What is said: hosts by status, alerts that fire by severity, when it was judged last."""

    hosts: Mapping[str, int] = field(default_factory=dict)
    firing: Mapping[str, int] = field(default_factory=dict)
    judged_at: float = 0.0


@dataclass(frozen=True, slots=True)
class HeartbeatStatus:
    """How it stands, for pages and metrics; instants in unix seconds, 0 for never.

    `place` is host and port, empty where there is no heartbeat.
    """

    place: str = ""
    interval_seconds: float = 0.0
    sent_at: float = 0.0
    failing_since: float = 0.0
    failure: str = ""
    sent: int = 0
    withheld: int = 0
    """Times at which it was due and the judge did not judge."""


class Heartbeat:
    """Tells one receiver.  `alive` is whether the judge has just judged."""

    def __init__(
        self,
        config: HeartbeatConfig,
        guard: Guard,
        resolver: Resolver,
        clock: Callable[[], float],
        *,
        alive: Callable[[], bool],
        summary: Callable[[], Beat],
    ) -> None:
        """Raises `UrlNotAllowed` where the address may never be told anything."""
        self._config = config
        self._clock = clock
        self._alive = alive
        self._summary = summary
        self._voice = structlog.stdlib.get_logger("monitor.heartbeat")
        self._place = ""
        self._client: client.Client | None = None
        self._uses_get = False
        self._is_withheld = False
        self._sent_at = self._failing_since = 0.0
        self._failure = ""
        self._sent = self._withheld = 0
        if config.url is not None:
            self._place, connector, tls = _way(config.url, guard, resolver)
            self._client = client.client(connector, deadline_seconds=DEADLINE_SECONDS, tls=tls)

    async def run(self) -> None:
        """Tell, until cancelled; at once, then at every interval."""
        try:
            while True:
                seconds = await self._beat()
                await asyncio.sleep(seconds)
        finally:
            if self._client is not None:
                await self._client.aclose()

    async def _beat(self) -> float:
        """Tell once, if the judge judges; after how many seconds again."""
        if self._config.url is None or self._client is None:
            return self._config.interval
        if not self._alive():
            self._withheld += not self._is_withheld
            self._is_withheld = True
            return LOOK_SECONDS
        self._is_withheld = False
        try:
            status = await self._tell(self._client, self._config.url)
        except MonitorError as error:
            self._fail(error.detail)
        else:
            if 200 <= status < 300:
                self._sent += 1
                self._sent_at = self._clock()
                self._failing_since, self._failure = 0.0, ""
                return self._config.interval
            self._fail(f"{self._place} answered {status}")
        return min(self._config.interval, RETRY_SECONDS)

    async def _tell(self, through: client.Client, url: Secret) -> int:
        """The status of the answer."""
        headers = {"User-Agent": AGENT, "Content-Type": "application/json"}
        if not self._uses_get:
            content = self._content()
            reply = await client.ask(
                through, "POST", url.reveal(), headers=headers, content=content
            )
            if reply.status not in _NO_POST:
                return reply.status
        reply = await client.ask(through, "GET", url.reveal(), headers={"User-Agent": AGENT})
        self._uses_get = 200 <= reply.status < 300
        return reply.status

    def _content(self) -> bytes:
        beat = self._summary()
        return msgspec.json.encode(
            {
                "monitor": monitor.__version__,
                "at": self._clock(),
                "judged_at": beat.judged_at,
                "hosts": dict(beat.hosts),
                "firing": dict(beat.firing),
            }
        )

    def _fail(self, why: str) -> None:
        if not self._failing_since:
            self._failing_since = self._clock()
            self._voice.warning("the heartbeat does not arrive", why=why)
        self._failure = why

    def status(self) -> HeartbeatStatus:
        """How it stands now."""
        return HeartbeatStatus(
            self._place,
            self._config.interval if self._place else 0.0,
            self._sent_at,
            self._failing_since,
            self._failure,
            self._sent,
            self._withheld,
        )


def _way(
    url: Secret, guard: Guard, resolver: Resolver
) -> tuple[str, Connector, ssl.SSLContext | None]:
    """Where it leads, what connects to it and what verifies it.

    Standing in the configuration allows its own host and port, as it does a channel's.
    """
    target = parse_url(url.reveal().strip())
    address = target.place.address
    if target.place.host in METADATA_NAMES or (
        address is not None and any(each in METADATA for each in reached(address))
    ):
        raise UrlNotAllowed("the heartbeat's address is where clouds hand out credentials")
    named = guard.named | {(target.place.host, target.place.port)}
    connector = Connector(Guard(guard.allow, named), resolver)
    judge_url(url.reveal().strip(), connector.guard)
    tls = trusting() if target.scheme == "https" else ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    return target.place.written, connector, tls
