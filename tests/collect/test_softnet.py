"""The first queue of received packets.

Every name finishes the sentence "it must be that …".
"""

from __future__ import annotations

from pathlib import Path

import pytest

from monitor.collect.softnet import Softnet
from tests.collect.trees import golden, own, plant

NAME = "system.network.softnet"


def test_the_golden_file_gives_sums_of_hexadecimal_columns(tmp_path: Path) -> None:
    values = Softnet(golden(tmp_path)).collect(1.0).values
    assert values == {f"{NAME}.dropped": 13.0, f"{NAME}.squeezed": 17.0}


@pytest.mark.parametrize("text", ["", "1 2\n", "1 2 x\n", "1 " + "f" * 400 + " 3\n"])
def test_what_is_not_the_kernels_is_a_value_error(text: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"softnet_stat|literal"):
        Softnet(plant(tmp_path, {"proc/1/net/softnet_stat": text})).collect(1.0)


def test_this_machines_numbers_are_the_kernels() -> None:
    path = Path("/proc/net/softnet_stat")
    if not path.exists():
        pytest.skip("this machine has no softnet_stat")
    dropped = sum(int(line.split()[1], 16) for line in path.read_text().splitlines())
    ours = Softnet(own()).collect(1.0).values[f"{NAME}.dropped"]
    assert ours == pytest.approx(dropped, abs=1000)
