"""What the judge keeps over a restart, as one value of the registry: rows and open alerts.

A row is kept by its rule, host and attributes, and a severity by its name, so that rules may change
meanwhile.  What does not fit is left out, the least first: what values were, then what merely
pends, then what fires and the log tells of as well.
"""

from __future__ import annotations

import logging
import math
import zlib
from collections.abc import Callable, Iterable, Mapping

import msgspec

from monitor.core import messages
from monitor.core.alerts import Kept
from monitor.core.book import Alert
from monitor.core.rules.judging import RowKept
from monitor.core.rules.matching import Attributes
from monitor.core.rules.model import Severity
from monitor.ports import LONGEST_VALUE_BYTES

MOST_BYTES = LONGEST_VALUE_BYTES - 4_096
"""What the checkpoint's own words may add."""

MOST_UNPACKED_BYTES = 64 * 1024 * 1024
"""No checkpoint of ours holds more."""

Rows = dict[str, dict[tuple[str, Attributes], RowKept]]
"""By rule, then by host and attributes."""

_SEVERITIES = {severity.value: severity for severity in Severity}

logger = logging.getLogger("monitor.alerting")


class _Row(msgspec.Struct, array_like=True, omit_defaults=True):
    host: str
    attributes: list[tuple[str, str]] = []
    held: dict[str, float] = {}
    reached: dict[str, float] = {}
    began: float = 0.0
    peak: float | None = None
    logged: list[float] = []
    is_flapping: bool = False
    calm_seconds: float = 0.0
    clauses: list[float | None] = []
    severity: str = ""


class _Open(msgspec.Struct, array_like=True):
    said: messages.Alert
    fired_at: float
    first_sequence: int
    sequence: int


class _State(msgspec.Struct):
    rows: dict[str, list[_Row]] = {}
    open: list[_Open] = []


def packed(rows: Rows, alerts: Iterable[Alert]) -> tuple[bytes, int]:
    """The value, never larger than one may be, and from which position the log tells the rest.

    That is 0 where everything is in it; else the first event of what is not stands there.
    """
    opened = [
        _Open(each.said, each.fired_at, each.first_sequence, each.sequence) for each in alerts
    ]
    all_rows = {
        rule: [_row(host, attributes, kept) for (host, attributes), kept in of_rule.items()]
        for rule, of_rule in rows.items()
        if of_rule
    }
    state = _State(all_rows, opened)
    value = _encoded(state)
    if len(value) > MOST_BYTES:
        # Of a large fleet, what values were is most of it; it costs a change within the restart.
        all_rows = _only(all_rows, lambda row: bool(row.held or row.reached or row.logged))
        state = _State(all_rows, opened)
        value = _encoded(state)
    if len(value) > MOST_BYTES:
        logger.warning("what pends is more than a restart can know: it begins anew then")
        state = _State(_only(all_rows, lambda row: bool(row.reached or row.severity)), opened)
        value = _encoded(state)
    left_out = 0
    while len(value) > MOST_BYTES and state.open:
        # The log has these too, and is read from the oldest of them on.
        count = len(state.open) // 4 + 1
        oldest = min(each.first_sequence for each in state.open[-count:])
        left_out = min(left_out or oldest, oldest)
        state = _State({}, state.open[:-count])
        value = _encoded(state)
    if left_out:
        logger.warning("%d alerts are open: a restart reads the log for them", len(opened))
    return value, left_out


def unpacked(value: bytes) -> tuple[Rows, list[Alert]] | None:
    """What was kept; none where it cannot be read, and the program's log says so."""
    if not value:
        return {}, []
    try:
        plain = zlib.decompressobj().decompress(value, MOST_UNPACKED_BYTES)
        state = msgspec.msgpack.decode(plain, type=_State)
    except (zlib.error, msgspec.MsgspecError) as error:
        logger.warning("the judge's checkpoint cannot be read: %s", error)
        return None
    rows: Rows = {}
    for rule, of_rule in state.rows.items():
        rows[rule] = {
            (each.host, tuple((name, text) for name, text in each.attributes)): _kept(each)
            for each in of_rule
        }
    alerts = [
        Alert(each.said, each.fired_at, 0.0, each.first_sequence, each.sequence)
        for each in state.open
    ]
    return rows, alerts


def _only(rows: dict[str, list[_Row]], wanted: Callable[[_Row], bool]) -> dict[str, list[_Row]]:
    """The rows of which that is so, by rule."""
    return {
        rule: kept
        for rule, of_rule in rows.items()
        if (kept := [row for row in of_rule if wanted(row)])
    }


def _encoded(state: _State) -> bytes:
    return zlib.compress(msgspec.msgpack.encode(state), 3)


def _row(host: str, attributes: Attributes, kept: RowKept) -> _Row:
    state = kept.kept
    return _Row(
        host,
        list(attributes),
        {severity.value: round(seconds, 3) for severity, seconds in state.held.items()},
        {severity.value: round(seconds, 3) for severity, seconds in state.reached.items()},
        state.began,
        state.peak if math.isfinite(state.peak) else None,
        list(state.logged),
        state.is_flapping,
        state.calm_seconds,
        list(kept.clauses),
        state.severity.value if state.severity else "",
    )


def _kept(row: _Row) -> RowKept:
    return RowKept(
        Kept(
            held=_by_severity(row.held),
            reached=_by_severity(row.reached),
            began=row.began,
            peak=math.nan if row.peak is None else row.peak,
            logged=tuple(row.logged),
            is_flapping=row.is_flapping,
            calm_seconds=row.calm_seconds,
            severity=_SEVERITIES.get(row.severity),
        ),
        tuple(row.clauses),
    )


def _by_severity(seconds: Mapping[str, float]) -> dict[Severity, float]:
    return {_SEVERITIES[name]: value for name, value in seconds.items() if name in _SEVERITIES}
