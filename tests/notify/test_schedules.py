"""Schedules: which instants they hold at, where clocks change too, and what they refuse."""

from __future__ import annotations

import math
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.notify.schedules import LONGEST_CHARACTERS, MOST_WINDOWS, Schedule, parse_until


def at(text: str) -> float:
    """An instant in UTC."""
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()


NIGHTS = "Mon-Fri 20:00-06:00 Europe/Berlin"
# In 2026 Berlin's clocks jump on 29 March and 25 October, at 01:00 UTC.
HOLDS = [
    ("20:00-06:00", "2026-11-23T20:00", True),
    ("20:00-06:00", "2026-11-23T19:59:59", False),
    ("20:00-06:00", "2026-11-24T05:59:59", True),
    ("20:00-06:00", "2026-11-24T06:00", False),
    (NIGHTS, "2026-11-23T18:59:59", False),  # a Monday; Berlin is an hour ahead in winter
    (NIGHTS, "2026-11-23T19:00", True),
    (NIGHTS, "2026-07-13T18:00", True),  # and two in summer
    (NIGHTS, "2026-07-13T17:59:59", False),
    (NIGHTS, "2026-11-28T04:59:59", True),  # Saturday's morning is Friday's night
    (NIGHTS, "2026-11-28T05:00", False),
    (NIGHTS, "2026-11-28T20:00", False),
    (NIGHTS, "2026-11-30T03:00", False),  # and Monday's morning is Sunday's
    ("Sat,Sun", "2026-11-28T00:00", True),
    ("Sat,Sun", "2026-11-29T23:59:59", True),
    ("Sat,Sun", "2026-11-30T00:00", False),
    ("Sun-Tue 10:00-11:00", "2026-11-24T10:30", True),  # over the end of the week
    ("Sun-Tue 10:00-11:00", "2026-11-25T10:30", False),
    ("mon 10:00 - 11:00", "2026-11-23T10:30", True),
    ("MONDAY, Wed 10:00-11:00", "2026-11-25T10:30", True),
    ("Mon 10:00-11:00; Tue 12:00-13:00", "2026-11-24T12:30", True),
    ("Mon 10:00-11:00 Asia/Tokyo; Tue 12:00-13:00", "2026-11-24T03:30", True),
    ("Mon 10:00-11:00; Tue 12:00-13:00 Asia/Tokyo", "2026-11-23T01:30", True),
    # What is skipped in spring: 02:00 to 03:00 on the wall does not come.
    ("02:15-02:45 Europe/Berlin", "2026-03-29T00:59:59", False),
    ("02:15-02:45 Europe/Berlin", "2026-03-29T01:00", False),
    ("02:15-02:45 Europe/Berlin", "2026-03-29T01:30", False),
    ("02:15-02:45 Europe/Berlin", "2026-03-28T01:30", True),
    ("01:00-02:30 Europe/Berlin", "2026-03-29T00:59:59", True),
    ("01:00-02:30 Europe/Berlin", "2026-03-29T01:00", False),
    ("02:30-04:00 Europe/Berlin", "2026-03-29T00:59:59", False),
    ("02:30-04:00 Europe/Berlin", "2026-03-29T01:00", True),
    ("02:30-04:00 Europe/Berlin", "2026-03-29T02:00", False),
    ("Sat 22:00-06:00 Europe/Berlin", "2026-03-29T03:59:59", True),
    ("Sat 22:00-06:00 Europe/Berlin", "2026-03-29T04:00", False),
    # What comes twice in autumn: 02:00 to 03:00 on the wall, at 00:00 and at 01:00 UTC.
    ("02:15-02:45 Europe/Berlin", "2026-10-25T00:14:59", False),
    ("02:15-02:45 Europe/Berlin", "2026-10-25T00:15", True),
    ("02:15-02:45 Europe/Berlin", "2026-10-25T00:50", True),
    ("02:15-02:45 Europe/Berlin", "2026-10-25T01:44:59", True),
    ("02:15-02:45 Europe/Berlin", "2026-10-25T01:45", False),
    ("Sat 22:00-06:00 Europe/Berlin", "2026-10-25T04:59:59", True),
    ("Sat 22:00-06:00 Europe/Berlin", "2026-10-25T05:00", False),
    # Midnight itself comes twice in Havana, and Samoa had no 30 December 2011.
    ("Sat America/Havana", "2026-10-31T04:00", True),
    ("Sat America/Havana", "2026-11-01T04:59:59", True),
    ("Sat America/Havana", "2026-11-01T05:00", False),
    ("Fri Pacific/Apia", "2011-12-30T09:59:59", False),
    ("Fri Pacific/Apia", "2011-12-30T10:00", False),
    ("Sat Pacific/Apia", "2011-12-30T10:00", True),
    ("Thu 12:00-11:59 Pacific/Apia", "2011-12-30T09:00", True),
    ("00:00-24:00 Australia/Lord_Howe", "2026-04-04T15:10", True),
]


@pytest.mark.parametrize(("text", "instant", "expected"), HOLDS)
def test_holds(text: str, instant: str, expected: bool) -> None:
    """It must be that a schedule holds when the wall clock of its zone says so."""
    assert Schedule.parse(text).holds(at(instant)) is expected


