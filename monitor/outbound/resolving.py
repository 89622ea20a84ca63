"""Asks the system for a name's addresses, beside the event loop and for a limited time.

The system's resolver knows hosts files, search domains and whatever else the machine was told,
but it has no deadline and cannot be called off.  So each question has a thread, there are few
threads, and a name that is being asked for is not asked for twice: a resolver that hangs
holds these threads and nothing else.  It does not know which addresses are allowed.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence

from monitor.core.quantity import shown
from monitor.outbound.addresses import Address
from monitor.outbound.faults import OutboundFailed, Reason

LookUp = Callable[[str], Sequence[str]]
"""A name's addresses as texts.  May block; raises `OSError`."""

DEADLINE_SECONDS = 2.0
"""How long a name may take: who scrapes every few seconds cannot wait for half a minute."""

MOST_THREADS = 8
"""How many names are asked for at once."""

MOST_ADDRESSES = 16
"""How many addresses of one name are looked at."""

REMEMBERED_SECONDS = 3600.0
"""How long the last good answer stands in for a resolver that does not answer."""

MOST_REMEMBERED = 1024
"""How many names are remembered."""

_NO_SUCH_NAME = (socket.EAI_NONAME, getattr(socket, "EAI_NODATA", socket.EAI_NONAME))


def system_look_up(name: str) -> Sequence[str]:
    """What this machine's resolver says."""
    answers = socket.getaddrinfo(name, None, type=socket.SOCK_STREAM)
    return [str(answer[4][0]) for answer in answers]


class Resolver:
    """Names to addresses, for one event loop."""

    def __init__(
        self,
        look_up: LookUp = system_look_up,
        *,
        deadline_seconds: float = DEADLINE_SECONDS,
        most_threads: int = MOST_THREADS,
    ) -> None:
        self._look_up = look_up
        self._deadline_seconds = deadline_seconds
        self._threads = asyncio.Semaphore(most_threads)
        self._asked: dict[str, asyncio.Future[tuple[Address, ...]]] = {}
        self._remembered: OrderedDict[str, tuple[float, tuple[Address, ...]]] = OrderedDict()

    async def resolve(self, name: str) -> tuple[Address, ...]:
        """The addresses of a name, at least one.  Raises `OutboundFailed`.

        Where the resolver does not answer, though not where it says that there is no such
        name, its last good answer holds for `REMEMBERED_SECONDS`.
        """
        try:
            async with asyncio.timeout(self._deadline_seconds):
                found = await asyncio.shield(await self._question(name))
        except TimeoutError:
            return self._last(name, "the resolver gave no answer in time")
        except socket.gaierror as error:
            if error.errno in _NO_SUCH_NAME:
                raise _unresolved(name, "there is no such name") from None
            return self._last(name, error.strerror or "the resolver failed")
        except (OSError, UnicodeError, ValueError):
            return self._last(name, "the resolver failed")
        if not found:
            raise _unresolved(name, "there is no such name")
        self._remembered[name] = (time.monotonic(), found)
        self._remembered.move_to_end(name)
        if len(self._remembered) > MOST_REMEMBERED:
            self._remembered.popitem(last=False)
        return found

    async def _question(self, name: str) -> asyncio.Future[tuple[Address, ...]]:
        """The one question that is open about this name."""
        if name in self._asked:
            return self._asked[name]
        await self._threads.acquire()
        if name in self._asked:  # somebody else asked while we waited for a thread
            self._threads.release()
            return self._asked[name]
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[tuple[Address, ...]] = loop.create_future()
        self._asked[name] = answer
        thread = threading.Thread(
            target=self._ask, args=(name, answer, loop), name="resolve", daemon=True
        )
        try:
            thread.start()
        except RuntimeError as error:  # no thread can be had
            self._answered(name, answer, (), OSError(str(error)))
        return answer

    def _ask(
        self,
        name: str,
        answer: asyncio.Future[tuple[Address, ...]],
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        """In its thread: ask, and tell the loop, if that is still there."""
        found: tuple[Address, ...] = ()
        fault: Exception | None = None
        try:
            texts = dict.fromkeys(self._look_up(name))
            found = tuple(ipaddress.ip_address(text) for text in list(texts)[:MOST_ADDRESSES])
        except Exception as error:  # noqa: BLE001  # it is raised where it was asked
            fault = error
        try:
            loop.call_soon_threadsafe(self._answered, name, answer, found, fault)
        except RuntimeError:
            return  # the loop has ended, and whoever asked with it

    def _answered(
        self,
        name: str,
        answer: asyncio.Future[tuple[Address, ...]],
        found: tuple[Address, ...],
        fault: Exception | None,
    ) -> None:
        self._threads.release()
        del self._asked[name]
        if fault is None:
            answer.set_result(found)
            return
        answer.set_exception(fault)
        answer.exception()  # looked at, if only by us: whoever asked may have gone

    def _last(self, name: str, why: str) -> tuple[Address, ...]:
        at, found = self._remembered.get(name, (0.0, ()))
        if found and time.monotonic() - at <= REMEMBERED_SECONDS:
            return found
        raise _unresolved(name, why)


def _unresolved(name: str, why: str) -> OutboundFailed:
    return OutboundFailed(Reason.UNRESOLVED, f"{shown(name)} has no address: {why}")
