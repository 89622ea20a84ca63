"""The check that no other site makes a browser change something here.

A browser says where a request comes from: in ``Sec-Fetch-Site``, which no page can forge, or,
where it sends none (plain HTTP beyond loopback), in ``Origin``.  A script says neither, and has
no cookies that another site could make use of, so it passes.  It is asked by the edge of every
request that is not safe; nothing behind it can forget it.
"""

from __future__ import annotations

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
"""Methods that change nothing, by our own routes' promise."""

_OWN = frozenset({b"same-origin", b"none"})
"""What `Sec-Fetch-Site` says of our own pages, and of what a person asked for directly."""

_PORTS = {b"http": b":80", b"https": b":443"}
"""Ports that an origin leaves out."""


def is_foreign(
    method: str,
    scheme: str,
    headers: list[tuple[bytes, bytes]],
    public_url: str | None = None,
) -> bool:
    """Whether a request that may change something was made by another site's page.

    `headers` are the request's, names in lower case; an origin is held against its one Host,
    and against `public_url`, where pages come from when a proxy says nothing of itself.  A header
    that stands twice must be right both times.
    """
    if method in SAFE_METHODS:
        return False
    sites = [value.strip().lower() for name, value in headers if name == b"sec-fetch-site"]
    if sites:
        return not _OWN.issuperset(sites)
    own = {_plain(scheme.encode() + b"://" + value) for name, value in headers if name == b"host"}
    if public_url is not None:
        own.add(_plain(public_url.encode()))
    origins = {_plain(value) for name, value in headers if name == b"origin"}
    return not origins <= own


def _plain(origin: bytes) -> bytes:
    """An origin in its one spelling."""
    found = origin.strip().lower()
    return found.removesuffix(_PORTS.get(found.partition(b":")[0], b":80"))
