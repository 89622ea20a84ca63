"""What the server knows of itself.

Every name finishes the sentence "it must be that …".
"""

from __future__ import annotations

import math
import os
from pathlib import Path

from monitor.alerting.synthetic import (
    DATA_FREE,
    DATA_UTILIZATION,
    MOST_CHANNELS,
    READERS_DROPPED,
    RELOAD_FAILED,
    SPACE_SECONDS,
    STORE_LAG,
    Own,
    Readers,
)
from monitor.model import SeriesKey, key


class Disk:
    """A disk as a test sets it, and how often it was measured."""

    def __init__(self) -> None:
        self.measured = 0
        self.is_gone = False

    def __call__(self, path: Path) -> os.statvfs_result:
        del path
        self.measured += 1
        if self.is_gone:
            raise OSError("no such disk")
        return os.statvfs_result((65536, 4096, 1000, 400, 350, 0, 0, 0, 0, 255))


def test_space_is_what_an_ordinary_user_may_write_as_df_has_it() -> None:
    found = Own(Path("/data"), Readers(), Disk()).values(0.0)
    assert found[DATA_FREE] == 350 * 4096
    assert found[DATA_UTILIZATION] == 600 / 950


def test_the_disk_is_measured_seldom_and_one_that_is_gone_is_not_known() -> None:
    disk = Disk()
    own = Own(Path("/data"), Readers(), disk)
    own.values(0.0)
    own.values(SPACE_SECONDS / 2)
    assert disk.measured == 1
    disk.is_gone = True
    assert math.isnan(own.values(SPACE_SECONDS)[DATA_FREE])


def test_a_real_disk_is_as_full_as_it_is(tmp_path: Path) -> None:
    found = Own(tmp_path, Readers()).values(0.0)
    assert found[DATA_FREE] > 0
    assert 0 < found[DATA_UTILIZATION] < 1


def test_the_rest_is_asked_for() -> None:
    readers = Readers(lambda: 12.5, lambda: {"phone": True, "mail": False}, lambda: True)
    found = Own(Path("/"), readers, Disk()).values(0.0)
    assert (found[STORE_LAG], found[RELOAD_FAILED]) == (12.5, 1.0)
    assert found[key("monitor.channel.failing", channel="phone")] == 1.0
    assert found[key("monitor.channel.failing", channel="mail")] == 0.0
    assert {SeriesKey.parse(text).name for text in found} == set(Own.METRICS)


def test_readers_that_were_let_go_count_for_ten_minutes() -> None:
    dropped = 5  # before we began
    own = Own(Path("/"), Readers(readers_dropped=lambda: dropped), Disk())
    assert own.values(0.0)[READERS_DROPPED] == 0.0
    dropped = 7
    assert own.values(60.0)[READERS_DROPPED] == 2.0
    dropped = 8
    assert own.values(400.0)[READERS_DROPPED] == 3.0
    assert own.values(661.0)[READERS_DROPPED] == 1.0
    assert own.values(1_001.0)[READERS_DROPPED] == 0.0


def test_channels_without_end_have_one() -> None:
    many = {f"c{number}": True for number in range(10 * MOST_CHANNELS)}
    found = Own(Path("/"), Readers(failing=lambda: many), Disk()).values(0.0)
    assert sum("channel" in text for text in found) == MOST_CHANNELS
