"""It must be that damage costs as little as it can, and is never passed off as what was logged."""

from __future__ import annotations

import asyncio
import logging
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import apsw
import pytest

from monitor.core.messages import check
from monitor.core.state import LiveState
from monitor.errors import StartError, Unavailable
from monitor.fleet.roster import Roster
from monitor.log import opening, schema
from monitor.log.database import Database
from monitor.log.sqlite import open_log
from monitor.model import Event, EventType, RetentionClass
from monitor.stream.hub import EventPublisher
from tests.log.child import killed_while_opening
from tests.log.logs import event, names, of, opened

PAGE_BYTES = 4_096
EVERYTHING = 2.0**52


def raw(folder: Path, *statements: tuple[str, tuple[object, ...]]) -> None:
    """Change the file behind our back."""
    connection = apsw.Connection(str(folder / opening.NAME))
    for statement, values in statements:
        connection.execute(statement, values)
    connection.close()


# Whole pages


async def used(folder: Path) -> int:
    """A small store with something in every table; how many pages it has."""
    async with opened("sqlite", folder) as (log, registry):
        await log.append([event(str(n), "x", text="x" * 300) for n in range(60)], "judge", 0)
        await log.append([of(RetentionClass.HOSTS, str(n)) for n in range(20)])
        await log.erase("terminal:none")
        await log.append([event("gone", "y")])
        await log.erase("y")
        await registry.save("hosts", b"x" * 6_000, {"log": 70}, 0)
        await registry.put("a", b"b" * 5_000)
        await registry.delete("a")
    return (folder / opening.NAME).stat().st_size // PAGE_BYTES


def inverted(path: Path, page: int) -> None:
    content = bytearray(path.read_bytes())
    at = slice(page * PAGE_BYTES, (page + 1) * PAGE_BYTES)
    content[at] = bytes(255 - byte for byte in content[at])
    path.write_bytes(content)


def torn(path: Path) -> None:
    """Every fifth page but the first ten is overwritten."""
    content = bytearray(path.read_bytes())
    for at in range(10 * PAGE_BYTES, len(content), 5 * PAGE_BYTES):
        content[at : at + 512] = b"\xff" * 512
    path.write_bytes(content)


async def started(folder: Path) -> None:
    """What the server does with its log before it serves."""
    log, registry = await open_log(folder)
    hub = EventPublisher(log, LiveState(), time.time)
    try:
        await Roster(LiveState(), log, registry).restore(1.0)
        await hub.start()
    finally:
        await hub.stop()
        await log.close()
        await registry.close()


async def test_each_damaged_page_ends_the_start_with_a_sentence_or_not_at_all(
    tmp_path: Path,
) -> None:
    (tmp_path / "whole").mkdir()
    pages = await used(tmp_path / "whole")
    said: list[str] = []
    for page in range(pages):
        folder = tmp_path / str(page)
        shutil.copytree(tmp_path / "whole", folder)
        inverted(folder / opening.NAME, page)
        try:
            await started(folder)
        except StartError as error:
            said.append(error.detail)
    assert pages > len(said) > 5
    for detail in said:
        assert opening.NAME in detail
        assert "damaged" in detail
        assert "put it back from a backup" in detail


# Single events


def not_unicode(folder: Path) -> None:
    raw(
        folder,
        ("UPDATE events SET document = ?, crc = NULL WHERE sequence = 2", (b'{"a":"\xff"}',)),
    )


def no_json(folder: Path) -> None:
    raw(folder, ("UPDATE events SET document = ?, crc = NULL WHERE sequence = 2", (b'{"a"',)))


def no_object(folder: Path) -> None:
    raw(folder, ("UPDATE events SET document = ?, crc = NULL WHERE sequence = 2", (b"[1]",)))


def too_deep(folder: Path) -> None:
    deep = b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}"
    raw(folder, ("UPDATE events SET document = ?, crc = NULL WHERE sequence = 2", (deep,)))


def unknown_type(folder: Path) -> None:
    raw(folder, ("UPDATE events SET type = 'new', crc = NULL WHERE sequence = 2", ()))


def type_is_no_text(folder: Path) -> None:
    raw(
        folder,
        ("UPDATE events SET type = CAST(? AS TEXT), crc = NULL WHERE sequence = 2", (b"\xff",)),
    )


def id_is_no_text(folder: Path) -> None:
    raw(
        folder,
        ("UPDATE events SET event_id = CAST(? AS TEXT), crc = NULL WHERE sequence = 2", (b"\xff",)),
    )


