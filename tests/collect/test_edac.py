"""Errors of memory modules.

Every name finishes the sentence "it must be that …".
"""

from __future__ import annotations

from pathlib import Path

import pytest

from monitor.collect.edac import Edac
from monitor.core.catalog import is_counter
from monitor.errors import Absent
from tests.collect.trees import plant

TOP = "sys/devices/system/edac/mc"


def test_each_controller_counts_both_kinds(tmp_path: Path) -> None:
    files = {
        f"{TOP}/mc0/ue_count": "1\n",
        f"{TOP}/mc0/ce_count": "25\n",
        f"{TOP}/mc1/ue_count": "0\n",
        f"{TOP}/mc1/ce_count": "x\n",
        f"{TOP}/power/control": "auto\n",
    }
    assert Edac(plant(tmp_path, files)).collect(1.0).values == {
        'hw.memory.errors{device="mc0",kind="uncorrectable"}': 1.0,
        'hw.memory.errors{device="mc0",kind="corrected"}': 25.0,
        'hw.memory.errors{device="mc1",kind="uncorrectable"}': 0.0,
    }
    assert is_counter("hw.memory.errors")


def test_a_machine_without_a_driver_is_absent(tmp_path: Path) -> None:
    with pytest.raises(Absent, match="memory modules"):
        Edac(plant(tmp_path, {})).collect(1.0)
