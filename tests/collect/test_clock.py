"""The clock.  Every name finishes the sentence "it must be that …"."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from monitor.collect.clock import NANOSECONDS, UNSYNCHRONIZED, Clock, Timex, values
from monitor.collect.files import Root
from monitor.errors import Absent


@pytest.mark.parametrize(
    ("status", "offset", "expected"),
    [
        (0, 1500, (1.0, 0.0015, 0.25)),
        (NANOSECONDS, -1500, (1.0, -1.5e-6, 0.25)),
        (UNSYNCHRONIZED, 0, (0.0, 0.0, 0.25)),
        (UNSYNCHRONIZED | NANOSECONDS | 1, 0, (0.0, 0.0, 0.25)),
    ],
)
def test_units_follow_the_status(
    status: int, offset: int, expected: tuple[float, float, float]
) -> None:
    found = values(Timex(status=status, offset=offset, max_error=250_000))
    assert tuple(found.values()) == pytest.approx(expected)
    assert list(found) == [
        "system.clock.synchronized",
        "system.clock.offset",
        "system.clock.max_error",
    ]


@pytest.mark.skipif(sys.platform != "linux", reason="adjtimex")
def test_this_kernel_answers() -> None:
    collector = Clock(Root(Path("/")))
    found = collector.collect(0.0).values
    assert found["system.clock.synchronized"] in (0.0, 1.0)
    assert abs(found["system.clock.offset"]) <= 0.5
    assert 0.0 <= found["system.clock.max_error"] < 1000.0
    collector.close()


def test_another_platform_is_absent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    with pytest.raises(Absent):
        Clock(Root(Path("/"))).collect(0.0)
