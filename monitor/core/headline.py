"""A host's headline numbers: what the fleet page shows of it, and the fleet frame carries.

Where a host has many of a thing, the headline is the fullest filesystem and the sum of the
network interfaces other than loopback; both come under the bare name.

`headline` is of one host.  `glances` is of as many as a page shows: it copies what their headlines
need, which is quick, and `Glances.headlines` then works out all of them together, in any thread.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from monitor.core.series import Floats
from monitor.core.state import (
    LATE_AFTER_PERIODS,
    LATE_AFTER_SECONDS,
    UNKNOWN_PERIOD_SECONDS,
    HostState,
)
from monitor.model import HostStatus, Schema, key

_PRESSURES = ("cpu", "memory", "io")

HEADLINE_KEYS: tuple[str, ...] = (
    "system.cpu.utilization",
    "system.memory.utilization",
    "system.paging.utilization",
    "system.filesystem.utilization",
    "system.cpu.load_average.1m",
    *(key("system.linux.pressure", kind="some", resource=name) for name in _PRESSURES),
    *(key("system.linux.pressure", kind="full", resource=name) for name in _PRESSURES[1:]),
    key("system.network.io", direction="receive"),
    key("system.network.io", direction="transmit"),
    "system.uptime",
)
"""The columns of the fleet frame, in order."""

PLANS = 4_096
"""Schemas whose plan is remembered: hosts keep theirs for long."""

_SUMMED = {
    key("system.network.io", direction="receive"): "receive",
    key("system.network.io", direction="transmit"): "transmit",
}


def headline(host: HostState) -> list[float]:
    """The host's value in each of `HEADLINE_KEYS`; NaN where it has none, or an old one."""
    plan = _plan(host.schema)
    values = host.current(plan.needed).tolist() if len(host.schema) else []
    return [_reduced(reduction, values) for reduction in plan.reductions]


class Glance(NamedTuple):
    """What a list says of one host beside its numbers; `labels` as ``name=text``, in order.

    `heard_at` is when it was last heard by our clock, or at least by its own.
    """

    name: str
    status: HostStatus
    since: float
    version: str
    skew_seconds: float
    labels: tuple[str, ...]
    at: float
    heard_at: float
    period_seconds: float


class Headlines(NamedTuple):
    """A row a host, a column each of `HEADLINE_KEYS`.

    `numbers` are as `headline` gives them, save that a series of that very KEY is shown however
    old it is; `current` has NaN there.  `ages` are in seconds, counted from the value's arrival
    here, and `periods` the seconds between its observations, 0 where they are not known.
    """

    numbers: Floats
    current: Floats
    ages: Floats
    periods: Floats


@dataclass(frozen=True, slots=True)
class Glances:
    """Hosts as they were at one instant: copies, which nobody changes."""

    hosts: tuple[Glance, ...]
    plans: tuple[_Plan, ...]
    shown: Floats
    """Of every host in turn the columns of its plan; likewise the others."""
    observed_at: Floats
    periods: Floats

    def headlines(self, now: float) -> Headlines:
        """The headline numbers of all hosts at `now`, unix seconds."""
        count, width = len(self.hosts), len(HEADLINE_KEYS)
        if not count:
            nothing = np.empty((0, width))
            return Headlines(nothing, nothing, nothing, nothing)
        lengths = np.array([len(plan.columns) for plan in self.plans], np.intp)
        begins = (np.cumsum(lengths) - lengths)[:, np.newaxis]
        at = np.array([host.at for host in self.hosts])
        reduced = self._reduced(at, lengths, begins)
        # The first columns of a plan are the KEYs' own.
        own = begins + np.arange(width)
        is_own = np.stack([plan.is_own for plan in self.plans])
        numbers = np.where(is_own, self.shown[own], reduced)
        observed, periods = self.observed_at[own], self.periods[own]
        heard_at = np.array([host.heard_at for host in self.hosts])
        silent = np.where(heard_at > 0, np.maximum(0.0, now - heard_at), 0.0)[:, np.newaxis]
        since = silent + np.maximum(0.0, at[:, np.newaxis] - observed)
        since = np.where(np.isfinite(observed), since, 0.0)
        host_periods = np.array([host.period_seconds for host in self.hosts])[:, np.newaxis]
        known_periods = np.where(np.isfinite(periods), periods, 0.0)
        return Headlines(
            numbers,
            reduced,
            np.where(is_own, since, silent),
            np.where(is_own, known_periods, host_periods),
        )

    def _reduced(self, at: Floats, lengths: NDArray[np.intp], begins: NDArray[np.intp]) -> Floats:
        """What `headline` gives of each host."""
        periods = np.where(np.isnan(self.periods), UNKNOWN_PERIOD_SECONDS, self.periods)
        allowed = np.maximum(LATE_AFTER_SECONDS, LATE_AFTER_PERIODS * periods)
        late = np.less(allowed, np.repeat(at, lengths) - self.observed_at)
        values = np.where(late | ~np.isfinite(self.shown), np.nan, self.shown)
        starts = (np.stack([plan.starts for plan in self.plans]) + begins).ravel()
        most = np.fmax.reduceat(values, starts)
        total = np.add.reduceat(np.nan_to_num(values), starts)
        total[np.isnan(most)] = np.nan
        shape = begins.shape[0], len(HEADLINE_KEYS)
        has = np.stack([plan.has for plan in self.plans])
        found = np.where(_IS_SUMMED, total.reshape(shape), most.reshape(shape))
        return np.where(has, found, np.nan)


