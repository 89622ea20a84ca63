"""Which way is taken to the server: a WebSocket, or posts where none carries anything.

Something on the way may refuse a WebSocket, which is said at once, or take it and pass nothing on,
which only silence says.  Posting is for a while; then a WebSocket is tried again.
"""

from __future__ import annotations

import logging
import time

from monitor.agent.carriers import Carrier, Ears, PostCarrier, SocketCarrier
from monitor.agent.link import Link, NoAnswer, NoWebSocket
from monitor.agent.tokens import Tokens

POST_SECONDS = 300.0
"""How long is posted before a WebSocket is tried again."""

SILENT_TRIES = 2
"""After so many WebSockets on which nothing came posts are tried: one may be a server that hung."""

SILENT_SECONDS = 30.0
"""How long is posted then, twice as long each time: it may have been the server all the same, for
which posts are more work."""

MOST_SILENT = 16
"""So many are counted."""

logger = logging.getLogger("monitor.agent")


class Dialer:
    """Makes one agent's connections, one after the other."""

    def __init__(self, link: Link, tokens: Tokens, boot_id: str) -> None:
        self._link = link
        self._tokens = tokens
        self._boot_id = boot_id
        self._posting_until = 0.0
        self._is_posting = False
        self._socket: SocketCarrier | None = None
        self._silent = 0

    async def dial(self, ears: Ears) -> Carrier:
        """A connection.  Raises `Cut` or `Refused`."""
        await self._tokens.ready(self._link)
        self._look_back()
        if time.monotonic() >= self._posting_until:
            socket = SocketCarrier(ears, self._boot_id)
            try:
                await socket.open(self._link)
            except NoWebSocket as answer:
                self._post(POST_SECONDS, str(answer))
            except NoAnswer:
                self._note_silence()
                raise
            else:
                self._is_posting = False
                self._socket = socket
                return socket
        posts = PostCarrier(ears, self._posting_until - time.monotonic())
        await posts.open(self._link)
        return posts

    def _look_back(self) -> None:
        """See whether the last WebSocket carried anything."""
        socket, self._socket = self._socket, None
        if socket is not None and socket.was_heard:
            self._silent = 0
        elif socket is not None:
            self._note_silence()

    def _note_silence(self) -> None:
        self._silent = min(self._silent + 1, MOST_SILENT)
        if self._silent >= SILENT_TRIES:
            seconds = SILENT_SECONDS * 2.0 ** (self._silent - SILENT_TRIES)
            self._post(min(seconds, POST_SECONDS), "not answered")

    def _post(self, seconds: float, why: str) -> None:
        self._posting_until = time.monotonic() + seconds
        if not self._is_posting:
            logger.warning("a WebSocket is %s; posting instead", why)
        self._is_posting = True
