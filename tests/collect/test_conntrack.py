"""Tracked connections.

Every name finishes the sentence "it must be that …".
"""

from __future__ import annotations

from pathlib import Path

import pytest

from monitor.collect.conntrack import Conntrack
from monitor.errors import Absent
from tests.collect.trees import golden, own, plant

NAME = "system.network.conntrack"
COUNT = "proc/sys/net/netfilter/nf_conntrack_count"
MAX = "proc/sys/net/netfilter/nf_conntrack_max"


def test_below_another_root_the_hosts_own_count_is_taken(tmp_path: Path) -> None:
    assert Conntrack(golden(tmp_path)).collect(1.0).values == {
        f"{NAME}.count": 1000.0,
        f"{NAME}.max": 4000.0,
        f"{NAME}.utilization": 0.25,
    }


def test_without_that_table_the_plain_count_stands_in(tmp_path: Path) -> None:
    root = golden(tmp_path)
    (tmp_path / "proc/1/net/stat/nf_conntrack").unlink()
    assert Conntrack(root).collect(1.0).values[f"{NAME}.count"] == 7.0


def test_no_limit_means_no_share(tmp_path: Path) -> None:
    values = Conntrack(plant(tmp_path, {COUNT: "5\n", MAX: "0\n"})).collect(1.0).values
    assert values == {f"{NAME}.count": 5.0, f"{NAME}.max": 0.0}


def test_a_module_that_is_not_loaded_is_absent(tmp_path: Path) -> None:
    with pytest.raises(Absent, match="nf_conntrack is not loaded"):
        Conntrack(plant(tmp_path, {"proc/stat": ""})).collect(1.0)


def test_this_machines_numbers_are_the_kernels() -> None:
    if not Path("/", MAX).exists():
        pytest.skip("this machine tracks no connections")
    values = Conntrack(own()).collect(1.0).values
    assert values[f"{NAME}.max"] == int(Path("/", MAX).read_text())
    assert values[f"{NAME}.count"] == pytest.approx(int(Path("/", COUNT).read_text()), abs=1000)
