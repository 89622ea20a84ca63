"""The native push document: bytes become frames and snapshots, all of them or none.

Three forms (CONTRACT section 3), in JSON or MessagePack alike.  The full one has numbered pushes,
a schema agreed once, and rows of values by its columns; the simple one is what a script sends with
curl: a value by KEY, observed when it arrives; and the goodbye of an agent that ends.  It knows no
HTTP, no clock and nobody's history: which schemas a host has sent is asked of whoever remembers
them.

Fields that are not known are accepted and ignored, so that a newer agent can talk to an older
server; what must not be ignored has a higher `protocol`, which is refused.
"""

from __future__ import annotations

import hashlib
import math
import re
from array import array
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import msgspec
import numpy as np
from numpy.typing import NDArray

from monitor.core.catalog import is_counter
from monitor.errors import InputError, MonitorError, excerpt
from monitor.ingest import names, packed, strict, tables
from monitor.ingest.introducing import WrongClock, introduction
from monitor.model import Frame, Introduction, Schema, Snapshot

MOST_SERIES = 10_000
"""KEYs of one host: some thirty times what our own agent sends of a large machine."""

MOST_SAMPLES = 50_000
"""Values of one push: KEYs times frames."""

MOST_FRAMES = 1_000
"""Frames of one push: our own agent sends 15 to 60, when it has been cut off."""

EARLIEST_SECONDS = 946_684_800.0
"""The year 2000.  Who sends an earlier instant has a clock that was never set."""

LATEST_SECONDS = 2.0**32
"""The year 2106.  Who says that it sends later counts in something smaller than seconds."""

MOST_AHEAD_SECONDS = 60.0
"""How far a frame may lie in our future: what clocks differ that are kept at all.  A frame that
is newer than now hides those that come after it."""

LARGEST_INTEGER = 2**63
"""A whole number is below; a real number may be as large as it likes."""

EXACT_INTEGER = 2**53
"""Above it, not every whole number has a float64; a count must not be rounded unasked."""

_DIGEST = re.compile(r"sha256:[0-9a-f]{64}", re.ASCII)
_REQUIRED = ("host", "boot_id", "seq", "schema", "frames")


@dataclass(frozen=True, slots=True)
class Columns:
    """A schema, and which of its columns are counts."""

    schema: Schema
    counters: NDArray[np.intp]

    @classmethod
    def of(cls, texts: tuple[str, ...]) -> Columns:
        """The columns of these KEYs, which are known to be KEYs."""
        schema = Schema(texts)
        counters = [column for column, key in enumerate(schema.keys) if is_counter(key.name)]
        return cls(schema, np.array(counters, np.intp))


Known: TypeAlias = Callable[[str, tuple[str, ...] | str], Columns | None]
"""What a host has agreed before, by its name and the list of KEYs or the list's digest.

It is asked from worker threads too."""


@dataclass(frozen=True, slots=True)
class Number:
    """Which push of a sender's life it is: `seq` begins anew with each `boot_id`."""

    boot_id: str
    seq: int
    content: bytes
    """A digest of what it says: schema, instants, values and tables, but not when it was sent."""


@dataclass(frozen=True, slots=True)
class PushDocument:
    """What a push says.  `number` is none for the simple form, which cannot be repeated."""

    introduction: Introduction
    number: Number | None
    sent: float
    """Unix seconds by the sender's clock; its arrival by ours where it does not say."""
    columns: Columns
    frames: tuple[Frame, ...]
    """By instant, ascending."""
    snapshots: tuple[Snapshot, ...] = ()
    leaving: str | None = None
    """The `boot_id` that says goodbye; then there are no frames."""

    @property
    def host(self) -> str:
        """Whose it is."""
        return self.introduction.host


def parse(body: bytes, known: Known, now: float, *, is_packed: bool = False) -> PushDocument:
    """The document that `body` is, arrived at `now` in unix seconds.

    It is MessagePack where `is_packed`, else JSON.  Raises `InputError` with a stable code, the
    field such as ``frames[3].at``, the limit, and the number of the push where it has one; 409
    ``unknown_schema`` where the schema is a digest that this host has not sent as a list;
    `UnknownProtocol` where it speaks one that we do not, `WrongClock` where its clock is off.
    """
    document = (packed if is_packed else strict).decode(body)
    if not isinstance(document, dict):
        raise InputError("a push is an object", code="bad_shape")
    try:
        return _read(document, known, now)
    except MonitorError as error:
        error.about = _about(document)
        raise


def _about(document: dict[str, Any]) -> tuple[str, int] | None:
    """The number that a push has which is refused, so that its sender knows which one it was."""
    boot_id, seq = document.get("boot_id"), document.get("seq")
    if (
        type(boot_id) is str
        and type(seq) is int
        and len(boot_id) <= names.LONGEST_IDENTITY_CHARACTERS
    ):
        return (boot_id, seq) if 0 <= seq < LARGEST_INTEGER else None
    return None


