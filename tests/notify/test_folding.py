"""What one channel is told, and when: it must be that each alert is told once, and its end."""

from __future__ import annotations

from typing import Any

import pytest

from monitor.core.selectors import Selector
from monitor.model import HostStatus
from monitor.notify.channel import MOST_TOLD
from monitor.notify.folding import MOST_ENTRIES, MOST_GROUPS_AT_ONCE, MOST_MISSED
from monitor.notify.groups import GATHERING_SECONDS, STORM_NOTIFICATIONS, STORM_SECONDS
from monitor.notify.routing import Routing
from tests.notify.stage import START, Ack, Stage, route

HOUR = 3_600.0


def test_an_alert_is_told_once_after_the_groups_wait() -> None:
    stage = Stage()
    stage.say(0)
    assert stage.told(0.5) == []
    assert stage.ledger.next_at() == START + 1
    assert stage.told(1) == ["a1"]
    assert stage.told(2) == []
    assert stage.told(HOUR) == []


def test_alerts_of_one_rule_that_come_together_are_one_notification() -> None:
    stage = Stage()
    stage.say(0)
    stage.say(0.5, "a2", "web-2", severity="critical")
    stage.say(0.9, "b1", "web-2", rule="memory")
    assert stage.told(1) == ["a2 a1"]
    assert stage.told(1.9) == ["b1"]


def test_an_end_is_told_where_the_beginning_was() -> None:
    stage = Stage()
    stage.say(0)
    assert stage.told(1) == ["a1"]
    stage.ends(60)
    assert stage.told(61) == ["a1(ok)"]
    assert stage.told(HOUR * 5) == []
    assert not stage.ledger.entries
    assert not stage.ledger.groups


def test_what_ends_before_it_is_due_is_told_to_nobody() -> None:
    stage = Stage()
    stage.say(0)
    stage.ends(0.8)
    assert stage.told(60) == []


def test_what_was_due_and_ended_before_it_could_be_told_is_told_as_what_it_was() -> None:
    stage = Stage()
    stage.say(0)
    stage.ends(30)
    assert stage.told(31) == ["a1(ok)"]


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        ({"severity": "info"}, []),
        ({"notify": "never"}, []),
        ({"is_late": True}, []),
        ({"notify": "firing"}, ["a1"]),
        ({}, ["a1", "a1(ok)"]),
    ],
    ids=["info", "never", "late", "firing", "always"],
)
def test_an_alert_says_itself_whether_it_is_told(more: dict[str, Any], expected: list[str]) -> None:
    stage = Stage()
    stage.say(0, **more)
    told = stage.told(1)
    stage.ends(2)
    assert told + stage.told(3) == expected


def test_what_becomes_worse_is_told_again_and_what_becomes_milder_is_not() -> None:
    stage = Stage()
    stage.say(0)
    assert stage.told(1) == ["a1"]
    stage.say(10, severity="critical")
    assert stage.told(11) == ["a1"]
    stage.say(20, severity="warning")
    assert stage.told(21) == []
    stage.say(30, severity="critical")
    assert stage.told(31) == [], "the same height is told once"
    stage.say(40, severity="info")
    assert stage.told(41) == []
    assert stage.told(41 + 5 * HOUR) == [], "of what is for nobody nothing is repeated"
    stage.ends(42 + 5 * HOUR)
    assert stage.told(43 + 5 * HOUR) == ["a1(ok)"], "whoever was told hears of its end"


def test_what_was_repeated_as_milder_and_becomes_worse_again_is_told() -> None:
    stage = Stage()
    stage.say(0, severity="critical")
    assert stage.told(1) == ["a1"]
    stage.say(10, severity="warning")
    assert stage.told(2 * HOUR) == []
    assert stage.told(1 + 4 * HOUR) == ["repeat a1"]
    stage.say(5 * HOUR, severity="critical")
    assert stage.told(5 * HOUR + 1) == ["a1"]


def test_flapping_is_told_once() -> None:
    stage = Stage()
    stage.say(0)
    assert stage.told(1) == ["a1"]
    stage.say(10, is_flapping=True, reason="flapping")
    assert stage.told(11) == ["a1"]
    stage.say(20, is_flapping=True, reason="flapping")
    assert stage.told(21) == []


# Held back, silenced, acknowledged


