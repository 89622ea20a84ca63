"""The pages as text: aligned, bounded, and safe for a terminal."""

from __future__ import annotations

from monitor.core.headline import glances
from monitor.core.state import HostState
from monitor.model import Row, Snapshot, key
from monitor.web.fleetview import fleet
from monitor.web.hostview import host_page
from monitor.web.text import MOST_COLUMNS, escaped, fleet_text, host_text, table
from tests.web.test_views import make_host

HOSTILE = "\x1b[2J\u202eevil\r\n\x9b31m" + "x" * 300


def hostile_host() -> HostState:
    metrics = {
        "system.cpu.utilization": 0.5,
        key("system.filesystem.utilization", mountpoint=HOSTILE): 0.9,
        key("system.network.io", interface=HOSTILE, direction="receive"): 1.0,
        "system.uptime": 100.0,
    }
    host = make_host((100.0, metrics), (101.0, metrics), name=HOSTILE)
    rows: tuple[Row, ...] = (
        {"pid": 1, "name": HOSTILE, "user": HOSTILE, "cpu": 1.0, "command": HOSTILE},
    )
    host.snapshots["processes"] = Snapshot(HOSTILE, 101.0, "processes", rows)
    system = ({"os": HOSTILE, "kernel": HOSTILE},)
    host.snapshots["system"] = Snapshot(HOSTILE, 101.0, "system", system)
    return host


def require_safe(text: str) -> None:
    for line in text.removesuffix("\n").split("\n"):
        assert len(line) <= MOST_COLUMNS, line
        assert line.isprintable(), ascii(line)


def test_names_from_outside_are_inert() -> None:
    """It must be that no name moves the cursor, ends a line or widens the table."""
    host = hostile_host()
    require_safe(fleet_text(fleet(glances([host]), {}, 101.0)))
    require_safe(host_text(host_page(host, (), 101.0, "")))


def test_a_late_value_says_so() -> None:
    """It must be that a terminal shows an old number as old."""
    host = hostile_host()
    assert "50.0% (20 s ago)" in fleet_text(fleet(glances([host]), {}, 121.0))


def test_an_empty_fleet_is_a_sentence() -> None:
    """It must be that nothing is said in words."""
    assert fleet_text(fleet(glances([]), {}, 1.0)) == "No hosts yet.\n"


def test_columns_are_aligned() -> None:
    """It must be that numbers end in one column and names begin in one."""
    assert table(["HOST", "CPU"], [["a", "1 %"], ["longer", "100 %"]], left=1) == (
        "HOST      CPU\na         1 %\nlonger  100 %\n"
    )


def test_escapes_are_cut_whole() -> None:
    """It must be that a cut never leaves more than was allowed."""
    assert escaped("\n" * 50, 10) == "\\n" * 4 + "\\…"
    assert escaped("naïve ☃", 10) == "naïve ☃"
