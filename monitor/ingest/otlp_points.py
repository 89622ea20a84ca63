"""The points of an OTLP request one by one: whose they are, when, their values, what is not kept.

It knows the objects that `otlp_wire` gives, and no lane and no KEY.
"""

from __future__ import annotations

import math
import struct
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final

from monitor.core.series import ENDED_BITS
from monitor.errors import InputError, MonitorError
from monitor.ingest import names, otlp_wire
from monitor.ingest.introducing import is_word
from monitor.ingest.push import EARLIEST_SECONDS, MOST_AHEAD_SECONDS

PROGRAM = (
    "service.namespace",
    "service.name",
    "service.instance.id",
    "k8s.namespace.name",
    "k8s.pod.name",
    "k8s.container.name",
    "container.id",
    "container.name",
    "process.executable.name",
    "process.pid",
)
"""What tells a host's resources apart: attributes of every series that is not the host's own."""

MOST_RESOURCE_ATTRIBUTES = 1_000
"""Detectors of a cloud tell some fifty."""

MOST_REASONS = 5
"""Of an answer, each with its number of points."""

DELTA: Final = (1, "AGGREGATION_TEMPORALITY_DELTA")
CUMULATIVE: Final = (2, "AGGREGATION_TEMPORALITY_CUMULATIVE")

_NOT_RECORDED = 1
"""In a point's flags: the series had no value."""

_ENDED: float = struct.unpack("<d", struct.pack("<Q", ENDED_BITS))[0]

_NANO = 1_000_000

_KEPT_INFO = {"os.type": "os", "os.version": "kernel", "host.arch": "arch", "host.id": "machine_id"}
"""What a resource says of its machine, by our names."""

SOURCE = "otlp"
"""How the lane of host metrics is called; a program's has its name behind it."""


@dataclass(slots=True)
class Outcome:
    """What became of a request: points stored, and refused by reason."""

    accepted: int = 0
    rejected: Counter[str] = field(default_factory=Counter)
    codes: Counter[str] = field(default_factory=Counter)
    notes: Counter[str] = field(default_factory=Counter)
    """What was let go of without refusing a point."""
    passing: MonitorError | None = None
    """Ours, for which everything may be sent again."""
    foreign: MonitorError | None = None
    """That a host is not this token's."""

    def reject(self, error: MonitorError, points: int = 1) -> None:
        """Note that so many points were not taken, and why."""
        if error.status == 403:
            self.foreign = error
        elif not isinstance(error, InputError):
            self.passing = self.passing or error
        self.rejected[error.detail] += points
        self.codes[error.code] += points

    @property
    def message(self) -> str:
        """In words, empty where there is nothing to be said."""
        reasons = [*self.rejected.most_common(MOST_REASONS), *self.notes.most_common(MOST_REASONS)]
        return "; ".join(f"{reason} ({count})" for reason, count in reasons)


@dataclass(frozen=True, slots=True)
class Resource:
    """Whose a resource is."""

    host: str
    program: tuple[tuple[str, str], ...]
    info: dict[str, str]

    @property
    def source(self) -> str:
        """The lane that its series go to."""
        name = dict(self.program).get("service.name", "")
        return f"{SOURCE}:{name}" if name else SOURCE


def points_of(metric: Any) -> int:
    """How many points a metric has."""
    kind = metric.WhichOneof("data")
    return len(getattr(metric, kind).data_points) if kind else 0


def resource_of(attributes: Any) -> Resource:
    """Raises `InputError`: ``no_host``, ``bad_host_name``, ``limit_labels``."""
    if len(attributes) > MOST_RESOURCE_ATTRIBUTES:
        detail = f"a resource has at most {MOST_RESOURCE_ATTRIBUTES} attributes"
        limit = MOST_RESOURCE_ATTRIBUTES
        raise InputError(detail, code="limit_labels", field="resource", limit=limit)
    found = {each.key: each.value for each in attributes}
    if "host.name" not in found:
        detail = "a resource has the attribute host.name: the Collector's resourcedetection adds it"
        raise InputError(detail, code="no_host", field="resource")
    host = names.host(text_of(found["host.name"]), "host.name")
    program = tuple((name, text_of(found[name])) for name in PROGRAM if name in found)
    info = {}
    for attribute, name in _KEPT_INFO.items():
        if attribute in found and is_word(said := text_of(found[attribute])):
            info[name] = said
    return Resource(host, tuple(pair for pair in program if pair[1]), info)


