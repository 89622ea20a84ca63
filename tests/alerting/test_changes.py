"""What changed lately.

Every name finishes the sentence "it must be that …".
"""

from __future__ import annotations

from array import array
from collections.abc import Mapping
from typing import Any

import pytest

from monitor.alerting.changes import (
    BOOTS_SECONDS,
    LOOK_SECONDS,
    LOOKED_AT_ONCE,
    MOST_CHANGES,
    MOST_TOLD,
    TEXT_CHARACTERS,
    Changes,
    packed,
)
from monitor.core.messages import HostUpdate, Notice, event
from monitor.core.state import HostState, LiveState
from monitor.model import Event, Frame, HostStatus, Schema, Snapshot, key

T = 1_800_000_000.0
HOST = "db-1"


class Scene:
    """One host, and what is seen of it."""

    def __init__(self) -> None:
        self.state = LiveState()
        self.changes = Changes()
        self.now = T
        self.values: dict[str, float] = {
            "system.boot_time": T - 1_000,
            "system.uptime": 1_000.0,
            key("system.filesystem.utilization", mountpoint="/"): 0.5,
        }
        self.facts = {"boot_id": "one", "kernel": "6.1.0"}
        self.info = {"version": "1.0"}

    def see(self, after: float = LOOK_SECONDS) -> HostState:
        """The host says what it is, so long after the last time, and is looked at."""
        self.now += after
        self.values["system.uptime"] = self.now - self.values["system.boot_time"]
        schema = Schema(tuple(self.values))
        frame = Frame(HOST, self.now, schema, array("d", self.values.values()))
        tables = [Snapshot(HOST, self.now, "system", (self.facts,))] if self.facts else []
        host = self.state.fold(frame, tables, self.now)
        host.info = dict(self.info)
        self.changes.look(self.state, self.now)
        return host

    def boot(self, number: int = 2, after: float = 60.0) -> None:
        """It boots, and comes again so much later."""
        self.values["system.boot_time"] = self.now + after - 20
        if self.facts:
            self.facts = {**self.facts, "boot_id": f"boot {number}"}
        self.see(after)

    def texts(self) -> list[str]:
        return [each["text"] for each in self.changes.of(HOST, 0.0)]

    def numbers(self) -> tuple[float, float, float]:
        return self.changes.recent(self.now).get(HOST, (0.0, 0.0, 0.0))


def update(status: HostStatus, reason: str, was: HostStatus | None, at: float) -> Event:
    return event(HostUpdate(host=HOST, status=status, was=was, reason=reason), at, "0")


def test_the_first_look_at_a_host_is_no_change() -> None:
    scene = Scene()
    scene.see()
    scene.see()
    assert scene.texts() == []
    assert scene.numbers() == (0.0, 0.0, 0.0)


@pytest.mark.parametrize("facts", [{"boot_id": "one"}, {}])
def test_a_boot_is_seen_by_its_identity_or_by_its_instant(facts: dict[str, str]) -> None:
    scene = Scene()
    scene.facts = facts
    scene.see()
    scene.boot()
    assert scene.texts() == ["booted without having been shut down"]
    scene.see()
    assert scene.numbers() == (1.0, 1.0, 0.0)


def test_a_clock_that_is_set_is_no_boot() -> None:
    scene = Scene()
    scene.facts = {}
    scene.see()
    scene.now += 5_000  # its clock steps ahead of what it has been up
    scene.values["system.boot_time"] += 5_000
    scene.see()
    assert scene.texts() == []


def test_boots_of_the_last_hour_are_counted() -> None:
    scene = Scene()
    scene.see()
    for number in range(3):
        scene.boot(number)
    assert scene.numbers()[0] == 3.0
    scene.see(BOOTS_SECONDS)
    assert scene.numbers() == (0.0, 0.0, 0.0)


def test_a_host_that_said_goodbye_was_shut_down() -> None:
    scene = Scene()
    scene.see()
    gone = update(HostStatus.STALE, "its agent said goodbye", HostStatus.UP, scene.now + 1)
    scene.changes.fold(gone)
    scene.boot()
    assert scene.texts() == ["agent ended in good order", "booted"]
    assert scene.numbers() == (1.0, 0.0, 0.0)
    scene.boot(3)  # and this time it was not
    assert scene.numbers() == (2.0, 1.0, 0.0)


def test_nothing_is_said_of_a_shutdown_where_nobody_would_have_said_goodbye() -> None:
    scene = Scene()
    scene.info = {}
    scene.see()
    scene.boot()
    assert scene.texts() == ["booted"]


def test_another_kernel_and_another_agent_are_told_with_what_was() -> None:
    scene = Scene()
    scene.see()
    scene.facts = {**scene.facts, "kernel": "6.1.9"}
    scene.info = {"version": "1.1"}
    scene.see()
    assert scene.texts() == ["kernel 6.1.9 instead of 6.1.0", "agent 1.1 instead of 1.0"]
    assert scene.numbers() == (0.0, 0.0, 1.0)
    scene.see(700.0)
    assert scene.numbers() == (0.0, 0.0, 0.0)


