"""It must be that what was queued comes out once, in order, whatever happened in between."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from array import array
from pathlib import Path

import pytest

from monitor.forward import queue as queues
from monitor.forward.queue import POSITION, SUFFIX, Queue
from monitor.forward.reading import Window
from monitor.model import Frame, Schema

AT = 1_800_000_000.0
SCHEMA = Schema(("a", "b", "c"))
ROOM = 1 << 30


def frame(number: int, host: str = "h", schema: Schema = SCHEMA, source: str = "") -> Frame:
    values = array("d", [float(number)] * len(schema))
    return Frame(host, AT + number, schema, values, source)


def opened(folder: Path, size: int = ROOM) -> Queue:
    queue = Queue(folder, size)
    queue.open()
    return queue


def window(queue: Queue) -> Window | None:
    return queue.read(queue.segments(), queue.position)


def drained(queue: Queue) -> list[int]:
    """The numbers of all frames that wait, which are then sent."""
    found: list[int] = []
    while (next_ := window(queue)) is not None:
        found += sorted(int(at - AT) for part in next_.parts for at in part.at)
        queue.sent(next_)
    return found


def test_what_goes_in_comes_out(tmp_path: Path) -> None:
    queue = opened(tmp_path)
    queue.append([frame(1), frame(2, "other", Schema(("x",)), "scrape:node")])
    queue.append([frame(3)])
    found = window(queue)
    assert found is not None
    told = {part.stream.host: part for part in found.parts}
    assert told["h"].stream.texts == ("a", "b", "c")
    assert told["h"].at.tolist() == [AT + 1, AT + 3]
    assert told["h"].values.tolist() == [[1.0] * 3, [3.0] * 3]
    assert told["other"].stream.texts == ("x",)
    assert (found.frames, found.samples, found.oldest_at) == (3, 7, AT + 1)
    assert (queue.pending_frames, queue.pending_samples) == (3, 7)
    queue.sent(found)
    assert (queue.pending_frames, queue.pending_samples, queue.pending_bytes) == (0, 0, 0)
    assert window(queue) is None


def test_a_sender_may_change_its_columns_and_two_may_share_a_host(tmp_path: Path) -> None:
    queue = opened(tmp_path)
    other = Schema(("z",))
    queue.append([frame(1), frame(2, schema=other), frame(3), frame(4, schema=other, source="x")])
    found = window(queue)
    assert found is not None
    by_texts: dict[tuple[str, ...], list[float]] = {}
    for part in found.parts:
        by_texts.setdefault(part.stream.texts, []).extend(part.values[:, 0].tolist())
    assert by_texts == {("a", "b", "c"): [1.0, 3.0], ("z",): [2.0, 4.0]}


def test_frames_of_one_stream_are_sorted_and_an_instant_stands_once(tmp_path: Path) -> None:
    queue = opened(tmp_path)
    queue.append([frame(3), frame(1), frame(2), frame(1)])
    found = window(queue)
    assert found is not None
    assert found.parts[0].at.tolist() == [AT + 1, AT + 2, AT + 3]


def test_files_are_removed_when_they_are_sent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(queues, "LEAST_FILE_BYTES", 500)
    queue = opened(tmp_path, 4000)
    numbers = iter(range(100))
    for _ in range(3):
        for _ in range(10):
            queue.append([frame(next(numbers))])
        assert len(drained(queue)) == 10
    assert drained(queue) == []
    assert queue.pending_bytes == 0
    assert len(list(tmp_path.glob(f"*{SUFFIX}"))) <= 2
    assert queue.counts.dropped_total == 0


def test_beyond_its_bound_the_oldest_goes_and_is_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(queues, "LEAST_FILE_BYTES", 500)
    queue = opened(tmp_path, 4000)
    for number in range(500):
        queue.append([frame(number)])
        assert queue.size <= 4000
    on_disk = sum(path.stat().st_size for path in tmp_path.glob(f"*{SUFFIX}"))
    assert on_disk == queue.size
    pending = queue.pending_samples
    found = drained(queue)
    assert found == list(range(500 - len(found), 500))
    assert len(found) * 3 == pending
    assert queue.counts.dropped_total + pending == 1500
    assert queue.counts.queued_total == 1500


def test_the_position_survives_and_nothing_sent_comes_again(tmp_path: Path) -> None:
    queue = opened(tmp_path)
    queue.append([frame(1), frame(2)])
    assert drained(queue) == [1, 2]
    queue.append([frame(3)])
    again = opened(tmp_path)  # as after a kill: nothing was closed
    assert (again.pending_frames, again.pending_samples) == (1, 3)
    again.append([frame(4)])
    assert drained(again) == [3, 4]
    assert drained(opened(tmp_path)) == []


def test_without_its_position_everything_comes_again(tmp_path: Path) -> None:
    queue = opened(tmp_path)
    queue.append([frame(1)])
    assert drained(queue) == [1]
    (tmp_path / POSITION).write_bytes(b"nonsense")
    assert drained(opened(tmp_path)) == [1]


@pytest.mark.parametrize("cut", [1, 10, 33, 60])
def test_a_torn_end_costs_the_frames_that_it_tore(tmp_path: Path, cut: int) -> None:
    queue = opened(tmp_path)
    for number in range(5):
        queue.append([frame(number)])
    (path,) = tmp_path.glob(f"*{SUFFIX}")
    os.truncate(path, path.stat().st_size - cut)
    again = opened(tmp_path)
    lost = -(-cut // 45)  # a frame's record: 9 and 12 bytes before three values
    assert again.pending_frames == 5 - lost
    again.append([frame(7)])
    assert drained(again) == [*range(5 - lost), 7]


def test_a_damaged_file_costs_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queues, "LEAST_FILE_BYTES", 300)
    queue = opened(tmp_path, 2400)
    for number in range(15):
        queue.append([frame(number)])
    queue.close()
    first, *others = sorted(tmp_path.glob(f"*{SUFFIX}"))
    assert len(others) >= 2
    data = bytearray(first.read_bytes())
    data[len(data) // 2] ^= 0xFF
    first.write_bytes(bytes(data))
    again = opened(tmp_path, 2400)
    found = drained(again)
    assert found == sorted(found)
    assert found[-1] == 14
    assert 15 - 6 <= len(found) < 15
    assert again.counts.damaged_files_total == 1


def test_an_empty_file_is_no_trouble(tmp_path: Path) -> None:
    (tmp_path / f"000000000004{SUFFIX}").touch()
    (tmp_path / f"notes{SUFFIX}").touch()
    queue = opened(tmp_path)
    queue.append([frame(1)])
    assert drained(queue) == [1]


def test_a_disk_that_is_full_costs_what_does_not_fit_and_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    queue = opened(tmp_path)
    queue.append([frame(1)])
    real = os.write
    monkeypatch.setattr(os, "write", lambda file, data: real(file, data[:7]))
    queue.append([frame(2)])
    assert queue.fault == "No space left on device"
    assert queue.counts.dropped_total == 3
    monkeypatch.setattr(os, "write", real)
    queue.append([frame(3)])  # too soon after
    assert queue.counts.dropped_total == 6
    monkeypatch.setattr(queue, "_not_before", 0.0)
    queue.append([frame(4)])
    assert queue.fault == ""
    assert drained(queue) == [1, 4]
    assert drained(opened(tmp_path)) == []


def test_instants_that_cannot_be_sent_are_left_out(tmp_path: Path) -> None:
    queue = opened(tmp_path)
    queue.append([Frame("h", 5.0, SCHEMA, array("d", [1.0] * 3)), frame(1)])
    assert drained(queue) == [1]


_KILLED = """
import sys
from array import array
from pathlib import Path
from monitor.forward.queue import Queue
from monitor.model import Frame, Schema
queue = Queue(Path(sys.argv[1]), 1 << 30)
queue.open()
schema = Schema(("a", "b", "c"))
for number in range(10**9):
    queue.append([Frame("h", 1_800_000_000.0 + number, schema, array("d", [float(number)] * 3))])
    sys.stdout.write(f"{number}\\n")
    sys.stdout.flush()
"""


def test_who_is_killed_loses_nothing_that_was_queued(tmp_path: Path) -> None:
    writer = subprocess.Popen(
        [sys.executable, "-c", _KILLED, str(tmp_path)], stdout=subprocess.PIPE, text=True
    )
    assert writer.stdout is not None
    said = -1
    with writer:
        for line in writer.stdout:
            said = int(line)
            if said >= 2000:
                writer.send_signal(signal.SIGKILL)
                break
        rest = writer.stdout.read().split("\n")
    told = [int(line) for line in rest[:-1]]
    last = told[-1] if told else said
    found = drained(opened(tmp_path))
    assert found[: last + 1] == list(range(last + 1))
    assert len(found) <= last + 2