def values_of(metric: Any, outcome: Outcome) -> Iterator[tuple[str, Any, float]]:
    """Every value of a metric that can be kept: its name, its point, the number."""
    kind = metric.WhichOneof("data")
    if kind is None:
        return
    data = getattr(metric, kind)
    try:
        _require_kind(kind, data)
    except InputError as error:
        outcome.reject(error, len(data.data_points))
        return
    for point in data.data_points:
        if point.exemplars:
            outcome.notes["exemplars are not kept"] += len(point.exemplars)
        try:
            if kind == "histogram":
                if point.HasField("sum"):
                    yield f"{metric.name}_sum", point, otlp_wire.real(point.sum)
                    outcome.accepted -= 1  # both are of one point
                yield f"{metric.name}_count", point, float(otlp_wire.whole(point.count))
            else:
                yield metric.name, point, _number(point)
        except ValueError:
            outcome.reject(InputError("a number is none", code="bad_type"))


def _require_kind(kind: str, data: Any) -> None:
    if kind in {"exponential_histogram", "summary"}:
        said = "summaries" if kind == "summary" else "exponential histograms"
        raise InputError(f"{said} are not kept", code=f"unsupported_{kind}")
    if kind != "gauge" and data.aggregation_temporality not in CUMULATIVE:
        if data.aggregation_temporality in DELTA:
            detail = "delta temporality is not kept: send cumulative, by deltatocumulative"
            raise InputError(detail, code="unsupported_delta")
        raise InputError("the aggregation temporality is not said", code="bad_temporality")


def _number(point: Any) -> float:
    if point.flags & _NOT_RECORDED:
        return _ENDED
    kind = point.WhichOneof("value")
    if kind == "as_int":
        return float(otlp_wire.whole(point.as_int))
    return otlp_wire.real(point.as_double) if kind else math.nan


def instant_of(nanoseconds: Any, now: float, oldest: float) -> float:
    """An instant in unix seconds, to the millisecond."""
    try:
        at = round(otlp_wire.whole(nanoseconds) / _NANO) / 1000
    except ValueError:
        raise InputError("an instant is in nanoseconds", code="bad_time") from None
    if at < EARLIEST_SECONDS or at > now + MOST_AHEAD_SECONDS:
        detail = f"an instant is in nanoseconds, at most {MOST_AHEAD_SECONDS:.0f} s ahead"
        raise InputError(detail, code="bad_time")
    if at < oldest:
        raise InputError("a point is older than the history that is kept", code="too_old")
    return at


def text_of(value: Any) -> str:
    """An attribute's value as text.  Raises `InputError` where it is more than a word."""
    kind = value.WhichOneof("value")
    match kind:
        case "string_value":
            found: str = value.string_value
            if len(found) > names.LONGEST_ATTRIBUTE_CHARACTERS:
                detail = f"a value has at most {names.LONGEST_ATTRIBUTE_CHARACTERS} characters"
                limit = names.LONGEST_ATTRIBUTE_CHARACTERS
                raise InputError(detail, code="limit_labels", limit=limit)
            return found
        case "bool_value":
            return "true" if value.bool_value else "false"
        case "int_value":
            try:
                return str(otlp_wire.whole(value.int_value))
            except ValueError:
                raise InputError("a number is none", code="bad_type") from None
        case "double_value":
            return str(value.double_value)[:32]
        case None:
            return ""
        case _:
            detail = "attributes are words and numbers; lists, maps and bytes are not kept"
            raise InputError(detail, code="bad_attribute")
