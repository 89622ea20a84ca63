"""Pressure stall information.

Every name finishes the sentence "it must be that …".
"""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from monitor.collect import files
from monitor.collect.pressure import Pressure
from monitor.errors import Absent
from monitor.model import key
from tests.collect.trees import golden, own, plant

NAME = "system.linux.pressure"


def test_the_golden_files_give_these_values(tmp_path: Path) -> None:
    values = Pressure(golden(tmp_path)).collect(1.0).values
    assert values[key(NAME, kind="some", resource="cpu")] == 0.125
    assert values[key(f"{NAME}.avg60", kind="some", resource="cpu")] == 0.0625
    assert values[key(f"{NAME}.avg300", kind="some", resource="cpu")] == 0.01
    assert values[key(f"{NAME}.time", kind="some", resource="cpu")] == 123.456789
    assert values[key(NAME, kind="full", resource="io")] == 0.3
    assert values[key(f"{NAME}.time", kind="full", resource="memory")] == 2.5
    assert values[key(NAME, kind="full", resource="irq")] == 0.0002
    assert key(NAME, kind="some", resource="irq") not in values
    assert len(values) == 7 * 4


def test_a_kernel_that_refuses_says_how_to_switch_it_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(descriptor: int) -> bytes:
        raise OSError(errno.EOPNOTSUPP, "not supported")

    root = golden(tmp_path)
    monkeypatch.setattr(files, "_read_all", refuse)
    pressure = Pressure(root)
    with pytest.raises(Absent, match="switched off: boot with psi=1"):
        pressure.collect(1.0)
    monkeypatch.undo()
    assert pressure.collect(2.0).values


def test_another_error_is_not_taken_for_absence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(descriptor: int) -> bytes:
        raise OSError(errno.EIO, "input/output error")

    root = golden(tmp_path)
    monkeypatch.setattr(files, "_read_all", fail)
    with pytest.raises(OSError, match="input/output"):
        Pressure(root).collect(1.0)


def test_one_resource_alone_is_shown_alone(tmp_path: Path) -> None:
    line = "some avg10=1.00 avg60=2.00 avg300=3.00 total=4\n"
    values = Pressure(plant(tmp_path, {"proc/pressure/io": line})).collect(1.0).values
    assert list(values.values()) == [0.01, 0.02, 0.03, 0.000004]


@pytest.mark.parametrize(
    "line",
    [
        "none avg10=1 avg60=2 avg300=3 total=4\n",
        "some avg10=1 avg60=2 total=4\n",
        "some avg10=nan avg60=2 avg300=3 total=4\n",
        "some avg10 avg60=2 avg300=3 total=4\n",
        "some avg10=1 avg60=2 avg300=3 total=4\n" * 50,
    ],
)
def test_what_is_not_the_kernels_is_a_value_error(line: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"pressure|convert"):
        Pressure(plant(tmp_path, {"proc/pressure/cpu": line})).collect(1.0)


def test_this_machines_numbers_are_the_kernels() -> None:
    path = Path("/proc/pressure/memory")
    if not path.exists():
        pytest.skip("this kernel does not measure pressure")
    values = Pressure(own()).collect(1.0).values
    words = dict(pair.split("=") for pair in path.read_text().splitlines()[0].split()[1:])
    ours = values[key(f"{NAME}.avg300", kind="some", resource="memory")]
    assert ours == pytest.approx(float(words["avg300"]) / 100, abs=0.05)
    ours = values[key(f"{NAME}.time", kind="some", resource="memory")]
    assert ours == pytest.approx(int(words["total"]) / 1e6, abs=2.0)
