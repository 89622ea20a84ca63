"""Processes, from a /proc of our own and from the real one.

Every name finishes the sentence "it must be that …".
"""

from __future__ import annotations

import os
import resource
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from monitor.collect import process_files, processes
from monitor.collect.files import Root
from monitor.collect.pace import Every
from monitor.collect.processes import Processes
from monitor.errors import Absent
from monitor.model import Reading, Row

HERTZ = os.sysconf("SC_CLK_TCK")
PAGE = os.sysconf("SC_PAGE_SIZE")


class Host:
    """A host's root with processes in it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        (path / "proc").mkdir()
        (path / "etc").mkdir()
        (path / "etc/passwd").write_text("root:x:0:0::/:/bin/sh\nbad\nme:x:1000:1000::/:/bin/sh\n")

    def put(
        self,
        pid: int,
        name: str = "app",
        *,
        state: str = "S",
        ticks: int = 0,
        start: int = 100,
        rss: int = 10,
        flags: int = 0,
        io: tuple[int, int] | None = (0, 0),
        command: bytes = b"app\0-v\0",
        uid: int = 1000,
        threads: int = 0,
    ) -> None:
        """Write one process, over what was there."""
        directory = self.path / f"proc/{pid}"
        directory.mkdir(exist_ok=True)
        fields = ["0"] * 50
        fields[0], fields[6], fields[11], fields[12] = state, str(flags), str(ticks), "0"
        fields[17], fields[19], fields[21] = str(threads), str(start), str(rss)
        (directory / "stat").write_bytes(f"{pid} ({name}) ".encode() + " ".join(fields).encode())
        (directory / "cmdline").write_bytes(command)
        (directory / "status").write_text(f"Name:\tx\nUid:\t0\t{uid}\t0\t0\n")
        if io is not None:
            (directory / "io").write_text(
                "rchar: 1\nwchar: 2\nsyscr: 3\nsyscw: 4\n"
                f"read_bytes: {io[0]}\nwrite_bytes: {io[1]}\ncancelled_write_bytes: 0\n"
            )

    def end(self, pid: int) -> None:
        """Remove one process."""
        shutil.rmtree(self.path / f"proc/{pid}")


OPENED: list[Processes] = []


def opened(collector: Processes) -> Processes:
    """A collector that is closed when the test ends."""
    OPENED.append(collector)
    return collector


@pytest.fixture(autouse=True)
def closing() -> Iterator[None]:
    yield
    while OPENED:
        OPENED.pop().close()


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host(tmp_path)


def descriptors() -> int:
    """How many descriptors this program has open."""
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


def by_pid(reading: Reading) -> dict[int, Row]:
    return {int(row["pid"] or 0): row for row in reading.snapshots["processes"]}


def test_processes_are_counted_by_state(host: Host) -> None:
    for pid, state in enumerate("RSSDTtZIX", 1):
        host.put(pid, state=state)
    found = opened(Processes(Root(host.path))).collect(0.0)
    assert found.values == {
        "system.processes.count": 9.0,
        'system.processes.count{state="running"}': 1.0,
        'system.processes.count{state="sleeping"}': 2.0,
        'system.processes.count{state="blocked"}': 1.0,
        'system.processes.count{state="stopped"}': 2.0,
        'system.processes.count{state="zombie"}': 1.0,
        'system.processes.count{state="idle"}': 1.0,
    }


def test_rates_are_none_at_first_and_then_of_the_time_between(host: Host) -> None:
    host.put(7, ticks=10, io=(1000, 0))
    collector = opened(Processes(Root(host.path)))
    first = by_pid(collector.collect(0.0))[7]
    assert (first["cpu"], first["io"], first["rss"]) == (None, None, 10 * PAGE)
    assert (first["name"], first["user"], first["state"]) == ("app", "me", "sleeping")
    assert first["command"] == "app -v"
    began = time.monotonic()
    time.sleep(0.2)
    host.put(7, ticks=10 + HERTZ, io=(5000, 6000))
    second = by_pid(collector.collect(1.0))[7]
    elapsed = time.monotonic() - began
    assert second["cpu"] == pytest.approx(1 / elapsed, rel=0.2)
    assert second["io"] == pytest.approx(10_000 / elapsed, rel=0.2)
    third = by_pid(collector.collect(2.0))[7]
    assert (third["cpu"], third["io"]) == (0.0, 0.0)
    collector.close()


def test_the_table_is_made_as_often_as_it_is_wanted_and_numbers_always(host: Host) -> None:
    host.put(7)
    collector = opened(Processes(Root(host.path), table_seconds=3600.0))
    assert by_pid(collector.collect(0.0)).keys() == {7}
    host.put(8)
    later = collector.collect(1.0)
    assert later.snapshots == {}
    assert later.values["system.processes.count"] == 2.0
    collector.close()


@pytest.mark.parametrize("threads", [1, 2])
def test_one_that_has_not_run_is_read_with_the_table_and_one_that_has_at_once(
    host: Host, monkeypatch: pytest.MonkeyPatch, threads: int
) -> None:
    """Of a process of several threads this is not known, and it is read each time."""
    collector = opened(Processes(Root(host.path), table_seconds=3600.0))
    ran = host.path / "proc/7/schedstat"

    def resident(rss: int, schedstat: str) -> int:
        host.put(7, rss=rss, threads=threads)
        ran.write_text(schedstat)
        collector.collect(0.0)
        return collector._processes["7"].rss_pages

    for tick in range(3):
        assert resident(10, "5 0 1\n") == 10, tick
    assert resident(11, "5 0 1\n") == (10 if threads == 1 else 11)
    assert resident(12, "6 0 2\n") == 12
    for tick in range(3):
        assert resident(12, "0 0 0\n") == 12, tick
    assert resident(13, "0 0 0\n") == 13, "this kernel does not count"
    for tick in range(3):
        assert resident(14, "7 0 3\n") == 14, tick
    monkeypatch.setattr(collector, "_table", Every(0.0))
    assert resident(15, "7 0 3\n") == 15
    ran.unlink()
    host.put(7, rss=16, start=999, threads=threads)
    assert by_pid(collector.collect(1.0))[7]["rss"] == 16 * PAGE
    collector.close()


def test_a_command_line_that_changed_is_shown(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process_files, "IDENTITY_SECONDS", -100.0)
    host.put(7, command=b"app\0-v\0")
    collector = opened(Processes(Root(host.path)))
    for command, shown in ((b"app\0-v\0", "app -v"), (b"app\0-q\0", "app -q"), (b"", "[app]")):
        host.put(7, command=command)
        assert by_pid(collector.collect(0.0))[7]["command"] == shown
    collector.close()


def test_a_number_used_again_is_another_process(host: Host) -> None:
    host.put(7, "old", ticks=1000, io=(10**9, 0))
    collector = opened(Processes(Root(host.path)))
    collector.collect(0.0)
    host.put(7, "new", ticks=2000, start=200, io=(2 * 10**9, 0), uid=0, command=b"new\0")
    row = by_pid(collector.collect(1.0))[7]
    assert (row["name"], row["cpu"], row["io"]) == ("new", None, None)
    assert (row["user"], row["command"]) == ("root", "new")
    collector.close()


def test_a_process_that_ended_is_forgotten_and_its_descriptors_given_back(host: Host) -> None:
    host.put(7)
    host.put(8)
    collector = opened(Processes(Root(host.path)))
    before = descriptors()
    collector.collect(0.0)
    assert descriptors() == before + 4
    host.end(8)
    assert collector.collect(1.0).values["system.processes.count"] == 1.0
    assert descriptors() == before + 2
    collector.close()
    assert descriptors() == before


def test_kept_descriptors_stay_below_their_share(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _: (80, 80))
    for pid in range(1, 31):
        host.put(pid)
    collector = opened(Processes(Root(host.path)))
    before = descriptors()
    for now in range(3):
        found = collector.collect(float(now))
        assert found.values["system.processes.count"] == 30.0
        assert descriptors() - before <= 10
    collector.close()
    assert descriptors() == before


def test_hidden_io_is_none_asked_once_and_said(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    host.put(7)
    asked = []
    really = process_files.ProcessFile.read

    def read(file: process_files.ProcessFile) -> bytes:
        if file.path.endswith("/io"):
            asked.append(file.path)
            raise PermissionError(13, "denied")
        return really(file)

    monkeypatch.setattr(process_files.ProcessFile, "read", read)
    collector = opened(Processes(Root(host.path)))
    for now in range(3):
        assert by_pid(collector.collect(float(now)))[7]["io"] is None
    assert len(asked) == 1
    assert "input/output of other users' processes is hidden" in collector.note
    collector.close()


def test_the_table_is_the_union_of_three_orders(host: Host) -> None:
    for pid in range(1, 101):
        host.put(pid, rss=pid)
    collector = opened(Processes(Root(host.path)))
    assert set(by_pid(collector.collect(0.0))) == set(range(86, 101))
    time.sleep(0.02)
    for pid in range(1, 21):
        host.put(pid, rss=pid, ticks=pid)
    for pid in range(31, 51):
        # One that did no work to speak of has its turn within a few ticks.
        host.put(pid, rss=pid + 1, io=(pid * 1000, 0))
    found = by_pid(collector.collect(1.0))
    assert set(found) == set(range(6, 21)) | set(range(36, 51)) | set(range(86, 101))
    assert next(iter(found)) == 20
    collector.close()


def test_names_and_titles_cannot_break_a_line_or_the_parser(host: Host) -> None:
    host.put(7, "a) R 1 (\n\x1b[31m b", command=b"x\n\x1b[31m\0--password\0hunter2\0")
    host.put(8, "kworker/0:1-ev", flags=0x0020_0000, command=b"")
    host.put(9, "gone", state="Z", command=b"")
    rows = by_pid(opened(Processes(Root(host.path))).collect(0.0))
    assert rows[7]["name"] == r"a) R 1 (\n\x1b[31m b"
    assert rows[7]["command"] == r"x\n\x1b[31m --password ***"
    assert rows[8]["command"] == "[kworker/0:1-ev]"
    assert rows[9]["command"] == "[gone]"


@pytest.mark.parametrize(
    "content", [b"", b"7", b"7 (x", b"7 (x) S", b"7 (x) " + b"z " * 50, b"\xff" * 99]
)
def test_a_stat_that_is_none_is_skipped(host: Host, content: bytes) -> None:
    host.put(7)
    host.put(8)
    (host.path / "proc/7/stat").write_bytes(content)
    (host.path / "proc/8/io").write_bytes(content)
    collector = opened(Processes(Root(host.path)))
    for now in range(2):
        assert collector.collect(float(now)).values["system.processes.count"] == 1.0


def test_command_lines_may_be_left_out(host: Host) -> None:
    host.put(7)
    row = by_pid(opened(Processes(Root(host.path), command_lines=False)).collect(0.0))[7]
    assert (row["command"], row["name"], row["user"]) == ("", "app", "me")


def test_an_unknown_user_is_a_number_and_a_new_one_is_learnt(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    host.put(7, uid=4_000_000_000)
    collector = opened(Processes(Root(host.path)))
    assert by_pid(collector.collect(0.0))[7]["user"] == "4000000000"
    with (host.path / "etc/passwd").open("a") as file:
        file.write("late:x:4000000000:1::/:/bin/sh\n")
    monkeypatch.setattr(processes, "ACCOUNTS_SECONDS", 0.0)
    assert by_pid(collector.collect(1.0))[7]["user"] == "late"


def test_a_title_changed_meanwhile_is_seen(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    host.put(7, command=b"app starting")
    collector = opened(Processes(Root(host.path)))
    collector.collect(0.0)
    host.put(7, command=b"app ready")
    assert by_pid(collector.collect(1.0))[7]["command"] == "app starting"
    monkeypatch.setattr(process_files, "IDENTITY_SECONDS", -100.0)
    assert by_pid(collector.collect(2.0))[7]["command"] == "app ready"


def test_the_command_line_of_a_blocked_process_is_not_read(host: Host) -> None:
    """Reading it would wait with it; it is read once the process goes on."""
    host.put(7, state="D", command=b"app -v\0")
    collector = opened(Processes(Root(host.path)))
    assert by_pid(collector.collect(0.0))[7]["command"] == "[app]"
    host.put(7, state="R", command=b"app -v\0")
    assert by_pid(collector.collect(1.0))[7]["command"] == "app -v"
    host.put(7, state="D", command=b"app -w\0")
    assert by_pid(collector.collect(2.0))[7]["command"] == "app -v"


def test_too_many_processes_take_turns(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "MOST_READ", 4)
    for pid in range(1, 11):
        host.put(pid)
    collector = opened(Processes(Root(host.path)))
    counts = [collector.collect(float(now)).values["system.processes.count"] for now in range(4)]
    assert counts == [4.0, 8.0, 10.0, 10.0]
    assert "10 processes" in collector.note


def test_no_proc_is_absent(tmp_path: Path) -> None:
    with pytest.raises(Absent):
        Processes(Root(tmp_path)).collect(0.0)


@pytest.mark.skipif(sys.platform != "linux", reason="/proc")
def test_it_agrees_with_psutil_about_a_real_process() -> None:
    script = "import time\nx = bytearray(80_000_000)\nwhile True: time.process_time()"
    busy = subprocess.Popen([sys.executable, "-c", script])
    collector = Processes(Root(Path("/")))
    try:
        time.sleep(0.3)
        collector.collect(0.0)
        began = time.monotonic()
        spent = sum(psutil.Process(busy.pid).cpu_times()[:2])
        time.sleep(0.5)
        row = by_pid(collector.collect(1.0))[busy.pid]
        spent = sum(psutil.Process(busy.pid).cpu_times()[:2]) - spent
        elapsed = time.monotonic() - began
        oracle = psutil.Process(busy.pid)
        assert row["rss"] == pytest.approx(oracle.memory_info().rss, rel=0.1)
        assert row["user"] == oracle.username()
        assert row["name"] == oracle.name()[:15]
        assert isinstance(row["cpu"], float)
        assert row["cpu"] == pytest.approx(spent / elapsed, abs=0.15)
        assert "bytearray" in str(row["command"])
    finally:
        busy.kill()
        busy.wait()
        collector.close()
    assert busy.pid not in by_pid(opened(Processes(Root(Path("/")))).collect(2.0))
