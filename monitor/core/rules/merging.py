"""Lays what one file says of a rule over what an earlier one, or the shipped set, says: key by key.

It works on plain tables as TOML has them, and keeps where each key came from, so that a fault is
told where it was written.  What replaces what:

* a key that is written again replaces the earlier one, of ``labels`` each for itself;
* of a limit, another kind replaces the inherited kind with its way back; where only the limit is
  changed and the inherited way back would be on its wrong side, the way back keeps its distance;
* a ``for`` of the whole rule replaces the inherited ones of single levels too;
* ``all`` and ``any`` replace the one condition with its limits, and a ``metric`` replaces these;
* overrides are added in front of the inherited ones, since the first that takes a host holds; one
  that is written again as it was is there once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from monitor.core.rules.model import LIMIT_KINDS, Severity
from monitor.core.rules.values import Measure, Unit, measure
from monitor.core.toml_lines import KeyPath

LEVELS = tuple(severity.value for severity in Severity)
CONDITION_KEYS = ("metric", "where", "reduce", "over", "when_present", "peers", "full")
JOINS = ("all", "any")
CLEAR_BELOW = "clear_below"
CLEAR_ABOVE = "clear_above"
WAYS_BACK: Mapping[str, tuple[str, ...]] = {
    "above": (CLEAR_BELOW,),
    "below": (CLEAR_ABOVE,),
    "outside": (CLEAR_ABOVE, CLEAR_BELOW),
    "rate_above": (CLEAR_BELOW,),
    "fills_within": (CLEAR_ABOVE,),
    "differs_from_peers": (CLEAR_BELOW,),
}
"""Of each kind of limit that has a way back, the keys that say it."""

OVERRIDES = "override"

_DURATION = Measure(Unit.SECONDS)
_DEVIATIONS = Measure(Unit.NUMBER)

Source: TypeAlias = tuple[int, KeyPath]
"""Which layer a key came from, and its path there."""


@dataclass(slots=True)
class Laid:
    """A rule's table, and the source of each of its keys."""

    table: dict[str, Any] = field(default_factory=dict)
    came: dict[KeyPath, Source] = field(default_factory=dict)

    def source(self, path: KeyPath) -> Source:
        """Where this path, or the nearest table around it, came from."""
        for length in range(len(path), -1, -1):
            found = self.came.get(path[:length])
            if found is not None:
                return found[0], (*found[1], *path[length:])
        return 0, path

    def drop(self, *path: str | int) -> None:
        """Know nothing of a path any more."""
        inner: Any = self.table
        for part in path[:-1]:
            inner = inner[part]
        inner.pop(path[-1], None)
        for known in [known for known in self.came if known[: len(path)] == path]:
            del self.came[known]


def lay(under: Laid, over: Mapping[str, Any], layer: int, at: KeyPath) -> Laid:
    """What a rule comes to where `over`, found at a path of a layer, is laid over it."""
    laid = Laid(dict(under.table), dict(under.came))
    laid.came[()] = (layer, at)
    _replace_form(laid, over)
    if "for" in over:
        for level in LEVELS:
            if isinstance(laid.table.get(level), dict) and "for" in laid.table[level]:
                laid.table[level] = dict(laid.table[level])
                laid.drop(level, "for")
    metric = over.get("metric", laid.table.get("metric"))
    for key, value in over.items():
        here = (*at, key)
        old = laid.table.get(key)
        if key in LEVELS and isinstance(old, dict) and isinstance(value, dict):
            _lay_limit(laid, key, value, (layer, here), metric if isinstance(metric, str) else "")
        elif key == "labels" and isinstance(old, dict) and isinstance(value, dict):
            laid.table[key] = {**old, **value}
            laid.came.update({(key, name): (layer, (*here, name)) for name in value})
        elif key == OVERRIDES and isinstance(old, list) and isinstance(value, list):
            _add_overrides(laid, value, (layer, here))
        else:
            laid.drop(key)
            laid.table[key] = value
            laid.came[key,] = (layer, here)
    return laid


def overridden(laid: Laid, number: int) -> Laid:
    """What a rule comes to for the hosts of one of its overrides."""
    layer, at = laid.source((OVERRIDES, number))
    over = {key: value for key, value in laid.table[OVERRIDES][number].items() if key != "hosts"}
    plain = Laid(dict(laid.table), dict(laid.came))
    plain.drop(OVERRIDES)
    return lay(plain, over, layer, at)


