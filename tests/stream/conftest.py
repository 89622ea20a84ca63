"""What the tests of the stream share: a real server on a real socket in the test's own loop."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.browser.rig import Rig
from tests.stream.making import CPU
from tests.stream.reading import close_all


@pytest.fixture(autouse=True)
async def no_reader_stays() -> AsyncIterator[None]:
    """Whatever becomes of a test, the readers that it opened are closed."""
    yield
    await close_all()


@pytest.fixture
async def rig() -> AsyncIterator[Rig]:
    """A server of two hosts, of which nothing has been logged."""
    made = Rig("web-1")
    made.know("web-1", "web-2")
    async with made.serving() as running:
        for host in ("web-1", "web-2"):
            await made.send({CPU: 0.25, "system.memory.utilization": 0.5}, host=host)
        yield running
        await close_all()
