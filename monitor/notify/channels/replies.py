"""What a receiver's answer over HTTP means: taken, to be tried again, or refused for good.

Most refusals are about the operator's settings (a token, a path, a receiver that was moved), and
are mended within hours while the notification waits; so they are tried again.  Given up at once is
only what speaks of the very message: it is gone for good, too large, or not understood.
"""

from __future__ import annotations

import email.utils
from datetime import UTC

from monitor.errors import MonitorError
from monitor.notify.channel import DELIVERED, Outcome, Result
from monitor.outbound.client import Reply

HOPELESS = frozenset({410, 413, 422})
"""Gone, content too large, unprocessable content: the same bytes will never be taken."""

LONGEST_RETRY_AFTER_SECONDS = 3_600.0
"""A receiver may ask for patience; after an hour it is asked again all the same."""

_WORDS = {
    401: "it wants other credentials",
    403: "it does not let this server in",
    404: "there is nothing at this address",
    408: "it waited too long for the request",
    410: "the receiver is gone for good",
    413: "the message is too large for it",
    422: "it cannot use the message",
    429: "it is told too much",
}


def judged(reply: Reply, place: str, now: float, hopeless: frozenset[int] = HOPELESS) -> Outcome:
    """The outcome of an answer; `place` is host and port, `now` in unix seconds."""
    status = reply.status
    if 200 <= status < 300:
        return DELIVERED
    if 300 <= status < 400:
        reason = f"{place} answered with a redirect ({status}), which is not followed"
        return Outcome(Result.RETRY, reason)
    said = _WORDS.get(status, "it has a fault of its own" if status >= 500 else "")
    reason = f"{place} answered {status}" + (f": {said}" if said else "")
    if status in hopeless:
        return Outcome(Result.GIVEN_UP, reason)
    return Outcome(Result.RETRY, reason, retry_after(reply.retry_after, now))


def failed(error: MonitorError) -> Outcome:
    """The outcome where nothing was answered, or nothing was sent."""
    return Outcome(Result.RETRY, error.detail)


def retry_after(text: str, now: float) -> float:
    """The seconds that ``Retry-After`` means, as a number or a date; 0 where it says nothing."""
    text = text.strip()
    if text.isascii() and text.isdecimal() and len(text) < 10:
        return min(float(text), LONGEST_RETRY_AFTER_SECONDS)
    try:
        at = email.utils.parsedate_to_datetime(text)
        seconds = at.replace(tzinfo=at.tzinfo or UTC).timestamp() - now
    except (TypeError, ValueError, IndexError, OverflowError):
        return 0.0
    return min(max(0.0, seconds), LONGEST_RETRY_AFTER_SECONDS)
