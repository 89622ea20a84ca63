"""What we fit into Hypercorn, and why: the connections themselves.

Hypercorn says neither which connections are open nor lets us choose how one ends, it speaks
HTTP/2 in cleartext whatever it is told, and refuses malformed requests with an empty answer.
So two of its classes are replaced by children of theirs, here and nowhere else:

1. `Connections` knows every open transport by its peer's address.  At shutdown those that do
   not end are aborted: a peer that does not read would keep the server otherwise, because the
   task that serves it survives being cancelled (STREAM 3.2).
2. A connection whose peer has gone ends without a word.  That it went is no fault of ours, and
   a peer could write as many tracebacks into our log as it likes.
3. HTTP/1.1 only.  An ``Upgrade: h2c`` is ignored, as RFC 9110 allows; the HTTP/2 preface arrives
   as a request of a version that the edge refuses (STREAM 3.3).
4. What is no HTTP at all is refused with a reason and the same headers as everything else.
5. A stream's connection is taken over once its response's head is written: from then on its
   bytes go from the hub to the transport, and everything that HTTP needed for it is let go.  An
   agent's is taken over before its handshake is answered, and speaks WebSocket from then on; for
   HTTP that is a request like others, on one path, and no other WebSocket is there.
6. Each connection needs a place (`monitor.web.places`): one that only waits goes when somebody else
   needs its own, and where there is none a newcomer is closed before anything is read from it.
7. TLS begins here, when a connection is already counted, and not in asyncio (`monitor.web.secure`).
8. Bytes are judged before h11 gets them (`monitor.web.framing`), and a head must come whole within
   five seconds of the connection's opening or of the last answer, however it dribbles.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from collections import Counter
from collections.abc import Callable
from functools import partial
from http import HTTPStatus
from typing import Any, Protocol, cast

import h11
import hypercorn.asyncio.run
import hypercorn.protocol
from hypercorn.asyncio.tcp_server import TCPServer
from hypercorn.events import Closed, Event, RawData, Updated
from hypercorn.protocol.events import Request
from hypercorn.protocol.h11 import STREAM_ID, H11Protocol
from hypercorn.protocol.http_stream import HTTPStream

from monitor.stream.reader import MOST_UNREAD_BYTES
from monitor.web.framing import Framing, Refusal
from monitor.web.places import Place, Places
from monitor.web.problems import CONTENT_TYPE, Problem
from monitor.web.secure import SecureSink, prepare, secured
from monitor.web.security import SECURITY_HEADERS

STREAM_SEND_BUFFER_BYTES = 32 * 1024
"""What the kernel holds for a stream's reader that does not read: 229 KB in all, where its own
choice is 4 MB (STREAM 3.4).  Only streams have it: it makes large answers slow."""

MOST = 1_000_000
"""Where nobody says how many connections there may be."""

LINGER_SECONDS = 1.0
LINGER_BYTES = 1024 * 1024
"""How long, and how much, a peer that was refused may go on sending into the void: to close on one
that still sends takes the answer from it."""

_POISON = b"\0\r\n\r\n"
"""What h11 refuses wherever it stands, in a head, between chunks and in trailers.  It is passed
in place of what was refused before, so that the refusal comes in its turn: after the answers to
the requests that came before."""

AGENTS_PATH = "/api/v1/agent"
"""The one path that may be asked for a WebSocket."""

Address = tuple[str, int]


class Taker(Protocol):
    """A protocol that a connection is given to."""

    let_go: Callable[[], None] | None
    """To be called once the connection is gone."""


Taken = asyncio.Transport | SecureSink
"""The connection that it is given, as far as it may use it."""


class Connections:
    """The open connections of one server."""

    def __init__(
        self,
        most: int = MOST,
        most_per_address: int = MOST,
        is_exempt: Callable[[str], bool] = lambda _: True,
    ) -> None:
        self.places = Places(most, most_per_address, is_exempt)
        self.refusals: Counter[str] = Counter()
        """How many requests were refused on their bytes, by code."""
        self.handshakes_failed_total = 0
        """How many spoke no TLS where they had to."""
        self.context: Callable[[], ssl.SSLContext] | None = None
        """What TLS is spoken with, asked anew for each connection; none where it is not."""
        self.agents_open = 0
        """How many of them are agents' WebSockets."""
        self.ending: list[Callable[[], None]] = []
        """Called when the server stops, before what is still open is cut."""
        self._open: set[asyncio.WriteTransport] = set()
        self._served: dict[Address, _Connection] = {}

    def __len__(self) -> int:
        return len(self._open)

    def fit(self, context: Callable[[], ssl.SSLContext] | None = None) -> None:
        """Have Hypercorn use our connections from now on, and tell us of each."""
        self.context = context
        if context is not None:
            prepare()

        class Connection(_Connection):
            """One of these connections."""

            connections = self

        class Http1(_Http1):
            """HTTP on one of them."""

            refusals = self.refusals

        hypercorn.asyncio.run.TCPServer = Connection  # type: ignore[attr-defined]
        hypercorn.protocol.H11Protocol = Http1  # type: ignore[attr-defined]

    def take_over(
        self, peer: Address | None, client: Taker, *, is_known: bool = False
    ) -> Taken | None:
        """Make a reader the protocol of its peer's connection; where its bytes go is returned.

        None where the peer has gone already.  Nothing of HTTP is left on it afterwards.  Where
        it `is_known` by a token it no longer counts among those of its address.
        """
        found = self._served.get(peer) if peer else None
        taken = None if found is None else found.give_to(client)
        if found is not None and taken is not None and is_known:
            self.places.exempt(found.place)
        return taken

    def spoke_early(self, peer: Address | None) -> bool:
        """Whether a peer sent more behind its request than it may before the answer."""
        found = self._served.get(peer) if peer else None
        http = None if found is None else found.protocol.protocol
        return isinstance(http, _Http1) and http.refusal is not None

    def abort(self) -> int:
        """Cut every connection that is still open; how many there were."""
        ending = tuple(self._open)
        for transport in ending:
            transport.abort()
        return len(ending)

    @property
    def refused_total(self) -> int:
        """How many were closed unheard."""
        return self.places.refused["full"] + self.places.refused["address"]

    def opened(self, connection: _Connection) -> None:
        """A connection came, to be served over HTTP."""
        self._open.add(connection.wire)
        self._served[connection.address] = connection

    def left_http(self, connection: _Connection) -> None:
        """A connection is served over HTTP no longer; it may be open still."""
        # The same peer may have come again already, from the same port.
        if self._served.get(connection.address) is connection:
            del self._served[connection.address]

    def closed(self, transport: asyncio.WriteTransport) -> None:
        """A connection is gone."""
        self._open.discard(transport)


