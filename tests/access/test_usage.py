"""When a credential was last used: see `monitor.access.usage`."""

from __future__ import annotations

import pytest

from monitor.access.usage import FINE_SECONDS, PREFIX, Usage
from monitor.core.access import TokenKind
from monitor.errors import Unavailable
from monitor.log.memory_registry import MemoryRegistry
from tests.access.house import House


class Counting(MemoryRegistry):
    """Counts what is written, and cannot be written while it fails."""

    writes = 0
    fails = False

    async def put(self, key: str, value: bytes) -> int:
        """As the registry's."""
        if self.fails:
            raise Unavailable("the disk is full", code="log_full")
        self.writes += 1
        return await super().put(key, value)


@pytest.fixture
def registry(house: House) -> Counting:
    """What the house writes to."""
    found = Counting()
    house.registry = found
    house.office = house.another()
    return found


async def test_it_is_known_again_after_a_restart(house: House, registry: Counting) -> None:
    """It must be that what was written down is there the next time."""
    _, caller = await house.token(TokenKind.AGENT, "web-1")
    usage = house.office.usage
    assert usage.at(caller.credential) is None
    usage.touch(caller.credential, house.now)
    await usage.save()
    again = house.another()
    await again.load()
    assert again.usage.at(caller.credential) == house.now


async def test_a_minute_of_pushes_is_a_few_writes(house: House, registry: Counting) -> None:
    """It must be that a hundred agents that push each second are sixteen writes a minute."""
    ids = [
        (await house.token(TokenKind.AGENT, f"web-{number}"))[1].credential for number in range(100)
    ]
    before = registry.writes
    for second in range(int(FINE_SECONDS)):
        for id_ in ids:
            house.office.usage.touch(id_, house.now + second)
    await house.office.usage.save()
    assert registry.writes - before <= 16
    await house.office.usage.save()
    assert registry.writes - before <= 16


async def test_a_clock_that_was_set_back_is_followed(house: House, registry: Counting) -> None:
    """It must be that an instant of the future does not stand for ever."""
    usage = house.office.usage
    usage.touch("a1", 2_000_000)
    usage.touch("a1", 1_000_000)
    assert usage.at("a1") == 1_000_000
    usage.touch("a1", 1_000_001)
    assert usage.at("a1") == 1_000_000


async def test_what_nobody_has_any_more_is_forgotten(house: House, registry: Counting) -> None:
    """It must be that it holds no more than there are credentials."""
    for number in range(1_000):
        house.office.usage.touch(f"{number:010x}", house.now)
    _, caller = await house.token(TokenKind.AGENT, "web-1")
    house.office.usage.touch(caller.credential, house.now)
    await house.office.usage.save()
    assert house.office.usage._at.keys() == {caller.credential}


async def test_what_could_not_be_written_is_written_later(house: House, registry: Counting) -> None:
    """It must be that a full disk loses nothing that memory still has."""
    _, caller = await house.token(TokenKind.AGENT, "web-1")
    house.office.usage.touch(caller.credential, house.now)
    registry.fails = True
    with pytest.raises(Unavailable):
        await house.office.usage.save()
    registry.fails = False
    await house.office.usage.save()
    again = house.another()
    await again.load()
    assert again.usage.at(caller.credential) == house.now


@pytest.mark.parametrize("value", [b"", b"[]", b'{"a": "b"}', b"\xff", b"{" * 9])
async def test_what_cannot_be_read_is_passed_over(house: House, value: bytes) -> None:
    """It must be that damage here keeps nobody out."""
    await house.registry.put(f"{PREFIX}a", value)
    await house.registry.put(f"{PREFIX}b", b'{"b1": 7}')
    usage = Usage(house.registry, house.office.directory)
    await usage.load()
    assert usage.at("b1") == 7
