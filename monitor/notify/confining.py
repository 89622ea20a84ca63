"""Whether a selector takes hosts of some globs only: what somebody who sees not all may silence.

It is answered from what is written, without asking which hosts there are: a term ``host=web-1`` or
``host in (web-*, db-1)`` confines a selector where each of its values lies within a glob.
"""

from __future__ import annotations

import re
from functools import lru_cache

from monitor.core.access import matches
from monitor.core.selectors import Selector, Term

LONGEST_CHARACTERS = 253
"""Of a host's name, and so of a glob that is of use."""


def is_confined(selector: Selector, globs: tuple[str, ...]) -> bool:
    """Whether whatever it takes is of hosts that one of these globs means."""
    return any(_confines(term, globs) for term in selector.terms)


def _confines(term: Term, globs: tuple[str, ...]) -> bool:
    if term.name != "host" or term.negated or len(term.patterns) != len(term.globs):
        return False
    return all(matches(globs, value) for value in term.values) and all(
        any(_is_within(pattern, each) for each in globs) for pattern in term.patterns
    )


def _is_within(pattern: str, wider: str) -> bool:
    r"""Whether every text that a pattern means is one that the wider one means, and it is seen.

    A star stands for itself there, so the wider one's own must cover it.  What is escaped is not
    looked through: hosts' names have no ``*``, ``?`` or ``\``.
    """
    if "\\" in pattern or len(pattern) > LONGEST_CHARACTERS:
        return False
    return _covering(wider).fullmatch(pattern) is not None


@lru_cache(maxsize=1_024)
def _covering(wider: str) -> re.Pattern[str]:
    """What patterns within a glob look like.

    As in `monitor.core.selectors.glob`, each star takes the least that will do, and never goes
    back, so that it takes no longer than the pattern is long.
    """
    first, *rest = (
        "".join("[^*]" if sign == "?" else re.escape(sign) for sign in part)
        for part in wider.split("*")
    )
    if not rest:
        return re.compile(first)
    *middle, last = rest
    floating = "".join(f"(?>.*?{part})" for part in middle if part)
    return re.compile(f"{first}{floating}.*{last}")
