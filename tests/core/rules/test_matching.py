"""Which series go together: joins of a rule's conditions within a host.

Every name finishes the sentence "it must be that …".
"""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from monitor.core.rules.matching import ABSENT, MOST_ROWS, Columns, conditions_of, matches
from monitor.core.rules.model import Above, Clause, Condition, Join, Level, Rule, Severity
from monitor.core.selectors import Selector
from monitor.model import Schema, key

Rows = dict[str, tuple[str, ...]]


def _rule(*conditions: Condition, join: Join = Join.ALL) -> Rule:
    clauses = tuple(Clause(each, Above(1, 1)) for each in conditions)
    return Rule("r", (Level(Severity.WARNING, clauses, join),))


def _found(
    conditions: Sequence[Condition],
    own: Sequence[str],
    join: Join = Join.ALL,
    made: Sequence[str] = (),
) -> Rows:
    """Each row's attributes as text, and the KEYs of its conditions."""
    rule = _rule(*conditions, join=join)
    columns = Columns(Schema(tuple(made)), Schema(tuple(own)))
    found = matches(rule, conditions_of(rule), columns)
    for match in found:
        for column, text in zip(match.columns, match.keys, strict=True):
            assert text == ("" if column == ABSENT else str(columns.key(column)))
    rows = {",".join(f"{n}={v}" for n, v in match.attributes): match.keys for match in found}
    assert len(rows) == len(found), "no two rows are of the same attributes"
    return rows


def _where(metric: str, where: str | None = None, *, when_present: bool = False) -> Condition:
    selector = Selector.parse(where) if where is not None else None
    return Condition(metric, selector, when_present=when_present)


def _fs(metric: str, mountpoint: str, **more: str) -> str:
    return key(f"fs.{metric}", mountpoint=mountpoint, **more)


USED = [_fs("used", "/"), _fs("used", "/data")]
FREE = [
    _fs("usage", mount, state=state)
    for mount in ("/", "/data", "/new")
    for state in ("free", "used")
]


def test_without_where_a_bare_series_stands_for_all() -> None:
    bare, others = "cpu", [key("cpu", core="0"), key("cpu", core="1")]
    assert _found([_where("cpu")], [bare, *others]) == {"": ("cpu",)}
    assert _found([_where("cpu")], others) == {"core=0": (others[0],), "core=1": (others[1],)}
    assert _found([_where("cpu")], ["memory"]) == {}


def test_with_where_it_is_every_series_that_matches() -> None:
    own = ["cpu", key("cpu", core="0"), key("cpu", core="1")]
    assert _found([_where("cpu", "core=*")], own).keys() >= {"core=0", "core=1"}
    assert _found([_where("cpu", "core=1")], own) == {"core=1": (own[2],)}
    assert _found([_where("cpu", "core!=1")], own) == {"": ("cpu",), "core=0": (own[1],)}


def test_all_joins_what_agrees_and_pinned_attributes_take_no_part() -> None:
    found = _found([_where("fs.used"), _where("fs.usage", "state=free")], [*USED, *FREE])
    assert found == {
        "mountpoint=/": (USED[0], FREE[0]),
        "mountpoint=/data": (USED[1], FREE[2]),
    }


def test_the_first_ones_pinned_attributes_are_the_alerts_and_join_nothing() -> None:
    found = _found([_where("fs.usage", "state=free"), _where("fs.used")], [*USED, *FREE])
    assert found == {
        "mountpoint=/,state=free": (FREE[0], USED[0]),
        "mountpoint=/data,state=free": (FREE[2], USED[1]),
        "mountpoint=/new,state=free": (FREE[4], ""),
    }


def test_a_row_that_agrees_with_several_is_several() -> None:
    own = [key("disk", device="a"), key("io", device="a", direction="read")]
    own += [key("io", device="a", direction="write"), key("io", device="b", direction="read")]
    found = _found([_where("disk"), _where("io")], own)
    assert found == {
        "device=a,direction=read": (own[0], own[1]),
        "device=a,direction=write": (own[0], own[2]),
    }


def test_what_shares_nothing_goes_with_everything() -> None:
    own = ["cpu", *USED]
    assert _found([_where("fs.used"), _where("cpu")], own) == {
        "mountpoint=/": (USED[0], "cpu"),
        "mountpoint=/data": (USED[1], "cpu"),
    }
    assert _found([_where("cpu"), _where("fs.used")], own) == {
        "mountpoint=/": ("cpu", USED[0]),
        "mountpoint=/data": ("cpu", USED[1]),
    }


