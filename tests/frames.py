"""Frames and tables for tests, made from plain dicts."""

from __future__ import annotations

from array import array
from collections.abc import Mapping

from monitor.model import Frame, Row, Schema, Snapshot

_SCHEMAS: dict[tuple[str, ...], Schema] = {}


def frame(at: float, values: Mapping[str, float], host: str = "web-1", source: str = "") -> Frame:
    """A frame of these values; equal keys share one schema, as they do from a runner."""
    texts = tuple(values)
    schema = _SCHEMAS.setdefault(texts, Schema(texts))
    return Frame(host, at, schema, array("d", values.values()), source)


def snapshot(at: float, kind: str, *rows: Row, host: str = "web-1") -> Snapshot:
    """A table of these rows."""
    return Snapshot(host, at, kind, rows)
