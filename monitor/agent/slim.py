"""What keeps the agent's process small where a library would bring more than is used."""

from __future__ import annotations

import contextlib
import sys
import types
from collections.abc import Iterator

_METADATA = "importlib.metadata"


@contextlib.contextmanager
def without_metadata() -> Iterator[None]:
    """Import something that imports `importlib.metadata` and does not use it.

    `websockets` does so to find its version in a checkout of its own; with the parsers of mail
    and archives that come along, it would be 2.4 MB of the agent's 30.
    """
    if _METADATA in sys.modules:
        yield
        return
    sys.modules[_METADATA] = types.ModuleType(_METADATA)
    try:
        yield
    finally:
        del sys.modules[_METADATA]
