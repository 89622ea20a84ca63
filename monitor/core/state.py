"""State: the newest value of every series of every host, folded from frames.

A counter's newest value is shown as its rate.  Each value keeps the instant at which it was
observed, so that a late value can show its age, and the version at which it changed, so that
a slow reader can be given exactly what it has not seen.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from monitor.core import hosts
from monitor.core.catalog import is_counter
from monitor.core.series import ENDED_BITS, Floats, rate_between
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

SWEEP_SECONDS = 60.0
LANE_SECONDS = 300.0
"""How often a host's senders are looked over, and when one that no longer comes is forgotten."""

MOST_SNAPSHOT_KINDS = 32
"""Kinds of tables kept a host; a sender that invents more is not listened to."""


def is_late(age_seconds: float, period_seconds: float) -> bool:
    """Whether a value of this age is late; a period of 0 or NaN is not known."""
    known = period_seconds if period_seconds > 0 else UNKNOWN_PERIOD_SECONDS
    return age_seconds > max(LATE_AFTER_SECONDS, LATE_AFTER_PERIODS * known)


@dataclass(slots=True)
class Lane:
    """What one of a host's senders brings: its columns among the host's, and how it comes.

    `at` and `heard_at` are its newest frame's instant and arrival; `columns` are where its
    schema's values go, all in order where it is the only one.
    """

    schema: Schema
    columns: NDArray[np.intp] | slice = field(default_factory=lambda: ALL)
    at: float = 0.0
    heard_at: float = 0.0
    learnt_seconds: float = 0.0
    announced_seconds: float = 0.0

    @property
    def period_seconds(self) -> float:
        """Between its sends: as it says itself, or as was learnt; 0 where neither is known."""
        return self.announced_seconds or self.learnt_seconds

    def hear(self, at: float, now: float) -> None:
        """Note a frame of an instant by its clock, which arrived at `now`."""
        if self.heard_at and 0 < self.at < at:
            self.learnt_seconds = hosts.learnt_period(self.learnt_seconds, at - self.at)
        self.at, self.heard_at = at, now


