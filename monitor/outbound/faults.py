"""Why something outside was not reached, in three classes, for whose fault it is.

No sentence holds anything of an address but its host and port: paths and queries of webhooks
are secrets.
"""

from __future__ import annotations

import enum

from monitor.errors import InputError, MonitorError


class UrlNotAllowed(InputError):
    """What was asked for may not be connected to, whatever its name leads to."""

    code = "url_not_allowed"


class OutboundRefused(MonitorError):
    """The name leads to an address that the configuration does not allow; nothing was sent."""

    status = 502
    code = "outbound_refused"


class Reason(enum.Enum):
    """What went wrong at the other end, or on the way."""

    UNRESOLVED = "unresolved"
    UNREACHABLE = "unreachable"
    TLS = "tls"
    TOO_SLOW = "too_slow"
    TOO_LARGE = "too_large"
    BAD_REPLY = "bad_reply"


class OutboundFailed(MonitorError):
    """The other end could not be reached or did not answer as it should; it may, later."""

    status = 502
    code = "outbound_failed"

    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason
