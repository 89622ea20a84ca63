"""How many descriptors a collector may keep: all together under a quarter of the limit.

Processes take an eighth and control groups a sixteenth; the last sixteenth is for the few
files that the other collectors keep.  What does not fit is opened, read and closed.
"""

from __future__ import annotations

import sys

PROCESSES_SHARE = 8
"""Processes may keep one in so many of the descriptors that this program may open."""

CGROUPS_SHARE = 16
"""Control groups may keep one in so many."""

MOST_KEPT = 16_384
"""However high the limit is, one collector keeps no more."""

_USUAL_LIMIT = 1024


def kept_limit(share: int) -> int:
    """The most descriptors that a collector with this share may keep now."""
    if sys.platform == "win32":
        return _USUAL_LIMIT // share
    import resource  # noqa: PLC0415 - there is none on Windows, where nothing here is read

    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY:
        return MOST_KEPT
    return min(soft // share, MOST_KEPT)
