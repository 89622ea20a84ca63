"""The bytes of OTLP metrics: protobuf, and JSON as OTLP has it, as the same objects.

Both give an `ExportMetricsServiceRequest` whose fields have protobuf's names; of JSON only the
fields that are looked at are read, and all others ignored, as OTLP wants it.  64-bit numbers come
as numbers or as text.  The specification: https://opentelemetry.io/docs/specs/otlp/
"""

from __future__ import annotations

from typing import Any, TypeAlias

import msgspec
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
    ExportMetricsServiceResponse,
)

from monitor.errors import InputError

Whole: TypeAlias = int | str
"""A 64-bit number, which JSON may have as text."""

_LONGEST_NUMBER_DIGITS = 20


class _Struct(msgspec.Struct, rename="camel", gc=False):
    """By OTLP's names in JSON."""


class _AnyValue(_Struct):
    string_value: str | None = None
    bool_value: bool | None = None
    int_value: Whole | None = None
    double_value: float | str | None = None
    array_value: msgspec.Raw | None = None
    kvlist_value: msgspec.Raw | None = None
    bytes_value: msgspec.Raw | None = None

    def WhichOneof(self, name: str) -> str | None:  # noqa: N802 - as protobuf's
        del name
        return next((field for field in _KINDS if getattr(self, field) is not None), None)


_KINDS = (
    "string_value",
    "bool_value",
    "int_value",
    "double_value",
    "array_value",
    "kvlist_value",
    "bytes_value",
)


class _KeyValue(_Struct):
    key: str = ""
    value: _AnyValue = msgspec.field(default_factory=_AnyValue)


class _Point(_Struct):
    attributes: list[_KeyValue] = []
    time_unix_nano: Whole = 0
    as_double: float | str | None = None
    as_int: Whole | None = None
    exemplars: list[msgspec.Raw] = []
    flags: int = 0
    count: Whole = 0
    sum: float | str | None = None

    def WhichOneof(self, name: str) -> str | None:  # noqa: N802 - as protobuf's
        del name
        if self.as_double is not None:
            return "as_double"
        return None if self.as_int is None else "as_int"

    def HasField(self, name: str) -> bool:  # noqa: N802 - as protobuf's
        return getattr(self, name) is not None


class _Points(_Struct):
    data_points: list[_Point] = []
    aggregation_temporality: int | str = 0
    is_monotonic: bool = False


class _Metric(_Struct):
    name: str = ""
    gauge: _Points | None = None
    sum: _Points | None = None
    histogram: _Points | None = None
    exponential_histogram: _Points | None = None
    summary: _Points | None = None

    def WhichOneof(self, name: str) -> str | None:  # noqa: N802 - as protobuf's
        del name
        return next((field for field in DATA if getattr(self, field) is not None), None)


DATA = ("gauge", "sum", "histogram", "exponential_histogram", "summary")
"""What a metric's points may be."""


class _ScopeMetrics(_Struct):
    metrics: list[_Metric] = []


class _Resource(_Struct):
    attributes: list[_KeyValue] = []


class _ResourceMetrics(_Struct):
    resource: _Resource = msgspec.field(default_factory=_Resource)
    scope_metrics: list[_ScopeMetrics] = []


class _Request(_Struct):
    resource_metrics: list[_ResourceMetrics] = []


_decode = msgspec.json.Decoder(_Request).decode


def parsed(body: bytes, *, is_json: bool) -> Any:
    """A request.  Raises `InputError`: ``bad_json`` or ``bad_protobuf``."""
    if not is_json:
        try:
            return ExportMetricsServiceRequest.FromString(body)
        except DecodeError:
            detail = "the body is no OTLP request in protobuf: cut short, too deep, or damaged"
            raise InputError(detail, code="bad_protobuf") from None
    try:
        return _decode(body)
    except msgspec.ValidationError as error:
        detail = f"the body is no OTLP request in JSON: {_said(error)}"
        raise InputError(detail, code="bad_shape") from None
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise InputError("the body is no JSON", code="bad_json") from None
    except RecursionError:
        raise InputError("the body is nested too deeply", code="too_deep") from None


def _said(error: Exception) -> str:
    """What msgspec says; it shows types and places, and nothing that was sent."""
    return str(error)[:200]


def whole(number: Whole) -> int:
    """A 64-bit number.  Raises `ValueError` where a text is none."""
    if isinstance(number, int):
        return number
    if len(number) > _LONGEST_NUMBER_DIGITS or not number.isascii() or "_" in number:
        raise ValueError("no 64-bit number")
    return int(number)


def real(number: float | str) -> float:
    """A number, which JSON has as text where it is not finite.  Raises `ValueError`."""
    if not isinstance(number, str):
        return number
    known = {"NaN": "nan", "Infinity": "inf", "-Infinity": "-inf"}
    if number not in known:
        raise ValueError("no number")
    return float(known[number])


def answer(rejected: int, message: str, *, is_json: bool) -> bytes:
    """A response; where nothing was rejected and nothing is to be said it is empty."""
    if is_json:
        said: dict[str, str] = {}
        if rejected:
            said["rejectedDataPoints"] = str(rejected)
        if message:
            said["errorMessage"] = message
        return msgspec.json.encode({"partialSuccess": said} if said else {})
    made = ExportMetricsServiceResponse()
    if rejected or message:
        made.partial_success.rejected_data_points = rejected
        made.partial_success.error_message = message
    return bytes(made.SerializeToString())
