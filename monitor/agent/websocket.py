"""One WebSocket connection of a client: bytes of the network become messages and back.

The protocol is that of the `websockets` library without its loop: no redirects, no proxies of the
environment, no compression, and what arrives is bounded.  It knows nothing of what messages say.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket as sockets
from collections.abc import Callable, Mapping
from typing import TypeAlias, cast

from monitor.agent.place import Place
from monitor.agent.slim import without_metadata

with without_metadata():
    from websockets.client import ClientProtocol
    from websockets.frames import Frame, Opcode
    from websockets.http11 import Response
    from websockets.protocol import State
    from websockets.typing import Subprotocol
    from websockets.uri import WebSocketURI

SUBPROTOCOL = "awoooi.v1"

LONGEST_MESSAGE_BYTES = 1024 * 1024
"""Of what the server says: acknowledgements and wishes take hundreds."""

SILENT_SECONDS = 10
"""How long the other side's system may leave what we sent unacknowledged."""

CLOSE_SECONDS = 1.0
"""How long the other side has to close in turn."""

Heard: TypeAlias = Callable[[bytes], None]
Ended: TypeAlias = Callable[[int, str], None]
"""Is told the code and reason of the end; the code is 1006 where there was no goodbye."""

# The library's log would be a second voice; what ends is told to `ended`.
_SILENT = logging.getLogger("monitor.agent.websockets")
_SILENT.setLevel(logging.CRITICAL + 1)
_SILENT.propagate = False


class NoUpgrade(Exception):
    """The handshake was answered with something else: an HTTP answer, or none that is one."""

    def __init__(
        self, status: int = 0, headers: Mapping[str, str] | None = None, body: bytes = b""
    ) -> None:
        super().__init__(f"answered with status {status}" if status else "answered with no HTTP")
        self.status = status
        self.headers = headers or {}
        self.body = body


class WebSocket(asyncio.Protocol):
    """A connection; `opened` is done when messages may be sent, or says why they may not."""

    def __init__(
        self, place: Place, path: str, headers: Mapping[str, str], heard: Heard, ended: Ended
    ) -> None:
        self.opened: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._protocol = ClientProtocol(
            WebSocketURI(place.is_secure, place.host, place.port, path, ""),
            subprotocols=[Subprotocol(SUBPROTOCOL)],
            max_size=LONGEST_MESSAGE_BYTES,
            logger=_SILENT,
        )
        self._headers = headers
        self._heard = heard
        self._ended = ended
        self._transport: asyncio.Transport | None = None
        self._pieces: list[bytes] = []
        self._close_at: asyncio.TimerHandle | None = None

    @property
    def is_open(self) -> bool:
        """Whether messages can be sent."""
        return (
            self.opened.done()
            and self._protocol.state is State.OPEN
            and self._transport is not None
            and not self._transport.is_closing()
        )

    def send(self, message: bytes) -> None:
        """Send one message; after the end it is thrown away."""
        if self.is_open:
            self._protocol.send_binary(message)
            self._flush()

    def close(self) -> None:
        """Say goodbye and end, in time."""
        if self.is_open:
            self._protocol.send_close(1000)
            self._flush()
            self._end_soon()
        else:
            self.abort()

    def abort(self) -> None:
        """End at once."""
        if not self.opened.done():
            self.opened.cancel()
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The network is there, and trusted: ask for a WebSocket."""
        self._transport = transport = cast("asyncio.Transport", transport)
        _watch(transport.get_extra_info("socket"))
        if self.opened.done():  # given up meanwhile
            transport.abort()
            return
        request = self._protocol.connect()
        for name, value in self._headers.items():
            request.headers[name] = value
        self._protocol.send_request(request)
        self._flush()

    def data_received(self, data: bytes) -> None:
        """Bytes of the server's."""
        self._protocol.receive_data(data)
        self._taken()

    def eof_received(self) -> bool:
        """The server sends no more."""
        self._protocol.receive_eof()
        self._taken()
        return False

    def connection_lost(self, error: Exception | None) -> None:
        """The network is gone."""
        if self._close_at is not None:
            self._close_at.cancel()
        with contextlib.suppress(Exception):  # it may have seen the end already
            self._protocol.receive_eof()
        if not self.opened.done():
            self.opened.set_exception(error or NoUpgrade())
        elif not self.opened.cancelled() and self.opened.exception() is None:
            received = self._protocol.close_rcvd
            code, reason = (received.code, received.reason) if received else (1006, "")
            self._ended(int(code), reason)

    def _taken(self) -> None:
        for event in self._protocol.events_received():
            if isinstance(event, Response):
                self._answered(event)
            elif isinstance(event, Frame):
                self._frame(event)
        if not self.opened.done() and self._protocol.handshake_exc is not None:
            self.opened.set_exception(NoUpgrade())
        self._flush()
        if self._protocol.close_expected():
            self._end_soon()

    def _answered(self, response: Response) -> None:
        if self.opened.done():
            return
        if self._protocol.handshake_exc is None:
            self.opened.set_result(None)
            return
        headers: dict[str, str] = {}
        for name, value in response.headers.raw_items():
            headers.setdefault(name.lower(), value)
        self.opened.set_exception(
            NoUpgrade(response.status_code, headers, bytes(response.body or b""))
        )

    def _frame(self, frame: Frame) -> None:
        if frame.opcode in {Opcode.BINARY, Opcode.CONT}:
            self._pieces.append(bytes(frame.data))
            if frame.fin:
                message, self._pieces = b"".join(self._pieces), []
                self._heard(message)
        elif frame.opcode is Opcode.CLOSE:
            self._end_soon()

    def _flush(self) -> None:
        if self._transport is None or self._transport.is_closing():
            self._protocol.data_to_send()
            return
        for piece in self._protocol.data_to_send():
            if piece:
                self._transport.write(piece)
            elif self._transport.can_write_eof():
                self._transport.write_eof()

    def _end_soon(self) -> None:
        if self._close_at is None and self._transport is not None:
            loop = asyncio.get_running_loop()
            self._close_at = loop.call_later(CLOSE_SECONDS, self._transport.abort)


def _watch(socket: sockets.socket | None) -> None:
    """Let the system notice a peer that has vanished."""
    option = getattr(sockets, "TCP_USER_TIMEOUT", None)
    if socket is not None and option is not None:
        with contextlib.suppress(OSError):
            socket.setsockopt(sockets.IPPROTO_TCP, option, SILENT_SECONDS * 1000)
