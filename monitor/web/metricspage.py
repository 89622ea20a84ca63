"""``GET /metrics``: whose values a caller gets, in which format, and how many ask at once.

What is counted is `own_metrics`'s business, how it is written `fleet_metrics`'s.
"""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import AsyncIterator, Sequence

from quart import Response, request

from monitor.core.load import Shed
from monitor.core.selectors import Selector
from monitor.core.state import HostState
from monitor.errors import Unavailable
from monitor.web.compression import accepts_gzip
from monitor.web.exposition import CONTENT_TYPE, OPENMETRICS_TYPE, wants_openmetrics
from monitor.web.fleet_metrics import FleetMetrics
from monitor.web.openapi import Parameter
from monitor.web.own_metrics import gathered
from monitor.web.query import Query
from monitor.web.routes import asking
from monitor.web.services import Services

MOST_AT_ONCE = 2
"""Answers made at the same time: each takes a core for a moment, and memory for its values."""

WAIT_SECONDS = 5.0
"""How long one waits for its turn: Prometheus gives up after ten."""

INFLATED_BYTES = 1 << 16
"""Sent at once to who takes no gzip; more is not inflated before that is taken."""

SMALL_BYTES = 1 << 16
"""An answer that is no larger when compressed is sent as a whole."""

METRICS_PARAMETERS = (
    Parameter("host", "A host's name; may repeat. All hosts without it.", repeated=True),
    Parameter("match", 'A selector of hosts, such as "role in (web, api), env!=dev".'),
)


class MetricsPage:
    """Answers whoever scrapes."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._fleet = FleetMetrics()
        self._places = asyncio.Semaphore(MOST_AT_ONCE)

    async def answer(self) -> Response:
        """Everything the caller may see and asked for."""
        query = Query(request.args, ("match",), repeated=("host",))
        hosts = self._hosts(query)
        accept = ",".join(request.headers.getlist("Accept"))
        openmetrics = wants_openmetrics(accept)
        own = await gathered(self._services)
        if self._services.load.level >= Shed.QUERIES:
            # Whoever watches this server must see that it has too much to do, above all then.
            self._services.load.shed_total[Shed.QUERIES] += 1
            hosts = []
        try:
            async with asyncio.timeout(WAIT_SECONDS):
                await self._places.acquire()
        except TimeoutError:
            detail = "as many scrapes run as may run at once: try again in a moment"
            raise Unavailable(detail, code="busy", limit=MOST_AT_ONCE) from None
        try:
            pieces = await self._fleet.written(own, hosts, openmetrics=openmetrics)
        finally:
            self._places.release()
        headers = {"Vary": "Accept, Accept-Encoding"}
        kind = OPENMETRICS_TYPE if openmetrics else CONTENT_TYPE
        if accepts_gzip(request.headers):
            headers["Content-Encoding"] = "gzip"
            return Response(b"".join(pieces), headers=headers, content_type=kind)
        if sum(map(len, pieces)) <= SMALL_BYTES:
            body = zlib.decompress(b"".join(pieces), wbits=31)
            return Response(body, headers=headers, content_type=kind)
        return Response(_inflated(pieces), headers=headers, content_type=kind)

    def _hosts(self, query: Query) -> list[HostState]:
        caller, objects = asking(), self._services.objects
        written, names = query.text("match"), query.texts("host")
        hosts = objects.hosts(caller)
        if names:
            hosts = [objects.asked_host(caller, name) for name in names]
        if written is not None:
            match = Selector.parse(written)
            hosts = [host for host in hosts if match.matches({**host.labels, "host": host.name})]
        return hosts


async def _inflated(pieces: Sequence[bytes]) -> AsyncIterator[bytes]:
    """The text again, as it is taken: whoever is slow keeps the small form in memory."""
    inflate = zlib.decompressobj(wbits=31)
    for piece in pieces:
        rest = piece
        while rest:
            yield inflate.decompress(rest, INFLATED_BYTES)
            rest = inflate.unconsumed_tail
    yield inflate.flush()