def _read(document: dict[str, Any], known: Known, now: float) -> PushDocument:
    said = introduction(document)
    if "metrics" in document:
        if "frames" in document:
            detail = "a push has metrics (the simple form) or frames, not both"
            raise InputError(detail, code="bad_shape", field="metrics")
        return _simple(document, said, known, now)
    if document.get("bye") is not None:
        return _goodbye(document, said, now)
    for required in _REQUIRED:
        if document.get(required) is None:
            detail = f"{required} is missing: a push has {', '.join(_REQUIRED)}, or host, metrics"
            raise InputError(detail, code="bad_shape", field=required)
    return _full(document, said, known, now)


def _simple(document: dict[str, Any], said: Introduction, known: Known, now: float) -> PushDocument:
    metrics = document["metrics"]
    if not isinstance(metrics, dict) or not metrics:
        detail = "metrics is an object: a number by KEY"
        raise InputError(detail, code="bad_shape", field="metrics")
    columns = _columns(list(metrics), said.host, known, "metrics")
    values = list(metrics.values())
    row = _row(values, columns, lambda column: f"metrics[{excerpt(columns.schema.texts[column])}]")
    frames = (Frame(said.host, now, columns.schema, row),)
    return PushDocument(said, None, now, columns, frames)


def _goodbye(document: dict[str, Any], said: Introduction, now: float) -> PushDocument:
    if document["bye"] is not True or "frames" in document:
        detail = "bye is true, and nothing is sent with it but host, agent and boot_id"
        raise InputError(detail, code="bad_shape", field="bye")
    if said.agent is None:
        detail = "an agent says goodbye; agent is missing"
        raise InputError(detail, code="bad_shape", field="agent")
    leaving = names.identity(document.get("boot_id"), "boot_id")
    return PushDocument(said, None, now, Columns.of(()), (), leaving=leaving)


def _full(document: dict[str, Any], said: Introduction, known: Known, now: float) -> PushDocument:
    host = said.host
    boot_id, seq = names.identity(document["boot_id"], "boot_id"), _seq(document["seq"])
    sent = document.get("sent")
    if sent is None:
        sent = now
    else:
        sent = _sent(sent, said)
        said = replace(said, skew_seconds=now - sent)
    columns = _agreed(document["schema"], host, known)
    try:
        frames = _frames(document["frames"], host, columns, now)
    except InputError as error:
        if error.code == "bad_time":
            raise WrongClock(said, error) from None
        raise
    snapshots: tuple[Snapshot, ...] = ()
    if document.get("snapshots") is not None:
        snapshots = tuple(tables.snapshots(document["snapshots"], host, frames[-1].at))
    number = Number(boot_id, seq, _content(columns.schema, frames, snapshots))
    return PushDocument(said, number, sent, columns, frames, snapshots)


def _sent(value: Any, said: Introduction) -> float:
    """When it was sent, which is some time that a clock may show."""
    sent = _number_of_seconds(value, "sent")
    if not EARLIEST_SECONDS <= sent < LATEST_SECONDS:
        detail = "sent is in unix seconds, of a clock that is set"
        raise WrongClock(said, InputError(detail, code="bad_time", field="sent"))
    return sent


def _seq(value: Any) -> int:
    if type(value) is not int:
        raise InputError("seq is a whole number", code="bad_type", field="seq")
    if not 0 <= value < LARGEST_INTEGER:
        detail = "seq is from 0 to 2**63 - 1"
        raise InputError(detail, code="number_range", field="seq", limit=LARGEST_INTEGER)
    return value


def _agreed(schema: Any, host: str, known: Known) -> Columns:
    """The columns that `schema` names, as a list or by its digest."""
    if isinstance(schema, list):
        return _columns(schema, host, known, "schema")
    digest = names.text(schema, "schema")
    if _DIGEST.fullmatch(digest) is None:
        detail = "schema is a list of KEYs, or sha256: and the 64 hex digits of their digest"
        raise InputError(detail, code="bad_shape", field="schema")
    found = known(host, digest)
    if found is None:
        detail = "this host has not sent the list of that schema; send it once"
        raise InputError(detail, code="unknown_schema", field="schema", status=409)
    return found


def _columns(keys: list[Any], host: str, known: Known, field: str) -> Columns:
    """The columns of a list of KEYs, each of which is looked at once a host."""
    if len(keys) > MOST_SERIES:
        detail = f"a host has at most {MOST_SERIES} series, this push has {len(keys)}"
        raise InputError(detail, code="series_limit", field=field, limit=MOST_SERIES)
    if not keys:
        raise InputError("the schema has no KEY", code="bad_shape", field=field)
    if not all(type(key) is str for key in keys):
        wrong = next(at for at, key in enumerate(keys) if type(key) is not str)
        names.text(keys[wrong], f"{field}[{wrong}]")
    texts = tuple(keys)
    found = known(host, texts)
    if found is not None:
        return found
    for at, key in enumerate(texts):
        names.key(key, f"{field}[{at}]")
    if len(set(texts)) < len(texts):
        first = {key: at for at, key in reversed(list(enumerate(texts)))}
        twice = next(at for at, key in enumerate(texts) if first[key] != at)
        detail = f"the KEY {excerpt(texts[twice])} stands twice"
        raise InputError(detail, code="duplicate_key", field=f"{field}[{twice}]")
    return Columns.of(texts)


