"""How much was swapped lately.

Every name finishes the sentence "it must be that …".
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from monitor.collect.paging import Paging
from monitor.collect.swapping import Churn
from tests.collect.trees import Clock, plant

HEAD = "Filename\tType\tSize\tUsed\tPriority\n"
MEMORY_BYTES = 1_000_000 * 1024.0
PAGES = MEMORY_BYTES / os.sysconf("SC_PAGE_SIZE")
"""As many pages as there is memory."""


def churn(tmp_path: Path, *swaps: str) -> Churn:
    lines = "".join(f"{name} partition 1000 0 -2\n" for name in swaps)
    meminfo = "MemTotal: 1000000 kB\n"
    return Churn(plant(tmp_path, {"proc/swaps": HEAD + lines, "proc/meminfo": meminfo}))


def test_what_moved_within_ten_minutes_counts_and_no_longer(tmp_path: Path) -> None:
    found = churn(tmp_path, "/dev/sda2")
    assert found.ratio(5 * PAGES, 0.0) == 0.0  # what was before we began says nothing of now
    assert found.ratio(5.1 * PAGES, 300.0) == pytest.approx(0.1)
    assert found.ratio(5.1 * PAGES, 599.0) == pytest.approx(0.1)
    assert found.ratio(5.1 * PAGES, 1300.0) == 0.0


def test_a_count_that_begins_anew_is_no_traffic(tmp_path: Path) -> None:
    found = churn(tmp_path, "/dev/sda2")
    found.ratio(PAGES, 0.0)
    assert found.ratio(0.0, 1.0) == 0.0


@pytest.mark.parametrize("swaps", [(), ("/dev/zram0",), ("/dev/zram0", "/dev/sda2")])
def test_without_swap_on_disk_alone_there_is_no_share(
    tmp_path: Path, swaps: tuple[str, ...]
) -> None:
    found = churn(tmp_path, *swaps)
    assert found.ratio(0.0, 0.0) is None
    assert found.ratio(PAGES, 60.0) is None


def test_paging_tells_it(tmp_path: Path) -> None:
    root, clock = (
        plant(
            tmp_path,
            {
                "proc/swaps": HEAD + "/swapfile file 1000 0 -2\n",
                "proc/meminfo": "MemTotal: 1000000 kB\n",
                "proc/vmstat": "pgfault 10\npgmajfault 1\npswpin 0\npswpout 0\n",
            },
        ),
        Clock(),
    )
    paging = Paging(root, clock)
    paging.collect(1.0)
    clock.now += 1.0
    half = int(PAGES / 2)
    plant(
        tmp_path,
        {"proc/vmstat": f"pgfault 10\npgmajfault 1\npswpin {half}\npswpout {half}\n"},
    )
    assert paging.collect(2.0).values["system.paging.churn"] == pytest.approx(1.0, rel=1e-3)
