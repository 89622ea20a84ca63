"""The spool on disk.  Every name finishes the sentence "it must be that …"."""

from __future__ import annotations

import math
import os
import shutil
import signal
import sqlite3
import stat
import subprocess
import sys
import time
import zlib
from array import array
from pathlib import Path

import pytest

from monitor.agent import spoolfile
from monitor.agent.spoolfile import FILE, PAGE_BYTES, Bounds, Kept, SpoolFile
from monitor.errors import StartError
from monitor.model import Schema
from tests.serving import ROOT

SCHEMA = Schema(("a", "b", 'c{x="1"}'))
WIDE = Schema(tuple(f"wide.{n}" for n in range(400)))
BOUNDS = Bounds(50_000_000, 86_400.0)


def _frame(number: int, at: float | None = None, schema: Schema = SCHEMA) -> Kept:
    # Noise, so that what is bounded by size cannot be compressed away.
    values = array("d", [math.sin(number * 1000 + column) for column in range(len(schema))])
    return Kept(number, time.time() if at is None else at, schema, values)


def _all(spool: SpoolFile) -> list[Kept]:
    first, last = spool.numbers()
    found: list[Kept] = []
    while last and (part := spool.read(first, last, 100)):
        found += part
        first = part[-1].number + 1
    return found


@pytest.mark.parametrize("is_brief", [False, True])
def test_frames_come_back_as_they_were(tmp_path: Path, *, is_brief: bool) -> None:
    spool = SpoolFile(tmp_path / "new" / "spool", BOUNDS)
    assert spool.numbers() == (0, 0)
    values = array("d", [1.5, math.nan, 2.0**60])
    now = time.time()
    spool.write([Kept(1, now, SCHEMA, values, b"tables" * 9)], is_brief=is_brief)
    spool.write([_frame(2), _frame(3)])
    spool.close()
    spool = SpoolFile(tmp_path / "new" / "spool", BOUNDS)
    kept, *more = spool.read(1, 9, 60)
    assert (kept.number, kept.at, kept.tables) == (1, now, b"tables" * 9)
    assert kept.schema.texts == SCHEMA.texts
    assert kept.values.tobytes() == values.tobytes()
    assert [each.number for each in more] == [2, 3]
    assert spool.numbers() == (1, 3)
    spool.close()


def test_what_is_done_goes_with_the_next_frame(tmp_path: Path) -> None:
    spool = SpoolFile(tmp_path, BOUNDS)
    spool.write([_frame(n) for n in range(1, 11)])
    spool.write([_frame(11)], [(1, 4), (6, 9)])
    assert [each.number for each in _all(spool)] == [5, 10, 11]
    spool.close()


def test_a_reading_has_one_schema(tmp_path: Path) -> None:
    spool = SpoolFile(tmp_path, BOUNDS)
    spool.write([_frame(1), _frame(2), _frame(3, schema=WIDE), _frame(4)])
    assert [each.number for each in spool.read(1, 9, 60)] == [1, 2]
    assert [each.number for each in spool.read(3, 9, 60)] == [3]
    assert [each.number for each in spool.read(4, 9, 60)] == [4]
    assert spool.read(5, 9, 60) == []
    spool.close()


def test_the_identity_lasts_and_all_of_it_is_its_owners(tmp_path: Path) -> None:
    folder = tmp_path / "spool"
    spool = SpoolFile(folder, BOUNDS)
    identity = spool.agent
    spool.close()
    (folder / FILE).write_bytes(b"rubbish" * 1000)
    spool = SpoolFile(folder, BOUNDS)
    assert spool.agent == identity
    spool.close()
    assert SpoolFile(tmp_path / "other", BOUNDS).agent != identity
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_two_agents_never_share_a_spool(tmp_path: Path) -> None:
    spool = SpoolFile(tmp_path, BOUNDS)
    with pytest.raises(StartError, match="another agent"):
        SpoolFile(tmp_path, BOUNDS)
    spool.close()
    SpoolFile(tmp_path, BOUNDS).close()


def test_a_folder_that_cannot_be_used_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StartError, match="cannot be used"):
        SpoolFile(tmp_path / "file" / "spool", BOUNDS)


def test_the_size_is_bounded_and_the_oldest_go_first(tmp_path: Path) -> None:
    bounds = Bounds(1_000_000, 86_400.0)
    spool = SpoolFile(tmp_path, bounds)
    for number in range(1, 1001):
        spool.write([_frame(number, schema=WIDE)])
    left = _all(spool)
    numbers = [each.number for each in left]
    assert numbers == list(range(numbers[0], 1001))
    assert numbers[0] > 1
    assert spool.dropped["size"] == numbers[0] - 1
    # Between two looks at the bound so many writes may come on top.
    assert spool.size_bytes() <= bounds.size_bytes + 20 * 2 * PAGE_BYTES
    spool.close()
    assert sum(each.stat().st_size for each in tmp_path.iterdir()) < 2_500_000