def topics_unreadable(folder: Path) -> None:
    raw(folder, ("UPDATE events SET topics = ?, crc = NULL WHERE sequence = 2", (b"[\xff",)))


def another_truth(folder: Path) -> None:
    raw(
        folder,
        ("UPDATE events SET document = ? WHERE sequence = 2", (b'{"name":"b","text":"no"}',)),
    )


def another_instant(folder: Path) -> None:
    raw(folder, ("UPDATE events SET at = 9e99 WHERE sequence = 2", ()))


def other_topics(folder: Path) -> None:
    raw(folder, ("UPDATE events SET topics = ? WHERE sequence = 2", (b'["z"]',)))


def no_row(folder: Path) -> None:
    raw(folder, ("DELETE FROM events WHERE sequence = 2", ()))


FAULTS: tuple[Callable[[Path], None], ...] = (
    not_unicode,
    no_json,
    no_object,
    too_deep,
    unknown_type,
    type_is_no_text,
    id_is_no_text,
    topics_unreadable,
    another_truth,
    another_instant,
    other_topics,
)


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__)
async def test_a_damaged_event_costs_only_itself_and_is_shown_in_its_place(
    tmp_path: Path, fault: Callable[[Path], None], caplog: pytest.LogCaptureFixture
) -> None:
    async with opened("sqlite", tmp_path) as (log, _):
        for name in "abc":
            await log.append([event(name, "x", "y", text="yes")])
    fault(tmp_path)
    async with opened("sqlite", tmp_path) as (log, _):
        with caplog.at_level(logging.ERROR):
            for topics in (None, frozenset({"x"}), frozenset({"y", "none"})):
                events, searched, _ = await log.read(0, topics, 10)
                assert [found.sequence for found in events] == [1, 2, 3]
                assert searched == 3
                assert_stands_in(events[1], {"x", "y"})
                assert names([events[0], events[2]]) == ["a", "c"]
            assert (await log.read(0, frozenset({"x"}), 2))[1] == 2
        said = [record.message for record in caplog.records if "damaged" in record.message]
        assert len(said) == 1
        assert "2" in said[0]
        assert await log.erase("x") == 3
        assert await log.read(3, frozenset({"y"}), 10) == ([], 3, 3)
        with pytest.raises(Exception, match="begins after"):
            await log.read(0, frozenset({"y"}), 10)
    # A list that was altered into another one does not say where else the event stood.
    assert indexed(tmp_path) == (1 if fault is other_topics else 0)


def assert_stands_in(found: Event, topics: set[str]) -> None:
    assert found.type is EventType.NOTICE
    assert found.data["kind"] == "server"
    assert "position 2" in str(found.data["text"])
    assert "damaged" in str(found.data["text"])
    assert topics <= set(found.topics)
    assert found.event_id not in {"a", "b", "c"}
    assert 0 <= found.at < 253_402_300_800
    check(found)


def indexed(folder: Path) -> int:
    with Database.open(folder) as held:
        return int(held.connection.execute("SELECT count(*) FROM event_topics").get)


async def test_an_indexed_event_without_a_row_is_shown_as_damaged_to_who_asked_for_it(
    tmp_path: Path,
) -> None:
    async with opened("sqlite", tmp_path) as (log, _):
        for name in "abc":
            await log.append([event(name, "x")])
    no_row(tmp_path)
    async with opened("sqlite", tmp_path) as (log, _):
        events, _, _ = await log.read(0, frozenset({"x"}), 10)
        assert [found.sequence for found in events] == [1, 2, 3]
        assert_stands_in(events[1], {"x"})


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__)
async def test_a_damaged_event_can_be_let_go_of(
    tmp_path: Path, fault: Callable[[Path], None]
) -> None:
    async with opened("sqlite", tmp_path) as (log, _):
        for name in "abc":
            await log.append([event(name, "x")])
    fault(tmp_path)
    async with opened("sqlite", tmp_path) as (log, _):
        gone = 0
        for class_ in RetentionClass:
            gone += await log.trim(class_, EVERYTHING, 0)
        assert gone == 3
        assert await log.append([event("d", "x")]) == 4
        assert names((await log.read(3, frozenset({"x"}), 10))[0]) == ["d"]


