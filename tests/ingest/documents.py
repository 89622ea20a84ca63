"""Push documents for tests, as a sender writes them."""

from __future__ import annotations

import json
import time
from typing import Any

KEYS = ("app.queue.length", 'system.network.io{direction="receive",interface="eth0"}')
"""A gauge and a counter."""


def full(**changes: Any) -> dict[str, Any]:
    """A numbered push of one frame, two seconds ago, with fields changed; None leaves one out."""
    document: dict[str, Any] = {
        "host": "web-1",
        "boot_id": "b-1",
        "seq": 1,
        "schema": list(KEYS),
        "frames": [frame()],
    }
    document |= changes
    return {name: value for name, value in document.items() if value is not None}


def frame(at: Any = None, values: Any = (1.5, 1000)) -> dict[str, Any]:
    """One frame of `KEYS`."""
    return {"at": time.time() - 2 if at is None else at, "values": list(values)}


def with_value(written: str) -> bytes:
    """A numbered push whose first value is written exactly so."""
    return json.dumps(full(frames=[frame(values=("@", 5))])).replace('"@"', written).encode()


def encoded(**changes: Any) -> bytes:
    """`full` as JSON."""
    return json.dumps(full(**changes)).encode()


def simple(**metrics: Any) -> bytes:
    """The simple form; underscores in names are dots."""
    named = {name.replace("_", "."): value for name, value in metrics.items()}
    return json.dumps({"host": "web-1", "metrics": named}).encode()