def test_what_is_too_old_goes(tmp_path: Path) -> None:
    spool = SpoolFile(tmp_path, Bounds(50_000_000, 3600.0))
    now = time.time()
    spool.write([_frame(n, now - 7200 + n) for n in range(1, 201)])
    for number in range(201, 320):
        spool.write([_frame(number, now)])
    assert [each.number for each in _all(spool)] == list(range(201, 320))
    assert spool.dropped["age"] == 200
    spool.close()


def test_the_disk_gets_back_what_a_backlog_took(tmp_path: Path) -> None:
    spool = SpoolFile(tmp_path, BOUNDS)
    for start in range(1, 3001, 100):
        spool.write([_frame(start + n, schema=WIDE) for n in range(100)])
    spool.write([], [(1, 3000)])
    for number in range(3001, 4200):
        spool.write([_frame(number)], [(number - 1, number - 1)])
    spool.close()
    assert (tmp_path / FILE).stat().st_size < 4_000_000


@pytest.mark.parametrize("damage", ["header", "middle", "empty", "short"])
def test_a_damaged_file_is_put_aside_and_it_begins_anew(tmp_path: Path, damage: str) -> None:
    spool = SpoolFile(tmp_path, BOUNDS)
    spool.write([_frame(n, schema=WIDE) for n in range(1, 200)])
    spool.close()
    content = bytearray((tmp_path / FILE).read_bytes())
    if damage == "header":
        content[:100] = bytes(100)
    elif damage == "middle":
        for page in range(1, len(content) // PAGE_BYTES, 2):
            content[page * PAGE_BYTES : page * PAGE_BYTES + 64] = b"\xee" * 64
    elif damage == "short":
        del content[PAGE_BYTES * 3 + 17 :]
    else:
        content.clear()
    (tmp_path / FILE).write_bytes(content)
    spool = SpoolFile(tmp_path, BOUNDS)
    if damage != "empty":  # which is a spool that is empty
        assert any("put aside" in note for note in spool.notes)
        assert len(list(tmp_path.glob(f"{FILE}.damaged-*"))) == 1
    assert spool.numbers() == (0, 0)
    spool.write([_frame(7)])
    assert [each.number for each in _all(spool)] == [7]
    spool.close()


def test_damage_at_work_is_mended_and_only_one_damaged_file_is_kept(tmp_path: Path) -> None:
    spool = SpoolFile(tmp_path, BOUNDS)
    for life in (1, 2):
        spool.write([_frame(n, schema=WIDE) for n in range(1, 400)])
        spool._database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        spool._database.execute("PRAGMA cache_size=0")
        path = tmp_path / FILE
        content = bytearray(path.read_bytes())
        content[PAGE_BYTES:] = b"\xee" * (len(content) - PAGE_BYTES)
        path.write_bytes(content)
        spool._database.execute("PRAGMA cache_size=-256")
        spool.notes.clear()
        assert spool.read(1, 500, 60) == []
        assert len(spool.notes) == 1, life
        spool.write([_frame(900 + life)])
        assert [each.number for each in _all(spool)] == [900 + life]
    aside = [
        each for each in tmp_path.glob(f"{FILE}.damaged-*") if not each.name.endswith(("l", "m"))
    ]
    assert len(aside) == 1
    spool.close()


def test_a_damaged_frame_costs_itself_alone(tmp_path: Path) -> None:
    spool = SpoolFile(tmp_path, BOUNDS)
    spool.write([_frame(n) for n in range(1, 100)])
    spool.close()
    with sqlite3.connect(tmp_path / FILE) as database:
        database.execute("UPDATE frames SET row = x'00' WHERE number BETWEEN 1 AND 70")
        database.execute("UPDATE frames SET schema = 99 WHERE number = 80")
    database.close()
    spool = SpoolFile(tmp_path, BOUNDS)
    expected = [*range(71, 80), *range(81, 100)]
    assert [each.number for each in _all(spool)] == expected
    assert spool.dropped["damage"] == 71
    assert [each.number for each in _all(spool)] == expected
    spool.close()


def test_a_file_of_a_later_layout_is_put_aside(tmp_path: Path) -> None:
    SpoolFile(tmp_path, BOUNDS).close()
    with sqlite3.connect(tmp_path / FILE) as database:
        database.execute("PRAGMA user_version=2")
    database.close()
    spool = SpoolFile(tmp_path, BOUNDS)
    assert "layout" in spool.notes[0]
    spool.close()


def test_a_full_disk_costs_the_oldest_and_then_is_said(tmp_path: Path) -> None:
    spool = SpoolFile(tmp_path, BOUNDS)
    spool.write([_frame(n, schema=WIDE) for n in range(1, 301)])
    pages = spool._pragma("page_count")
    spool._database.execute(f"PRAGMA max_page_count={pages}")
    for number in range(301, 500):
        spool.write([_frame(number, schema=WIDE)])
    assert spool.numbers()[1] == 499
    assert spool.dropped["size"] > 0
    many = [_frame(n, schema=WIDE) for n in range(1000, 2000)]
    with pytest.raises(OSError, match="cannot be written"):
        spool.write(many)
    spool._database.execute(f"PRAGMA max_page_count={pages * 100}")
    spool.write(many)
    assert spool.numbers()[1] == 1999
    spool.close()


def test_schemas_that_nothing_has_any_more_are_forgotten(tmp_path: Path) -> None:
    spool = SpoolFile(tmp_path, BOUNDS)
    for number in range(1, 350):
        schema = Schema((f"only.{number}",))
        spool.write([_frame(number, schema=schema)], [(number - 5, number - 5)])
    assert spool._database.execute("SELECT count(*) FROM schemas").fetchone()[0] < 150
    assert len(spool._schemas) < 150
    assert [each.number for each in _all(spool)] == list(range(345, 350))
    spool.close()


_WRITER = """
import sys, time
from array import array
from pathlib import Path
from monitor.agent.spoolfile import Bounds, Kept, SpoolFile
from monitor.model import Schema
spool = SpoolFile(Path(sys.argv[1]), Bounds(50_000_000, 86_400.0))
number = spool.numbers()[1]
schema = Schema(("a", "b"))
while True:
    number += 1
    done = [(number - 20, number - 20)] if number % 3 else []
    spool.write([Kept(number, time.time(), schema, array("d", [number, 0.5]))], done)
    print(number, flush=True)
"""


def test_a_killed_writer_has_lost_nothing_that_it_kept(tmp_path: Path) -> None:
    for _ in range(6):
        writer = subprocess.Popen(
            [sys.executable, "-c", _WRITER, str(tmp_path)],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert writer.stdout is not None
        said = [int(writer.stdout.readline()) for _ in range(50)]
        os.kill(writer.pid, signal.SIGKILL)
        said += [int(line) for line in writer.stdout.read().split("\n")[:-1]]
        writer.wait()
        writer.stdout.close()
        spool = SpoolFile(tmp_path, BOUNDS)
        kept = {each.number: each.values[0] for each in _all(spool)}
        spool.close()
        assert set(range(said[-1] - 10, said[-1] + 1)) <= set(kept)
        assert all(number == value for number, value in kept.items())
        assert not spool.notes


@pytest.mark.parametrize(
    "damage",
    ["keys = x'00'", "keys = 'text'", "digest = CAST(x'98ff' AS TEXT)", "digest = x'98'"],
)
def test_a_damaged_schema_costs_its_frames_and_no_others(tmp_path: Path, damage: str) -> None:
    spool = SpoolFile(tmp_path, BOUNDS)
    spool.write([_frame(n) for n in range(1, 2_501)])
    spool.write([_frame(2_501, schema=WIDE)])
    spool.close()
    with sqlite3.connect(tmp_path / FILE) as database:
        database.execute(f"UPDATE schemas SET {damage} WHERE id = 1")
    database.close()
    spool = SpoolFile(tmp_path, BOUNDS)
    # Far more reads than a stack is deep.
    assert [each.number for each in spool.read(1, 9_999, 2)] == [2_501]
    assert spool.dropped["damage"] == 2_500
    spool.write([_frame(2_502)])
    assert len(spool.notes) == 1
    assert [each.schema.texts for each in _all(spool)] == [WIDE.texts, SCHEMA.texts]
    assert spool.dropped["size"] == 0
    spool.close()


@pytest.mark.parametrize("taken", ["file", "folder"])
def test_a_spool_that_is_taken_away_is_put_back(tmp_path: Path, taken: str) -> None:
    folder = tmp_path / "spool"
    spool = SpoolFile(folder, BOUNDS)
    spool.write([_frame(n) for n in range(1, 11)])
    if taken == "file":
        (folder / FILE).unlink()
    else:
        shutil.rmtree(folder)
    spool.write([_frame(11)], [(1, 3)])
    assert any("removed" in note for note in spool.notes)
    agent = spool.agent
    with pytest.raises(StartError):
        SpoolFile(folder, BOUNDS)
    spool.close()
    again = SpoolFile(folder, BOUNDS)
    assert [each.number for each in _all(again)] == [*range(4, 12)]
    assert again.agent == agent
    again.close()


def test_a_folder_that_another_agent_has_meanwhile_is_left_to_it(tmp_path: Path) -> None:
    folder = tmp_path / "spool"
    spool = SpoolFile(folder, BOUNDS)
    spool.write([_frame(1)])
    shutil.rmtree(folder)
    other = SpoolFile(folder, BOUNDS)
    other.write([_frame(7)])
    with pytest.raises(OSError, match="another agent"):
        spool.write([_frame(2)])
    spool.close()
    assert [each.number for each in _all(other)] == [7]
    other.close()


def test_a_clock_that_jumps_ahead_does_not_empty_the_spool(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spool = SpoolFile(tmp_path, BOUNDS)
    spool.write([_frame(n) for n in range(1, 2_001)])
    years = time.time() + 1e9
    monkeypatch.setattr(time, "time", lambda: years)
    for number in range(2_001, 2_101):
        spool.write([_frame(number)])
    assert spool.dropped["age"] == 0
    spool.close()
    # One that starts so does not know better, and takes its time.
    spool = SpoolFile(tmp_path, BOUNDS)
    for number in range(2_101, 2_201):
        spool.write([_frame(number)])
    assert spool.count() >= 1_900
    spool.close()


def test_a_disk_that_fails_otherwise_costs_no_frames(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spool = SpoolFile(tmp_path, BOUNDS)
    spool.write([_frame(n) for n in range(1, 201)])
    fault = sqlite3.OperationalError("disk I/O error")
    fault.sqlite_errorcode = sqlite3.SQLITE_IOERR

    def fail(*_: object) -> None:
        raise fault

    with monkeypatch.context() as failing:
        failing.setattr(spool, "_write", fail)
        with pytest.raises(OSError, match="I/O"):
            spool.write([_frame(201)])
    assert spool.count() == 200
    spool.close()


@pytest.mark.parametrize("size", [0, 1, 65_535, 65_536, 200_000])
def test_what_is_kept_briefly_is_read_as_what_is_compressed(size: int) -> None:
    content = bytes(number % 251 for number in range(size))
    assert zlib.decompress(spoolfile._stored(content)) == content


def test_damage_is_seen_in_what_is_kept_briefly_too() -> None:
    stored = spoolfile._stored(bytes(2000))
    with pytest.raises(zlib.error):
        zlib.decompress(stored[:1000] + b"\x01" + stored[1001:])


@pytest.mark.parametrize("damage", ["row = 'text'", "row = 7", "at = x'00'", "tables = 1.5"])
def test_a_cell_of_another_type_costs_its_frame_alone(tmp_path: Path, damage: str) -> None:
    spool = SpoolFile(tmp_path, BOUNDS)
    spool.write([_frame(n) for n in range(1, 4)])
    spool.close()
    with sqlite3.connect(tmp_path / FILE) as database:
        database.execute(f"UPDATE frames SET {damage} WHERE number = 2")
    database.close()
    spool = SpoolFile(tmp_path, BOUNDS)
    assert [each.number for each in _all(spool)] == [1, 3]
    spool.close()


def test_on_a_full_disk_it_begins_and_is_whole_again_once_there_is_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spool = SpoolFile(tmp_path, BOUNDS)
    spool.write([_frame(n) for n in range(1, 11)])
    spool.close()
    fault = sqlite3.OperationalError("disk I/O error")
    fault.sqlite_errorcode = sqlite3.SQLITE_IOERR

    def fail(*_: object) -> None:
        raise fault

    with monkeypatch.context() as full:
        full.setattr(SpoolFile, "_prepare", fail)
        spool = SpoolFile(tmp_path, BOUNDS)
        first, last = spool.numbers()
        assert first == 1
        assert last >= 10
        with pytest.raises(OSError, match="I/O"):
            spool.write([_frame(last + 1)])
        with pytest.raises(OSError, match="read"):
            spool.read(first, last, 60)
    spool.write([_frame(last + 1), _frame(last + 2)])
    assert [each.number for each in _all(spool)] == [*range(1, 11), last + 1, last + 2]
    spool.close()


def test_a_damaged_file_on_a_full_disk_is_begun_anew_once_there_is_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spool = SpoolFile(tmp_path, BOUNDS)
    spool.write([_frame(1)])
    fault = sqlite3.OperationalError("database or disk is full")
    fault.sqlite_errorcode = sqlite3.SQLITE_FULL
    damage = sqlite3.DatabaseError("database disk image is malformed")
    damage.sqlite_errorcode = sqlite3.SQLITE_CORRUPT

    def fail(*_: object) -> None:
        raise fault

    def find_damage(*_: object) -> None:
        raise damage

    with monkeypatch.context() as full:
        full.setattr(SpoolFile, "_prepare", fail)
        with monkeypatch.context() as found:
            found.setattr(spool, "_write", find_damage)
            with pytest.raises(OSError, match="full"):
                spool.write([_frame(2)])
        with pytest.raises(OSError, match="full"):
            spool.write([_frame(2)])
    spool.write([_frame(2)])
    assert [each.number for each in _all(spool)] == [2]
    spool.close()
