"""Which tables go when.  Every name finishes the sentence "it must be that …"."""

from __future__ import annotations

import math

import msgpack  # type: ignore[import-untyped]
import pytest

from monitor.agent.tables import Tables, kinds, newest, packed, without
from monitor.model import Row, Snapshot


def _snapshot(kind: str, *rows: Row) -> Snapshot:
    return Snapshot("web-1", 0.0, kind, rows)


def _sent(tables: Tables, seconds: int, *, is_heard: bool = True) -> dict[str, list[int]]:
    """When each kind went, with rows each second of which only facts stay the same."""
    found: dict[str, list[int]] = {}
    for at in range(seconds):
        tables.take(
            [
                _snapshot("processes", {"pid": at}),
                _snapshot("cgroups", {"unit": "a", "cpu": at}),
                _snapshot("system", {"os": "linux"}),
                _snapshot("pods", {"pod": "a"}),
            ]
        )
        for kind in kinds(tables.due(float(at), is_heard=is_heard)):
            found.setdefault(kind, []).append(at)
    return found


def test_each_kind_has_its_pace_and_what_did_not_change_goes_once_a_minute() -> None:
    found = _sent(Tables(), 130)
    assert found == {
        "processes": list(range(0, 130, 5)),
        "cgroups": list(range(0, 130, 10)),
        "system": [0, 60, 120],
    }


def test_what_nobody_hears_is_kept_less_often_but_for_processes() -> None:
    found = _sent(Tables(), 130, is_heard=False)
    assert found["processes"] == list(range(0, 130, 5))
    assert found["cgroups"] == found["system"] == [0, 60, 120]


def test_facts_that_changed_go_at_once() -> None:
    tables = Tables()
    _sent(tables, 20)
    assert tables.due(20.0, is_heard=True) is not None
    tables.take([_snapshot("system", {"os": "another"})])
    assert msgpack.unpackb(tables.due(21.0, is_heard=True)) == {"system": [{"os": "another"}]}
    assert tables.due(22.0, is_heard=True) is None


def test_all_go_after_a_connection_was_made_and_the_beat_stays() -> None:
    tables = Tables()
    assert tables.due(0.0, is_heard=True) is None
    _sent(tables, 13)
    tables.due(13.0, is_heard=True)
    tables.renew()
    assert kinds(tables.due(13.0, is_heard=True)) == {"processes", "cgroups", "system"}
    tables.take([_snapshot("processes", {"pid": 15})])
    assert kinds(tables.due(15.0, is_heard=True)) == {"processes"}


def test_a_clock_that_goes_back_stops_nothing() -> None:
    tables = Tables()
    tables.take([_snapshot("processes", {"pid": 1})])
    assert tables.due(1e9, is_heard=True) is not None
    tables.take([_snapshot("processes", {"pid": 2})])
    assert tables.due(1.0, is_heard=True) is not None


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_number_that_is_none_is_null_and_rows_are_bounded(value: float) -> None:
    found = msgpack.unpackb(packed({"cgroups": [{"unit": "a", "cpu": value}] * 300}))
    assert found == {"cgroups": [{"unit": "a", "cpu": None}] * 200}


def test_tables_are_put_together_and_taken_out_by_kind() -> None:
    first, second = packed({"system": [{"os": "a"}], "limits": []}), packed({"system": []})
    both = newest([first, None, second])
    assert msgpack.unpackb(both) == {"system": [], "limits": []}
    assert newest([None, first]) is first
    assert newest([None]) is None
    assert without(both, frozenset({"system"})) == packed({"limits": []})
    assert without(both, frozenset({"system", "limits"})) is None
    assert without(None, frozenset({"system"})) is None
    assert without(both, frozenset()) is both
    assert kinds(None) == frozenset()
