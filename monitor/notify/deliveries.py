"""Deliveries: one attempt, and what the log is told of what came of it.

A notification is tried under one key, and what came of it at last stands in the log once, as a
notice of kind ``delivery`` with that key: so whoever starts again knows whether it arrived.
"""

from __future__ import annotations

import asyncio
import dataclasses
import secrets

import structlog

from monitor.core.messages import Notice, event
from monitor.errors import InputError, Unavailable
from monitor.model import EventType, RetentionClass
from monitor.notify.channel import Channel, Notification, Outcome, Result
from monitor.notify.keeping import Frozen
from monitor.ports import EventLog, Gap, Unknown

ATTEMPT_SECONDS = 30.0
"""A channel has its own bound, of ten or so; one that does not keep it has failed."""

TRY_AGAIN_SECONDS = 1.0
MOST_TRY_AGAIN_SECONDS = 30.0
"""How long to wait where the log or the registry is not to be had, at first and at last."""

SEARCH_EVENTS = 1_000
"""A page, where a delivery is looked for in the log."""

REASON_CHARACTERS = 300
"""What is kept of why something did not arrive."""


async def tried(channel: Channel, made: Notification) -> Outcome:
    """What comes of one attempt, whatever the channel does."""
    try:
        async with asyncio.timeout(ATTEMPT_SECONDS):
            outcome = await channel.deliver(made)
    except TimeoutError:
        return Outcome(Result.RETRY, f"no answer within {ATTEMPT_SECONDS:.0f} s")
    except Exception as error:  # noqa: BLE001 - its own fault: the alert must not be lost by it
        voice = structlog.stdlib.get_logger("monitor.notify")
        # Not its text, which may quote the address, and that is a key.
        fault = type(error).__name__
        voice.error("a channel failed in a way of its own", channel=channel.name, fault=fault)
        return Outcome(Result.RETRY, f"the channel failed: {fault}")
    # It is kept and logged, which texts that are none would prevent.
    reason = outcome.reason.encode("utf-8", "replace").decode()[:REASON_CHARACTERS]
    return dataclasses.replace(outcome, reason=reason)


async def note(
    log: EventLog, made: Notification, frozen: Frozen, outcome: Outcome, now: float
) -> None:
    """Write a delivery into the log, once; it returns when that is sure."""
    delivered = outcome.result is Result.DELIVERED
    alerts = len(made.told) + made.left_out
    what = f"told of {alerts} alert" + ("s" if alerts != 1 else "")
    notice = Notice(
        kind="delivery",
        text=f"{made.channel} was {what}" if delivered else f"{made.channel} could not be {what}",
        details={
            "channel": made.channel,
            "key": made.key,
            "alerts": [told.alert.alert for told in made.told],
            "resolved": [told.alert.alert for told in made.told if told.is_resolved],
            "left_out": made.left_out,
            "outcome": outcome.result.value,
            "attempts": frozen.failures + 1,
            "reason": outcome.reason,
            "is_repeat": made.is_repeat,
            "is_drill": made.is_drill,
        },
    )
    said = event(notice, now, secrets.token_hex(8))
    seconds = TRY_AGAIN_SECONDS
    is_unknown = False
    while True:
        try:
            if is_unknown and await found(log, frozen) is not None:
                return
            await log.append([said])
        except InputError as error:
            # It was delivered: to tell again and again for the sake of a notice would be worse.
            structlog.stdlib.get_logger("monitor.notify").error(
                "a delivery cannot be logged", why=error.detail
            )
            return
        except (Unavailable, Unknown) as error:
            is_unknown = is_unknown or isinstance(error, Unknown)
            voice = structlog.stdlib.get_logger("monitor.notify")
            voice.warning("a delivery could not be logged yet", why=str(error))
            await asyncio.sleep(seconds)
            seconds = min(2.0 * seconds, MOST_TRY_AGAIN_SECONDS)
        else:
            return


async def found(log: EventLog, frozen: Frozen) -> Outcome | None:
    """What the log says came of a notification; none where it says nothing."""
    after, last = frozen.position, await log.last()
    while after < last:
        try:
            page, searched, _ = await log.read(after, RetentionClass.ALERTS, SEARCH_EVENTS)
        except Gap as gap:
            if not after < gap.floor < last:
                return None
            after = gap.floor
            continue
        for each in page:
            details = each.data.get("details") if each.type is EventType.NOTICE else None
            if isinstance(details, dict) and details.get("key") == frozen.key:
                arrived = details.get("outcome") == Result.DELIVERED.value
                result = Result.DELIVERED if arrived else Result.GIVEN_UP
                return Outcome(result, str(details.get("reason")))
        after = searched
    return None
