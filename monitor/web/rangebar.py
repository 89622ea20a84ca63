"""What stands around the charts of a host's page: the ranges to choose from, and what is shown.

Every choice is a link, so that it works without script and can be shared; instants are in UTC
here, and a script writes them in the browser's own zone.  It draws nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from urllib.parse import quote, urlencode

import numpy as np

from monitor.web.answers import Marker
from monitor.web.charts import Drawing, Plan, Stretch
from monitor.web.rangecharts import Cut, losses_of, resolution_words
from monitor.web.ranges import COMPARISON_WORDS, LIVE, PRESETS, Range, instant_text, short_words
from monitor.web.timeaxis import instant_words, window_words

MOST_MARKERS = 40
"""Markers drawn and told; the newest of more."""

APART = 0.04
"""Signs of markers stand at least so far apart, as a share of the width: some 12 pixels."""

SHAPES = {"reboot": "↻", "server_start": "◆"}
"""What stands at a marker's line, so that kinds differ without colour."""

OTHER_SHAPE = "▾"


@dataclass(frozen=True, slots=True)
class Choice:
    """A link of the bar: its words, where it leads, and whether it is what is shown."""

    text: str
    query: str
    current: bool
    name: str = ""
    """What a script knows it by."""


@dataclass(frozen=True, slots=True)
class MarkerLine:
    """A marker as it is drawn and told: how far along the range it is, 0 to 1."""

    share: float
    shape: str
    text: str
    query: str
    """Where the processes of that instant are."""
    signed: bool = True
    """Whether its sign has room above its line."""


@dataclass(frozen=True, slots=True)
class RangeBar:
    """The range of a page, and every way from it to another one."""

    host: str
    asked: Range
    start: float
    end: float
    now: float
    title: str = ""
    window: str = ""
    presets: tuple[Choice, ...] = ()
    comparisons: tuple[Choice, ...] = ()
    from_value: str = ""
    to_value: str = ""
    resolution: str = ""
    compared: str = ""
    notes: tuple[str, ...] = ()
    markers: tuple[MarkerLine, ...] = ()
    left_out: int = 0
    """Earlier markers that are neither drawn nor told."""
    losses: tuple[Stretch, ...] = ()
    table_at: float = 0.0
    """When the table of processes is of, where it is not of now."""

    @property
    def keep(self) -> str:
        """The range as other links of the page carry it on: with an ampersand behind it."""
        said = self.asked.query().removeprefix("?")
        return f"{said}&" if said else ""

    @property
    def without_at(self) -> str:
        """The same page with the processes of now."""
        return replace(self.asked, at=0.0).query() or "?"

    @property
    def table_words(self) -> str:
        """The instant of the table, to the second."""
        return f"{instant_words(self.table_at, self.now, seconds=True)} UTC"

    @property
    def elsewhere(self) -> str:
        """The stretch of time alone, for the same view of other hosts."""
        return self.asked.span.query()

    @property
    def at_share(self) -> float:
        """How far along the range the chosen instant is; below 0 where none is, or not in it."""
        share = (self.asked.at - self.start) / (self.end - self.start)
        return share if self.asked.at and 0 <= share <= 1 else -1.0

    def download(self, drawing: Drawing, form: str) -> str:
        """The address of a chart's numbers, as ``csv`` or ``json``."""
        said = [("host", self.host), *(("metric", text) for text, _ in drawing.plan.lines)]
        if self.asked.follows:
            seconds = round(self.end - self.start)
            said += [("start", f"-{seconds}s")]
        else:
            said += [("start", instant_text(self.start)), ("end", instant_text(self.end))]
        said += [("format", form)] if form != "json" else []
        return f"/api/v1/history?{urlencode(said, quote_via=quote)}"


def live_bar(host: str, asked: Range, now: float) -> RangeBar:
    """The bar of a live page."""
    start, end = asked.window(now)
    return RangeBar(
        host,
        asked,
        start,
        end,
        now,
        title="Live",
        window="the last ten minutes",
        presets=presets(asked),
        comparisons=_comparisons(asked),
        from_value=_local(start),
        to_value=_local(end),
        table_at=asked.at,
    )


def range_bar(
    host: str,
    asked: Range,
    cut: Cut,
    plans: Sequence[Plan],
    *,
    first: float | None,
    markers: Sequence[Marker] = (),
) -> RangeBar:
    """The bar of a range.

    `first` is the instant of the host's first data, where it is known to lie in the range or
    after it, and none where the range begins later.
    """
    now = cut.now
    usual = min((p for p in cut.periods.values() if p > 0), default=0.0)
    return replace(
        live_bar(host, asked, now),
        start=cut.start,
        end=cut.end,
        title=asked.words().capitalize(),
        window=f"{window_words(cut.start, cut.end, now)} UTC",
        from_value=_local(cut.start),
        to_value=_local(cut.end),
        resolution=resolution_words(cut.found.step_seconds, usual),
        compared=COMPARISON_WORDS.get(asked.compare, ""),
        notes=tuple(_notes(cut, plans, first)),
        markers=_marker_lines(markers, asked, cut),
        left_out=max(0, len(markers) - MOST_MARKERS),
        losses=losses_of(cut),
    )


def presets(asked: Range) -> tuple[Choice, ...]:
    """Live and the ranges on offer; each keeps what is laid under the present one."""
    live = Choice("Live", "?", asked.live, "live")
    compare = asked.compare
    return (
        live,
        *(
            Choice(
                short_words(text), Range(text, compare=compare).query(), asked.text == text, text
            )
            for text in PRESETS
        ),
    )


def _comparisons(asked: Range) -> tuple[Choice, ...]:
    if asked.live:
        return ()
    return tuple(
        Choice(words, replace(asked, compare=name).query(), asked.compare == name, name)
        for name, words in (("", "nothing"), *COMPARISON_WORDS.items())
    )


def _marker_lines(markers: Sequence[Marker], asked: Range, cut: Cut) -> tuple[MarkerLine, ...]:
    found: list[MarkerLine] = []
    sign = -1.0
    for marker in markers[-MOST_MARKERS:]:
        shape = SHAPES.get(marker.kind, OTHER_SHAPE)
        words = f"{instant_words(marker.at, cut.now, seconds=True)} UTC: {marker.text}"
        share = (marker.at - cut.start) / (cut.end - cut.start)
        signed = share - sign >= APART
        sign = share if signed else sign
        query = replace(asked, at=marker.at).query()
        found.append(MarkerLine(share, shape, words, query, signed))
    return tuple(found)


def _notes(cut: Cut, plans: Sequence[Plan], first: float | None) -> list[str]:
    keys = {text for plan in plans for text, _ in plan.lines}
    empty = not any(np.isfinite(one.average).any() for one in cut.found.series if one.key in keys)
    if first is not None and first >= cut.end:
        words = instant_words(first, cut.now)
        return [f"Nothing was recorded yet: the first data is of {words} UTC"]
    if empty:
        return ["No data in this range"]
    if first is not None and first > cut.start + cut.found.step_seconds:
        return [f"Recorded since {instant_words(first, cut.now)} UTC"]
    return []


def _local(at: float) -> str:
    """An instant as a field for date and time has it."""
    return datetime.fromtimestamp(int(at), UTC).strftime("%Y-%m-%dT%H:%M:%S")


def plain_bar(host: str, now: float) -> RangeBar:
    """The bar of a page whose address asks for nothing."""
    return live_bar(host, LIVE, now)
