"""What every registry does; one more entry in KINDS for each registry."""

from __future__ import annotations

import asyncio
import itertools
import math
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from monitor.errors import InputError, Unavailable
from monitor.log import watching
from monitor.ports import Checkpoint, Conflict, Deleted, Entry, Registry, Synced
from tests.log.logs import KINDS, Clock, opened


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(params=KINDS)
async def registry(
    request: pytest.FixtureRequest, tmp_path: Path, clock: Clock
) -> AsyncIterator[Registry]:
    async with opened(request.param, tmp_path, clock) as (_, made):
        yield made


async def test_a_key_has_its_newest_value_and_revisions_ascend_over_all(
    registry: Registry,
) -> None:
    assert await registry.get("a") is None
    first = await registry.create("a", b"1")
    second = await registry.put("b", b"")
    third = await registry.update("a", b"2", first)
    await registry.delete("b")
    fourth = await registry.create("b", b"again")
    assert 0 < first < second < third < fourth
    assert await registry.get("a") == Entry("a", b"2", third)
    assert await registry.get("b") == Entry("b", b"again", fourth)


async def test_creating_what_is_there_is_refused(registry: Registry) -> None:
    revision = await registry.create("a", b"1")
    with pytest.raises(Conflict) as caught:
        await registry.create("a", b"2")
    assert caught.value.last == revision
    assert await registry.get("a") == Entry("a", b"1", revision)


async def test_updating_and_deleting_need_the_newest_revision(registry: Registry) -> None:
    old = await registry.create("a", b"1")
    new = await registry.put("a", b"2")
    for revision in (old, new + 1, 0, -1):
        with pytest.raises(Conflict) as caught:
            await registry.update("a", b"3", revision)
        assert caught.value.last == new
        with pytest.raises(Conflict):
            await registry.delete("a", revision)
    await registry.delete("a", new)
    assert await registry.get("a") is None
    for revision in (new, 0):
        with pytest.raises(Conflict) as caught:
            await registry.update("a", b"3", revision)
        assert caught.value.last == 0
        with pytest.raises(Conflict):
            await registry.delete("a", revision)
    await registry.delete("a")
    await registry.delete("never there")


async def test_of_many_creators_one_is_first(registry: Registry) -> None:
    outcomes = await asyncio.gather(
        *(registry.create("a", b"%d" % n) for n in range(20)), return_exceptions=True
    )
    assert sorted(type(outcome).__name__ for outcome in outcomes) == ["Conflict"] * 19 + ["int"]


async def test_keys_are_those_that_begin_so_sorted(registry: Registry) -> None:
    for key in ("host/b", "host/a", "host", "hostile/a", "host/ü", "host/\U0001f600", "i", "gone"):
        await registry.put(key, b"x")
    await registry.delete("gone")
    assert await registry.keys("host/") == ["host/a", "host/b", "host/ü", "host/\U0001f600"]
    assert await registry.keys("host") == sorted(
        ["host", "host/a", "host/b", "host/ü", "host/\U0001f600", "hostile/a"]
    )
    assert len(await registry.keys("")) == 7
    assert await registry.keys("%") == await registry.keys("_") == []


async def test_a_value_is_at_most_256_kib(registry: Registry) -> None:
    largest = bytes(256 * 1024)
    await registry.put("a", largest)
    found = await registry.get("a")
    assert found is not None
    assert found.value == largest
    for call in (
        registry.put("a", largest + b"x"),
        registry.create("b", largest + b"x"),
        registry.update("a", largest + b"x", found.revision),
        registry.save("c", largest, {"log": 1}, 0),
    ):
        with pytest.raises(InputError):
            await call
    assert await registry.keys("") == ["a"]


@pytest.mark.parametrize("key", ["", "\ud800", "a\0b", "x" * 1_025])
async def test_a_key_that_is_no_text_is_refused(registry: Registry, key: str) -> None:
    for call in (registry.put(key, b""), registry.get(key), registry.delete(key)):
        with pytest.raises(InputError):
            await call


# Watching


async def take(watched: AsyncIterator[Entry | Synced | Deleted]) -> Entry | Synced | Deleted:
    return await asyncio.wait_for(anext(watched), 2)


async def test_a_watch_says_what_is_there_then_synced_then_changes(registry: Registry) -> None:
    one = await registry.put("x/1", b"one")
    two = await registry.put("x/2", b"two")
    await registry.put("y", b"not asked for")
    await registry.put("x/gone", b"")
    await registry.delete("x/gone")
    watched = registry.watch("x/")
    assert [await take(watched) for _ in range(3)] == [
        Entry("x/1", b"one", one),
        Entry("x/2", b"two", two),
        Synced.SYNCED,
    ]
    await registry.put("y", b"again")
    three = await registry.update("x/1", b"three", one)
    assert await take(watched) == Entry("x/1", b"three", three)
    await registry.delete("x/2")
    gone = await take(watched)
    assert isinstance(gone, Deleted)
    assert gone.key == "x/2"
    assert gone.revision > three
    four = await registry.create("x/2", b"back")
    assert await take(watched) == Entry("x/2", b"back", four)


async def test_a_watch_of_nothing_is_synced_at_once(registry: Registry) -> None:
    assert await take(registry.watch("none/")) is Synced.SYNCED


