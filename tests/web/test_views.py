"""View-models: ages, order, rows and bounds, without a server."""

from __future__ import annotations

import math
from array import array
from collections.abc import Mapping

import numpy as np
import pytest

from monitor.core.headline import glances
from monitor.core.state import HostState
from monitor.model import Frame, HostStatus, Row, Schema, Snapshot, key
from monitor.web.fleetview import fleet, spark_of
from monitor.web.hosttables import PROCESSES
from monitor.web.hostview import HostPage, host_page
from monitor.web.pages import wants_text
from monitor.web.tables import Field, ordered, snapshot_table
from monitor.web.views import Reader, frozen, natural

EVIL = "<img src=x onerror=alert(1)>"


def make_host(*frames: tuple[float, Mapping[str, float]], name: str = "web-1") -> HostState:
    """A host that sent these frames, heard when they were sent."""
    host = HostState(name, {})
    for version, (at, metrics) in enumerate(frames, 1):
        host.fold(
            Frame(name, at, Schema(tuple(metrics)), array("d", metrics.values())), version, at
        )
        host.seen_at = at
    return host


def page_of(
    metrics: Mapping[str, float], tables: Mapping[str, list[Row]] | None = None
) -> HostPage:
    host = make_host((100.0, metrics), (101.0, metrics))
    for kind, rows in (tables or {}).items():
        host.snapshots[kind] = Snapshot(host.name, 101.0, kind, tuple(rows))
    return host_page(host, (), 101.5, "")


def test_a_fresh_value_has_no_age_and_a_late_one_says_it() -> None:
    """It must be that a value older than 2.5 of its periods, and 5 s, shows its age."""
    host = make_host((100.0, {"a": 1.0}), (101.0, {"a": 1.0}))
    assert Reader(host, 105.9).value("a").late == ""
    assert Reader(host, 113.0).value("a").late == "12 s"


def test_a_slow_value_is_late_by_its_own_period() -> None:
    """It must be that what is read once a minute is not late after a minute."""
    host = make_host((100.0, {"a": 1.0}), (160.0, {"a": 1.0}))
    assert Reader(host, 230.0).value("a").late == ""
    assert Reader(host, 311.0).value("a").late == "2 min"


def test_a_value_seen_once_is_not_late_at_once() -> None:
    """It must be that a period nobody knows yet is taken for the slowest usual one."""
    assert Reader(make_host((100.0, {"a": 1.0})), 120.0).value("a").late == ""


def test_a_value_that_others_outran_is_late() -> None:
    """It must be that one collector's silence shows while the host goes on sending."""
    nan = math.nan
    frames = [(100.0, {"a": 1.0, "b": 1.0}), (101.0, {"a": 1.0, "b": 1.0})]
    frames += [(float(at), {"a": 1.0, "b": nan}) for at in range(102, 112)]
    reader = Reader(make_host(*frames), 111.0)
    assert reader.value("a").late == ""
    assert reader.value("b").late == "10 s"


def test_a_frozen_copy_stays_as_it_was() -> None:
    """It must be that a page made in a thread does not see the next frame."""
    host = make_host((100.0, {"a": 1.0}))
    copy = frozen(host)
    host.fold(Frame("web-1", 101.0, Schema(("a",)), array("d", [2.0])), 2, 101.0)
    assert copy.value("a") == 1.0
    assert host.value("a") == 2.0


def test_the_fleet_has_trouble_first_then_natural_order_and_is_counted() -> None:
    """It must be that web-2 stands before web-10, what is down before all, and all are counted."""
    names = ("web-10", "web-2", "db")
    hosts = [make_host((1.0, {"a": 1.0}), name=name) for name in names]
    assert [row.name for row in fleet(glances(hosts), {}, 2.0).rows] == ["db", "web-2", "web-10"]
    hosts[0].status, hosts[1].status = HostStatus.DOWN, HostStatus.STALE
    view = fleet(glances(hosts), {}, 2.0)
    assert [row.name for row in view.rows] == ["web-10", "web-2", "db"]
    assert view.counts == {"up": 1, "stale": 1, "down": 1, "retired": 0}


def test_the_fleet_shows_the_worst_pressure_and_the_fullest_disk() -> None:
    """It must be that one number of each host is the one to look at."""
    pressure = {
        key("system.linux.pressure", kind="some", resource=resource): share
        for resource, share in (("cpu", 0.1), ("memory", 0.3), ("io", math.nan))
    }
    disks = {
        key("system.filesystem.utilization", mountpoint=mount): share
        for mount, share in (("/", 0.2), ("/home", 0.8))
    }
    view = fleet(glances([make_host((1.0, {**pressure, **disks}))]), {}, 1.0)
    found = {
        column.label: value.text
        for column, value in zip(view.columns, view.rows[0].values, strict=True)
    }
    assert found["Pressure"] == "30.0 %"
    assert found["Fullest disk"] == "80.0 %"
    assert found["CPU"] == "–"


