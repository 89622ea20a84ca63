"""What a backtest says of itself: a sentence, what was judged, how long anything took."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from monitor.core.backtest import Firing, Statistic

MOST_NAMED = 3
"""Hosts that the sentence names."""

_PLURALS = {
    Statistic.MINIMUM: "minima",
    Statistic.AVERAGE: "averages",
    Statistic.MAXIMUM: "maxima",
}


def judged_words(found: Mapping[str, Statistic], resolution_seconds: float) -> str:
    """What was judged of each bucket: ``averages of 1 min``; empty where nothing was."""
    if not resolution_seconds:
        return ""
    words = " and ".join(sorted({_PLURALS[statistic] for statistic in found.values()}))
    return f"{words} of {duration(resolution_seconds)}"


def summary(
    hosts: int,
    firings: Sequence[Firing],
    without_hysteresis: int,
    now: float,
    *,
    left_out: int = 0,
    not_kept: str = "",
) -> str:
    """One sentence: how often it would have fired on so many hosts, and what was not judged.

    `not_kept` is a metric that the rule looks at and of which there is never any history.
    """
    rest = ""
    if left_out:
        rest = f"; {left_out} {'host was' if left_out == 1 else 'hosts were'} left out"
    if not_kept:
        rest += f"; {not_kept} is made while judging and not kept, so that it could not be judged"
    if not hosts:
        return f"there is no history of what it looks at{rest}"
    if not firings:
        return (
            f"would not have fired on {'1 host' if hosts == 1 else f'any of {hosts} hosts'}{rest}"
        )
    times = Counter(firing.host for firing in firings)
    named = [host for host, _ in times.most_common(MOST_NAMED)]
    more = len(times) - len(named)
    where = _listed([*named, f"{more} more"] if more else named)
    longest = max((firing.end or now) - firing.start for firing in firings)
    often = "once" if len(firings) == 1 else f"{len(firings)} times"
    text = f"would have fired {often} on {where}, longest {duration(longest)}"
    if without_hysteresis != len(firings):
        text += f"; without hysteresis {without_hysteresis}"
    return text + rest


def _listed(words: Sequence[str]) -> str:
    return " and ".join((", ".join(words[:-1]), words[-1])) if len(words) > 1 else words[0]


def duration(seconds: float) -> str:
    """A length of time in at most two units: ``42 min``, ``3 h 10 min``, ``2 d``."""
    left = round(seconds)
    if left < 60:
        return f"{left} s"
    parts = []
    for unit, size in (("d", 86_400), ("h", 3_600), ("min", 60), ("s", 1)):
        count, left = divmod(left, size)
        parts.append((count, unit))
    first = next(place for place, (count, _) in enumerate(parts) if count)
    return " ".join(f"{count} {unit}" for count, unit in parts[first : first + 2] if count)
