"""This program's own cost.  Every name finishes the sentence "it must be that …"."""

from __future__ import annotations

import threading
import time
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
    age = found['process.uptime{process="monitor"}']
    assert age == pytest.approx(time.time() - own.create_time(), abs=1.5)
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


def test_its_age_grows_with_time() -> None:
    collector = Own(Root(Path("/")))
    name = 'process.uptime{process="monitor"}'
    before, began = collector.collect(0.0).values[name], time.monotonic()
    while time.monotonic() - began < 0.05:
        time.sleep(0.01)
    after = collector.collect(1.0).values[name]
    assert 0.04 < after - before <= time.monotonic() - began + 0.01
    collector.close()
