"""Drills: alerts that are marked as such, to see whether somebody would be told.

The command line leaves a wish in the registry; the judge hears it, logs the drill (`firing`), and a
minute later that it is over (`over`).  A drill goes through its rule's severity and labels, through
routes and channels, and says of itself what it is.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import msgspec

from monitor.core import book, messages
from monitor.core.rules.explaining import told_limit
from monitor.core.rules.model import Rule, Severity
from monitor.ports import Conflict, Registry

WISHES = "alerting/wish/drill/"
"""What the keys of wishes begin with; a random id follows."""

FRESH_SECONDS = 60.0
"""A wish that is older was left for a server that did not run: it is taken away unheard."""

LASTING_SECONDS = 60.0
"""How long a drill fires: what is over while its group still waits is told to nobody."""

MOST_AT_ONCE = 10
"""Wishes that are heard in one look; the others wait for the next."""

REASON = "drill"
"""Why a drill is over."""


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


async def heard(registry: Registry, now: float) -> list[Wish]:
    """Take wishes away, and say which are to be granted; raises as the registry does."""
    found = []
    for key in (await registry.keys(WISHES))[:MOST_AT_ONCE]:
        entry = await registry.get(key)
        if entry is None:
            continue
        try:
            await registry.delete(key, entry.revision)
        except Conflict:
            continue  # another process hears it
        wish = decoded(entry.value)
        if wish is not None and abs(now - wish.at) <= FRESH_SECONDS:
            found.append(wish)
    return found


def firing(
    rule: Rule, wish: Wish, labels: Mapping[str, str], id_: str, now: float
) -> messages.Alert:
    """What the log is told of a drill; `labels` are its host's."""
    level = rule.levels[-1]
    return messages.Alert(
        alert=id_,
        rule=rule.name,
        host=wish.host,
        attributes={},
        state="firing",
        was=None,
        severity=level.severity.value,
        value=None,
        since=now,
        summary=f"a drill by {wish.by or 'somebody'}: nothing is wrong",
        limit=told_limit(level),
        metric=rule.condition.metric,
        labels={**labels, **rule.labels},
        runbook_url=rule.runbook_url,
        began=now,
        fired=now,
        notify="never" if level.severity is Severity.INFO else "always",
        is_drill=True,
    )


def over(opened: Iterable[book.Alert], now: float) -> list[messages.Alert]:
    """What the log is told of drills that have fired long enough."""
    return [
        msgspec.structs.replace(
            alert.said, state="resolved", was="firing", since=now, reason=REASON
        )
        for alert in opened
        if alert.said.is_drill and now - alert.fired_at >= LASTING_SECONDS
    ]