def _frames(value: Any, host: str, columns: Columns, now: float) -> tuple[Frame, ...]:
    if not isinstance(value, list) or not value:
        detail = "frames is a list of at least one frame"
        raise InputError(detail, code="bad_shape", field="frames")
    samples = len(value) * len(columns.schema)
    for many, what, limit in (
        (len(value), "frames", MOST_FRAMES),
        (samples, "samples", MOST_SAMPLES),
    ):
        if many > limit:
            detail = f"the push has {many} {what}: send fewer frames at once"
            code = "too_many_samples"
            raise InputError(detail, code=code, field="frames", limit=limit, status=413)
    frames = [_frame(each, host, columns, f"frames[{n}]", now) for n, each in enumerate(value)]
    return tuple(sorted(frames, key=lambda frame: frame.at))


def _frame(value: Any, host: str, columns: Columns, field: str, now: float) -> Frame:
    if not isinstance(value, dict):
        raise InputError(f"{field} is an object", code="bad_type", field=field)
    at = _number_of_seconds(value.get("at"), f"{field}.at")
    if at < EARLIEST_SECONDS:
        detail = f"{field}.at is before the year 2000: a clock that was not set?"
        raise InputError(detail, code="bad_time", field=f"{field}.at", limit=EARLIEST_SECONDS)
    if at > now + MOST_AHEAD_SECONDS:
        detail = (
            f"{field}.at lies {at - now:.0f} s ahead of this server's clock, more than"
            f" {MOST_AHEAD_SECONDS:.0f}: unix seconds, and a clock that is kept?"
        )
        raise InputError(detail, code="bad_time", field=f"{field}.at", limit=MOST_AHEAD_SECONDS)
    values = value.get("values")
    if not isinstance(values, list) or len(values) != len(columns.schema):
        detail = f"{field}.values is a list of {len(columns.schema)}, one for each KEY"
        raise InputError(detail, code="bad_shape", field=f"{field}.values")
    row = _row(values, columns, lambda column: f"{field}.values[{column}]")
    return Frame(host, at, columns.schema, row)


def _number_of_seconds(value: Any, field: str) -> float:
    """An instant in unix seconds, after 1970."""
    if type(value) not in {int, float} or not 0 < value < LARGEST_INTEGER:
        raise InputError(f"{field} is in unix seconds", code="bad_time", field=field)
    return float(value)


def _row(values: list[Any], columns: Columns, field: Callable[[int], str]) -> array[float]:
    """One float64 a column, NaN for null."""
    kinds = set(map(type, values))
    if not kinds <= {float, int, type(None)}:
        wrong = next(
            at for at, each in enumerate(values) if type(each) not in {float, int, type(None)}
        )
        detail = "a value is a number, or null where it is absent"
        raise InputError(detail, code="bad_type", field=field(wrong))
    if int in kinds:
        _require_integers(values, columns, field)
    if type(None) in kinds:
        row = array("d", [math.nan if each is None else each for each in values])
    else:
        row = array("d", values)
    numbers = np.frombuffer(row, np.float64)
    if not np.isfinite(numbers).all() and (endless := _endless(values, numbers)) is not None:
        detail = "a value is not finite; what is absent is null"
        raise InputError(detail, code="non_finite", field=field(endless))
    negative = columns.counters[numbers[columns.counters] < 0]
    if negative.size:
        detail = "a counter counts up from zero"
        raise InputError(detail, code="negative_counter", field=field(int(negative[0])))
    return row


def _endless(values: list[float | None], numbers: NDArray[np.float64]) -> int | None:
    """The first column whose value is infinite, or says itself that it is no number."""
    columns = np.flatnonzero(~np.isfinite(numbers)).tolist()
    return next((column for column in columns if values[column] is not None), None)


def _require_integers(values: list[Any], columns: Columns, field: Callable[[int], str]) -> None:
    """Raise where a whole number is too large, or is a count that would be rounded."""
    large = [
        at
        for at, value in enumerate(values)
        if type(value) is int and not -EXACT_INTEGER <= value <= EXACT_INTEGER
    ]
    counters = set(columns.counters.tolist()) if large else set()
    for at in large:
        limit = 0
        if not -LARGEST_INTEGER <= values[at] < LARGEST_INTEGER:
            limit = LARGEST_INTEGER
        elif at in counters and int(float(values[at])) != values[at]:
            limit = EXACT_INTEGER
        if limit:
            detail = "a whole number is too large to be kept exactly"
            raise InputError(detail, code="number_range", field=field(at), limit=limit)


def _content(schema: Schema, frames: tuple[Frame, ...], snapshots: tuple[Snapshot, ...]) -> bytes:
    """A digest of what a push says, the same however it is spelled."""
    found = hashlib.blake2b(schema.digest.encode(), digest_size=16)
    for frame in frames:
        found.update(array("d", (frame.at,)))
        found.update(frame.values)
    for snapshot in snapshots:
        found.update(snapshot.kind.encode())
        found.update(msgspec.json.encode(snapshot.rows))
    return found.digest()
