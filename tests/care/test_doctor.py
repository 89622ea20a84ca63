"""It must be that whatever state the data are in, the doctor says so, what to do, and no more."""

from __future__ import annotations

import contextlib
import json
import math
import os
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import apsw
import pytest
from click.testing import CliRunner, Result

from monitor import bootstrap
from monitor.__main__ import main
from monitor.care.doctor import examine
from monitor.care.report import Grade, Report
from monitor.care.restore import FOLDER, NOTE, REPLACED
from monitor.log.database import Database
from monitor.store import space
from monitor.store.config import RetentionConfig
from tests.care.directories import everything, filled, raw
from tests.log.logs import event
from tests.store.series_rows import DAY, HOUR, NOW, chunk, connected, held, host
from tests.store.series_rows import filled as with_history

CONFIG = RetentionConfig()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    place = filled(tmp_path / "data")
    (place / space.BALLAST).write_bytes(b"x")
    return place


def looked_at(folder: Path, now: float = NOW + DAY, config: RetentionConfig = CONFIG) -> Report:
    """What the doctor says; it must not have changed anything."""
    before = everything(folder) if folder.is_dir() else {}
    report = examine(folder, config, now)
    after = everything(folder) if folder.is_dir() else {}
    # Whoever reads a file that has a write-ahead log makes an index of that.
    assert {n: b for n, b in after.items() if not n.endswith("-shm")} == {
        n: b for n, b in before.items() if not n.endswith("-shm")
    }
    json.dumps(report.document(), allow_nan=False)
    for finding in report.findings:
        assert finding.text.isprintable()
        assert finding.todo or finding.grade is Grade.WELL
    return report


def faults(report: Report, grade: Grade = Grade.WRONG) -> list[str]:
    """What is wrong."""
    return [f"{each.subject}: {each.text}" for each in report.findings if each.grade is grade]


def test_a_directory_that_is_well(folder: Path) -> None:
    report = looked_at(folder)
    assert report.is_well
    assert not faults(report)
    assert not faults(report, Grade.NOTE)
    assert report.lines()[-1] == "All is well."
    figures = report.document()["figures"]
    assert figures["server"] is None
    assert figures["log.db"]["quick_check"] == ["ok"]
    series = figures["series.db"]
    assert series["bytes"] == (folder / "series.db").stat().st_size
    assert series["tiers"]["raw"]["chunks"] == 4
    assert series["tiers"]["raw"]["bytes"] == sum(3_000 + number for number in (0, 5, 10, 15))
    assert (series["tiers"]["10s"]["oldest"], series["tiers"]["10s"]["ends_by"]) == (
        NOW + HOUR,
        "age",
    )
    assert series["quarantine"] == {"chunks": 0, "newest": []}
    assert series["retention_held"] is None
    assert figures["space"]["ballast"] is True


# States that are wrong


def vanished(folder: Path) -> None:
    (folder / "series.db").unlink()


def emptied(folder: Path) -> None:
    (folder / "log.db").write_bytes(b"")


def text(folder: Path) -> None:
    (folder / "log.db").write_bytes(b"dear diary\n" * 500)


def foreign(folder: Path) -> None:
    (folder / "series.db").unlink()
    raw(folder / "series.db", "CREATE TABLE theirs (x)")


def exchanged(folder: Path) -> None:
    other = filled(folder.parent / "other", "b")
    (other / "series.db").rename(folder / "series.db")


def swapped(folder: Path) -> None:
    (folder / "log.db").write_bytes((folder / "series.db").read_bytes())


def newer(folder: Path) -> None:
    raw(folder / "log.db", "PRAGMA user_version = 99")


