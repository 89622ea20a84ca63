"""Secrets to plant, and a search for them in whatever came out.

A secret leaks in disguise as well: escaped, quoted for a URL, in base64, or cut short.  The
markers are random and of plain letters, so that none is found by chance or missed for its
spelling.
"""

from __future__ import annotations

import base64
import secrets
from collections.abc import Iterable, Mapping

MARKERS = 20
"""How many secrets are planted, unless a test wants others."""

PART_CHARACTERS = 12
"""So much of a marker in one piece is a leak, though the rest was cut off."""


def planted(count: int = MARKERS, prefix: str = "") -> list[str]:
    """Markers to be used as secrets; a prefix such as ``agt_`` is not searched for."""
    return [prefix + secrets.token_hex(16) for _ in range(count)]


def leaks(texts: Mapping[str, str | bytes], markers: Iterable[str]) -> list[str]:
    """Which marker (by its number, for it is a secret) is in which text, and in what disguise."""
    found = []
    lowered = {name: _bytes(text).lower() for name, text in texts.items()}
    exact = {name: _bytes(text) for name, text in texts.items()}
    for number, marker in enumerate(markers):
        core = marker.rpartition("_")[2].encode()
        for name in texts:
            if any(part in lowered[name] for part in _parts(core)):
                found.append(f"marker {number} in {name}")
            elif any(code in exact[name] for code in _base64(core)):
                found.append(f"marker {number} in {name}, in base64")
            elif core.hex().encode() in lowered[name]:
                found.append(f"marker {number} in {name}, in hexadecimal digits")
    return found


def _bytes(text: str | bytes) -> bytes:
    return text if isinstance(text, bytes) else text.encode("utf-8", "surrogatepass")


def _parts(core: bytes) -> list[bytes]:
    """Every piece of a marker that is long enough to be no chance."""
    core = core.lower()
    return [core[at : at + PART_CHARACTERS] for at in range(len(core) - PART_CHARACTERS + 1)]


def _base64(core: bytes) -> list[bytes]:
    """The core in base64, wherever in a longer text it stands."""
    return [base64.b64encode(bytes(at) + core)[(0, 2, 3)[at] + 2 : -4] for at in range(3)]
