"""State: the newest value of every series of every host, folded from frames.

A counter's newest value is shown as its rate.  Each value keeps the instant at which it was
observed, so that a late value can show its age, and the version at which it changed, so that
a slow reader can be given exactly what it has not seen.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from monitor.core import hosts
from monitor.core.catalog import is_counter
from monitor.core.series import Floats, rate_between
from monitor.model import Frame, HostStatus, Schema, Snapshot

LATE_AFTER_PERIODS = 2.5
LATE_AFTER_SECONDS = 5.0
"""A value is late once it is older than so many of its own periods, and at least so old."""

UNKNOWN_PERIOD_SECONDS = 60.0
"""The period of a value seen once: the slowest that is usual, so that nothing is late too soon."""

FUTURE_SECONDS = 5.0
"""A newest frame that lies further ahead of our clock was sent before that clock stepped back."""

ALL = slice(None)
"""Every column."""

MOST_SNAPSHOT_KINDS = 32
"""Kinds of tables kept a host; a sender that invents more is not listened to."""


def is_late(age_seconds: float, period_seconds: float) -> bool:
    """Whether a value of this age is late; a period of 0 or NaN is not known."""
    known = period_seconds if period_seconds > 0 else UNKNOWN_PERIOD_SECONDS
    return age_seconds > max(LATE_AFTER_SECONDS, LATE_AFTER_PERIODS * known)


class HostState:
    """One host now.  Only `LiveState` changes it; everybody else reads.

    `shown` holds one value a column of `schema` as people see it (a counter's rate), `raw`
    the same as it was sent, `observed_at` the instant of each by the sender's clock, `periods`
    the time between its last two observations in seconds (NaN before there are two), and
    `versions` the state's version at which each was last observed.  `at` is its newest frame's
    instant, `seen_at` when that arrived, 0 before any came to this process; `recalled_at` is when
    it was known again after a restart.
    """

    def __init__(self, name: str, labels: Mapping[str, str]) -> None:
        self.name = name
        self.labels = dict(labels)
        self.schema = Schema(())
        self.raw: Floats = np.empty(0)
        self.shown: Floats = np.empty(0)
        self.observed_at: Floats = np.empty(0)
        self.periods: Floats = np.empty(0)
        self.versions: NDArray[np.int64] = np.empty(0, np.int64)
        self.snapshots: dict[str, Snapshot] = {}
        self.snapshot_versions: dict[str, int] = {}
        self.version = 0
        self.at = 0.0
        self.seen_at = 0.0
        self.recalled_at = 0.0
        self.period_seconds = 0.0
        self.status: HostStatus | None = None
        self.since = 0.0
        self._counters: NDArray[np.bool_] = np.empty(0, np.bool_)

    def fold(self, frame: Frame, version: int) -> None:
        """Take a newer frame in: what it observed replaces what was known."""
        if frame.schema is not self.schema:
            self._adopt(frame.schema)
        values = np.frombuffer(frame.values, np.float64) if len(frame.schema) else np.empty(0)
        seen = ~np.isnan(values)
        rate = rate_between(self.observed_at, self.raw, np.full(len(values), frame.at), values)
        np.copyto(self.shown, np.where(self._counters, rate, values), where=seen)
        np.copyto(self.raw, values, where=seen)
        gaps = frame.at - self.observed_at
        np.copyto(self.periods, np.where(gaps > 0, gaps, np.nan), where=seen)
        self.observed_at[seen] = frame.at
        self.versions[seen] = version
        if self.seen_at and 0 < self.at < frame.at:
            self.period_seconds = hosts.learnt_period(self.period_seconds, frame.at - self.at)
        self.at = frame.at
        self.version = version

    def _adopt(self, schema: Schema) -> None:
        """Change to another schema; a series that stands in both keeps what is known of it."""
        known = self.schema.index
        raw, shown, observed, periods = (np.full(len(schema), np.nan) for _ in range(4))
        versions = np.zeros(len(schema), np.int64)
        new, old = [], []
        for column, text in enumerate(schema.texts):
            if (was := known.get(text)) is not None:
                new.append(column)
                old.append(was)
        raw[new], shown[new] = self.raw[old], self.shown[old]
        observed[new], versions[new] = self.observed_at[old], self.versions[old]
        periods[new] = self.periods[old]
        self.schema, self.raw, self.shown = schema, raw, shown
        self.observed_at, self.periods, self.versions = observed, periods, versions
        self._counters = np.array([is_counter(key.name) for key in schema.keys], np.bool_)

    def value(self, key: str) -> float:
        """The newest value of a KEY as it is shown, however old; NaN where there is none."""
        column = self.schema.index.get(key)
        return float("nan") if column is None else float(self.shown[column])

    def current(self, columns: NDArray[np.intp]) -> Floats:
        """The values of these columns as they are shown, NaN where absent or late."""
        late = self._late(columns)
        values: Floats = np.where(late, np.nan, self.shown[columns])
        return values

    def late(self) -> dict[str, float]:
        """KEY → age in seconds, by the sender's clock, of every value that is late."""
        columns = np.flatnonzero(self._late() & np.isfinite(self.shown))
        ages = (self.at - self.observed_at[columns]).tolist()
        texts = self.schema.texts
        return {texts[column]: age for column, age in zip(columns.tolist(), ages, strict=True)}

    def _late(self, columns: NDArray[np.intp] | slice = ALL) -> NDArray[np.bool_]:
        """Which of these columns are late."""
        periods = self.periods[columns]
        periods = np.where(np.isnan(periods), UNKNOWN_PERIOD_SECONDS, periods)
        allowed = np.maximum(LATE_AFTER_SECONDS, LATE_AFTER_PERIODS * periods)
        return np.less(allowed, self.at - self.observed_at[columns])

    def metrics(self, after: int = 0) -> dict[str, float]:
        """KEY → value as shown, of what was observed after a version.

        What is absent and what is late is left out: an old value is not a current one.
        """
        current = (self.versions > after) & np.isfinite(self.shown) & ~self._late()
        columns = np.flatnonzero(current)
        texts = self.schema.texts
        values = self.shown[columns].tolist()
        return {
            texts[column]: value for column, value in zip(columns.tolist(), values, strict=True)
        }


class LiveState:
    """Every host now."""

    def __init__(self) -> None:
        self.hosts: dict[str, HostState] = {}
        self.version = 0

    def fold(self, frame: Frame, snapshots: list[Snapshot], seen_at: float) -> HostState:
        """Take one host's newest frame and tables in; `seen_at` is when they arrived."""
        self.version += 1
        host = self.hosts.get(frame.host)
        if host is None:
            host = self.hosts[frame.host] = HostState(frame.host, {})
        host.fold(frame, self.version)
        host.seen_at = seen_at
        for snapshot in snapshots:
            known = snapshot.kind in host.snapshots
            if known or len(host.snapshots) < MOST_SNAPSHOT_KINDS:
                host.snapshots[snapshot.kind] = snapshot
                host.snapshot_versions[snapshot.kind] = self.version
        return host

    def recall(self, host: str, labels: Mapping[str, str], now: float) -> HostState:
        """Know a host from before: its silence counts from `now`, until its frames come."""
        known = self.hosts.get(host)
        if known is None:
            known = self.hosts[host] = HostState(host, labels)
        known.recalled_at = now
        return known

    def label(self, host: str, labels: Mapping[str, str]) -> None:
        """Set a host's labels; it is then known before its first frame."""
        self.hosts.setdefault(host, HostState(host, labels)).labels = dict(labels)

    def is_newer(self, frame: Frame, now: float) -> bool:
        """Whether a frame is newer than what is known of its host.

        Where that lies in the future, a clock stepped back, and every frame is newer.
        """
        host = self.hosts.get(frame.host)
        return host is None or frame.at > host.at or host.at > now + FUTURE_SECONDS
