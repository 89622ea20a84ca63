"""Reads conditions and the limits that they are held against, of plain tables.

Every fault is said with its path, all of them together; what has one comes back as none.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Collection, Mapping
from typing import Any, TypeAlias, cast

from monitor.core import quantity
from monitor.core.quantity import shown
from monitor.core.rules import model
from monitor.core.rules.merging import (
    CLEAR_ABOVE,
    CLEAR_BELOW,
    CONDITION_KEYS,
    WAYS_BACK,
    limit_measure,
)
from monitor.core.rules.model import LIMIT_KINDS, Clause, Condition, Limit, Reduce
from monitor.core.rules.values import Unit, measure
from monitor.core.selectors import LONGEST_NAME_CHARACTERS, MOST_VALUES, RESERVED_NAMES, Selector
from monitor.core.toml_lines import KeyPath
from monitor.errors import InputError

Say: TypeAlias = Callable[[KeyPath, str], None]
"""Takes a fault: its path in the rule, and the sentence."""

Table: TypeAlias = Mapping[str, Any]

LONGEST_WINDOW_SECONDS = 24 * 3_600.0
"""`over` at most: what a window holds is kept in memory for every series."""

LONGEST_SECONDS = 30 * 86_400.0
"""How long anything may have to hold, or be absent."""

LONGEST_FORECAST_SECONDS = 366 * 86_400.0

LONGEST_METRIC_CHARACTERS = 255
GUESS_CHARACTERS = 64
"""Longer names are not compared with the known ones: it is slow, and they are no slips."""

MOST_UNKNOWN = 20
"""Unknown keys that are told of one table, each with what may have been meant."""

WINDOWED_KINDS = frozenset({"changed", "rate_above", "fills_within"})
"""Kinds of limit that look at a window themselves, so that `over` needs no `reduce`."""

LIMIT_KEYS = (*LIMIT_KINDS, CLEAR_BELOW, CLEAR_ABOVE)
LEVEL_KEYS = (*LIMIT_KEYS, "for", "also")
CLAUSE_KEYS = (*CONDITION_KEYS, *LIMIT_KEYS)

_METRIC = re.compile(r"[A-Za-z_:][A-Za-z0-9_.:/-]*\Z")
_BARE_VALUE = re.compile(r"""[^\s,()"'=!\\~]+\Z""")
_SUCH_AS = 'such as warning = { above = "90%", clear_below = "80%" }'


def unknown(
    table: Table, known: Collection[str], path: KeyPath, say: Say, elsewhere: str = ""
) -> None:
    """Say which keys of a table are not known, and which ones may have been meant."""
    strange = [key for key in table if key not in known]
    for key in strange[:MOST_UNKNOWN]:
        is_limit = elsewhere and key in LIMIT_KEYS
        near = f'; did you mean "{elsewhere}.{key}"?' if is_limit else guess(key, known)
        say((*path, key), f"unknown key{near}")
    if len(strange) > MOST_UNKNOWN:
        say(path, f"has {len(strange) - MOST_UNKNOWN:,} unknown keys more")


def guess(name: str, known: Collection[str]) -> str:
    """``; did you mean "…"?`` where there is one near enough."""
    if len(name) > GUESS_CHARACTERS:
        return ""
    near = difflib.get_close_matches(name, list(known), n=1)
    return f'; did you mean "{near[0]}"?' if near else ""


def flag(table: Table, key: str, default: bool, path: KeyPath, say: Say) -> bool:
    """A truth value."""
    found = table.get(key, default)
    if not isinstance(found, bool):
        say((*path, key), f"expected true or false, got {shown(found)}")
        return default
    return found


def text(table: Table, key: str, path: KeyPath, say: Say, default: str = "") -> str:
    """A text."""
    found = table.get(key, default)
    if not isinstance(found, str):
        say((*path, key), f"expected text in quotes, got {shown(found)}")
        return default
    return found


def seconds(table: Table, key: str, path: KeyPath, say: Say, most: float) -> float:
    """A duration; 0 where the key is not there."""
    if key not in table:
        return 0.0
    try:
        found = quantity.parse_seconds(table[key])
    except ValueError as error:
        say((*path, key), str(error))
        return 0.0
    if found > most:
        longest = quantity.format_seconds(most)
        say((*path, key), f"expected at most {longest}, got {quantity.format_seconds(found)}")
    return found


def selector(value: object, path: KeyPath, say: Say) -> Selector | None:
    """A selector of hosts."""
    if not isinstance(value, str):
        say(path, f'expected a selector such as "role=web", got {shown(value)}')
        return None
    try:
        return Selector.parse(value)
    except InputError as error:
        say(path, error.detail)
        return None


