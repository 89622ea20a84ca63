"""It must be that history goes when its time is over, and that nothing else ever makes it go."""

from __future__ import annotations

import itertools
import json
import random
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from monitor.store import coverage
from monitor.store.brake import BELIEF_SECONDS, NAME, applied
from monitor.store.config import RetentionConfig
from monitor.store.retention import HELD, STEP_BYTES, STEP_CHUNKS, Retention
from monitor.store.shares import SHARES, levelled
from monitor.store.sqlite import open_store
from tests.store.series_rows import DAY, HOUR, NOW, SPANS, chunk, connected, filled, host, table
from tests.store.series_rows import held as chunks

YEAR = 365 * DAY
SHORT = RetentionConfig(1 * DAY, 2 * DAY, 4 * DAY, 28 * DAY, 56 * DAY)
LONG = RetentionConfig(2 * DAY, 7 * DAY, 60 * DAY, 200 * DAY, 5 * YEAR)


class Machine:
    """A clock that can be put forward and back, and the time that really goes."""

    def __init__(self, now: float = NOW) -> None:
        self.now = now
        self.since_start = 1_000.0

    def goes(self, seconds: float) -> float:
        """Let time go, and the clock with it."""
        self.now += seconds
        self.since_start += seconds
        return self.now

    def jumps(self, seconds: float) -> float:
        """Put the clock forward or back."""
        self.now += seconds
        return self.now


class Store:
    """A store's file and its retention, trimmed as the server does."""

    def __init__(self, folder: Path, config: RetentionConfig, machine: Machine) -> None:
        self.connection = connected(folder)
        self.machine = machine
        self.start(config)

    def start(self, config: RetentionConfig, accept: bool = False) -> None:
        """Start the server anew, with another configuration or none."""
        self.retention = Retention(config, accept, lambda: self.machine.since_start)

    def trim(self) -> int:
        """Let go of all that is due; how many steps it took."""
        for steps in itertools.count():
            with self.connection:
                if not self.retention.step(self.connection, self.machine.now):
                    return steps
        raise AssertionError

    def held(self) -> str:
        """What the warning says; empty where there is none."""
        warning = self.retention.held
        assert warning is None or warning.code == HELD
        return warning.text if warning else ""


@pytest.fixture
def machine() -> Machine:
    return Machine()


@pytest.fixture
def make(tmp_path: Path, machine: Machine) -> Iterator[Callable[[RetentionConfig], Store]]:
    made: list[Store] = []

    def a_store(config: RetentionConfig, full: bool = True, hosts: int = 1) -> Store:
        store = Store(tmp_path / str(len(made)), config, machine)
        made.append(store)
        for number in range(1, hosts + 1 if full else 1):
            filled(store.connection, config.ages, machine.now, number)
        store.trim()
        assert not store.held()
        return store

    yield a_store
    for store in made:
        store.connection.close()


Make = Callable[..., Store]


# Ages and sizes


def test_a_chunk_goes_when_its_last_row_is_too_old_for_its_tier_and_not_before(make: Make) -> None:
    store = make(SHORT, full=False)
    host(store.connection, 1)
    for keep, age in enumerate(SHORT.ages):
        chunk(store.connection, keep, NOW - age - 9, NOW - age - 1)
        chunk(store.connection, keep, NOW - age - 9, NOW - age)
    table(store.connection, NOW - SHORT.raw - 1)
    table(store.connection, NOW - SHORT.raw)
    store.trim()
    assert chunks(store.connection) == {
        keep: [(NOW - age - 9, NOW - age)] for keep, age in enumerate(SHORT.ages)
    }
    assert store.connection.execute("SELECT last FROM snapshots").get == NOW - SHORT.raw
    assert store.connection.execute("SELECT sum(bytes) FROM totals").get == 600


def test_rows_are_kept_as_long_as_the_tier_that_they_stand_for(make: Make) -> None:
    store = make(SHORT, full=False)
    host(store.connection, 1)
    chunk(store.connection, 2, NOW - 3 * DAY, NOW - 3 * DAY + 1, level=0)
    store.trim()
    assert len(chunks(store.connection)[2]) == 1


