"""What an operator should know before trusting pages of alerts: who is told, and which rules hold.

That nobody is told, that a channel fails, or that the files were changed and not taken over.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from monitor.alerting.standing import RuleState
from monitor.core.rules.model import Severity
from monitor.notify.channel import ChannelStatus
from monitor.web.alertrows import counted, cut
from monitor.web.alertstanding import Gathered
from monitor.web.alertview import Notice
from monitor.web.format import duration
from monitor.web.services import Services
from monitor.web.timeaxis import instant_words

FIRST_CHANNEL = "monitor channel create phone URL"
"""The line that ends that nobody is told."""

FAILING_SECONDS = 60.0
"""A channel that fails for less will be tried again before anybody has read this."""

MOST_COMPLAINTS = 5


def alert_notices(services: Services, gathered: Gathered, *, sees_why: bool) -> tuple[Notice, ...]:
    """All of them, the worst first; `sees_why`: reasons are for those who may do something."""
    return (
        *reload_notices(services, gathered.now, sees_why=sees_why),
        *channel_notices(gathered.channels, gathered.now, sees_why=sees_why),
        *unheard(gathered.states, gathered.channels),
    )


def telling(states: Sequence[RuleState]) -> int:
    """How many rules can fire here and have something to tell."""
    return sum(state.is_applicable and state.rule.severity is not Severity.INFO for state in states)


def unheard(states: Sequence[RuleState], channels: Sequence[ChannelStatus]) -> Iterator[Notice]:
    """That nobody will be told, where there is no channel."""
    rules = telling(states)
    if rules and not channels:
        text = (
            f"{counted(rules, 'rule')} can fire, nobody will be told: there is no channel. Add one:"
        )
        yield Notice("warn", "▲", text, FIRST_CHANNEL)


def channel_notices(
    channels: Sequence[ChannelStatus], now: float, *, sees_why: bool
) -> Iterator[Notice]:
    """Which channels fail, since when and why."""
    for channel in channels:
        failing = now - channel.failing_since if channel.failing_since else 0.0
        if failing < FAILING_SECONDS:
            continue
        waiting = f", {counted(channel.waiting, 'message')} waiting" if channel.waiting else ""
        text = f"Channel {channel.name} has delivered nothing for {duration(failing)}{waiting}."
        lines = (cut(channel.failure),) if sees_why and channel.failure else ()
        yield Notice("crit", "■", text, lines=lines)


def reload_notices(services: Services, now: float, *, sees_why: bool) -> Iterator[Notice]:
    """That the files were changed and are not what holds."""
    state: Any = getattr(services.alerting.reloads, "state", None) if services.alerting else None
    failed = getattr(state, "failed", None)
    if failed is None:
        return
    complaints = [cut(str(each)) for each in failed.complaints]
    text = (
        f"The configuration was not taken over at {instant_words(failed.at, now)} UTC:"
        f" {counted(len(complaints), 'complaint')}. The rules from before hold."
    )
    yield Notice("crit", "■", text, lines=tuple(complaints[:MOST_COMPLAINTS]) if sees_why else ())
