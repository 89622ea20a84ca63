"""Compressing answers: when, how much, and whether the other side wants it."""

from __future__ import annotations

from werkzeug.datastructures import Accept, Headers
from werkzeug.http import parse_accept_header

LEAST_GZIP_BYTES = 1_024
GZIP_LEVEL = 5
LARGE_BYTES = 64 * 1024
"""From here on, compressing leaves the event loop for a worker thread."""


def accepts_gzip(headers: Headers) -> bool:
    """Whether a request says that it takes gzip."""
    found = ",".join(headers.getlist("Accept-Encoding"))
    return bool(found) and parse_accept_header(found, Accept).quality("gzip") > 0