class _Connection(TCPServer):
    """One connection, known while it is open."""

    connections: Connections

    async def run(self) -> None:
        peer = self.writer.get_extra_info("peername")
        self.address: Address = tuple(peer[:2]) if peer else ("", id(self))
        self.wire = cast("asyncio.Transport", self.writer.transport)
        self.task = asyncio.current_task()
        self.is_taken = False
        place = self.connections.places.take(self.address[0], self.wire.abort)
        if place is None:
            self.wire.abort()
            return
        self.place = place
        self.connections.opened(self)
        # The first writer would close what is beneath TLS when nobody holds it any more.
        self.writers = [self.writer]
        try:
            if self.connections.context is None or await self._secure(self.connections.context()):
                await super().run()
        except asyncio.CancelledError:
            if not self.is_taken:
                raise
        except OSError:
            self.wire.abort()
        finally:
            self.connections.left_http(self)
            if not self.is_taken:
                self.connections.closed(self.wire)
                self.connections.places.leave(self.place)
            self._part()

    def _part(self) -> None:
        """Have HTTP know nothing of it any more.

        The two would hold each other until garbage is looked for, which is seldom: peers that are
        refused and come again would fill the memory with connections that are gone.
        """
        protocol: hypercorn.protocol.ProtocolWrapper | None = vars(self).get("protocol")
        if protocol is not None:
            protocol.send = protocol.protocol.send = _unheard

    async def _secure(self, context: ssl.SSLContext) -> bool:
        """Speak TLS from now on; whether it came to that."""
        try:
            found = await secured(self.wire, context)
        except OSError:
            found = None
        if found is None:
            self.connections.handshakes_failed_total += 1
            self.wire.abort()
            return False
        self.reader, self.writer = found.reader, found.writer
        self.writers.append(self.writer)
        return True

    def give_to(self, client: Taker) -> Taken | None:
        """Leave the connection to a reader; the task that served it ends."""
        transport = self.writer.transport
        if transport.is_closing() or self.reader.at_eof() or self.task is None:
            return None
        self.is_taken = True
        transport.set_protocol(cast("asyncio.Protocol", client))
        sink: Taken
        if transport is self.wire:
            sink = self.wire
            transport.set_write_buffer_limits(MOST_UNREAD_BYTES)
        else:
            sink = SecureSink(cast("asyncio.Transport", transport), self.wire, MOST_UNREAD_BYTES)
        found = transport.get_extra_info("socket")
        if found is not None:
            found.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, STREAM_SEND_BUFFER_BYTES)
        if isinstance(transport, asyncio.ReadTransport):
            transport.resume_reading()  # it is paused where the peer sent much after its request
        # The writers would close the transport when nobody holds them any more.
        client.let_go = partial(_let_go, self.connections, self.wire, self.place, self.writers)
        self.connections.left_http(self)
        self.task.cancel()
        return sink

    async def protocol_send(self, event: Event) -> None:
        """Do what HTTP wants done with the connection."""
        if self.is_taken:
            return  # it has nothing more to say on it
        if isinstance(event, Updated):
            if event.idle:
                self.connections.places.wait(self.place)
            else:
                self.connections.places.serve(self.place)
        elif isinstance(event, Closed) and asyncio.current_task() is self.task:
            await self._linger()
        await super().protocol_send(event)

    async def _linger(self) -> None:
        """Let a peer that was refused while it sends read why, within bounds."""
        http = self.protocol.protocol
        if not isinstance(http, _Http1) or http.refusal is None:
            return
        self.connections.places.wait(self.place)
        left = LINGER_BYTES
        with contextlib.suppress(OSError, RuntimeError, NotImplementedError):
            if self.writer.can_write_eof():
                self.writer.write_eof()
            async with asyncio.timeout(LINGER_SECONDS):
                while left > 0 and (piece := await self.reader.read(LINGER_BYTES)):
                    left -= len(piece)

    async def _initiate_server_close(self) -> None:
        # Hypercorn's clock has run since the connection opened or the last answer was sent.
        http = self.protocol.protocol
        if isinstance(http, _Http1):
            await http.expire()
        await super()._initiate_server_close()

    async def _read_data(self) -> None:
        await super()._read_data()
        # The peer has gone: Hypercorn would wait 5 s for its next request, and count it so long.
        await self.idle_task.stop()

    async def _close(self) -> None:
        if self.is_taken:
            await self.idle_task.stop()
        else:
            await super()._close()