def glances(hosts: Iterable[HostState]) -> Glances:
    """Copy what a list shows of these hosts: a few microseconds each, and no more later."""
    found, plans = [], []
    shown, observed_at, periods = [_NOTHING], [_NOTHING], [_NOTHING]
    for host in hosts:
        plan = _plan(host.schema)
        status = host.status or HostStatus.UP
        labels: tuple[str, ...] = ()
        if status is HostStatus.RETIRED:
            labels = tuple(f"{name}={text}" for name, text in sorted(host.labels.items()))
        found.append(
            Glance(
                host.name,
                status,
                host.since,
                host.info.get("version", ""),
                host.skew_seconds,
                labels,
                host.at,
                host.seen_at or host.at,  # from before a restart only its own clock's
                host.period_seconds,
            )
        )
        plans.append(plan)
        if len(host.schema):
            shown.append(host.shown.take(plan.columns))
            observed_at.append(host.observed_at.take(plan.columns))
            periods.append(host.periods.take(plan.columns))
        else:
            nothing = np.full(len(plan.columns), np.nan)
            shown.append(nothing)
            observed_at.append(nothing)
            periods.append(nothing)
    return Glances(
        tuple(found),
        tuple(plans),
        np.concatenate(shown),
        np.concatenate(observed_at),
        np.concatenate(periods),
    )


_NOTHING: Floats = np.empty(0)

_IS_SUMMED = np.array([text in _SUMMED for text in HEADLINE_KEYS])


class _Reduction(NamedTuple):
    """How one headline number is made from some of the values that were looked up."""

    first: int
    last: int
    reduce: Callable[[list[float]], float]


class _Plan(NamedTuple):
    """The columns that a schema's headline needs, and how they become its numbers.

    The first of `columns` are those that the KEYs themselves have, one each, as `is_own` says; from
    `starts` on are those that each number is made of, at least one, as `has` says.
    """

    columns: NDArray[np.intp]
    needed: NDArray[np.intp]
    """The same without the first ones: what the reductions count in."""
    reductions: tuple[_Reduction, ...]
    is_own: NDArray[np.bool_]
    starts: NDArray[np.intp]
    has: NDArray[np.bool_]


@lru_cache(maxsize=PLANS)
def _plan(schema: Schema) -> _Plan:
    own = [schema.index.get(text, -1) for text in HEADLINE_KEYS]
    columns: list[int] = []
    reductions: list[_Reduction] = []
    has = []
    for text in HEADLINE_KEYS:
        found = _columns(schema, text)
        reduce = sum if text in _SUMMED else max
        reductions.append(_Reduction(len(columns), len(columns) + len(found), reduce))
        has.append(bool(found))
        columns += found or [0]
    return _Plan(
        np.array([*(max(0, column) for column in own), *columns], np.intp),
        np.array(columns, np.intp),
        tuple(reductions),
        np.array(own) >= 0,
        np.array([len(own) + reduction.first for reduction in reductions], np.intp),
        np.array(has),
    )


def _reduced(reduction: _Reduction, values: list[float]) -> float:
    found = values[reduction.first : reduction.last]
    if len(found) == 1:
        return found[0]
    known = [value for value in found if math.isfinite(value)]
    return reduction.reduce(known) if known else math.nan


def _columns(schema: Schema, text: str) -> list[int]:
    """The columns that one headline number is made of."""
    direction = _SUMMED.get(text)
    if direction is not None:
        keys = schema.keys
        return [
            column
            for column in schema.columns_by_name.get("system.network.io", ())
            if keys[column].get("direction") == direction and keys[column].get("interface") != "lo"
        ]
    if text in schema.index:
        return [schema.index[text]]
    if text == "system.filesystem.utilization":
        return list(schema.columns_by_name.get(text, ()))
    return []
