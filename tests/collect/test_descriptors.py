"""Open file descriptors of the system.

Every name finishes the sentence "it must be that …".
"""

from __future__ import annotations

from pathlib import Path

import pytest

from monitor.collect.descriptors import Descriptors
from tests.collect.trees import golden, own, plant

NAME = "system.file_descriptors"
FILE = "proc/sys/fs/file-nr"


def test_the_golden_file_gives_these_values(tmp_path: Path) -> None:
    assert Descriptors(golden(tmp_path)).collect(1.0).values == {
        f"{NAME}.count": 4000.0,
        f"{NAME}.limit": 80000.0,
        f"{NAME}.utilization": 0.05,
    }


def test_no_limit_means_no_share(tmp_path: Path) -> None:
    values = Descriptors(plant(tmp_path, {FILE: "5\t0\t0\n"})).collect(1.0).values
    assert values == {f"{NAME}.count": 5.0, f"{NAME}.limit": 0.0}


@pytest.mark.parametrize("text", ["", "1 2\n", "1 2 3 4\n", "a b c\n"])
def test_what_is_not_the_kernels_is_a_value_error(text: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"file-nr|literal"):
        Descriptors(plant(tmp_path, {FILE: text})).collect(1.0)


def test_this_machines_numbers_are_the_kernels() -> None:
    values = Descriptors(own()).collect(1.0).values
    allocated, _, limit = map(int, Path("/", FILE).read_text().split())
    assert values[f"{NAME}.limit"] == limit
    assert values[f"{NAME}.count"] == pytest.approx(allocated, abs=2000)
