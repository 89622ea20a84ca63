"""A channel's checkpoint: it must be that it says again what was kept, and fits its place."""

from __future__ import annotations

import dataclasses
import zlib

import pytest

from monitor.notify import keeping
from monitor.notify.folding import Ledger
from monitor.notify.keeping import Frozen, Health
from monitor.ports import LONGEST_VALUE_BYTES
from tests.notify.stage import START, Ack, Stage, route

FROZEN = Frozen(
    "key", START, (("a1", 1, 2, START, 0.0, 3),), 7, {"rule": "r"}, False, True, ("g",), 12, 2
)
HEALTH = Health(START, START + 1, "it is not there")


def read_back(ledger: Ledger, state: bytes) -> Ledger:
    """The ledger that a state says, with the ids that the log would say."""
    kept = keeping.decode(state)
    assert kept is not None
    again = Ledger(ledger.channel)
    again.groups, again.left_out, again.gathers = kept.groups, kept.left_out, kept.gathers
    ids = {entry.newest: entry.id for entry in ledger.entries.values()}
    for entry in kept.entries:
        entry.id = ids[entry.newest]
        again.put(entry)
    return again


def test_it_says_again_what_was_kept() -> None:
    stage = Stage(route("", "phone", group_by=("host", "rule"), group_wait=3.0))
    stage.say(0, "told")
    assert stage.told(3) == ["told"]
    stage.say(10.125, "worse", severity="critical")
    stage.say(11, "flaps", is_flapping=True)
    stage.acks["blocked"] = Ack()
    stage.say(12, "blocked")
    stage.say(12, "missed", rule="other")
    stage.say(13, "elsewhere", "web-2")
    stage.ends(20, "missed")
    stage.ends(21, "told")
    stage.ledger.look_again()
    stage.draft(13)
    stage.ledger.left_out, stage.ledger.gathers = 5, True
    state = keeping.encode(stage.ledger, FROZEN, HEALTH, "epoch")
    again = read_back(stage.ledger, state)
    assert {name: dataclasses.asdict(each) for name, each in again.entries.items()} == {
        name: dataclasses.asdict(each) for name, each in stage.ledger.entries.items()
    }
    assert again.groups.keys() == stage.ledger.groups.keys()
    for name, group in again.groups.items():
        before = stage.ledger.groups[name]
        assert (group.sent, group.told_at) == (before.sent, before.told_at)
        assert (group.labels, group.wait_seconds) == (before.labels, before.wait_seconds)
        assert group.entries.keys() == before.entries.keys()
        assert group.candidates.keys() == before.candidates.keys()
    assert (again.left_out, again.gathers) == (5, True)
    kept = keeping.decode(state)
    assert kept is not None
    assert (kept.frozen, kept.health, kept.epoch) == (FROZEN, HEALTH, "epoch")


def test_ten_thousand_alerts_fit_many_times() -> None:
    stage = Stage()
    for number in range(10_000):
        stage.say(number / 2_000, f"a{number}", f"web-{number:05}")
    for at in (0, 10):
        assert bool(stage.told(at)) == bool(at)
        state = keeping.encode(stage.ledger, FROZEN, HEALTH, "epoch")
        assert len(state) < LONGEST_VALUE_BYTES / 4
        assert len(read_back(stage.ledger, state).entries) == 10_000


def test_what_does_not_fit_goes_and_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keeping, "LONGEST_STATE_BYTES", 2_000)
    stage = Stage(route("", "phone", group_by=("host",)))
    for number in range(600):
        severity = "critical" if number == 300 else "warning"
        stage.say(number, f"a{number}", f"web-{number * 7919 % 600}", severity=severity)
    state = keeping.encode(stage.ledger, None, HEALTH, "epoch")
    assert len(state) <= 2_000
    left = len(stage.ledger.entries)
    assert 0 < left < 600
    assert stage.ledger.left_out == 600 - left
    assert "a300" in stage.ledger.entries, "the worst stays"
    assert len(read_back(stage.ledger, state).entries) == left
    assert len(stage.ledger.groups) == left


@pytest.mark.parametrize(
    "state",
    [b"", b"no", zlib.compress(b"no"), zlib.compress(b"\x91\x01"), zlib.compress(bytes(64 << 20))],
    ids=["empty", "unpacked", "garbage", "short", "bomb"],
)
def test_what_is_damaged_says_nothing(state: bytes) -> None:
    assert keeping.decode(state) is None


def test_a_version_to_come_says_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keeping, "VERSION", 2)
    state = keeping.encode(Ledger("phone"), None, Health(), "epoch")
    monkeypatch.undo()
    assert keeping.decode(state) is None