def test_what_the_coarser_tiers_have_not_got_yet_is_kept_until_they_have_it(make: Make) -> None:
    store = make(SHORT, full=False)
    host(store.connection, 1, rolled_to=NOW - 5 * DAY)
    chunk(store.connection, 0, NOW - 3 * DAY, NOW - 3 * DAY + 1, is_open=True)
    chunk(store.connection, 0, NOW - 4 * DAY, NOW - 4 * DAY + 1)
    chunk(store.connection, 1, NOW - 4 * DAY, NOW - 4 * DAY + 1)
    chunk(store.connection, 0, NOW - 6 * DAY, NOW - 6 * DAY + 1)
    chunk(store.connection, 0, NOW - 57 * DAY, NOW - 57 * DAY + 1, is_open=True)
    store.trim()
    assert {keep: len(found) for keep, found in chunks(store.connection).items() if found} == {
        0: 2,
        1: 1,
    }
    store.connection.execute("UPDATE hosts SET rolled_to = ?", (NOW,))
    store.machine.goes(1)
    store.trim()
    (still_open,) = chunks(store.connection)[0]
    assert still_open[0] == NOW - 3 * DAY
    assert not chunks(store.connection)[1]


def test_a_step_is_small_and_something_goes_in_each(make: Make) -> None:
    store = make(SHORT, full=False)
    host(store.connection, 1)
    store.connection.execute("BEGIN")
    for number in range(3 * STEP_CHUNKS):
        chunk(store.connection, 0, NOW - 9 * DAY, NOW - 8 * DAY + number)
    for number in range(3):
        chunk(store.connection, 1, NOW - 9 * DAY, NOW - 8 * DAY + number, STEP_BYTES * 2 // 3)
    chunk(store.connection, 2, NOW - 9 * DAY, NOW - 8 * DAY, STEP_BYTES * 2)
    store.connection.execute("COMMIT")
    store.machine.goes(1)
    before = store.connection.execute("SELECT count(*), sum(bytes) FROM chunks").fetchall()[0]
    while gone := store.retention.step(store.connection, store.machine.now):
        after = store.connection.execute("SELECT count(*), total(bytes) FROM chunks").fetchall()[0]
        rows = int(before[0]) - int(after[0])  # type: ignore[arg-type]
        assert 0 < rows <= STEP_CHUNKS
        assert gone <= STEP_BYTES or rows == 1
        assert store.retention.touched == {1}
        before = after
    assert before[0] == 0


def test_above_the_size_the_oldest_of_the_fullest_tier_goes_and_open_chunks_last(
    make: Make,
) -> None:
    most = 64_000_000
    store = make(replace(LONG, size=most), full=False)
    host(store.connection, 1)
    size, count = 1_000_000, 20
    store.connection.execute("BEGIN")
    for keep, number in itertools.product(range(5), range(count)):
        at = NOW - HOUR + number
        chunk(store.connection, keep, at, at, size, is_open=keep == 0 and number < 10)
        if keep == 0:
            table(store.connection, at, size)
    store.connection.execute("COMMIT")
    store.trim()
    left = [int(n) for (n,) in store.connection.execute("SELECT bytes FROM totals ORDER BY keep")]
    assert most - size < sum(left) <= most
    fair = levelled([size * count] * 6, most)
    assert all(abs(have - want) <= size for have, want in zip(left, fair, strict=True))
    raw = chunks(store.connection)[0]
    # The open ones, which are older, are all there still; then the newest of the closed.
    assert [at for at, _ in raw[:10]] == [NOW - HOUR + number for number in range(10)]
    assert [at for at, _ in raw[10:]] == [
        NOW - HOUR + number for number in range(count - len(raw) + 10, count)
    ]


def test_open_chunks_go_by_size_when_there_is_nothing_else(make: Make) -> None:
    store = make(RetentionConfig(size=64_000_000), full=False)
    for number in range(70):
        chunk(store.connection, 0, NOW - number, NOW - number, 1_000_000, is_open=True)
    store.trim()
    assert [first for first, _ in chunks(store.connection)[0]] == [
        NOW - number for number in range(63, -1, -1)
    ]


@pytest.mark.parametrize("seed", range(50))
def test_shares_are_filled_level(seed: int) -> None:
    """It must be that no tier gets more than it needs, nor less than its share while one has."""
    drawn = random.Random(seed)
    needs = [drawn.choice([0.0, drawn.uniform(0, 100)]) for _ in SHARES]
    most = drawn.uniform(1, 300)
    given = levelled(needs, most)
    assert sum(given) == pytest.approx(min(most, sum(needs)))
    heights = [g / share for g, share in zip(given, SHARES, strict=True)]
    for number, (got, need) in enumerate(zip(given, needs, strict=True)):
        assert got <= need * (1 + 1e-9)
        if got < need * (1 - 1e-9):
            assert heights[number] == pytest.approx(max(heights))


def test_the_oldest_accepted_frame_is_the_one_that_the_coarsest_tier_keeps(make: Make) -> None:
    store = make(SHORT)
    assert store.retention.oldest_accepted(NOW) == NOW - 56 * DAY


# The brake: policies


SHORTER: dict[str, tuple[RetentionConfig, dict[str, Any], bool]] = {
    "fewer raw days, which coarser tiers keep": (LONG, {"raw": HOUR}, False),
    "everything but the coarsest": (
        LONG,
        dict.fromkeys(("raw", "ten_seconds", "one_minute", "fifteen_minutes"), HOUR),
        False,
    ),
    "a little of the coarsest": (LONG, {"two_hours": 4.8 * YEAR}, False),
    "the coarsest": (LONG, {"two_hours": 200 * DAY}, True),
    "all of them": (
        LONG,
        {
            "raw": HOUR,
            "ten_seconds": DAY,
            "one_minute": 7 * DAY,
            "fifteen_minutes": 7 * DAY,
            "two_hours": 30 * DAY,
        },
        True,
    ),
    "a size that cuts into the coarsest": (LONG, {"size": 64_000_000}, True),
    "a size that is kept already": (LONG, {"size": 19 * 10**9}, False),
}


def changed(config: RetentionConfig, change: dict[str, Any]) -> RetentionConfig:
    """A configuration with some keys changed."""
    return replace(config, **change)


@pytest.mark.parametrize("name", SHORTER)
def test_a_shorter_policy_is_held_when_no_coarser_tier_keeps_what_goes(
    make: Make, machine: Machine, name: str
) -> None:
    config, change, is_held = SHORTER[name]
    store = make(config)
    if "size" in change:
        store.connection.execute("UPDATE chunks SET bytes = bytes * 10000")
        store.connection.execute("UPDATE totals SET bytes = bytes * 10000 WHERE keep < 5")
    before = chunks(store.connection)
    store.start(changed(config, change))
    machine.goes(60)
    store.trim()
    assert bool(store.held()) == is_held
    if not is_held:
        return
    assert chunks(store.connection) == before
    assert "--accept-retention" in store.held()
    assert "2h from " in store.held()
    # The old one is in force, and carried out as time goes.
    machine.goes(3 * DAY)
    store.trim()
    assert store.held()
    assert chunks(store.connection)[4] == before[4]
    assert len(chunks(store.connection)[0]) < len(before[0])
    # Another start changes nothing; one that accepts does it, and it is done.
    store.start(changed(config, change))
    store.trim()
    assert store.held()
    store.start(changed(config, change), accept=True)
    store.trim()
    assert not store.held()
    assert len(chunks(store.connection)[4]) < len(before[4])
    store.start(changed(config, change))
    machine.goes(HOUR)
    store.trim()
    assert not store.held()


def test_a_policy_that_is_taken_back_leaves_no_warning_and_costs_nothing(
    make: Make, machine: Machine
) -> None:
    store = make(LONG)
    before = chunks(store.connection)
    store.start(changed(LONG, {"two_hours": 200 * DAY}))
    store.trim()
    assert store.held()
    store.start(LONG)
    machine.goes(60)
    store.trim()
    assert not store.held()
    assert chunks(store.connection) == before


def test_what_is_to_be_kept_longer_is_although_something_else_is_held(
    make: Make, machine: Machine
) -> None:
    store = make(LONG)
    store.start(changed(LONG, {"raw": 6 * DAY, "two_hours": 200 * DAY}))
    machine.goes(60)
    store.trim()
    in_force = applied(store.connection)
    assert in_force is not None
    assert in_force.ages == (6 * DAY, *LONG.ages[1:])


def test_a_store_that_says_nothing_of_its_policy_loses_nothing_by_that(
    make: Make, machine: Machine
) -> None:
    store = make(LONG)
    before = chunks(store.connection)
    for said in (None, 7, "", "[]", '{"seen": 1}', "[" * 9_000, '{"seen": "x", "size": 1e999}'):
        store.connection.execute("DELETE FROM meta WHERE name = ?", (NAME,))
        if said is not None:
            store.connection.execute("INSERT INTO meta VALUES (?, ?)", (NAME, said))
        store.start(changed(LONG, {"two_hours": 200 * DAY}))
        machine.goes(1)
        store.trim()
        assert store.held()
        assert chunks(store.connection) == before
        # Nothing was written that would pass for a policy of ours.
        store.start(LONG)
        machine.goes(1)
        store.trim()
        assert not store.held()


# The brake: time


@pytest.mark.parametrize("config", [SHORT, LONG], ids=["short", "long"])
def test_time_that_goes_is_never_held(
    make: Make, machine: Machine, config: RetentionConfig
) -> None:
    """It must be that neither hours of running nor nights and weekends off trip the brake."""
    store = make(config, hosts=2)
    for off in (0.0, 14 * HOUR, 62 * HOUR, 86 * HOUR):
        for _ in range(5):
            machine.goes(HOUR)
            store.trim()
            assert not store.held()
        machine.goes(off)
        machine.since_start = 5.0  # the machine was off, too
        store.start(config)
        store.trim()
        assert not store.held()
        for keep, found in chunks(store.connection).items():
            assert all(last >= machine.now - config.ages[keep] for _, last in found)


def test_the_shortest_policy_of_all_is_trimmed_every_hour(make: Make, machine: Machine) -> None:
    """It must be that a store in which every trim takes nearly everything is not held."""
    config = RetentionConfig(HOUR, HOUR, HOUR, HOUR, HOUR)
    store = make(config, full=False)
    host(store.connection, 1)
    for _ in range(10):
        chunk(store.connection, 0, machine.now, machine.now + HOUR - 1)
        chunk(store.connection, 4, machine.now, machine.now)
        machine.goes(3 * HOUR)
        store.trim()
        assert not store.held()
        assert not chunks(store.connection)[0]


@pytest.mark.parametrize("running", [True, False], ids=["running", "at a start"])
@pytest.mark.parametrize("jump", [10 * YEAR, 2 * YEAR, 100 * DAY, 1e12])
def test_a_clock_that_jumps_ahead_deletes_nothing(
    make: Make, machine: Machine, jump: float, running: bool
) -> None:
    store = make(LONG)
    before = chunks(store.connection)
    machine.jumps(jump)
    if not running:
        store.start(LONG)
    for _ in range(3):
        store.trim()
        assert "clock" in store.held()
        assert "--accept-retention" in store.held()
        assert chunks(store.connection) == before
        # Who sends with a clock that is right is still listened to.
        assert store.retention.oldest_accepted(machine.now) <= NOW - LONG.two_hours
        machine.goes(HOUR)
    machine.jumps(-jump)
    store.trim()
    assert not store.held()
    assert chunks(store.connection)[4] == before[4]
    # Only the hours that really went by took something.
    assert len(before[0]) - len(chunks(store.connection)[0]) <= 4


def test_a_clock_that_is_right_after_all_is_believed_after_a_day_if_it_costs_only_detail(
    make: Make, machine: Machine
) -> None:
    store = make(LONG)
    before = chunks(store.connection)
    machine.goes(30 * DAY)  # off for a month, which no weekend is
    store.start(LONG)
    store.trim()
    assert store.held()
    assert chunks(store.connection) == before
    machine.goes(BELIEF_SECONDS / 2)
    store.trim()
    assert store.held()
    machine.goes(BELIEF_SECONDS / 2 + 1)
    store.trim()
    assert not store.held()
    assert not chunks(store.connection)[0]
    assert len(before[4]) - len(chunks(store.connection)[4]) <= 2


def test_a_clock_that_costs_what_no_tier_keeps_is_held_until_it_is_accepted(
    make: Make, machine: Machine
) -> None:
    store = make(LONG)
    before = chunks(store.connection)
    machine.jumps(10 * YEAR)
    for _ in range(4):
        store.trim()
        assert store.held()
        assert chunks(store.connection) == before
        machine.goes(DAY)
    store.start(LONG, accept=True)
    store.trim()
    assert not store.held()
    assert not any(chunks(store.connection).values())
    # It was accepted once, not for ever.
    filled(store.connection, LONG.ages, machine.now)
    machine.goes(HOUR)
    store.trim()
    assert not store.held()
    machine.jumps(10 * YEAR)
    store.trim()
    assert store.held()


@pytest.mark.parametrize("jump", [HOUR, -HOUR, -10 * YEAR])
@pytest.mark.parametrize("config", [SHORT, LONG], ids=["short", "long"])
def test_an_hour_ahead_or_anything_back_holds_nothing_and_takes_only_what_is_due(
    make: Make, machine: Machine, config: RetentionConfig, jump: float
) -> None:
    store = make(config)
    for _ in range(3):
        machine.goes(HOUR)
        store.trim()
    before = chunks(store.connection)
    machine.jumps(jump)
    store.trim()
    assert not store.held()
    after = chunks(store.connection)
    if jump < 0:
        assert after == before
    for keep, span in enumerate(SPANS):
        gone = set(before[keep]) - set(after[keep])
        assert len(gone) <= 1 + max(0.0, jump) / span
        assert all(last < machine.now - config.ages[keep] for _, last in gone)
    machine.jumps(-jump)
    machine.goes(HOUR)
    store.trim()
    assert not store.held()


@pytest.mark.parametrize("seed", range(40))
def test_no_course_of_clocks_and_policies_costs_more_than_it_may(
    make: Make, machine: Machine, seed: int
) -> None:
    """It must be that nothing that happens takes more than a twentieth of what is to be kept.

    What is to be kept is said by the longer policy and the time that really went.
    """
    drawn = random.Random(seed)
    store = make(LONG)
    real, skew = NOW, 0.0
    for _ in range(12):
        was = coverage.read(store.connection)
        match drawn.choice(["goes", "jumps", "back", "policy", "restart"]):
            case "goes":
                seconds = drawn.choice([HOUR, DAY])
                machine.goes(seconds)
                real += seconds
            case "jumps":
                jump = 10 ** drawn.uniform(3, 9)
                machine.jumps(jump)
                skew += jump
            case "back":
                machine.jumps(-skew)
                skew = 0.0
            case "policy":
                short = {"two_hours": drawn.uniform(200, 1825) * DAY, "raw": HOUR}
                store.start(changed(LONG, drawn.choice([{}, short])))
            case _:
                store.start(LONG)
        floor = [real - age for age in LONG.ages]
        store.trim()
        lost = was.seconds(floor) - coverage.read(store.connection).seconds(floor)
        assert lost <= 0.06 * was.seconds(floor)


# Coverage


def by_the_second(stretches: list[tuple[int, int, float, float]], cutoffs: list[float]) -> float:
    """The covered time × hosts, counted second by second."""
    seen = set()
    for of, keep, start, end in stretches:
        first = max(start, cutoffs[keep])
        seen |= {(of, second) for second in range(int(first), int(max(first, end)))}
    return float(len(seen))


@pytest.mark.parametrize("seed", range(30))
def test_coverage_is_the_union_of_the_tiers_of_each_host(seed: int) -> None:
    drawn = random.Random(seed)
    stretches: list[tuple[int, int, float, float]] = []
    for _ in range(drawn.randrange(30)):
        start = drawn.randrange(300)
        stretches.append(
            (drawn.randrange(3), drawn.randrange(5), start, start + drawn.randrange(60))
        )
    columns = list(zip(*stretches, strict=True)) or [()] * 4
    ends = np.array(columns[3], dtype=float)
    found = coverage.Coverage(
        np.array(columns[0], dtype=np.int64),
        np.array(columns[1], dtype=np.int64),
        np.array(columns[2], dtype=float),
        ends,
        ends,
        np.zeros(len(stretches), dtype=bool),
    )
    cutoffs = [float(drawn.randrange(200)) for _ in range(5)]
    assert found.seconds(cutoffs) == by_the_second(stretches, cutoffs)
    for keep in range(5):
        alone = [each for each in stretches if each[1] == keep]
        assert found.seconds(cutoffs, keep) == by_the_second(alone, cutoffs)


def test_the_policy_is_written_with_the_first_chunk_that_goes(make: Make, machine: Machine) -> None:
    """It must be that a kill between two steps leaves a policy that says what was begun."""
    store = make(SHORT)
    machine.goes(2 * DAY)
    store.connection.execute("BEGIN IMMEDIATE")
    store.retention.step(store.connection, machine.now)
    store.connection.execute("ROLLBACK")
    before = applied(store.connection)
    assert before is not None
    assert before.seen == NOW
    with store.connection:
        store.retention.step(store.connection, machine.now)
    after = applied(store.connection)
    assert after is not None
    assert after.cutoffs == tuple(machine.now - age for age in SHORT.ages)
    said = store.connection.execute("SELECT value FROM meta WHERE name = ?", (NAME,)).get
    assert json.loads(str(said))["size"] == SHORT.size


async def test_the_store_says_what_is_held_and_carries_it_out_when_that_is_accepted(
    make: Make, machine: Machine, tmp_path: Path
) -> None:
    """It must be that the brake's word reaches who reads the store's warnings, and its pages."""
    make(LONG).connection.close()
    shorter = changed(LONG, {"two_hours": 200 * DAY})

    async def after_a_trim(accept: bool) -> tuple[bool, int]:
        store = await open_store(
            tmp_path / "0", shorter, clock=lambda: machine.now, accept_retention=accept
        )
        try:
            gone = await store.trim(machine.now)
            return HELD in {warning.code for warning in store.warnings()}, gone
        finally:
            await store.close()

    assert await after_a_trim(accept=False) == (True, 0)
    is_held, gone = await after_a_trim(accept=True)
    assert not is_held
    assert gone >= 100
    machine.goes(60)
    assert await after_a_trim(accept=False) == (False, 0)
