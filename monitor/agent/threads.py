"""Blocking work beside the event loop, which may be left behind when the program ends."""

from __future__ import annotations

import asyncio
import contextlib
import queue
import threading
from collections.abc import Callable
from typing import Any, TypeAlias, TypeVar

_Made = TypeVar("_Made")


async def off_loop(work: Callable[[], _Made]) -> _Made:
    """What `work` returns or raises, run in a thread of its own.

    The pool of asyncio would keep the program from ending until a server has answered; this
    thread is left behind.  Whatever `work` waits for has a limit of its own.
    """
    loop = asyncio.get_running_loop()
    done: asyncio.Future[_Made] = loop.create_future()
    line = (work, loop, done)
    threading.Thread(target=_run, args=line, name="monitor-agent-io", daemon=True).start()
    return await done


class OneThread:
    """One thread that works beside the event loop, in the order of asking.

    It takes half of what the pool of the standard library takes, which counts: it is asked each
    second.  It too is left behind when the program ends.
    """

    def __init__(self, name: str) -> None:
        self._asked: queue.SimpleQueue[_Asked | None] = queue.SimpleQueue()
        threading.Thread(target=self._serve, name=name, daemon=True).start()

    async def run(self, work: Callable[[], _Made]) -> _Made:
        """What `work` returns or raises."""
        loop = asyncio.get_running_loop()
        done: asyncio.Future[_Made] = loop.create_future()
        self._asked.put((work, loop, done))
        return await done

    def end(self) -> None:
        """Let the thread end when it has done what was asked before."""
        self._asked.put(None)

    def _serve(self) -> None:
        while (asked := self._asked.get()) is not None:
            _run(*asked)
            del asked  # what it was about is not held until the next is asked


_Asked: TypeAlias = tuple[Callable[[], Any], asyncio.AbstractEventLoop, "asyncio.Future[Any]"]


def _run(
    work: Callable[[], _Made], loop: asyncio.AbstractEventLoop, done: asyncio.Future[_Made]
) -> None:
    made: _Made | None = None
    error: BaseException | None = None
    try:
        made = work()
    except BaseException as raised:  # noqa: BLE001 - it is raised where it is awaited
        error = raised
    with contextlib.suppress(RuntimeError):  # the loop has been closed meanwhile
        loop.call_soon_threadsafe(_settle, done, made, error)


def _settle(done: asyncio.Future[_Made], made: _Made | None, error: BaseException | None) -> None:
    if done.cancelled():
        return
    if error is not None:
        done.set_exception(error)
    else:
        done.set_result(made)  # type: ignore[arg-type]
