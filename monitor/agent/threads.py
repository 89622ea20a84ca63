"""Blocking work beside the event loop, which may be left behind when the program ends."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable
from typing import TypeVar

_Made = TypeVar("_Made")


async def off_loop(work: Callable[[], _Made]) -> _Made:
    """What `work` returns or raises, run in a thread of its own.

    The pool of asyncio would keep the program from ending until a server has answered; this
    thread is left behind.  Whatever `work` waits for has a limit of its own.
    """
    loop = asyncio.get_running_loop()
    done: asyncio.Future[_Made] = loop.create_future()

    def settle(made: _Made | None, error: BaseException | None) -> None:
        if done.cancelled():
            return
        if error is not None:
            done.set_exception(error)
        else:
            done.set_result(made)  # type: ignore[arg-type]

    def run() -> None:
        made: _Made | None = None
        error: BaseException | None = None
        try:
            made = work()
        except BaseException as raised:  # noqa: BLE001 - it is raised where it is awaited
            error = raised
        with contextlib.suppress(RuntimeError):  # the loop has been closed meanwhile
            loop.call_soon_threadsafe(settle, made, error)

    threading.Thread(target=run, name="monitor-agent-io", daemon=True).start()
    return await done
