"""Drills: what the command line leaves in the registry for the judge, which sends one out.

A drill is an alert that is marked as one; it goes through its rule's severity and labels, through
routes and channels, and is over at once.  The judge takes a wish away when it has logged the drill.
"""

from __future__ import annotations

import msgspec

WISHES = "alerting/wish/drill/"
"""What the keys of wishes begin with; a random id follows."""

LASTING_SECONDS = 60.0
"""A wish that is older was left for a server that did not run: it is taken away unheard."""


class Wish(msgspec.Struct, frozen=True):
    """A drill of a rule on a host, wished by somebody at an instant in unix seconds."""

    rule: str
    host: str
    by: str = ""
    at: float = 0.0


def decoded(value: bytes) -> Wish | None:
    """The wish in a registry's value; none where it is none."""
    try:
        return msgspec.json.decode(value, type=Wish)
    except msgspec.MsgspecError:
        return None