class HostState:
    """One host now.  Only `LiveState` changes it; everybody else reads.

    `shown` holds one value a column of `schema` as people see it (a counter's rate), `raw`
    the same as it was sent, `observed_at` the instant of each by the sender's clock, `periods`
    the time between its last two observations in seconds (NaN before there are two), and
    `versions` the state's version at which each was last observed.  `at` is its newest frame's
    instant, `seen_at` when one last arrived, 0 before any came to this process; `recalled_at` is
    when it was known again after a restart.

    Several senders may speak of one host; each has a lane, and `schema` is the union of what they
    bring.  Of each column the newest observation counts, whoever made it.
    """

    def __init__(self, name: str, labels: Mapping[str, str]) -> None:
        self.name = name
        self.labels = dict(labels)
        """As they are shown and selected by."""
        self.set_labels: dict[str, str] = {}
        """Those of them that are the operator's word: they alone decide who sees what."""
        self.info: dict[str, str] = {}
        """What its agent says of itself and its machine; shown, and never trusted."""
        self.skew_seconds = float("nan")
        """How far its clock is behind ours (before it, where negative); NaN: not known."""
        self.is_ephemeral = False
        """Whether it retires where another goes down."""
        self.said_goodbye = False
        """Whether its agent ended in good order, and has not come back."""
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
        self.is_live = False
        """Whether a frame of the present has come; until then late ones are shown."""
        self.status: HostStatus | None = None
        self.since = 0.0
        self.lanes: dict[str, Lane] = {}
        self._counters: NDArray[np.bool_] = np.empty(0, np.bool_)
        self._swept_at = 0.0

    @property
    def period_seconds(self) -> float:
        """The shortest period of its senders; 0 where none is known."""
        known = [lane.period_seconds for lane in self.lanes.values() if lane.period_seconds]
        return min(known, default=0.0)

    def announce(self, period_seconds: float) -> None:
        """Take its agent's word for how often it sends; 0 where it says nothing."""
        lane = self.lanes.get("")
        if lane is None:
            lane = self.lanes[""] = Lane(Schema(()), np.empty(0, np.intp))
        lane.announced_seconds = period_seconds

    def fold(self, frame: Frame, version: int, now: float) -> bool:
        """Take a frame in: what it observed replaces what is known and not newer.

        Whether anything did.
        """
        lane = self.lanes.get(frame.source)
        if lane is None or lane.schema is not frame.schema:
            lane = self._adopt(frame.source, frame.schema)
        values = np.frombuffer(frame.values, np.float64) if len(frame.schema) else np.empty(0)
        columns = lane.columns
        before = self.observed_at[columns]
        # What lies in the future was sent before our clock, or theirs, stepped back.
        stale = (before >= frame.at) & (before <= now + FUTURE_SECONDS)
        seen = ~(np.isnan(values) | stale)
        if frame.source:
            # What has ended has no value from now on; an agent leaves it out of its schema.
            seen |= (values.view(np.uint64) == ENDED_BITS) & ~stale
        steps_back = self.at > now + FUTURE_SECONDS
        if not (frame.at > self.at or steps_back or seen.any()):
            # Another was quicker to say the same: it speaks, and tells nothing new.
            lane.hear(max(lane.at, frame.at), now)
            return False
        gaps = frame.at - before
        shown = values
        if (counters := self._counters[columns]).any():
            elapsed = np.full(len(values), frame.at)
            shown = np.where(
                counters, rate_between(before, self.raw[columns], elapsed, values), values
            )
        whole = bool(seen.all())
        places = columns if whole else self._places(columns, seen)
        for known, fresh in (
            (self.shown, shown),
            (self.raw, values),
            (self.periods, np.where(gaps > 0, gaps, np.nan)),
        ):
            known[places] = fresh if whole else fresh[seen]
        self.observed_at[places] = frame.at
        self.versions[places] = version
        lane.hear(frame.at, now)
        if frame.heard:
            self.at = frame.at if steps_back else max(self.at, frame.at)
        self.version = version
        if now - self._swept_at > SWEEP_SECONDS or now < self._swept_at:
            self._sweep(now)
        return True

    @staticmethod
    def _places(columns: NDArray[np.intp] | slice, seen: NDArray[np.bool_]) -> NDArray[np.intp]:
        """Which of our columns those are of a lane's that were seen."""
        picked = np.flatnonzero(seen)
        return picked if isinstance(columns, slice) else columns[picked]

    def _sweep(self, now: float) -> None:
        """Let go of senders that have not come for long while another did."""
        self._swept_at = now
        gone = [
            source
            for source, lane in self.lanes.items()
            if now - lane.heard_at > max(LANE_SECONDS, 5 * lane.period_seconds)
        ]
        if gone:
            for source in gone:
                del self.lanes[source]
            self._arrange()

    def _adopt(self, source: str, schema: Schema) -> Lane:
        """A sender has other columns from now on; a series that stays keeps what is known of it."""
        lane = self.lanes.get(source)
        if lane is None:
            lane = self.lanes[source] = Lane(schema)
        lane.schema = schema
        self._arrange()
        return lane

    def _arrange(self) -> None:
        """Lay the columns out anew: those of every sender, each once."""
        lanes = list(self.lanes.values())
        if len(lanes) == 1:
            schema = lanes[0].schema
            lanes[0].columns = ALL
        else:
            texts = dict.fromkeys(text for lane in lanes for text in lane.schema.texts)
            schema = Schema(tuple(texts))
            if schema.texts == self.schema.texts:
                schema = self.schema
            for lane in lanes:
                places = [schema.index[text] for text in lane.schema.texts]
                lane.columns = np.array(places, np.intp)
        if schema is not self.schema:
            self._move_to(schema)

    def _move_to(self, schema: Schema) -> None:
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

    def move(self, seconds: float) -> None:
        """Our clock was set: what arrived by it arrived so much later."""
        self.seen_at += seconds if self.seen_at else 0.0
        self.recalled_at += seconds if self.recalled_at else 0.0
        self.since += seconds if self.since else 0.0
        for lane in self.lanes.values():
            lane.heard_at += seconds if lane.heard_at else 0.0

    def value(self, key: str) -> float:
        """The newest value of a KEY as it is shown, however old; NaN where there is none."""
        column = self.schema.index.get(key)
        return float("nan") if column is None else float(self.shown[column])

    def current(self, columns: NDArray[np.intp]) -> Floats:
        """The values of these columns as they are shown, NaN where absent or late."""
        late = self._late(columns)
        values: Floats = np.where(late, np.nan, self.shown[columns])
        return values

    def current_raw(self) -> Floats:
        """Every column's value as it was sent, counters as counts; NaN where absent or late."""
        return np.where(self._late(), np.nan, self.raw)

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

    def fold(
        self, frame: Frame, snapshots: Sequence[Snapshot], now: float, sent: float | None = None
    ) -> HostState:
        """Take a frame and tables of one host in, which arrived at `now`.

        `sent` is when that was by the sender's clock, where it says so.  The version rises where
        it told anything.
        """
        version = self.version + 1
        host = self.hosts.get(frame.host)
        if host is None:
            host = self.hosts[frame.host] = HostState(frame.host, {})
        changed = host.fold(frame, version, now)
        late_seconds = (now if sent is None else sent) - frame.at
        if frame.heard:
            host.seen_at = now
            if not hosts.is_late(late_seconds, host.lanes[frame.source].period_seconds):
                host.is_live = True
        for snapshot in snapshots:
            known = host.snapshots.get(snapshot.kind)
            if known is None and len(host.snapshots) >= MOST_SNAPSHOT_KINDS:
                continue
            if known is None or snapshot.at > known.at or known.at > now + FUTURE_SECONDS:
                host.snapshots[snapshot.kind] = snapshot
                host.snapshot_versions[snapshot.kind] = version
                changed = True
        if changed:
            self.version = version
        return host

    def recall(self, host: str, labels: Mapping[str, str], now: float) -> HostState:
        """Know a host from before: its silence counts from `now`, until its frames come."""
        known = self.hosts.get(host)
        if known is None:
            known = self.hosts[host] = HostState(host, labels)
        known.recalled_at = now
        return known

    def forget(self, host: str) -> None:
        """Know a host no more."""
        if self.hosts.pop(host, None) is not None:
            self.version += 1

    def label(self, host: str, labels: Mapping[str, str]) -> HostState:
        """Set a host's labels; it is then known before its first frame."""
        found = self.hosts.setdefault(host, HostState(host, labels))
        found.labels = dict(labels)
        return found

    def is_present(self, frame: Frame, sent: float, now: float) -> bool:
        """Whether a frame that was sent at `sent`, by its sender's clock, is part of the present.

        What is late is not, save for a host of which nothing else has come: there it is the
        newest that is known, while it is newer than what came before.  Where that lies in the
        future, a clock stepped back, and every frame is.
        """
        host = self.hosts.get(frame.host)
        if host is None or host.at > now + FUTURE_SECONDS:
            return True
        lane = host.lanes.get(frame.source)
        if hosts.is_late(sent - frame.at, lane.period_seconds if lane else 0.0):
            return not host.is_live and frame.at > host.at
        return True