def cut(folder: Path) -> None:
    size = (folder / "series.db").stat().st_size
    os.truncate(folder / "series.db", size // 2)


def scrambled(folder: Path) -> None:
    body = bytearray((folder / "log.db").read_bytes())
    body[8_192:16_384] = os.urandom(8_192)
    (folder / "log.db").write_bytes(body)


def without_meta(folder: Path) -> None:
    raw(folder / "series.db", "DROP TABLE meta")


def a_folder(folder: Path) -> None:
    (folder / "log.db").unlink()
    (folder / "log.db").mkdir()


def a_fifo(folder: Path) -> None:
    (folder / "series.db").unlink()
    os.mkfifo(folder / "series.db")


def put_aside(folder: Path) -> None:
    with contextlib.closing(apsw.Connection(str(folder / "series.db"))) as connection:
        connection.execute("UPDATE hosts SET name = 'a' || char(27) || '[31m'")
        for number in range(30):
            connection.execute(
                "INSERT INTO quarantine (found, host, level, keep, first, last, reason, data)"
                " VALUES (?, 1, ?, 0, ?, ?, 'its checksum' || char(10) || 'is wrong', x'00')",
                (NOW + number, number % 7, NOW, (1e300, math.inf)[number % 2]),
            )
        for last in (math.inf, -math.inf, 1e300):
            chunk(connection, 2, -math.inf, last, 10)


def interrupted(folder: Path) -> None:
    (folder / FOLDER).mkdir()
    (folder / FOLDER / NOTE).write_bytes(b"{}")


def a_bad_schema(folder: Path) -> None:
    raw(
        folder / "series.db",
        "UPDATE chunks SET schema = 7",
        "INSERT INTO schemas (id, digest, keys) VALUES (7, x'00', x'0011')",
    )


WRONG: dict[Callable[[Path], None], str] = {
    vanished: "series.db has vanished",
    emptied: "log.db has been emptied",
    text: "log.db: it is no database",
    foreign: "series.db: it is another program's database",
    exchanged: "series.instance: series.db is not the store that it names",
    swapped: "log.db: it is another program's database",
    newer: "log.db: a newer version of this program wrote it (schema 99",
    cut: "series.db: ",
    scrambled: "log.db: ",
    without_meta: "series.db: ",
    a_folder: "log.db: it cannot be looked at: Is a directory",
    a_fifo: "series.db has been emptied",
    put_aside: "damaged chunks: 30 were put aside and are shown as gaps: a\\x1b[31m ",
    interrupted: "restore: one was interrupted (decided)",
    a_bad_schema: "series.db: it cannot be made sense of: schema 7 is damaged",
}


@pytest.mark.parametrize("damage", WRONG, ids=lambda damage: damage.__name__)
def test_what_is_wrong_is_said_with_what_to_do(
    folder: Path, damage: Callable[[Path], None]
) -> None:
    damage(folder)
    report = looked_at(folder)
    assert not report.is_well
    assert any(WRONG[damage] in said for said in faults(report)), faults(report)
    assert "wrong." in report.lines()[-1]
    # The other file, and the disk, are looked at all the same.
    assert {"log.db", "series.db", "free space"} <= {each.subject for each in report.findings}


def test_what_one_may_want_is_a_note(folder: Path) -> None:
    (folder / f"log.db{REPLACED}20270101T000000Z").write_bytes(b"x" * 1_000)
    (folder / space.BALLAST).unlink()
    (folder / "series.instance").unlink()
    (folder / "instance").write_bytes(b"awoooi-monitor log 2 " + b"?" * 40)
    folder.chmod(0o755)
    report = looked_at(folder)
    notes = "\n".join(faults(report, Grade.NOTE))
    for said in ("1 files, 1kB", "is open to other users", "marker is missing", "is missing"):
        assert said in notes
    assert "instance: the marker is damaged" in notes  # the log makes a new one, and says so
    assert report.is_well


def test_a_marker_of_the_history_that_was_emptied_is_wrong(folder: Path) -> None:
    (folder / "series.instance").write_bytes(b"")  # the next start refuses it
    assert len(faults(looked_at(folder))) == 1


def test_a_directory_that_was_never_used_is_no_fault(tmp_path: Path) -> None:
    (tmp_path / "new").mkdir(mode=0o700)
    report = looked_at(tmp_path / "new")
    assert report.is_well
    assert len(faults(report, Grade.NOTE)) == 3


def test_no_directory_at_all_is_one(tmp_path: Path) -> None:
    assert faults(looked_at(tmp_path / "none")) == [
        f"data directory: {tmp_path / 'none'} is not there"
    ]
    (tmp_path / "file").touch()
    assert faults(looked_at(tmp_path / "file")) == [
        f"data directory: {tmp_path / 'file'} is no folder"
    ]


def test_retention_that_is_held_is_said(tmp_path: Path) -> None:
    place = tmp_path / "data"
    with contextlib.closing(connected(place)) as connection:
        with_history(connection, CONFIG.ages)
        was = held(connection)
    place.chmod(0o700)
    shorter = RetentionConfig(HOUR, HOUR, DAY, DAY, 30 * DAY)
    assert any("--accept-retention" in each for each in faults(looked_at(place, NOW, shorter)))
    with contextlib.closing(connected(place)) as connection:
        assert held(connection) == was


def test_beside_a_server_that_writes(folder: Path) -> None:
    """It must be that it sees what is committed, names the server, and is not in its way."""
    with (
        bootstrap.locked(folder),
        Database.open(folder) as log,
        contextlib.closing(connected(folder)) as store,
    ):
        host(store, 2)
        for number in range(10):
            log.append([event(str(number), "x")])
            chunk(store, 0, NOW + number, NOW + number, 2_000, 2, is_open=True)
            report = examine(folder, CONFIG, NOW + DAY)
            assert report.is_well
            series = report.figures["series.db"]
            assert series["open"] == {"chunks": number + 1, "bytes": 2_000 * (number + 1)}
            assert series["hosts"] == 2
            assert report.figures["server"] == os.getpid()
    assert examine(folder, CONFIG, NOW + DAY).figures["server"] is None


@pytest.mark.parametrize("name", ["log.db", "series.db"])
def test_no_damage_whatever_is_a_traceback(folder: Path, name: str) -> None:
    """It must be that any page, any header byte and any length are survived, and nothing changes.

    What is said to be well then may be: a byte that nobody uses is no damage.
    """
    drawn = random.Random(name)
    whole = (folder / name).read_bytes()
    page = int.from_bytes(whole[16:18])
    found = 0
    for number in range(len(whole) // page + 60):
        body = bytearray(whole)
        if number < len(whole) // page:
            body[number * page : (number + 1) * page] = drawn.randbytes(page)
        elif number % 3:
            body[drawn.randrange(100)] = drawn.randrange(256)
        else:
            del body[drawn.randrange(len(body)) :]
        (folder / name).write_bytes(body)
        found += not looked_at(folder).is_well
    assert found > len(whole) // page // 2


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(main, [str(each) for each in arguments])


def test_the_command_ends_with_0_or_1_and_speaks_json(folder: Path) -> None:
    result = run("doctor", "--data", folder)
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout.splitlines()[-1] == "All is well."
    vanished(folder)
    result = run("doctor", "--data", folder, "--full")
    assert result.exit_code == 1
    assert "→ put it back from a backup" in result.stdout
    said: dict[str, Any] = json.loads(run("doctor", "--json", "--data", folder).stdout)
    assert said["well"] is False
    assert {each["grade"] for each in said["findings"]} == {"ok", "wrong"}


def test_a_check_that_takes_too_long_is_given_up(tmp_path: Path) -> None:
    folder = filled(tmp_path / "data", count=400)
    report = examine(folder, CONFIG, NOW + DAY, check_seconds=-1.0)
    assert sum("was not checked to its end" in each for each in faults(report, Grade.NOTE)) == 2
    assert report.is_well