def test_what_is_held_back_is_told_once_nothing_holds_it() -> None:
    stage = Stage()
    stage.host(0, "web-1", HostStatus.STALE)
    stage.say(1)
    assert stage.told(10) == []
    assert stage.ledger.next_at() == START + 15, "it is asked again, by itself"
    stage.host(11, "web-1", HostStatus.UP)
    assert stage.told(15) == [], "it waits for others that are free now"
    assert stage.told(16) == ["a1"]


def test_one_outage_is_one_message_that_says_how_many_it_holds() -> None:
    stage = Stage()
    stage.host(0, "db-1", HostStatus.DOWN)
    for number in range(23):
        stage.say(1, f"a{number}", "db-1", rule=f"r{number}")
    stage.say(2, "gone", "db-1", rule="host_unreachable", severity="critical", attributes={})
    assert stage.told(3) == ["gone(holds 23)"]
    for number in range(23):
        stage.ends(60, f"a{number}", "db-1")
    assert stage.told(61) == [], "ends of what nobody heard of are told to nobody"


def test_an_outage_of_much_of_the_fleet_holds_back_those_of_its_hosts() -> None:
    stage = Stage()
    for number in range(7):
        stage.say(0, f"h{number}", f"web-{number}", rule="host_unreachable", attributes={})
    stage.say(0, "fleet", "hub", rule="fleet_unreachable", attributes={}, severity="critical")
    assert stage.told(1) == ["fleet(holds 7)"]
    stage.ends(100, "fleet", "hub")
    for number in range(6):
        stage.ends(100, f"h{number}", f"web-{number}")
    assert stage.told(101) == ["fleet(ok)"]
    assert stage.told(102) == ["h6"], "one host stayed away"


def test_a_rule_holds_back_another_of_the_same_device() -> None:
    stage = Stage()
    stage.say(0, "full", rule="disk_full", severity="critical")
    stage.say(0, "fills", rule="disk_fills", held_by=["disk_full"])
    stage.say(0, "other", rule="disk_fills", held_by=["disk_full"], attributes={"mountpoint": "/"})
    assert sorted(stage.told(1)) == ["full(holds 1)", "other"]


def test_a_silence_holds_until_it_ends() -> None:
    stage = Stage()
    stage.silences = [Selector.parse("env=prod")]
    stage.say(0)
    assert stage.told(HOUR) == []
    stage.silences = []
    assert stage.told(HOUR + 4) == [], "it is looked at every few seconds"
    stage.ledger.look_again()
    assert stage.told(HOUR + 4) == []
    assert stage.told(HOUR + 5) == ["a1"]


def test_a_silence_stops_repeats_and_no_end() -> None:
    stage = Stage()
    stage.say(0)
    assert stage.told(1) == ["a1"]
    stage.silences = [Selector.parse("host=web-*")]
    assert stage.told(1 + 4 * HOUR) == []
    stage.ends(2 + 4 * HOUR)
    assert stage.told(3 + 4 * HOUR) == ["a1(ok)"]


def test_a_silence_that_ends_lets_repeats_go_on() -> None:
    stage = Stage()
    stage.say(0)
    assert stage.told(1) == ["a1"]
    stage.silences = [Selector.parse("host=web-*")]
    assert stage.told(30 * HOUR) == []
    stage.silences = []
    assert stage.told(30 * HOUR + 5) == ["repeat a1"]


def test_an_acknowledgement_stops_repeats_and_what_becomes_worse_breaks_through() -> None:
    stage = Stage()
    stage.say(0)
    assert stage.told(1) == ["a1"]
    stage.acks["a1"] = Ack("warning")
    assert stage.told(1 + 4 * HOUR) == []
    stage.say(5 * HOUR, severity="critical")
    assert stage.told(5 * HOUR + 1) == ["a1"]
    stage.acks["a1"] = Ack("critical")
    assert stage.told(10 * HOUR) == []
    stage.ends(11 * HOUR)
    assert stage.told(11 * HOUR + 1) == ["a1(ok)"]


def test_what_is_acknowledged_before_anybody_was_told_is_told_to_nobody() -> None:
    stage = Stage()
    stage.say(0)
    stage.acks["a1"] = Ack()
    assert stage.told(HOUR) == []
    stage.ends(HOUR + 1)
    assert stage.told(2 * HOUR) == []


# Groups, repeats, storms