def test_sections_without_data_are_left_out() -> None:
    """It must be that a host that sends one number has no empty tables."""
    page = page_of({"system.cpu.utilization": 0.5})
    assert [tile.label for tile in page.tiles] == ["CPU"]
    assert (page.filesystems, page.disks, page.interfaces) == (None, None, None)
    assert (page.processes, page.units, page.sensors, page.cores) == (None, None, (), ())


def test_a_new_mountpoint_has_a_blank_row_to_be_cloned() -> None:
    """It must be that the page knows how the next filesystem's row looks."""
    name = key("system.filesystem.utilization", mountpoint=EVIL)
    table = page_of(
        {name: 0.5}, {"filesystems": [{"mountpoint": EVIL, "device": "/dev/sda", "type": "ext4"}]}
    ).filesystems
    assert table is not None
    assert [row.name for row in table.rows] == [EVIL]
    assert "ext4" in table.rows[0].cells
    blank = table.blank.cells[0]
    assert not isinstance(blank, str)
    assert blank.key == 'system.filesystem.utilization{mountpoint="*"}'


def test_processes_are_sorted_as_asked_and_bounded() -> None:
    """It must be that ?sort= takes a column or its reverse, and nothing else."""
    rows: list[Row] = [
        {"pid": n, "name": f"p{n}", "user": "u", "cpu": n / 10, "rss": 100 - n, "io": None}
        for n in range(100)
    ]
    snapshot = Snapshot("web-1", 1.0, "processes", tuple(rows))

    def first(sort: str) -> str:
        table = snapshot_table(snapshot, PROCESSES, sort)
        assert table is not None
        assert len(table.rows) == 40
        assert table.left_out == 60
        return table.rows[0].cells[0][0]

    assert first("") == first("cpu") == first("no such column") == "99"
    assert first("rss") == first("-cpu") == "0"
    assert first("name") == "0"
    assert first("-name") == "99"


def test_a_row_without_the_value_is_last_either_way() -> None:
    """It must be that what permissions hide never tops the list."""
    rows: list[Row] = [{"io": None}, {"io": 5.0}, {"io": math.nan}, {"io": 7.0}, {"io": "x"}]
    field = Field("io", "Disk", "bytes")
    for descending, expected in ((True, [7.0, 5.0]), (False, [5.0, 7.0])):
        found = [row["io"] for row in ordered(rows, field, descending)]
        assert found[:2] == expected


def test_notes_say_what_was_hidden_and_not_what_is_absent() -> None:
    """It must be that a machine without sensors is not told so on every visit."""
    rows: list[Row] = [
        {"collector": "sensors", "status": "absent", "note": "no sensors"},
        {"collector": "processes", "status": "ok", "note": "hidden by permissions"},
        {"collector": "cpu", "status": "ok", "note": ""},
    ]
    assert page_of({"a": 1.0}, {"collectors": rows}).notes == {"processes": "hidden by permissions"}


def test_what_the_host_reports_as_wrong_is_said() -> None:
    """It must be that a degraded RAID and a stuck collector stand at the top, in words."""
    rows: list[Row] = [
        {"collector": "disk", "status": "stuck"},
        {"collector": "cpu", "status": "ok"},
    ]
    page = page_of({key("system.linux.raid.degraded", device="md0"): 1.0}, {"collectors": rows})
    assert page.notices == (("warn", "RAID md0 is degraded"), ("warn", "Collector disk is stuck"))


def test_a_sparkline_has_gaps() -> None:
    """It must be that a silence is no line."""
    spark = spark_of(np.array([0.0, 1.0, math.nan, 0.5]))
    assert spark.path == "M0 15.5h.01L1 0.5M3 8.0h.01"
    assert spark.label == "CPU over ten minutes: from 0.0 % to 100 %"


def test_natural_order() -> None:
    """It must be that numbers within names count as numbers, however long."""
    names = ["a10", "a9", "a", "b", "10", "9", "a9b", "a9a", "a" + "9" * 40]
    assert sorted(names, key=natural) == [
        *("a", "a9", "a9a", "a9b", "a10", "a" + "9" * 40, "b", "9", "10"),
    ]


@pytest.mark.parametrize(
    ("headers", "text"),
    [
        ({"Accept": "*/*", "User-Agent": "curl/8"}, True),
        ({}, True),
        ({"Accept": "text/plain"}, True),
        ({"Accept": "text/plain", "User-Agent": "Mozilla/5.0"}, True),
        ({"Accept": "text/plain;q=0.5, text/html"}, False),
        ({"Accept": "text/html,*/*;q=0.8"}, False),
        ({"Accept": "*/*", "User-Agent": "Mozilla/5.0 (X11)"}, False),
        ({"Accept": "*/*", "Sec-Fetch-Mode": "cors"}, False),
        ({"Accept": "application/json"}, False),
        ({"Accept": "*/*;q=0"}, False),
        ({"Accept": "text/plain;q=nan, text/html;q=abc;;=,,"}, False),
    ],
)
def test_who_gets_text(headers: dict[str, str], text: bool) -> None:
    """It must be that browsers get pages and curl gets text."""
    assert wants_text(headers) is text
