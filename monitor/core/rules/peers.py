"""Peers: how far each value is from those of its kind.  Pure arithmetic on arrays.

A value is measured against the median of its group, in units of the group's median absolute
deviation, scaled to what a standard deviation is where values are normal (Rousseeuw and Croux,
1993): half of a group may be wrong before either is.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from monitor.core.series import Floats

LEAST_PEERS = 5
"""Fewer known values than this say nothing of what is usual."""

SCALE = 1.4826
"""1 / Φ⁻¹(3/4): what makes a median absolute deviation a standard deviation of normal values."""

LEAST_SHARE = 0.05
"""A deviation is at least this share of the median's size: peers that are all but equal would
make any difference a large one."""

LEAST_DEVIATION = 0.01
"""And at least this much, one point of a percentage, where the median is about nothing."""


def deviations(
    values: Floats,
    group: NDArray[np.intp],
    groups: int,
    least: float = LEAST_DEVIATION,
) -> Floats:
    """How many scaled deviations each value is from the median of its group, never negative.

    `group` has each value's, from 0 to `groups` − 1, or −1 where it has none.  `least` is the
    smallest deviation in the values' own unit.  NaN where the value is not known, and in groups
    of fewer than `LEAST_PEERS` known values.
    """
    known = np.isfinite(values) & (group >= 0)
    sizes = np.bincount(group[known], minlength=groups)
    centres = _medians(values, group, known, sizes)
    away = np.abs(values - centres[group])
    spreads = _medians(away, group, known, sizes) * SCALE
    floors = np.maximum(LEAST_SHARE * np.abs(centres), least)
    units = np.fmax(spreads, floors)
    units[sizes < LEAST_PEERS] = np.nan
    found: Floats = np.where(known, away / units[group], np.nan) if groups else away * np.nan
    return found


def _medians(
    values: Floats, group: NDArray[np.intp], known: NDArray[np.bool_], sizes: NDArray[np.intp]
) -> Floats:
    """The median of the known values of each group, NaN where there is none."""
    found = values[known]
    ordered = found[np.lexsort((found, group[known]))]
    begins = np.cumsum(sizes) - sizes
    low = begins + np.maximum(sizes - 1, 0) // 2
    high = begins + sizes // 2
    medians = np.full(len(sizes), np.nan)
    filled = sizes > 0
    medians[filled] = (ordered[low[filled]] + ordered[high[filled]]) / 2
    return medians
