"""The session's cookie, as it is set and taken back.

Over HTTPS its name has the prefix with which a browser refuses it from anywhere but this very
host, by HTTPS, for all paths.  No script reads it, and no other site's request but a plain link
brings it.
"""

from __future__ import annotations

from monitor.web.door import PLAIN_COOKIE, SECURE_COOKIE

_ATTRIBUTES = "Path=/; HttpOnly; SameSite=Lax"


def setting(scheme: str, value: str, seconds: float | None) -> str:
    """The ``Set-Cookie`` that opens a session; without `seconds` it ends with the browser."""
    lasting = "" if seconds is None else f"; Max-Age={seconds:.0f}"
    return f"{_named(scheme, value)}{lasting}"


def clearing(scheme: str) -> str:
    """The ``Set-Cookie`` that has a browser forget it."""
    return f"{_named(scheme, '')}; Max-Age=0"


def _named(scheme: str, value: str) -> str:
    if scheme == "https":
        return f"{SECURE_COOKIE}={value}; {_ATTRIBUTES}; Secure"
    return f"{PLAIN_COOKIE}={value}; {_ATTRIBUTES}"
