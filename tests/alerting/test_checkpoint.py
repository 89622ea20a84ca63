"""The judge's checkpoint as bytes.

Every name finishes the sentence "it must be that …".
"""

from __future__ import annotations

import math
import secrets
import zlib

import msgspec
import pytest

from monitor.alerting import checkpoint
from monitor.alerting.checkpoint import Rows, packed, unpacked
from monitor.core import messages
from monitor.core.alerts import Kept
from monitor.core.book import Alert
from monitor.core.rules.judging import RowKept
from monitor.core.rules.matching import Attributes
from monitor.core.rules.model import Severity

OfRule = dict[tuple[str, Attributes], RowKept]

WARNING, CRITICAL = Severity.WARNING, Severity.CRITICAL

FULL = RowKept(
    Kept(
        held={WARNING: 12.5, CRITICAL: 0.0},
        reached={WARNING: 1.25},
        began=1_700_000_000.125,
        peak=97.5,
        logged=(1.0, 2.5),
        is_flapping=True,
        calm_seconds=3.5,
        severity=CRITICAL,
    ),
    (1.0, None, 300.0),
)


def _alert(number: int, *, text: str = "") -> Alert:
    said = messages.Alert(
        alert=f"{number:016x}",
        rule="hot",
        host="web-1",
        attributes={"device": "a"},
        state="firing",
        was="inactive",
        severity="warning",
        value=1.0,
        since=5.0,
        summary=text,
    )
    return Alert(said, 5.0, 0.0, number, number + 1)


def test_everything_of_a_row_comes_back() -> None:
    rows: Rows = {
        "hot": {("web-1", (("device", "a"), ("state", "free"))): FULL, ("web-2", ()): FULL},
        "none": {},
    }
    value, left_out = packed(rows, [_alert(1), _alert(2)])
    assert left_out == 0
    found = unpacked(value)
    assert found is not None
    assert found == ({"hot": rows["hot"]}, [_alert(1), _alert(2)])


def test_what_is_not_known_stays_so() -> None:
    for peak in (math.nan, math.inf):
        kept = RowKept(Kept(peak=peak))
        found = unpacked(packed({"hot": {("a", ()): kept}}, [])[0])
        assert found is not None
        row = found[0]["hot"]["a", ()]
        assert math.isnan(row.kept.peak)
        assert (row.kept.severity, row.kept.fires) == (None, None)


def test_one_of_a_version_before_is_read() -> None:
    row = ["web-1", [["device", "a"]], {"warning": 1.0, "dreadful": 2.0}, {"warning": 0.0}]
    value = zlib.compress(msgspec.msgpack.encode({"rows": {"hot": [row]}, "open": []}))
    found = unpacked(value)
    assert found is not None
    kept = found[0]["hot"]["web-1", (("device", "a"),)].kept
    assert (kept.held, kept.severity, kept.fires) == ({WARNING: 1.0}, None, WARNING)


@pytest.mark.parametrize(
    "value",
    [b"nothing of ours", zlib.compress(b"\xff"), zlib.compress(msgspec.msgpack.encode([1]))],
    ids=["no zlib", "no msgpack", "no state"],
)
def test_what_cannot_be_read_is_none(value: bytes) -> None:
    assert unpacked(value) is None


def test_nothing_is_nothing() -> None:
    assert unpacked(b"") == ({}, [])


def test_a_bomb_is_not_unpacked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkpoint, "MOST_UNPACKED_BYTES", 1_000)
    state = msgspec.msgpack.encode({"rows": {"x" * 100_000: []}, "open": []})
    assert unpacked(zlib.compress(state)) is None


def test_what_is_too_large_leaves_out_the_least_first(monkeypatch: pytest.MonkeyPatch) -> None:
    def names(count: int) -> list[str]:
        return [secrets.token_hex(16) for _ in range(count)]

    values: OfRule = {(name, ()): RowKept(Kept(), (1.0,)) for name in names(50)}
    pends: OfRule = {(name, ()): RowKept(Kept(held={WARNING: 1.0})) for name in names(50)}
    fires: OfRule = {(name, ()): RowKept(Kept(reached={WARNING: 1.0})) for name in names(50)}
    flaps: OfRule = {("flaps", ()): RowKept(Kept(logged=(1.0,), severity=WARNING))}
    rows: Rows = {"hot": {**values, **pends, **fires, **flaps}}
    whole = len(packed(rows, [])[0])

    def kept(most: int) -> set[tuple[str, object]]:
        monkeypatch.setattr(checkpoint, "MOST_BYTES", most)
        value, left_out = packed(rows, [])
        assert len(value) <= most
        assert left_out == 0
        found = unpacked(value)
        assert found is not None
        return set(found[0].get("hot", {}))

    assert kept(whole) == set(rows["hot"])
    assert kept(whole - 1) == {*pends, *fires, *flaps}
    assert kept(whole // 2) == {*fires, *flaps}


def test_open_alerts_that_have_no_room_are_for_the_log_to_tell(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    alerts = [_alert(number, text=secrets.token_hex(60)) for number in range(10, 50)]
    whole, _ = packed({}, alerts)
    monkeypatch.setattr(checkpoint, "MOST_BYTES", len(whole) // 2)
    value, left_out = packed({}, alerts)
    found = unpacked(value)
    assert found is not None
    assert 0 < len(found[1]) < 30
    assert found[1] == alerts[: len(found[1])]
    assert left_out == 10 + len(found[1])
