"""It must be that a connection which has ended is gone from memory, and not only from the list."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest

from monitor.web.connections import _Connection
from tests.browser.rig import Rig
from tests.stream.making import eventually
from tests.web import raw

ENDINGS = {
    "as the peer asked": b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
    "after a refusal": b"POST /api/v1/push HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3\r\n"
    b"Content-Length: 3\r\n\r\nabc",
    "unheard": b"nonsense\r\n\r\n",
}


@pytest.fixture
def collecting_nothing() -> Iterator[None]:
    """Cycles stay, as they do for a long time in the server."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


def connections() -> int:
    return sum(isinstance(each, _Connection) for each in gc.get_objects())


@pytest.mark.parametrize("how", ENDINGS)
@pytest.mark.usefixtures("collecting_nothing")
async def test_nothing_is_left_for_the_collector(how: str) -> None:
    async with Rig("web-1").serving() as rig:
        before = connections()
        for _ in range(5):
            await asyncio.to_thread(raw.send, rig.url, ENDINGS[how])
        await eventually(lambda: connections() <= before)


@pytest.mark.usefixtures("collecting_nothing")
async def test_nor_is_it_where_the_peer_just_leaves() -> None:
    async with Rig("web-1").serving() as rig:
        address = urlsplit(rig.url)
        before = connections()
        for said in (b"", b"GET / HT"):
            _, writer = await asyncio.open_connection(address.hostname, address.port)
            writer.write(said)
            await writer.drain()
            writer.close()
            await writer.wait_closed()
        await eventually(lambda: connections() <= before)
