"""How one size is shared among the tiers.

Each tier has a share, and what one of them does not need the others use: bytes are poured into
all tiers at heights that are proportional to their shares, up to what each needs.  Taking the
oldest chunk always from the tier that is fullest for its share ends at the same heights.
"""

from __future__ import annotations

from collections.abc import Sequence

SHARES = (0.30, 0.20, 0.20, 0.10, 0.10, 0.10)
"""Of raw, the four tiers and the tables of processes, by their numbers in the store.

Raw is what is looked at most and what most is made of; a thousand hosts at 1 s get some nine
hours of it from 20 GB, enough for last night.  The two coarsest tiers are a hundredth of what is
made and have a fifth, so that such a fleet still sees 20 days at 15 min and five months at 2 h:
who is short of room rather loses seconds than seasons.  For a hundred hosts their ages ask for
less than that, and raw and 10s use it."""


def levelled(needs: Sequence[float], most: float) -> list[float]:
    """What each tier gets of `most` bytes, given what each needs at its full age."""
    given = [0.0] * len(needs)
    left, open_ = max(0.0, most), [k for k, need in enumerate(needs) if need > 0]
    while open_:
        shares = sum(SHARES[k] for k in open_)
        full = [k for k in open_ if needs[k] <= left * SHARES[k] / shares]
        if not full:
            for k in open_:
                given[k] = left * SHARES[k] / shares
            return given
        for k in full:
            given[k] = needs[k]
            left -= needs[k]
            open_.remove(k)
    return given