def test_what_is_missing_leaves_its_place_empty_and_the_first_makes_the_rows() -> None:
    assert _found([_where("fs.used"), _where("cpu", when_present=True)], USED) == {
        "mountpoint=/": (USED[0], ""),
        "mountpoint=/data": (USED[1], ""),
    }
    assert _found([_where("cpu"), _where("fs.used")], USED) == {}


def test_a_third_joins_by_what_the_second_brought() -> None:
    own = ["cpu", key("disk", device="a"), key("disk", device="b"), key("heat", device="b")]
    assert _found([_where("cpu"), _where("disk"), _where("heat")], own) == {
        "device=a": ("cpu", own[1], ""),
        "device=b": ("cpu", own[2], own[3]),
    }


ANY = Join.ANY


def test_any_puts_beside_each_other_what_has_the_same_attributes() -> None:
    own = [*USED, _fs("inodes", "/"), _fs("inodes", "/new")]
    assert _found([_where("fs.used"), _where("fs.inodes")], own, ANY) == {
        "mountpoint=/": (USED[0], own[2]),
        "mountpoint=/data": (USED[1], ""),
        "mountpoint=/new": ("", own[3]),
    }


def test_any_is_of_what_is_there() -> None:
    assert _found([_where("fs.used"), _where("cpu")], USED, ANY) == {
        "mountpoint=/": (USED[0], ""),
        "mountpoint=/data": (USED[1], ""),
    }
    assert _found([_where("fs.used"), _where("cpu")], ["cpu"], ANY) == {"": ("", "cpu")}
    assert _found([_where("fs.used"), _where("cpu")], [], ANY) == {}


def test_any_with_one_that_has_attributes_and_one_that_has_none() -> None:
    assert _found([_where("cpu"), _where("fs.used")], ["cpu", *USED], ANY) == {
        "mountpoint=/": ("cpu", USED[0]),
        "mountpoint=/data": ("cpu", USED[1]),
    }


def test_any_does_not_mix_what_two_of_three_share() -> None:
    own = [key("disk", device=device) for device in "ab"]
    own += [key("io", device=device) for device in "abc"] + ["cpu"]
    found = _found([_where("disk"), _where("io"), _where("cpu")], own, ANY)
    assert found == {
        "device=a": (own[0], own[2], "cpu"),
        "device=b": (own[1], own[3], "cpu"),
        "device=c": ("", own[4], ""),
    }


def test_a_join_of_everything_with_everything_has_an_end() -> None:
    own = [key("one", a=str(number)) for number in range(60)]
    own += [key("two", b=str(number)) for number in range(60)]
    for join in Join:
        assert len(_found([_where("one"), _where("two")], own, join)) == MOST_ROWS


def test_what_is_made_here_is_heard_of_nobody_else() -> None:
    """An agent that says that its host is up does not make it so."""
    made = ["monitor.host.down"]
    own = ["cpu", "monitor.host.down", key("monitor.host.down", a="b")]
    columns = Columns(Schema(tuple(made)), Schema(tuple(own)))
    assert columns.of("monitor.host.down") == (0,)
    assert columns.of("cpu") == (1,)
    assert str(columns.key(3)) == own[2]
    assert len(columns) == 4
    assert _found([_where("monitor.host.down", "a=b")], own, made=made) == {}


def test_the_condition_that_is_told_is_the_first_and_each_is_there_once() -> None:
    one, two = _where("one"), _where("two")
    levels = (
        Level(Severity.WARNING, (Clause(one, Above(1, 1)), Clause(two, Above(1, 1)))),
        Level(Severity.CRITICAL, (Clause(two, Above(2, 2)), Clause(one, Above(2, 2)))),
    )
    rule = Rule("r", levels)
    assert conditions_of(rule) == (one, two)
    assert rule.condition == one


@pytest.mark.parametrize(
    "where", ["state=free", "state=fr*", "state in (free, used)", "state!=free"]
)
def test_only_one_literal_value_is_pinned(where: str) -> None:
    found = _found([_where("fs.used"), _where("fs.usage", where)], [*USED, *FREE])
    assert any("state" in row for row in found) is (where != "state=free")
