"""What is told of a breach that was known too late: when it was, in words and as evidence."""

from __future__ import annotations

import math
from datetime import UTC, datetime

from monitor.alerting.late import Breach

REASON = "reported late"
"""Why such an alert is resolved at once, as its event says."""


def evidence(breach: Breach) -> dict[str, object]:
    """What its event carries, under ``late``; instants in unix seconds."""
    peak = breach.peak if math.isfinite(breach.peak) else None
    return {"late": {"from": breach.start, "to": breach.end, "peak": peak}}


def words(breach: Breach, now: float) -> str:
    """``breached 02:10–02:31 UTC, reported late``; with dates where it was not today."""
    begin, end = (datetime.fromtimestamp(at, UTC) for at in (breach.start, breach.end))
    today = datetime.fromtimestamp(now, UTC).date()
    first = "%H:%M" if begin.date() == today else "%Y-%m-%d %H:%M"
    last = "%H:%M" if end.date() == begin.date() else "%Y-%m-%d %H:%M"
    return f"breached {begin:{first}}–{end:{last}} UTC, {REASON}"
