"""This program's own cost.  Every name finishes the sentence "it must be that …"."""

from __future__ import annotations

import threading
from pathlib import Path

import psutil
import pytest

from monitor.collect.files import Root
from monitor.collect.own import Own


def test_it_agrees_with_psutil() -> None:
    collector = Own(Root(Path("/")))
    own = psutil.Process()
    found = collector.collect(0.0).values
    spent = own.cpu_times()
    assert found['process.cpu.time{state="user"}'] == pytest.approx(spent.user, abs=0.2)
    assert found['process.cpu.time{state="system"}'] == pytest.approx(spent.system, abs=0.2)
    assert found["process.memory.usage"] == pytest.approx(own.memory_info().rss, rel=0.05)
    # psutil counts the descriptor of its own listing too.
    assert found["process.open_file_descriptors"] == own.num_fds() - 1
    assert found["process.threads"] == own.num_threads()
    collector.close()


def test_one_more_descriptor_and_one_more_thread_are_seen(tmp_path: Path) -> None:
    collector = Own(Root(Path("/")))
    before = collector.collect(0.0).values
    end = threading.Event()
    thread = threading.Thread(target=end.wait)
    thread.start()
    with (tmp_path / "x").open("w"):
        after = collector.collect(1.0).values
    end.set()
    thread.join()
    for name in ("process.open_file_descriptors", "process.threads"):
        assert after[name] == before[name] + 1
    collector.close()
