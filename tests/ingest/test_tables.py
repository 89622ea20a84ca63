"""Tables of a push.  Every name finishes the sentence "it must be that …"."""

from __future__ import annotations

from typing import Any

import pytest

from monitor.agent.tables import PACES
from monitor.collect import subjects
from monitor.collect.config import CollectConfig
from monitor.errors import Absent, InputError
from monitor.ingest import tables
from monitor.model import Snapshot

FIRST: dict[str, dict[str, Any]] = {
    "processes": {"pid": 1, "name": "init"},
    "cgroups": {"unit": "a.service", "path": "/a.service"},
    "filesystems": {"mountpoint": "/"},
    "limits": {"pid": 1, "name": "init"},
    "system": {},
    "collectors": {"collector": "cpu"},
}
"""The least that a row of each kind says."""


def taken(kind: str, *rows: Any) -> Snapshot:
    (found,) = tables.snapshots({kind: list(rows)}, "web-1", 7.0)
    return found


def test_an_agent_sends_what_a_server_takes_and_no_more() -> None:
    assert set(FIRST) == set(PACES) == set(tables._KINDS)


def test_a_table_of_our_own_collectors_comes_back_as_it_was() -> None:
    seen = set()
    for collector in subjects.build(CollectConfig()):
        try:
            reading = collector.collect(0.0)
        except Absent:
            continue
        finally:
            collector.close()
        for kind, rows in reading.snapshots.items():
            seen.add(kind)
            found = taken(kind, *rows[: 1 if kind == "system" else 200])
            for was, row in zip(rows, found.rows, strict=False):
                # Of a process's state there is no word on the page.
                assert {**was, **row} == was
                assert set(was) - set(row) <= {"state"}
    assert {"processes", "system", "limits"} <= seen


@pytest.mark.parametrize("kind", FIRST)
def test_what_is_not_said_is_none_and_what_is_not_known_is_left_out(kind: str) -> None:
    found = taken(kind, {**FIRST[kind], "colour": "green"})
    assert (found.kind, found.at, found.host) == (kind, 7.0, "web-1")
    (row,) = found.rows
    assert {name: cell for name, cell in row.items() if cell is not None} == FIRST[kind]
    assert len(row) > len(FIRST[kind])
    assert taken(kind).rows == ()


@pytest.mark.parametrize(
    ("kind", "row", "code"),
    [
        *((kind, [], "bad_type") for kind in FIRST),
        *((kind, {}, "bad_shape") for kind in FIRST if FIRST[kind]),
        ("cgroups", {**FIRST["cgroups"], "cpu": "1"}, "bad_type"),
        ("cgroups", {**FIRST["cgroups"], "pids": True}, "bad_type"),
        ("cgroups", {**FIRST["cgroups"], "memory": float("nan")}, "non_finite"),
        ("cgroups", {**FIRST["cgroups"], "path": "x" * 4097}, "limit_name"),
        ("filesystems", {"mountpoint": 1}, "bad_type"),
        ("filesystems", {"mountpoint": "/", "options": "x" * 4097}, "limit_name"),
        ("limits", {**FIRST["limits"], "ratio": -1}, "number_range"),
        ("limits", {**FIRST["limits"], "pid": 2**53}, "number_range"),
        ("system", {"os": "x" * 257}, "limit_name"),
        ("system", {"cpus": "2"}, "bad_type"),
        ("collectors", {"collector": "cpu", "interval": 2**63}, "number_range"),
        ("collectors", {"collector": "cpu", "note": {}}, "bad_type"),
    ],
)
def test_a_cell_of_another_type_or_out_of_bounds_is_refused_by_its_place(
    kind: str, row: Any, code: str
) -> None:
    with pytest.raises(InputError) as refused:
        taken(kind, row)
    assert refused.value.code == code
    assert (refused.value.field or "").startswith(f"snapshots.{kind}[0]")


@pytest.mark.parametrize("kind", FIRST)
def test_rows_are_bounded(kind: str) -> None:
    most = 1 if kind == "system" else 200
    assert len(taken(kind, *[FIRST[kind]] * most).rows) == most
    with pytest.raises(InputError) as refused:
        taken(kind, *[FIRST[kind]] * (most + 1))
    assert (refused.value.code, refused.value.limit) == ("too_many_rows", most)


def test_a_kind_that_nobody_shows_is_refused() -> None:
    with pytest.raises(InputError) as refused:
        tables.snapshots({"processes": [], "pods": []}, "web-1", 7.0)
    assert (refused.value.code, refused.value.field) == ("unknown_snapshot", "snapshots.pods")
