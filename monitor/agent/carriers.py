"""Two ways of carrying documents: one WebSocket, or posts; what comes back is told alike.

A carrier knows numbers and bytes.  It keeps nothing: what was not answered when it ends is sent
again by whoever sends.
"""

from __future__ import annotations

import asyncio
import contextlib
from functools import partial
from typing import Any, Protocol

import msgpack  # type: ignore[import-untyped]

from monitor.agent.link import Cut, Link, Problem, Refused, reason
from monitor.agent.posts import PUSH_PATH, judged
from monitor.agent.threads import off_loop

MEDIA_TYPE = "application/msgpack"

_CLOSED = {
    1000: "the server has closed the connection",
    1001: "the server goes away",
    1006: "the connection broke",
    1008: "the server calls it misuse",
    1009: "the server calls a message too large",
    1012: "the server stops",
}
_REFUSED = {4401: "auth_required", 4409: "host_taken"}
"""Close codes that are refusals, and their names elsewhere."""


class TimeIsUp(Cut):
    """The connection was good, and another way is to be tried now."""


class Ears(Protocol):
    """Who is told what comes back."""

    def acknowledged(self, seq: int) -> None:
        """The server keeps this document now."""

    def refused(self, seq: int, problem: Problem) -> None:
        """The server did not take this document."""

    def watched(self, watched: bool) -> None:
        """Whether somebody looks at this host now."""

    def ended(self, why: Cut | Refused) -> None:
        """Nothing more is carried."""


class Carrier(Protocol):
    """Carries documents to a server."""

    name: str

    def send(self, seq: int, message: bytes, *, is_live: bool) -> None:
        """Carry this; its answer is told.  Live ones never wait for others."""

    async def close(self, goodbye: bytes | None = None) -> None:
        """End, with this last message if any."""


class SocketCarrier:
    """Over one WebSocket."""

    name = "WebSocket"

    def __init__(self, ears: Ears, boot_id: str) -> None:
        self.was_heard = False
        """Whether the server has said anything."""
        self._ears = ears
        self._boot_id = boot_id
        self._ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def open(self, link: Link) -> None:
        """Connect.  Raises as `Link.open` does."""
        self._socket = await link.open(self._heard, self._on_end)

    def send(self, seq: int, message: bytes, *, is_live: bool) -> None:
        """Send it in its turn."""
        del seq, is_live
        self._socket.send(message)

    async def close(self, goodbye: bytes | None = None) -> None:
        """Say goodbye, and wait a moment for the other side's."""
        if goodbye is not None:
            self._socket.send(goodbye)
        self._socket.close()
        await asyncio.wait((self._ended,), timeout=2.0)

    def _heard(self, message: bytes) -> None:
        try:
            acks, refusals, watched = _read(msgpack.unpackb(message, strict_map_key=False))
        except Exception:  # noqa: BLE001 - whatever it was, it is no message of a server's
            self._socket.abort()
            self._end(Cut("what answers does not speak our protocol"))
            return
        self.was_heard = True
        for boot_id, seq in acks:
            if boot_id == self._boot_id:
                self._ears.acknowledged(seq)
        for boot_id, seq, problem in refusals:
            if boot_id == self._boot_id:
                self._ears.refused(seq, problem)
        if watched is not None:
            self._ears.watched(watched)

    def _on_end(self, code: int, told: str) -> None:
        if code in _REFUSED:
            detail = "".join(c if c.isprintable() else " " for c in told)
            self._end(Refused(Problem(_REFUSED[code], detail or _REFUSED[code])))
        else:
            self._end(Cut(_CLOSED.get(code, f"the connection was closed ({code})")))

    def _end(self, why: Cut | Refused) -> None:
        if not self._ended.done():
            self._ended.set_result(None)
            self._ears.ended(why)


def _read(
    said: dict[str, Any],
) -> tuple[list[tuple[str, int]], list[tuple[str, int, Problem]], bool | None]:
    """What a message says: acknowledged, refused, watched.  Raises where it is none."""
    acks = [(str(boot_id), int(seq)) for boot_id, seq in said.get("ack", ())]
    refusals = [
        (str(boot_id), int(seq), Problem.of(problem))
        for boot_id, seq, problem in said.get("refused", ())
    ]
    watched = said.get("watched")
    return acks, refusals, watched if isinstance(watched, bool) else None


class PostCarrier:
    """Over HTTP, with one connection for live documents and one for late ones.

    It ends by itself after so many seconds, so that something better can be tried.
    """

    name = "POST"

    def __init__(self, ears: Ears, seconds: float) -> None:
        self._ears = ears
        self._seconds = seconds
        self._lanes: dict[bool, asyncio.Queue[tuple[int, bytes]]] = {}
        self._tasks: list[asyncio.Task[None]] = []
        self._link: Link | None = None
        self._is_over = False

    async def open(self, link: Link) -> None:
        """Be ready; whether the server answers, the first document shows.  Raises `Cut`."""
        await link.context()
        self._link = link
        for is_live in (True, False):
            self._lanes[is_live] = asyncio.Queue()
            self._tasks.append(asyncio.create_task(self._carry(self._lanes[is_live])))
        self._tasks.append(asyncio.create_task(self._expire()))

    def send(self, seq: int, message: bytes, *, is_live: bool) -> None:
        """Post it after those of its kind."""
        self._lanes[is_live].put_nowait((seq, message))

    async def close(self, goodbye: bytes | None = None) -> None:
        """End; what is being posted is left to its thread, which ends in time."""
        self._is_over = True
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if goodbye is not None and self._link is not None:
            with contextlib.suppress(OSError, Cut):
                posting = await self._link.posting()
                await off_loop(partial(posting.post, PUSH_PATH, MEDIA_TYPE, goodbye))
                posting.close()

    async def _expire(self) -> None:
        await asyncio.sleep(self._seconds)
        self._end(TimeIsUp("posting was for a while"))

    async def _carry(self, lane: asyncio.Queue[tuple[int, bytes]]) -> None:
        posting = None
        try:
            posting = await self._link.posting() if self._link is not None else None
            while posting is not None:
                seq, message = await lane.get()
                answer = await off_loop(partial(posting.post, PUSH_PATH, MEDIA_TYPE, message))
                self._answered(seq, judged(answer))
        except (Cut, Refused) as why:
            self._end(why)
        except OSError as error:
            self._end(Cut(reason(error)))
        finally:
            if posting is not None:
                posting.close()

    def _answered(self, seq: int, answer: Problem | bool | None) -> None:
        if self._is_over:
            return
        if isinstance(answer, Problem):
            self._ears.refused(seq, answer)
            return
        self._ears.acknowledged(seq)
        if answer is not None:
            self._ears.watched(answer)

    def _end(self, why: Cut | Refused) -> None:
        if not self._is_over:
            self._is_over = True
            self._ears.ended(why)
