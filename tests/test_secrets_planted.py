"""It must be that a planted secret is found in its disguises, and that nothing else is."""

from __future__ import annotations

import base64

import pytest

from tests.secrets_planted import leaks, planted


@pytest.mark.parametrize("before", [b"", b"a", b"ab", b"user:"])
def test_found(before: bytes) -> None:
    """It must be that a marker is found whole, cut, in capitals, in base64 and in hexadecimal."""
    markers = planted(3, "agt_")
    core = markers[1].removeprefix("agt_")
    texts: dict[str, str | bytes] = {
        "whole": f"x{markers[1]}y",
        "bytes": before + markers[1].encode(),
        "cut": core[5:20] + "…",
        "capitals": core.upper(),
        "base64": base64.b64encode(before + core.encode() + b"tail"),
        "hexadecimal": core.encode().hex(),
    }
    found = leaks(texts, markers)
    assert [line.split(",")[0] for line in found] == [f"marker 1 in {name}" for name in texts]
    assert core not in str(found)


def test_nothing_else() -> None:
    """It must be that prefixes, masks and other secrets are no leak."""
    markers = planted(20, "agt_")
    assert len(set(markers)) == 20
    assert leaks({"a": "agt_*** agt_", "b": "".join(planted(50)), "c": b""}, markers) == []