CHANGES = [
    ("20:00-06:00", "2026-11-23T19:00", "2026-11-23T20:00"),
    ("20:00-06:00", "2026-11-23T20:00", "2026-11-24T06:00"),
    (NIGHTS, "2026-11-28T05:00", "2026-11-30T19:00"),
    ("Sat,Sun", "2026-11-28T12:00", "2026-11-30T00:00"),  # two days that touch are one
    ("Mon 20:00-24:00; Tue 00:00-06:00", "2026-11-23T21:00", "2026-11-24T06:00"),
    ("Mon 10:00-14:00; Mon 12:00-16:00", "2026-11-23T11:00", "2026-11-23T16:00"),
    ("Sun 02:15-02:45 Europe/Berlin", "2026-03-23T12:00", "2026-04-05T00:15"),
    ("Sun 02:15-02:45 Europe/Berlin", "2026-10-25T00:15", "2026-10-25T01:45"),
    ("Mon-Sun 00:00-24:00 Europe/Berlin", "2026-03-28T12:00", None),
    ("00:00-12:00; 12:00-00:00 Europe/Berlin", "2026-10-24T12:00", None),
]


@pytest.mark.parametrize(("text", "instant", "expected"), CHANGES)
def test_the_next_change(text: str, instant: str, expected: str | None) -> None:
    """It must be that the next change is where it begins or ends, and none where it never does."""
    found = Schedule.parse(text).next_change(at(instant))
    assert found == (math.inf if expected is None else at(expected))


@given(
    st.sampled_from(
        [
            NIGHTS,
            "02:15-02:45 Europe/Berlin",
            "Sat 23:30-00:30 America/Havana",
            "Mon-Wed 01:00-03:00; Wed-Sun 02:30-05:00 Australia/Lord_Howe",
        ]
    ),
    st.floats(1.7e9, 1.9e9),
)
def test_between_two_changes_nothing_changes(text: str, instant: float) -> None:
    """It must be that what `next_change` says agrees with `holds`, at any instant."""
    schedule = Schedule.parse(text)
    then = schedule.next_change(instant)
    held = schedule.holds(instant)
    assert then > instant
    assert schedule.holds(then) is not held
    assert schedule.holds(then - 0.001) is held or then - 0.001 < instant
    assert all(
        schedule.holds(instant + (then - instant) * share) is held for share in (0.25, 0.5, 0.75)
    )


REFUSED = [
    ("", "an empty window"),
    ("Mon 10:00-11:00;", "an empty window"),
    ("always", "expected a schedule"),
    ("Mon-Fri 20:00", "expected a schedule"),
    ("Europe/Berlin", "expected a schedule"),
    ("Mon 10:00-11:00 Europe/Berlin Europe/Rome", "expected a schedule"),
    ("Mon-Foo 10:00-11:00", "expected a schedule"),
    ("10:00\u201311:00", r"got .10:00\\u201311:00"),
    ("24:00-25:00", "from 00:00 to 24:00"),
    ("10:60-11:00", "from 00:00 to 24:00"),
    ("10:00-10:00", "ends where it begins"),
    ("10:00-11:00 Europe/Berlni", "did you mean Europe/Berlin"),
    ("10:00-11:00 europe/berlin", "did you mean Europe/Berlin"),
    ("10:00-11:00 ../../etc/passwd", "there is no time zone"),
    ("10:00-11:00 Europe", "there is no time zone"),
    ("10:00-11:00 /etc/localtime", "there is no time zone"),
    ("Mon 1:00-2:00 UTC; Tue 1:00-2:00 Asia/Tokyo; Wed Asia/Aden", "not UTC and Asia/Tokyo"),
    (" " * (LONGEST_CHARACTERS + 1), f"at most {LONGEST_CHARACTERS} characters"),
    (";".join(["Mon"] * (MOST_WINDOWS + 1)), f"at most {MOST_WINDOWS} windows"),
]


@pytest.mark.parametrize(
    ("text", "why"), REFUSED, ids=[f"{place}" for place in range(len(REFUSED))]
)
def test_what_is_no_schedule(text: str, why: str) -> None:
    """It must be that it is refused with a sentence that says what is wrong."""
    with pytest.raises(ValueError, match=why):
        Schedule.parse(text)


UNTIL = [
    ("2026-12-24T18:00:00Z", "2026-12-24T18:00"),
    ("2026-12-24T18:00:00+01:00", "2026-12-24T17:00"),
    ("2026-12-24 18:00", "2026-12-24T18:00"),
    ("2026-12-24", "2026-12-24T00:00"),
]


@pytest.mark.parametrize(("text", "expected"), UNTIL)
def test_until_an_instant(text: str, expected: str) -> None:
    """It must be that an instant without a zone is in UTC, and a native one is taken too."""
    assert parse_until(text) == parse_until(text, 5.0) == at(expected)
    assert parse_until(datetime.fromisoformat(text)) == at(expected)


def test_until_a_duration_from_now() -> None:
    """It must be that a duration is taken only where there is a now."""
    assert parse_until("8h", 1_000.0) == 1_000.0 + 8 * 3600
    with pytest.raises(ValueError, match="expected an instant"):
        parse_until("8h")


@pytest.mark.parametrize(
    "text", ["", "tomorrow", "-5m", "5", "1e9d", "nan", "2026-13-01", "8 hours"]
)
def test_what_is_no_instant(text: str) -> None:
    """It must be that it is refused, and shown, with what was expected."""
    for now in (None, 0.0):
        with pytest.raises(ValueError, match="expected an instant"):
            parse_until(text, now)