@pytest.mark.parametrize("at", [0.0, -0.0, 1.0, 1_700_000_000.123456, 253_402_300_799.0])
async def test_what_was_stored_agrees_with_its_check_sum(tmp_path: Path, at: float) -> None:
    given = [
        Event(type_, ("host:ü", "b"), {"text": "\u2028\0ü", "n": [1, 2.5, None]}, at, "id 1")
        for type_ in EventType
    ]
    async with opened("sqlite", tmp_path) as (log, _):
        await log.append(given)
        events, _, _ = await log.read(0, None, 100)
        assert [found.type for found in events] == list(EventType)
        assert all(found.data == given[0].data for found in events)
    raw(tmp_path, ("UPDATE events SET crc = crc + 1", ()))
    async with opened("sqlite", tmp_path) as (log, _):
        events, _, _ = await log.read(0, None, 100)
        assert {found.event_id for found in events}.isdisjoint({"id 1"})


# From one schema to the next


def of_the_first_schema(folder: Path) -> None:
    """A store as the first version of this program made it."""
    Database.open(folder).close()
    with Database.open(folder) as held:
        held.append([event("a", "x"), event("b", "x")])
    raw(
        folder,
        ("ALTER TABLE events DROP COLUMN crc", ()),
        ("DELETE FROM meta WHERE name = 'life'", ()),
        ("PRAGMA user_version = 1", ()),
    )


async def test_a_store_of_the_first_schema_is_brought_to_ours_and_its_events_are_trusted(
    tmp_path: Path,
) -> None:
    of_the_first_schema(tmp_path)
    async with opened("sqlite", tmp_path) as (log, _):
        assert await log.append([event("c", "x")]) == 3
        assert names((await log.read(0, None, 10))[0]) == ["a", "b", "c"]
    raw(tmp_path, ("UPDATE events SET event_id = 'other'", ()))
    async with opened("sqlite", tmp_path) as (log, _):
        events, _, _ = await log.read(0, None, 10)
        assert [found.event_id for found in events[:2]] == ["other", "other"]
        assert "damaged" in str(events[2].data["text"])


def test_a_step_that_is_killed_at_any_statement_is_done_whole_by_the_next_start(
    tmp_path: Path,
) -> None:
    original = tmp_path / "original"
    original.mkdir()
    of_the_first_schema(original)
    for statements in range(100):
        folder = tmp_path / str(statements)
        shutil.copytree(original, folder)
        ended = not killed_while_opening(folder, statements)
        version = version_of(folder)
        assert version in {1, len(schema.STEPS)}
        with Database.open(folder) as held:
            assert held.connection.pragma("integrity_check") == "ok"
            assert held.connection.pragma("user_version") == len(schema.STEPS)
            columns = [row[1] for row in held.connection.execute("PRAGMA table_info(events)")]
            assert columns.count("crc") == 1
            assert held.append([event("c")]) == 3
        if ended:
            break
    assert 5 < statements < 99


def version_of(folder: Path) -> int:
    connection = apsw.Connection(str(folder / opening.NAME))
    version = int(connection.pragma("user_version"))
    columns = [row[1] for row in connection.execute("PRAGMA table_info(events)")]
    assert ("crc" in columns) is (version > 1)
    connection.close()
    return version


# While it runs


async def test_damage_that_is_found_while_it_runs_is_unavailable(tmp_path: Path) -> None:
    async with opened("sqlite", tmp_path) as (log, _):
        await log.append([event(str(n), text="x" * 500) for n in range(200)])
    torn(tmp_path / opening.NAME)
    async with opened("sqlite", tmp_path) as (log, _):
        with pytest.raises(Unavailable) as caught:
            await log.read(0, None, 1_000)
        assert (caught.value.code, caught.value.status) == ("log_damaged", 503)
        assert str(tmp_path) not in caught.value.detail


async def test_a_tail_outlives_a_log_that_is_busy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with opened("sqlite", tmp_path) as (log, _):
        await log.append([event("a")])
        real, busy = log._file.read, 3  # type: ignore[attr-defined]

        async def read(work: Callable[[apsw.Connection], object]) -> object:
            nonlocal busy
            busy -= 1
            if busy >= 0:
                raise Unavailable("somebody else", code="log_busy")
            return await real(work)

        monkeypatch.setattr(log._file, "read", read)  # type: ignore[attr-defined]
        pages = log.tail(0)
        async with asyncio.timeout(5):
            assert names(list(await anext(pages))) == ["a"]
            assert busy < 0
            busy = 2**30
            with Database.open(tmp_path) as other:
                waiting = asyncio.ensure_future(anext(pages))
                await asyncio.sleep(0.3)
                other.append([event("b")])
            await asyncio.sleep(0.3)
            assert not waiting.done()
            busy = 0
            assert names(list(await waiting)) == ["b"]
            busy = 2**30
            waiting = asyncio.ensure_future(anext(pages))
            await asyncio.sleep(0.1)
            await log.close()
            with pytest.raises(StopAsyncIteration):
                await waiting
