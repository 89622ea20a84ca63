"""What an alert's evidence says, read with care: it came out of the log, and any part may miss.

Who makes it (`monitor.alerting.evidence`) says what its shape is.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from monitor.core.messages import Alert
from monitor.notify.wording import harmless, parsed, value_words

KINDS = ("cpu", "memory", "io", "descriptors")
"""What processes are told for."""

MOST_UNITS = 3

MOST_CULPRITS = 5
MOST_CHANGES = 10
NAME_CHARACTERS = 60
TEXT_CHARACTERS = 160

LONGEST_FORECAST_SECONDS = 366 * 86_400.0
"""What is full only then is not told to fill."""

_STYLES = {"cpu": "percent", "memory": "bytes", "io": "bytes_per_second", "descriptors": "number"}
_KINDS_OF = (
    ("system.cpu.", "cpu"),
    ("system.processes.file_descriptors", "descriptors"),
    ("system.file_descriptors", "descriptors"),
    ("system.memory.", "memory"),
    ("system.paging.", "memory"),
    ("system.disk.", "io"),
    ("system.filesystem.", "io"),
)
_KINDS_OF_STATES = {"iowait": "io", "steal": ""}
"""Of a processor's time that no process here used."""


@dataclass(frozen=True, slots=True)
class Culprit:
    """A process that uses much of something.

    `value` is of one processor, bytes, bytes/s, or a number of descriptors; `pid` is 0 where it is
    not known.
    """

    kind: str
    pid: int
    name: str
    user: str
    value: float | None

    @property
    def value_words(self) -> str:
        """How much."""
        words = value_words(self.value, _STYLES[self.kind])
        return f"{words} descriptors" if self.kind == "descriptors" else words


@dataclass(frozen=True, slots=True)
class Change:
    """Something that happened on the host before; `at` in unix seconds."""

    at: float
    text: str


def culprits(alert: Alert, kind: str) -> list[Culprit]:
    """The processes that use most of `kind` (one of `KINDS`), the worst first."""
    processes = _table(_table(alert.evidence).get("processes"))
    found = []
    for each in _list(processes.get(kind))[:MOST_CULPRITS]:
        row = _table(each)
        name = harmless(_text(row.get("name")), NAME_CHARACTERS)
        pid = _number(row.get("pid"))
        if name or pid is not None:
            user = harmless(_text(row.get("user")), NAME_CHARACTERS)
            found.append(Culprit(kind, int(pid or 0), name, user, _number(row.get("value"))))
    return found


def io_seconds(alert: Alert) -> float:
    """Over how long the values of ``io`` were taken; 0 where they are of one moment."""
    found = _number(_table(alert.evidence).get("io_seconds"))
    return found if found is not None and 0 < found <= LONGEST_FORECAST_SECONDS else 0.0


def kind_of(key: str) -> str:
    """What processes an alert of a KEY is blamed on; nothing where it is none of theirs."""
    series = parsed(key)
    if series.name.startswith("system.linux.pressure"):
        resource = dict(series.attributes).get("resource", "")
        return resource if resource in KINDS else ""
    if series.name == "system.cpu.utilization":
        return _KINDS_OF_STATES.get(dict(series.attributes).get("state", ""), "cpu")
    return next((kind for start, kind in _KINDS_OF if series.name.startswith(start)), "")


def units(alert: Alert) -> list[str]:
    """The control groups that are fullest, in words; only alerts of such have any."""
    style = "bytes" if ".memory" in parsed(alert.metric).name else "number"
    found = []
    for each in _list(_table(alert.evidence).get("units"))[:MOST_UNITS]:
        row = _table(each)
        name, value = harmless(_text(row.get("name")), NAME_CHARACTERS), _number(row.get("value"))
        limit = _number(row.get("limit"))
        if name and value is not None:
            of = f" of {value_words(limit, style)}" if limit is not None else ""
            found.append(f"{name} {value_words(value, style)}{of}")
    return found


def changes(alert: Alert) -> list[Change]:
    """What changed lately, as it stands there."""
    found = []
    for each in _list(_table(alert.evidence).get("changes"))[:MOST_CHANGES]:
        row = _table(each)
        at, text = _number(row.get("at")), harmless(_text(row.get("text")), TEXT_CHARACTERS)
        if at is not None and text:
            found.append(Change(at, text))
    return found


def pressure(alert: Alert) -> dict[str, float]:
    """The ratio of each resource, the worst kind of each: ``some`` as a rule."""
    found: dict[str, float] = {}
    for key, value in _table(_table(alert.evidence).get("pressure")).items():
        number = _number(value)
        resource = dict(parsed(_text(key)).attributes).get("resource", "")
        if number is not None and resource:
            name = harmless(resource, NAME_CHARACTERS)
            found[name] = max(number, found.get(name, 0.0))
    return found


def related(alert: Alert, metric: str, state: str) -> float | None:
    """A value beside the alert's, of its own attributes and a state."""
    for text, value in _table(_table(alert.evidence).get("related")).items():
        key = parsed(_text(text))
        attributes = dict(key.attributes)
        if key.name == metric and attributes.pop("state", "") == state:
            own = alert.attributes
            if all(own.get(name, each) == each for name, each in attributes.items()):
                return _number(value)
    return None


def full_in(alert: Alert) -> float | None:
    """In how many seconds it is full, where that is known."""
    forecast = _table(_table(alert.evidence).get("forecast"))
    found = _number(forecast.get("full_in_seconds"))
    return found if found is not None and 0 <= found <= LONGEST_FORECAST_SECONDS else None


def uptime(alert: Alert) -> float | None:
    """How long the host had been up."""
    found = _number(_table(_table(alert.evidence).get("host")).get("uptime"))
    return found if found is not None and found >= 0 else None


def told(alert: Alert) -> dict[str, Any]:
    """The evidence for machines: all of it but the series, which are for drawing and long.

    What JSON cannot say, no number and infinite ones, is null.
    """
    found = {name: value for name, value in _table(alert.evidence).items() if name != "series"}
    plain: dict[str, Any] = _plain(found)
    return plain


def _plain(found: Any) -> Any:
    match found:
        case float():
            return found if math.isfinite(found) else None
        case Mapping():
            return {str(name): _plain(value) for name, value in found.items()}
        case list() | tuple():
            return [_plain(value) for value in found]
        case _:
            return found


def _table(found: object) -> Mapping[str, Any]:
    return found if isinstance(found, Mapping) else {}


def _list(found: object) -> list[Any]:
    return list(found) if isinstance(found, (list, tuple)) else []


def _text(found: object) -> str:
    return found if isinstance(found, str) else ""


def _number(found: object) -> float | None:
    if isinstance(found, bool) or not isinstance(found, (int, float)):
        return None
    try:
        number = float(found)
    except OverflowError:
        return None
    return number if math.isfinite(number) else None