def test_what_still_fires_is_told_again_and_again() -> None:
    stage = Stage(route("", "phone", repeat=600.0))
    stage.say(0)
    stage.say(0, "a2", "web-2")
    assert stage.told(1) == ["a1 a2"]
    assert stage.told(600) == []
    assert stage.told(601) == ["repeat a1 a2"]
    stage.ends(700, "a2", "web-2")
    assert stage.told(701) == ["a2(ok)"]
    assert stage.told(1300) == []
    assert stage.told(1301) == ["repeat a1"]
    assert stage.ledger.next_at() == START + 1901


def test_a_channel_may_say_itself_how_often_it_is_told() -> None:
    stage = Stage(repeat_seconds=60.0)
    stage.say(0)
    assert stage.told(1) == ["a1"]
    for minute in range(1, 20):
        assert stage.told(1 + 60 * minute) == ["repeat a1"]
    stage.ends(1170)
    assert stage.told(1171) == ["a1(ok)"], "what is repeated is no storm"


def test_a_channel_that_forgets_is_told_again_of_what_it_knows_whatever_is_silenced_here() -> None:
    """It must be that an Alertmanager takes no silence and no acknowledgement for the end."""
    stage = Stage(repeat_seconds=60.0)
    stage.say(0)
    assert stage.told(1) == ["a1"]
    stage.acks["a1"] = Ack()
    assert stage.told(61) == ["repeat a1"]
    stage.silences = [Selector.parse("host=web-*")]
    stage.say(70, "a2", "web-1")
    assert stage.told(121) == ["repeat a1"], "what it does not know yet is not told"


def test_a_group_that_told_much_gathers_for_a_minute() -> None:
    stage = Stage()
    for number in range(STORM_NOTIFICATIONS):
        stage.say(10 * number, f"a{number}")
        assert stage.told(10 * number + 1) == [f"a{number}"]
    stage.say(50, "b1")
    stage.say(70, "b2")
    last = 10 * (STORM_NOTIFICATIONS - 1) + 1
    stage.ledger.look_again()
    assert stage.told(last + GATHERING_SECONDS - 0.1) == []
    assert stage.told(last + GATHERING_SECONDS) == ["b1 b2"]
    stage.say(last + STORM_SECONDS + 60, "c1")
    assert stage.told(last + STORM_SECONDS + 61) == ["c1"], "and is quick again after a calm"


def test_groups_are_by_the_labels_of_the_route() -> None:
    stage = Stage(route("", "phone", group_by=("host",)))
    stage.say(0, "a1", "web-1")
    stage.say(0, "a2", "web-1", rule="other")
    stage.say(0, "a3", "web-2")
    draft = stage.draft(1)
    assert draft is not None
    assert draft.labels == {"host": "web-1"}
    assert [member.id for member in draft.members] == ["a1", "a2"]
    assert stage.told(1) == ["a3"]


def test_many_groups_at_once_are_one_notification() -> None:
    stage = Stage(route("", "phone", group_by=("host",)))
    for number in range(MOST_GROUPS_AT_ONCE + 1):
        stage.say(0, f"a{number:02}", f"web-{number}")
    draft = stage.draft(1)
    assert draft is not None
    assert draft.labels == {}
    assert len(draft.members) == MOST_GROUPS_AT_ONCE + 1
    assert stage.told(2) == []


def test_what_came_while_the_channel_did_not_work_is_one_notification() -> None:
    stage = Stage()
    for number in range(3):
        stage.say(number, f"a{number}", rule=f"r{number}")
    stage.ends(500, "a0")
    stage.ledger.gathers = True
    assert stage.told(501) == ["a1 a2 a0(ok)"]
    stage.say(510, "b1", rule="r1")
    stage.say(510, "b2", rule="r2")
    assert sorted(stage.told(511)) == ["b1", "b2"], "and then it is as always"


def test_a_drill_is_never_told_with_what_is_real() -> None:
    stage = Stage()
    stage.silences = [Selector.parse("host=web-1")]
    stage.say(0, "d1", is_drill=True)
    stage.say(0, "a1", "web-2")
    stage.ledger.gathers = True
    assert sorted(stage.told(1)) == ["a1", "drill d1"]
    assert stage.told(5 * HOUR) == ["repeat a1"], "nor told again"
    stage.ends(5 * HOUR, "d1", is_drill=True)
    assert stage.told(5 * HOUR + 1) == ["drill d1(ok)"]