def test_what_comes_and_goes_is_told_together_and_by_name() -> None:
    scene = Scene()
    scene.see()
    disks = [key("system.disk.io", device=f"sd{letter}", direction="read") for letter in "bcdef"]
    scene.values.update(dict.fromkeys(disks, 1.0))
    scene.values[key("system.filesystem.utilization", mountpoint="/mnt")] = 0.1
    scene.see()
    assert scene.texts() == ["new: filesystem /mnt", "new: disk sdb, sdc, sdd and 2 more"]
    for disk in disks:
        del scene.values[disk]
    scene.see()
    assert scene.texts()[-1] == "gone: disk sdb, sdc, sdd and 2 more"


def test_labels_that_an_operator_changes_are_told() -> None:
    scene = Scene()
    scene.see()
    scene.state.label(HOST, {"role": "db"})
    scene.see()
    assert scene.texts() == ["labels changed: role=db"]


def test_what_the_log_says_of_a_host_and_of_this_server_is_told() -> None:
    changes = Changes()
    changes.fold(update(HostStatus.UP, "first frame", None, T))
    changes.fold(update(HostStatus.STALE, "silent for 12 s", HostStatus.UP, T + 1))
    changes.fold(update(HostStatus.DOWN, "silent for 60 s", HostStatus.STALE, T + 2))
    changes.fold(update(HostStatus.UP, "frames are coming again", HostStatus.DOWN, T + 3))
    changes.fold(event(Notice(kind="reload", text="rules: 1 changed"), T + 4, "1"))
    changes.fold(event(Notice(kind="audit", text="somebody logged in"), T + 5, "2"))
    assert changes.of(HOST, 0.0) == [
        {"at": T, "text": "first seen"},
        {"at": T + 2, "text": "down"},
        {"at": T + 3, "text": "heard of again"},
        {"at": T + 4, "text": "rules: 1 changed"},
    ]
    assert [each["at"] for each in changes.of(HOST, T + 3)] == [T + 3, T + 4]
    assert [each["text"] for each in changes.of("other", 0.0)] == ["rules: 1 changed"]


def test_all_of_it_has_a_bound() -> None:
    scene = Scene()
    scene.see()
    for number in range(3 * MOST_CHANGES):
        scene.facts = {**scene.facts, "kernel": f"\x1b[31m{number}" + "x" * 1_000}
        scene.see()
    found = scene.texts()
    assert len(found) == MOST_TOLD
    assert all(len(text) <= TEXT_CHARACTERS and text.isprintable() for text in found)


def test_hosts_have_their_turns() -> None:
    state, changes = LiveState(), Changes()
    schema = Schema(("a",))

    def see(value: float, now: float) -> None:
        for number in range(LOOKED_AT_ONCE + 5):
            state.fold(Frame(f"h{number}", now, schema, array("d", [value])), (), now)

    see(1.0, T)
    changes.look(state, T)
    changes.look(state, T + 1)
    for host in state.hosts.values():
        host.labels = {"role": "x"}
    changes.look(state, T + LOOK_SECONDS)
    assert not changes.of(f"h{LOOKED_AT_ONCE + 4}", 0.0)
    changes.look(state, T + LOOK_SECONDS + 1)
    assert changes.of(f"h{LOOKED_AT_ONCE + 4}", 0.0)


def test_a_host_that_was_deleted_is_forgotten() -> None:
    scene = Scene()
    scene.see()
    scene.boot()
    scene.state.forget(HOST)
    scene.changes.look(scene.state, scene.now + LOOK_SECONDS)
    assert scene.numbers() == (0.0, 0.0, 0.0)
    assert scene.texts() == []


def test_a_restart_forgets_nothing_and_sees_what_was_done_meanwhile() -> None:
    scene = Scene()
    scene.see()
    scene.boot(1)
    kept = packed(scene.changes.kept())
    scene.changes = Changes()
    scene.changes.restore(kept)
    scene.boot(2)
    # Whether it was shut down is not known: nobody was there to hear the goodbye.
    assert scene.texts() == ["booted without having been shut down", "booted"]
    assert scene.numbers() == (2.0, 0.0, 0.0)


@pytest.mark.parametrize("kept", [b"", b"x", packed([])[:5], packed([]), packed([("a", 1)])])
def test_what_is_no_such_thing_is_ignored(kept: bytes) -> None:
    changes = Changes()
    changes.restore(kept)
    assert changes.of(HOST, 0.0) == []


def test_what_is_kept_fits_into_one_value_of_the_registry() -> None:
    import random  # noqa: PLC0415 - for words that cannot be packed

    words = random.Random(1)
    changes, state = Changes(), LiveState()
    schema = Schema(("system.boot_time",))
    for number in range(12_000):
        name, at = f"host-{number}", T + number
        rows: tuple[Mapping[str, Any], ...] = ({"boot_id": words.randbytes(18).hex()},)
        frame = Frame(name, at, schema, array("d", [T]))
        state.fold(frame, [Snapshot(name, at, "system", rows)], at)
    for now in range(13):
        changes.look(state, T + now)
    kept = packed(changes.kept())
    assert len(kept) <= 200_000
    restored = Changes()
    restored.restore(kept)
    assert restored.knows("host-11999")
    assert not restored.knows("host-0")
