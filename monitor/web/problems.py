"""Errors as every interface shows them: problem+json for machines, a page for browsers.

RFC 9457 with our own top-level members ``code`` (stable), ``field`` and ``limit``.
"""

from __future__ import annotations

from http import HTTPStatus

import msgspec

from monitor.errors import MonitorError

CONTENT_TYPE = "application/problem+json"

CHALLENGE = {"www-authenticate": 'Bearer realm="monitor"', "connection": "close"}
"""What a 401 says beside its reason; a connection whose credential is none is not kept."""

_CODES = {
    400: "bad_request",
    401: "auth_required",
    403: "forbidden",
    404: "not_found",
    405: "method_not_allowed",
    406: "not_acceptable",
    408: "request_timeout",
    413: "body_too_large",
    414: "url_too_long",
    415: "unsupported_media_type",
    421: "bad_host",
    429: "too_many_requests",
    431: "headers_too_large",
    500: "internal",
    501: "method_not_implemented",
    503: "unavailable",
    505: "http_version_not_supported",
}


_DETAILS = {
    404: "there is nothing at this address",
    405: "this address does not answer to that method",
    413: "the body is larger than this address takes",
}


class Problem(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """What an error response says."""

    title: str
    status: int
    detail: str
    code: str
    type: str = msgspec.field(default="about:blank")
    field: str | None = None
    limit: float | int | None = None

    def encoded(self) -> bytes:
        """The problem as JSON; `type` stands in it although it is the default."""
        shown = msgspec.structs.asdict(self)
        return msgspec.json.encode({k: v for k, v in shown.items() if v is not None})


def of_status(status: int, detail: str = "", code: str | None = None) -> Problem:
    """A problem that needs no more words than its HTTP status has."""
    try:
        title = HTTPStatus(status).phrase
    except ValueError:
        title = "Error"
    code = code or _CODES.get(status, "error")
    return Problem(
        title=title, status=status, detail=detail or _DETAILS.get(status, title), code=code
    )


def of_error(error: MonitorError) -> Problem:
    """The problem that one of our own errors is."""
    return Problem(
        title=HTTPStatus(error.status).phrase,
        status=error.status,
        detail=error.detail,
        code=error.code,
        field=error.field,
        limit=error.limit,
    )