def test_of_very_many_the_worst_are_told_and_the_rest_is_counted() -> None:
    stage = Stage()
    for number in range(10_000):
        critical = "critical" if number == 7_777 else "warning"
        stage.say(0, f"a{number}", f"web-{number}", severity=critical)
    draft = stage.draft(1)
    assert draft is not None
    assert len(draft.members) == MOST_TOLD
    assert draft.members[0].id == "a7777"
    assert draft.left_out == 10_000 - MOST_TOLD
    assert stage.told(2) == []


def test_more_than_a_ledger_holds_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("monitor.notify.folding.MOST_ENTRIES", 10)
    assert MOST_ENTRIES > 10_000, "ten thousand hosts that disappear fit"
    stage = Stage()
    for number in range(13):
        stage.say(0, f"a{number:02}")
    (line,) = stage.told(1)
    assert line.endswith("a09 +3")


def test_more_than_can_be_remembered_of_what_was_missed_are_counted() -> None:
    stage = Stage()
    for number in range(MOST_MISSED + 5):
        stage.say(0, f"a{number}")
        stage.ends(10, f"a{number}")
    draft = stage.draft(11)
    assert draft is not None
    assert len(draft.members) + draft.left_out == MOST_MISSED + 5
    assert not stage.ledger.entries


# Routes


def test_only_the_first_route_that_takes_an_alert_counts() -> None:
    routes = (route("severity=critical", "phone"), route("", "mail"))
    phone, mail = Stage(*routes), Stage(*routes, channel="mail")
    for stage in (phone, mail):
        stage.say(0)
        stage.say(0, "b1", severity="critical", rule="other")
    assert phone.told(1) == ["b1"]
    assert mail.told(1) == ["a1"]


def test_who_was_told_of_a_beginning_hears_of_the_end_and_not_what_goes_elsewhere() -> None:
    routes = (route("severity=critical", "phone"), route("", "mail"))
    phone, mail = Stage(*routes), Stage(*routes, channel="mail")
    told: dict[str, list[str]] = {"phone": [], "mail": []}
    for at, what in ((0, "warning"), (10, "critical"), (100, "end")):
        for name, stage in (("phone", phone), ("mail", mail)):
            if what == "end":
                stage.ends(at)
            else:
                stage.say(at, severity=what)
            told[name] += stage.told(at + 1)
    assert told == {"phone": ["a1", "a1(ok)"], "mail": ["a1", "a1(ok)"]}
    assert mail.told(5 * HOUR) == []


def test_routes_that_change_move_what_waits_and_leave_what_was_told() -> None:
    stage = Stage(route("", "phone"))
    stage.say(0)
    assert stage.told(1) == ["a1"]
    stage.say(10, "b1", rule="other")
    stage.ledger.reroute(Routing((route("", "mail"),), stage.channels), stage.open())
    assert stage.told(20) == [], "what waits goes to whom it is routed to now"
    assert stage.told(5 * HOUR) == [], "and what was told is not told again here"
    stage.ends(5 * HOUR)
    assert stage.told(5 * HOUR + 1) == ["a1(ok)"]


def test_routes_that_group_otherwise_tell_nothing_anew() -> None:
    stage = Stage(route("", "phone", group_by=("rule",), repeat=600.0))
    stage.say(0)
    assert stage.told(1) == ["a1"]
    routing = Routing((route("", "phone", group_by=("host",), repeat=600.0),), stage.channels)
    stage.ledger.reroute(routing, stage.open())
    assert stage.told(2) == []
    assert stage.told(601) == ["repeat a1"]


def test_a_host_that_is_deleted_is_forgotten() -> None:
    stage = Stage()
    stage.say(0)
    stage.ledger.forget(["a1", "unknown"])
    stage.scene.forget("web-1")
    assert stage.told(10) == []
    assert not stage.ledger.entries


# The clock


def test_a_clock_that_is_set_back_delays_nothing_and_repeats_nothing() -> None:
    stage = Stage()
    stage.say(0)
    assert stage.told(1) == ["a1"]
    stage.say(2, "a2")
    assert stage.told(-HOUR) == [], "the group's wait begins anew"
    assert stage.told(-HOUR + 1) == ["a2"]
    assert stage.told(-HOUR + 2) == []
    assert stage.told(3 * HOUR + 2) == ["repeat a1 a2"]


def test_a_clock_that_is_set_ahead_tells_once() -> None:
    stage = Stage()
    stage.say(0)
    assert stage.told(1) == ["a1"]
    assert stage.told(HOUR) == []