def _replace_form(laid: Laid, over: Mapping[str, Any]) -> None:
    """Let go of the form, one condition or several, that `over` replaces by another."""
    if any(join in over for join in JOINS):
        for key in (*CONDITION_KEYS, *LEVELS, *JOINS, "also"):
            laid.drop(key)
    elif "metric" in over:
        for key in (*JOINS, "severity"):
            laid.drop(key)


def _add_overrides(laid: Laid, added: list[Any], source: Source) -> None:
    layer, at = source
    old = laid.table[OVERRIDES]
    kept = [number for number, each in enumerate(old) if each not in added]
    sources = [laid.source((OVERRIDES, number)) for number in kept]
    laid.drop(OVERRIDES)
    laid.table[OVERRIDES] = [*added, *(old[number] for number in kept)]
    sources[:0] = [(layer, (*at, number)) for number in range(len(added))]
    laid.came.update({(OVERRIDES, number): each for number, each in enumerate(sources)})


def _lay_limit(
    laid: Laid, level: str, over: Mapping[str, Any], source: Source, metric: str
) -> None:
    """Lay a level's table over the inherited one."""
    layer, at = source
    old: dict[str, Any] = dict(laid.table[level])
    laid.table[level] = dict(old)
    laid.came[level,] = laid.came.get((level,), source)
    kinds = [kind for kind in LIMIT_KINDS if kind in over]
    inherited = [kind for kind in LIMIT_KINDS if kind in old]
    if kinds and kinds != inherited:
        for key in (*inherited, CLEAR_BELOW, CLEAR_ABOVE):
            laid.drop(level, key)
    for key, value in over.items():
        laid.drop(level, key)
        laid.table[level][key] = value
        laid.came[level, key] = (layer, (*at, key))
    if len(kinds) == 1 and kinds == inherited:
        (kind,) = kinds
        for clear in WAYS_BACK.get(kind, ()):
            if clear in old and clear not in over:
                kept = _kept(kind, clear, old, over[kind], metric)
                if kept is not None:
                    laid.table[level][clear] = kept
                    laid.came[level, clear] = (layer, (*at, kind))


def _kept(kind: str, clear: str, old: Mapping[str, Any], new: Any, metric: str) -> Any:
    """The way back that keeps its distance from a new limit; none where the old one still fits.

    None too where one of the values cannot be read: that is complained of where rules are read.
    """
    reader = limit_measure(kind, metric).read
    try:
        limit, before = (reader(_end(kind, clear, value)) for value in (new, old[kind]))
        back = reader(old[clear])
    except ValueError:
        return None
    if (back <= limit) if clear == CLEAR_BELOW else (back >= limit):
        return None
    kept = limit + (back - before)
    # Where the distance would lead to where no value ever is, half of what is left has to do.
    if clear == CLEAR_BELOW and limit > 0 >= kept:
        kept = limit / 2
    full = _fullest(kind, metric)
    if clear == CLEAR_ABOVE and limit < full <= kept:
        kept = (limit + full) / 2
    return _written(kind, metric, kept)


def _end(kind: str, clear: str, value: Any) -> Any:
    """The limit that a way back belongs to: of a range the low or the high end."""
    if kind != "outside":
        return value
    if not isinstance(value, Sequence) or isinstance(value, str) or len(value) != 2:
        raise ValueError("no range")
    return value[0] if clear == CLEAR_ABOVE else value[1]


def _fullest(kind: str, metric: str) -> float:
    """What no value of a metric is beyond, as far as that is known."""
    is_ratio = measure(metric).unit is Unit.RATIO and kind in ("below", "outside")
    return 1.0 if is_ratio else float("inf")


def _written(kind: str, metric: str, value: float) -> str | int | float:
    found = limit_measure(kind, metric)
    if found.unit is Unit.ANY:
        return round(value, 9)
    return found.written(value)


def limit_measure(kind: str, metric: str) -> Measure:
    """How the values of a kind of limit are written, of this metric."""
    match kind:
        case "fills_within" | "absent_for":
            return _DURATION
        case "differs_from_peers":
            return _DEVIATIONS
        case _:
            return measure(metric, rate=kind == "rate_above")