async def _unheard(event: Event) -> None:
    """What is said on a connection that is gone."""
    del event


def _let_go(
    connections: Connections,
    wire: asyncio.Transport,
    place: Place,
    _writers: list[asyncio.StreamWriter],
) -> None:
    connections.closed(wire)
    connections.places.leave(place)


class _Http1(H11Protocol):
    """HTTP/1.1, well framed, and nothing that pretends to become something else."""

    refusals: Counter[str]

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self.refusal: Refusal | None = None
        """Why nothing more is read, where that is so."""
        self._framing = Framing()

    async def handle(self, event: Event) -> None:
        """Take what came, as far as it is well framed."""
        if not isinstance(event, RawData):
            await super().handle(event)
            return
        passed, refusal = self._framing.judge(event.data)
        if refusal is not None:
            self._refuse(refusal)
        if passed or not event.data:
            await super().handle(RawData(passed))
        if refusal is None:
            return
        if isinstance(self.connection, h11.Connection):
            await super().handle(RawData(_POISON))
        else:
            # It asked for a WebSocket, and speaks although it was not given one.
            await self.send(Closed())

    async def expire(self) -> None:
        """Say that a head has not come in time, where one has begun to come."""
        if self._framing.is_within_head and isinstance(self.connection, h11.Connection):
            self._refuse(_TOO_SLOW)
            await super().handle(RawData(_POISON))

    def _refuse(self, refusal: Refusal) -> None:
        self.refusal = refusal
        self.refusals[refusal.code] += 1

    async def _create_stream(self, request: h11.Request) -> None:
        if request.target.partition(b"?")[0] != AGENTS_PATH.encode():
            await super()._create_stream(request)
            return
        self.stream = HTTPStream(
            self.app,
            self.config,
            self.context,
            self.task_group,
            self.ssl,
            self.client,
            self.server,
            self.stream_send,
            STREAM_ID,
        )
        asked = Request(
            stream_id=STREAM_ID,
            headers=list(request.headers),
            http_version=request.http_version.decode(),
            method=request.method.decode("ascii").upper(),
            raw_path=request.target,
            state=self.connection_state,
        )
        await self.stream.handle(asked)
        self.keep_alive_requests += 1
        await self.context.mark_request()

    async def _check_protocol(self, event: h11.Request) -> None:
        """Let every request be what it says it is."""

    async def _send_error_response(self, _status_code: int) -> None:
        refusal = self.refusal or _MALFORMED
        problem = Problem(
            title=HTTPStatus(refusal.status).phrase,
            status=refusal.status,
            detail=refusal.detail,
            code=refusal.code,
            limit=refusal.limit,
        )
        body = problem.encoded()
        headers = [
            (b"content-type", CONTENT_TYPE.encode()),
            (b"content-length", str(len(body)).encode()),
            (b"connection", b"close"),
            (b"cache-control", b"no-store"),
            *SECURITY_HEADERS,
            *self.config.response_headers("h11"),
        ]
        await self._send_h11_event(h11.Response(status_code=problem.status, headers=headers))
        await self._send_h11_event(h11.Data(data=body))
        await self._send_h11_event(h11.EndOfMessage())


_MALFORMED = Refusal(400, "bad_framing", "the request is not well-formed HTTP/1.1")
"""Where h11 sees a fault that we have not seen: a peer that leaves amid a body."""

_TOO_SLOW = Refusal(408, "request_timeout", "the head of the request does not come in time")
