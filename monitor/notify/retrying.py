"""When a notification that did not arrive is tried again: the one place that decides it.

Pure; instants and chance are arguments.
"""

from __future__ import annotations

FIRST_SECONDS = 5.0
"""After the first failure: most are a restart, or a moment without network."""

LONGEST_SECONDS = 15 * 60.0
"""Between two tries at last: whoever mends a receiver sees it work within that time."""

LONGEST_ASKED_SECONDS = 3_600.0
"""As long as a receiver may ask us to stay away."""

GIVE_UP_SECONDS = 24 * 3_600.0
"""How long one notification is tried, since it was made."""

SPREAD = 0.2
"""By which part a wait is shorter or longer, so that many channels do not knock together."""


def wait_seconds(failures: int, asked_seconds: float, chance: float) -> float:
    """How long to wait after so many failures (from 1), where the receiver asked for so long.

    `chance` is in [0, 1).  What the receiver asks for is never cut short by chance.
    """
    backoff = min(LONGEST_SECONDS, FIRST_SECONDS * 2.0 ** min(failures - 1, 16))
    backoff *= 1.0 + SPREAD * (2.0 * chance - 1.0)
    return max(backoff, min(asked_seconds, LONGEST_ASKED_SECONDS))


def is_given_up(made_at: float, now: float) -> bool:
    """Whether a notification that was made then has been tried for long enough."""
    return now - made_at >= GIVE_UP_SECONDS