async def test_a_watcher_that_sleeps_gets_the_newest_and_what_has_gone(
    registry: Registry,
) -> None:
    await asyncio.gather(*(registry.put(f"x/{number}", b"old") for number in range(600)))
    watched = registry.watch("x/")
    seen: dict[str, bytes] = {}
    while isinstance(said := await take(watched), Entry):
        seen[said.key] = said.value
    assert said is Synced.SYNCED
    assert len(seen) == 600
    await asyncio.gather(*(registry.delete(f"x/{number}") for number in range(500)))
    # Far more deletions than are remembered, so that the watcher has to compare.
    others = [f"z/{number}" for number in range(watching.MOST_TOMBSTONES + 10)]
    await asyncio.gather(*(registry.put(key, b"") for key in others))
    await asyncio.gather(*(registry.delete(key) for key in others))
    for value in (b"newer", b"newest"):
        await registry.put("x/550", value)
    await registry.put("x/3", b"back")
    while seen.get("x/3") != b"back":
        said = await take(watched)
        if isinstance(said, Entry):
            seen[said.key] = said.value
        elif isinstance(said, Deleted):
            del seen[said.key]
    expected = {f"x/{number}": b"old" for number in range(500, 600)}
    assert seen == {**expected, "x/550": b"newest", "x/3": b"back"}


async def test_a_watch_ends_when_the_registry_is_closed(registry: Registry) -> None:
    watched = registry.watch("x")
    assert await take(watched) is Synced.SYNCED
    waiting = asyncio.ensure_future(anext(watched))
    await asyncio.sleep(0.01)
    await registry.close()
    with pytest.raises(StopAsyncIteration):
        await asyncio.wait_for(waiting, 1)


# Leases


async def test_a_lease_has_one_holder_until_it_was_watched_unrenewed(
    registry: Registry, clock: Clock
) -> None:
    assert await registry.lease("judge", "a", 10.0)
    assert not await registry.lease("judge", "b", 5.0)
    clock.now += 9.9
    assert await registry.lease("judge", "a", 10.0)
    assert not await registry.lease("judge", "b", 5.0)
    clock.now += 9.9
    assert not await registry.lease("judge", "b", 5.0)
    clock.now += 0.1
    assert await registry.lease("judge", "b", 5.0)
    assert not await registry.lease("judge", "a", 10.0)


async def test_time_in_which_nobody_watched_does_not_count(
    registry: Registry, clock: Clock
) -> None:
    assert await registry.lease("judge", "a", 10.0)
    clock.now += 1_000.0
    assert not await registry.lease("judge", "b", 10.0)
    clock.now += 10.0
    assert await registry.lease("judge", "b", 10.0)


async def test_the_same_holder_takes_its_lease_again_at_once(
    registry: Registry, clock: Clock
) -> None:
    assert await registry.lease("judge", "a", 10.0)
    clock.now += 1_000.0
    assert await registry.lease("judge", "a", 10.0)


async def test_a_lease_that_is_given_up_is_free_at_once(registry: Registry, clock: Clock) -> None:
    assert await registry.lease("judge", "a", 10.0)
    assert not await registry.lease("judge", "b", 0)
    assert not await registry.lease("judge", "c", 10.0)
    assert not await registry.lease("judge", "a", 0)
    assert await registry.get("lease/judge") is None
    assert await registry.lease("judge", "c", 10.0)
    assert not await registry.lease("other", "c", 0)


async def test_leases_are_independent_and_of_many_takers_one_has_it(registry: Registry) -> None:
    for name in ("judge", "notifier"):
        takers = [registry.lease(name, f"server-{n}", 10.0) for n in range(10)]
        assert sum(await asyncio.gather(*takers)) == 1


async def test_a_lease_that_cannot_be_read_lapses_too(registry: Registry, clock: Clock) -> None:
    for number, value in enumerate((b"", b"{}", b'["x",1e999]', b'["x",-1]', b'["x",1e300]')):
        name = f"broken-{number}"
        await registry.put(f"lease/{name}", value)
        assert not await registry.lease(name, "a", 10.0)
        clock.now += 86_400.0
        assert await registry.lease(name, "a", 10.0)


@pytest.mark.parametrize("ttl", [-1.0, math.nan, math.inf, 1e9])
async def test_a_lease_has_bounds(registry: Registry, ttl: float) -> None:
    with pytest.raises(InputError):
        await registry.lease("judge", "a", ttl)
    with pytest.raises(InputError):
        await registry.lease("judge", "", 1.0)


# Checkpoints


async def test_a_checkpoint_keeps_state_and_positions_together(registry: Registry) -> None:
    assert await registry.checkpoint("judge") == Checkpoint(b"", {}, 0)
    state = bytes(range(256))
    first = await registry.save("judge", state, {"log": 7, "frames": 2**63 - 1}, 0)
    kept = Checkpoint(state, {"log": 7, "frames": 2**63 - 1}, first)
    assert await registry.checkpoint("judge") == kept
    second = await registry.save("judge", b"", {}, first)
    assert await registry.checkpoint("judge") == Checkpoint(b"", {}, second)


async def test_a_stale_save_is_refused(registry: Registry) -> None:
    first = await registry.save("judge", b"1", {"log": 1}, 0)
    second = await registry.save("judge", b"2", {"log": 2}, first)
    for revision in (0, first, second + 1):
        with pytest.raises(Conflict) as caught:
            await registry.save("judge", b"3", {"log": 3}, revision)
        assert caught.value.last == second
    assert (await registry.checkpoint("judge")).state == b"2"


async def test_a_checkpoint_that_cannot_be_read_or_written_is_an_error(registry: Registry) -> None:
    await registry.put("checkpoint/judge", b"\xc1")
    with pytest.raises(Unavailable):
        await registry.checkpoint("judge")
    for position in itertools.chain((-1, 2**63)):
        with pytest.raises(InputError):
            await registry.save("other", b"", {"log": position}, 0)
    assert await registry.checkpoint("other") == Checkpoint(b"", {}, 0)