def condition(table: Table, kinds: Collection[str], path: KeyPath, say: Say) -> Condition | None:
    """What is looked at, of a table's keys; `kinds` are those of the limits that it is held to."""
    faults: list[KeyPath] = []

    def fault(where: KeyPath, sentence: str) -> None:
        faults.append(where)
        say(where, sentence)

    metric = _metric(table, path, fault)
    where = _where(table["where"], (*path, "where"), fault) if "where" in table else None
    over = seconds(table, "over", path, fault, LONGEST_WINDOW_SECONDS)
    reduce = _reduce(table, path, fault)
    if reduce not in (None, Reduce.LAST) and "over" not in table:
        fault((*path, "reduce"), f'over is missing: the {reduce} of what, such as over = "5m"?')
    if "over" in table and reduce is Reduce.LAST and not WINDOWED_KINDS.intersection(kinds):
        fault((*path, "over"), 'says nothing without reduce, such as reduce = "avg"')
    peers = text(table, "peers", path, fault, "role")
    if not _METRIC.match(peers) or len(peers) > LONGEST_NAME_CHARACTERS:
        fault((*path, "peers"), f"expected a label's name, got {shown(peers)}")
    full = 1.0
    if "full" in table:
        full = _number(measure(metric).read, table["full"], (*path, "full"), fault)
    elif "fills_within" in kinds and metric and measure(metric).unit is not Unit.RATIO:
        fault((*path, "metric"), "full is missing: at which value is it full?")
    present = flag(table, "when_present", False, path, fault)
    if faults or reduce is None:
        return None
    return Condition(metric, where, reduce, over, present, peers, full)


def limit(table: Table, metric: str, path: KeyPath, say: Say) -> Limit | None:
    """The limit of a table: one kind, with its way back."""
    kinds = [kind for kind in LIMIT_KINDS if kind in table]
    if len(kinds) != 1:
        if kinds:
            say((*path, kinds[1]), f"{kinds[0]} stands here too; a limit is of one kind")
        elif not {CLEAR_BELOW, CLEAR_ABOVE}.intersection(table):
            say(path, f"says no limit; expected one of {', '.join(LIMIT_KINDS)}, {_SUCH_AS}")
        else:
            say(path, f"has a way back and no limit; expected one of {', '.join(LIMIT_KINDS)}")
        return None
    (kind,) = kinds
    faults: list[KeyPath] = []

    def fault(where: KeyPath, sentence: str) -> None:
        faults.append(where)
        say(where, sentence)

    ways = WAYS_BACK.get(kind, ())
    for clear in (CLEAR_BELOW, CLEAR_ABOVE):
        if clear in table and clear not in ways:
            its = f"its way back is {' and '.join(ways)}" if ways else "it has no way back"
            fault((*path, clear), f"does not go with {kind}: {its}")
    found = _limit(kind, table, metric, path, fault)
    return None if faults else found


def clause(table: object, path: KeyPath, say: Say) -> Clause | None:
    """A condition with its limit, in one table."""
    if not isinstance(table, dict):
        say(path, 'expected a table such as { metric = "app.queue.length", above = 100 }')
        return None
    unknown(table, CLAUSE_KEYS, path, say)
    kinds = [kind for kind in LIMIT_KINDS if kind in table]
    looked_at = condition(table, kinds, path, say)
    metric = table.get("metric")
    held_to = limit(table, metric if isinstance(metric, str) else "", path, say)
    return Clause(looked_at, held_to) if looked_at and held_to else None


def _limit(kind: str, table: Table, metric: str, path: KeyPath, say: Say) -> Limit:
    value, here = table[kind], (*path, kind)
    read = limit_measure(kind, metric).read

    def back(clear: str, of: float) -> float:
        """The way back; a fault where it is beyond the limit."""
        if clear not in table:
            return of
        found = _number(read, table[clear], (*path, clear), say, of)
        if found > of if clear == CLEAR_BELOW else found < of:
            side = "at most" if clear == CLEAR_BELOW else "at least"
            say(
                (*path, clear),
                f"expected {side} the limit, {shown(value)}; got {shown(table[clear])}",
            )
        return found

    match kind:
        case "above" | "rate_above":
            found = _number(read, value, here, say)
            clear = back(CLEAR_BELOW, found)
            return model.Above(found, clear) if kind == "above" else model.RateAbove(found, clear)
        case "below":
            found = _number(read, value, here, say)
            return model.Below(found, back(CLEAR_ABOVE, found))
        case "outside":
            low, high = _range(read, value, here, say)
            clear_low = back(CLEAR_ABOVE, low)
            clear_high = back(CLEAR_BELOW, high)
            if clear_low > clear_high:
                say(here, "there is nothing between clear_above and clear_below to come back to")
            return model.Outside(low, high, clear_low, clear_high)
        case "equals":
            return model.Equals(_number(read, value, here, say))
        case "absent_for":
            return model.AbsentFor(_span(table, kind, path, say, LONGEST_SECONDS))
        case "changed":
            if value is not True:
                say(here, f"expected true, got {shown(value)}")
            return model.Changed()
        case "fills_within":
            found = _span(table, kind, path, say, LONGEST_FORECAST_SECONDS)
            return model.FillsWithin(found, back(CLEAR_ABOVE, found))
        case _:
            found = _number(read, value, here, say, 1.0)
            if found <= 0:
                say(here, f"expected a number of deviations above 0, got {shown(value)}")
            return model.DiffersFromPeers(found, back(CLEAR_BELOW, found))


