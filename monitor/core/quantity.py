"""Quantities as people write them: ``90%``, ``20GB``, ``20GiB``, ``5m``, ``100ms``.

A room's Config class marks its fields with `Seconds`, `Bytes` or `Ratio`; the roof
(`monitor.config`) reads the marks and accepts people's spellings there.
"""

from __future__ import annotations

import enum
from typing import Annotated


class Quantity(enum.Enum):
    """What a configured number measures."""

    SECONDS = "seconds"
    BYTES = "bytes"
    RATIO = "ratio"


Seconds = Annotated[float, Quantity.SECONDS]
Bytes = Annotated[int, Quantity.BYTES]
Ratio = Annotated[float, Quantity.RATIO]
