"""The board: the newest value of every series of every host, side by side in one row of numbers.

Each host has a place of as many cells as it has series, and what changed since it was last looked
at is copied there whole.  So a rule reads one metric of the whole fleet by one index, and judging
never meets a frame that is half folded in.  It knows cells and numbers; which series stands in
which cell is for whoever placed the host.

Cell 0 belongs to nobody and is never known: it stands for a series that a host has not got.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from monitor.core.series import Floats
from monitor.core.state import (
    LATE_AFTER_PERIODS,
    LATE_AFTER_SECONDS,
    UNKNOWN_PERIOD_SECONDS,
)

Indexes = NDArray[np.intp]

LEAST_CELLS = 1_024
LEAST_HOSTS = 16
SPARE_SHARE = 8
"""A place has room for an eighth more than is needed, so that a new disk moves nothing."""

NOWHERE = 0
"""The cell that is never known."""

ALWAYS = np.inf
"""As the instant of an observation: known for as long as it stands there."""


@dataclass(slots=True)
class Place:
    """Where a host stands: its number, its first cell, how many it uses and how many it has."""

    number: int
    start: int
    size: int
    room: int


class Board:
    """Cells, and what is known of each host as a whole.

    `values` are as people see them (a counter's rate), `observed_at` by the sender's clock,
    `periods` between observations; of hosts by number `at` is the newest frame's instant and
    `seen_at` when one arrived, by ours.
    """

    def __init__(self) -> None:
        self.values: Floats = np.full(LEAST_CELLS, np.nan)
        self.observed_at: Floats = np.full(LEAST_CELLS, np.nan)
        self.allowed: Floats = np.full(LEAST_CELLS, np.nan)
        self.at: Floats = np.zeros(LEAST_HOSTS)
        self.seen_at: Floats = np.zeros(LEAST_HOSTS)
        self._places: dict[str, Place] = {}
        self._used = 1
        self._spare: dict[int, list[int]] = {}
        self._numbers: list[int] = []

    def __len__(self) -> int:
        return len(self._places)

    def find(self, host: str) -> Place | None:
        """Where a host stands."""
        return self._places.get(host)

    def place(self, host: str, size: int) -> Place:
        """Give a host so many cells, none of them known; its number stays the same."""
        place = self._places.get(host)
        if place is None:
            place = self._places[host] = Place(self._number(), 0, 0, 0)
        if size > place.room:
            self._leave(place)
            place.room = size + size // SPARE_SHARE + 1
            place.start = self._allot(place.room)
        place.size = size
        self.values[place.start : place.start + place.room] = np.nan
        return place

    def put(
        self, place: Place, values: Floats, observed_at: Floats, periods: Floats, first: int = 0
    ) -> None:
        """Copy a host's newest values in, from its cell `first` on."""
        start = place.start + first
        end = start + len(values)
        self.values[start:end] = values
        self.observed_at[start:end] = observed_at
        self.allowed[start:end] = periods

    def clock(self, place: Place, at: float, seen_at: float) -> None:
        """Say when a host's newest frame was made and when it came."""
        self.at[place.number], self.seen_at[place.number] = at, seen_at

    def set(self, cells: Indexes | int, values: Floats | float) -> None:
        """Write values that are known for as long as they stand there."""
        self.values[cells] = values
        self.observed_at[cells] = ALWAYS

    def drop(self, host: str) -> None:
        """Let a host's cells go."""
        place = self._places.pop(host, None)
        if place is not None:
            self._leave(place)
            self._numbers.append(place.number)

    def read(self, cells: Indexes, hosts: Indexes, now: float) -> Floats:
        """The values of cells of hosts by number; NaN where absent, or too old at `now`.

        A value's age is how far it lies behind its host's newest frame, and how long ago that one
        came.
        """
        age = self.at[hosts] - self.observed_at[cells]
        age += now - self.seen_at[hosts]
        allowed = LATE_AFTER_PERIODS * self.allowed[cells]
        # What was seen once has no period yet, and a NaN is no maximum's lesser.
        allowed = np.fmax(allowed, LATE_AFTER_SECONDS)
        unknown = np.isnan(self.allowed[cells])
        allowed[unknown] = LATE_AFTER_PERIODS * UNKNOWN_PERIOD_SECONDS
        values: Floats = self.values[cells]
        values[~(age <= allowed)] = np.nan
        return values

    def observed(self, cells: Indexes) -> Floats:
        """When what stands in cells was observed, by the senders' clocks; NaN where nothing is."""
        found: Floats = np.where(np.isnan(self.values[cells]), np.nan, self.observed_at[cells])
        return found

    def _number(self) -> int:
        if self._numbers:
            return self._numbers.pop()
        number = len(self._places)
        if number >= len(self.at):
            self.at, self.seen_at = (
                np.concatenate((known, np.zeros(len(known)))) for known in (self.at, self.seen_at)
            )
        return number

    def _allot(self, room: int) -> int:
        spare = self._spare.get(room)
        if spare:
            return spare.pop()
        start, self._used = self._used, self._used + room
        if self._used > len(self.values):
            more = max(len(self.values), self._used - len(self.values))
            self.values, self.observed_at, self.allowed = (
                np.concatenate((known, np.full(more, np.nan)))
                for known in (self.values, self.observed_at, self.allowed)
            )
        return start

    def _leave(self, place: Place) -> None:
        if not place.room:
            return
        self.values[place.start : place.start + place.room] = np.nan
        self.observed_at[place.start : place.start + place.room] = np.nan
        self._spare.setdefault(place.room, []).append(place.start)
        place.room = place.size = 0