def _span(table: Table, key: str, path: KeyPath, say: Say, most: float) -> float:
    """A duration that is not nothing."""
    faults: list[KeyPath] = []

    def fault(where: KeyPath, sentence: str) -> None:
        faults.append(where)
        say(where, sentence)

    found = seconds(table, key, path, fault, most)
    if found <= 0 and not faults:
        say((*path, key), f"expected more than 0s, got {shown(table[key])}")
    return found


def _number(
    read: Callable[[object], float], value: object, path: KeyPath, say: Say, otherwise: float = 0.0
) -> float:
    try:
        return read(value)
    except ValueError as error:
        say(path, str(error))
        return otherwise


def _range(
    read: Callable[[object], float], value: object, path: KeyPath, say: Say
) -> tuple[float, float]:
    if not isinstance(value, list) or len(value) != 2:
        say(path, f"expected the lowest and the highest value, as [10, 20]; got {shown(value)}")
        return 0.0, 0.0
    low, high = (_number(read, each, (*path, at), say) for at, each in enumerate(value))
    if low > high:
        say(path, "expected the lowest value first")
    return low, high


def _metric(table: Table, path: KeyPath, say: Say) -> str:
    if "metric" not in table:
        say((*path, "metric"), 'has to be given, such as metric = "system.cpu.utilization"')
        return ""
    found = text(table, "metric", path, say)
    if "{" in found:
        say((*path, "metric"), 'expected a name alone; attributes are chosen by where = "…"')
    elif found and (not _METRIC.match(found) or len(found) > LONGEST_METRIC_CHARACTERS):
        say((*path, "metric"), f"expected the name of a metric, got {shown(found)}")
    elif not found and isinstance(table["metric"], str):
        say((*path, "metric"), "expected the name of a metric, got an empty one")
    return found


def _reduce(table: Table, path: KeyPath, say: Say) -> Reduce | None:
    written = table.get("reduce", Reduce.LAST.value)
    names = [each.value for each in Reduce]
    if not isinstance(written, str) or written not in names:
        near = guess(written, names) if isinstance(written, str) else ""
        say((*path, "reduce"), f"expected one of {', '.join(names)}, got {shown(written)}{near}")
        return None
    return Reduce(written)


def _where(value: object, path: KeyPath, say: Say) -> Selector | None:
    """The selector over attributes that a text or a table writes."""
    if isinstance(value, dict):
        terms = [_term(name, wanted, path, say) for name, wanted in value.items()]
        if not terms:
            say(path, 'expected attributes, such as { mountpoint = "*" }')
        if not terms or None in terms:
            return None
        value = ", ".join(cast("list[str]", terms))
    if not isinstance(value, str):
        say(path, f'expected a selector such as "mountpoint=/var", got {shown(value)}')
        return None
    try:
        found = Selector.parse(value, "where")
    except InputError as error:
        say(path, error.detail)
        return None
    if reserved := sorted(found.names & RESERVED_NAMES):
        say(path, f"{reserved[0]} is no attribute of a metric; hosts are chosen by hosts")
        return None
    return found


def _term(name: str, wanted: object, path: KeyPath, say: Say) -> str | None:
    """One attribute of a table as a selector's term."""
    values: list[Any] = wanted if isinstance(wanted, list) else [wanted]
    if not _METRIC.match(name):
        say((*path, name), "expected an attribute's name")
        return None
    if not values or len(values) > MOST_VALUES or not all(isinstance(each, str) for each in values):
        say((*path, name), f"expected a value in quotes or a list of some, got {shown(wanted)}")
        return None
    return f"{name} in ({', '.join(_quoted(each) for each in values)})"


def _quoted(value: str) -> str:
    """A value as selectors write it; what it escapes stays escaped."""
    if _BARE_VALUE.match(value):
        return value
    found = re.sub(
        r'\\.|"', lambda each: '\\"' if each[0] == '"' else each[0], value, flags=re.DOTALL
    )
    return f'"{found}"'
