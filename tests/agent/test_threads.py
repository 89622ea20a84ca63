"""Work beside the loop.  Every name finishes the sentence "it must be that …"."""

from __future__ import annotations

import asyncio
import threading

import pytest

from monitor.agent.threads import OneThread


async def test_one_thread_works_in_the_order_of_asking() -> None:
    thread, held, seen = OneThread("test-one"), threading.Event(), []

    def first() -> str:
        held.wait(20)
        seen.append(1)
        return threading.current_thread().name

    begun = asyncio.create_task(thread.run(first))
    await asyncio.sleep(0)
    then = asyncio.create_task(thread.run(lambda: seen.append(2)))
    await asyncio.sleep(0)
    assert not begun.done()
    held.set()
    assert await begun == "test-one"
    await then
    assert seen == [1, 2]
    thread.end()


async def test_what_fails_is_raised_where_it_is_awaited_and_the_next_is_done() -> None:
    thread = OneThread("test-one")

    def fail() -> None:
        raise OSError("the disk")

    with pytest.raises(OSError, match="the disk"):
        await thread.run(fail)
    assert await thread.run(lambda: 7) == 7
    thread.end()


async def test_who_no_longer_waits_disturbs_nobody_and_the_thread_ends_when_told() -> None:
    thread, held = OneThread("test-ends"), threading.Event()
    left = asyncio.create_task(thread.run(lambda: held.wait(20)))
    await asyncio.sleep(0)
    left.cancel()
    held.set()
    (thread_of,) = (each for each in threading.enumerate() if each.name == "test-ends")
    assert await thread.run(lambda: 7) == 7
    thread.end()
    await asyncio.to_thread(thread_of.join, 20)
    assert not thread_of.is_alive()
    assert left.cancelled()
