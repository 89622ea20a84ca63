"""Values of limits: people's spellings in, base units out, and back."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.core.rules.values import LARGEST, Measure, Unit, measure

UNITS = {
    "system.cpu.utilization": Measure(Unit.RATIO),
    "system.cpu.time": Measure(Unit.RATIO),
    "system.memory.usage": Measure(Unit.BYTES),
    "system.network.io": Measure(Unit.BYTES, is_rate=True),
    "system.uptime": Measure(Unit.SECONDS),
    "system.boot_time": Measure(Unit.NUMBER),
    "system.linux.raid.degraded": Measure(Unit.FLAG),
    "system.memory.oom_kills": Measure(Unit.NUMBER, is_rate=True),
    "system.disk.operation_time": Measure(Unit.NUMBER, is_rate=True),
    "hw.temperature": Measure(Unit.NUMBER),
    "app.anything": Measure(Unit.ANY),
}


def test_units() -> None:
    """It must be that a metric's unit, and whether it counts, decide how its values are written."""
    assert {name: measure(name) for name in UNITS} == UNITS
    assert measure("system.memory.usage", rate=True) == Measure(Unit.BYTES, is_rate=True)
    assert measure("system.cpu.utilization", rate=True) == Measure(Unit.RATIO, is_rate=True)


@pytest.mark.parametrize(
    ("unit", "is_rate", "written", "value"),
    [
        (Unit.RATIO, False, "90%", 0.9),
        (Unit.RATIO, False, "105%", 1.05),
        (Unit.RATIO, False, 0.5, 0.5),
        (Unit.RATIO, True, "60%/m", 0.01),
        (Unit.BYTES, False, "20GB", 20e9),
        (Unit.BYTES, False, 5, 5.0),
        (Unit.BYTES, True, "1MiB / s", 1048576.0),
        (Unit.BYTES, True, 1e6, 1e6),
        (Unit.SECONDS, False, "100ms", 0.1),
        (Unit.SECONDS, False, -2.5, -2.5),
        (Unit.FLAG, False, True, 1.0),
        (Unit.FLAG, False, 0, 0.0),
        (Unit.NUMBER, False, -40, -40.0),
        (Unit.NUMBER, True, "120/min", 2.0),
        (Unit.NUMBER, True, "86400/d", 1.0),
        (Unit.ANY, False, "50%", 0.5),
        (Unit.ANY, False, "1kB", 1000.0),
        (Unit.ANY, False, "1h", 3600.0),
        (Unit.ANY, False, "1kB/s", 1000.0),
        (Unit.ANY, True, "3600/h", 1.0),
    ],
)
def test_read(unit: Unit, is_rate: bool, written: object, value: float) -> None:
    """It must be that each spelling means what people mean by it."""
    assert Measure(unit, is_rate).read(written) == value


@pytest.mark.parametrize("unit", list(Unit), ids=lambda unit: unit.value)
@pytest.mark.parametrize("is_rate", [False, True])
@pytest.mark.parametrize(
    "written",
    [
        *(float("nan"), float("inf"), float("-inf"), 10**400, LARGEST * 2, "", " ", "5", "1e9"),
        *("1e9d", "٣%", "1_000", "0x1", "nan", "inf", "/s", "5/", "5%%", "5/s/s", "9" * 40),
        *("-5%", "-5m", "5 %%", "1" * 31 + "%", [], {}, None),
    ],
    ids=str,
)
def test_never(unit: Unit, is_rate: bool, written: object) -> None:
    """It must be that what two people would read in two ways is refused, in one short line."""
    with pytest.raises(ValueError, match="expected") as refused:
        Measure(unit, is_rate).read(written)
    assert len(str(refused.value)) < 300
    assert str(refused.value).isprintable()


@given(
    st.sampled_from([Unit.RATIO, Unit.BYTES, Unit.SECONDS, Unit.NUMBER]),
    st.booleans(),
    st.integers(0, 10**9),
)
def test_written_reads_back(unit: Unit, is_rate: bool, thousandths: int) -> None:
    """It must be that what is written of a number is that number."""
    measured = Measure(unit, is_rate)
    scale = {Unit.RATIO: 1e-5, Unit.BYTES: 1.0}.get(unit, 1e-3)
    value = thousandths * scale
    if unit is Unit.RATIO and is_rate:
        value = float(thousandths)
    assert measured.read(measured.written(value)) == pytest.approx(value, rel=1e-9, abs=1e-12)


def test_a_rate_of_bytes_has_its_unit() -> None:
    """It must be that a limit of a rate is read as a size by second, not as a bare number."""
    assert Measure(Unit.BYTES, is_rate=True).written(1_000_000.0) == "1MB/s"
    assert Measure(Unit.BYTES, is_rate=True).written(0.0) == 0
    assert Measure(Unit.BYTES, is_rate=False).written(1_000_000.0) == "1MB"
