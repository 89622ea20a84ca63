"""How alerts stand now, as far as whoever asks may see it: gathered once, for pages that show it.

What is taken on the event loop (`gather`) nobody changes any more, so that the rest can be made of
it by a worker thread.  An open alert stands in exactly one place (`sort_out`): held back, else
silenced, else acknowledged, else it fires and somebody is wanted.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from itertools import islice

from monitor.alerting.standing import Pending, RuleState
from monitor.core.access import View
from monitor.core.book import Alert
from monitor.core.rules.model import Severity
from monitor.model import HostStatus
from monitor.notify.acks import Acks
from monitor.notify.channel import ChannelStatus
from monitor.notify.confining import is_confined
from monitor.notify.silence import Silence
from monitor.notify.silences import Silences
from monitor.web.services import Services

MOST_SORTED = 5_000
"""Open alerts that are sorted out for one page; a storm has more, and its page says so."""

MOST_COUNTED = 2_000
"""Open alerts that are sorted out for the count at the head of every page."""


@dataclass(frozen=True, slots=True)
class Hush:
    """Why nobody is told of an alert: a silence, or an acknowledgement.

    `until` is in unix seconds, 0 where it has no end of its own; `id` is the silence's.
    """

    by: str
    at: float
    text: str = ""
    until: float = 0.0
    id: str = ""


@dataclass(frozen=True, slots=True)
class Gathered:
    """What was taken on the event loop: nobody changes it any more."""

    now: float
    open: tuple[Alert, ...] = ()
    """The worst first, of equals the newest."""
    resolved: tuple[Alert, ...] = ()
    pending: tuple[Pending, ...] = ()
    held: Mapping[str, str] = field(default_factory=dict)
    """By alert, the rule that holds it back."""
    silenced: Mapping[str, Hush] = field(default_factory=dict)
    """By alert, the silence that takes it."""
    acknowledged: Mapping[str, Hush] = field(default_factory=dict)
    labels: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """Of every host that is seen."""
    states: tuple[RuleState, ...] = ()
    channels: tuple[ChannelStatus, ...] = ()
    is_judged: bool = True
    """Whether there is a judge at all."""


@dataclass(frozen=True, slots=True)
class Sorted:
    """Every alert in its one place, each the worst and then the newest first."""

    firing: tuple[Alert, ...] = ()
    acknowledged: tuple[tuple[Alert, Hush], ...] = ()
    silenced: tuple[tuple[Alert, Hush], ...] = ()
    held: tuple[tuple[Alert, str], ...] = ()
    """With the rule that holds it back."""
    left_out: int = 0
    """Open alerts beyond `MOST_SORTED`."""

    @property
    def worst(self) -> str:
        """The worst severity of those that fire, or nothing."""
        return self.firing[0].said.severity if self.firing else ""


def sort_out(gathered: Gathered, most: int = MOST_SORTED) -> Sorted:
    """Say of each open alert where it stands."""
    firing, acknowledged, silenced, held = [], [], [], []
    for alert in gathered.open[:most]:
        if rule := gathered.held.get(alert.id):
            held.append((alert, rule))
        elif hush := gathered.silenced.get(alert.id):
            silenced.append((alert, hush))
        elif ack := gathered.acknowledged.get(alert.id):
            acknowledged.append((alert, ack))
        else:
            firing.append(alert)
    left_out = max(0, len(gathered.open) - most)
    return Sorted(tuple(firing), tuple(acknowledged), tuple(silenced), tuple(held), left_out)


def worst_first(alerts: Iterable[Alert]) -> list[Alert]:
    """The worst first, of equals the newest."""
    return sorted(alerts, key=lambda alert: (-rank(alert.said.severity), -alert.fired_at))


def rank(severity: str) -> int:
    """0 for the mildest."""
    return Severity(severity).rank


def gather(services: Services, view: View, *, resolved: int = 0) -> Gathered:
    """What is known of alerts, of hosts that are seen; the latest so many that are over."""
    found = gather_open(services, view)
    if services.alerting is None:
        return found
    judge, notify = services.alerting.judge, services.notify
    over = (alert for alert in judge.book.resolved() if view.sees(alert.host))
    return replace(
        found,
        resolved=tuple(islice(over, resolved)),
        pending=tuple(each for each in judge.pending() if view.sees(each.host)),
        labels={
            name: {**host.labels, "host": name}
            for name, host in services.state.hosts.items()
            if host.status is not HostStatus.RETIRED and view.sees(name)
        },
        states=tuple(judge.states()),
        channels=() if notify is None else tuple(notify.status()),
    )


def gather_open(services: Services, view: View, most: int = MOST_SORTED) -> Gathered:
    """The open alerts alone, and of the worst of them why somebody is told or not."""
    now = services.clock()
    if services.alerting is None:
        return Gathered(now, is_judged=False)
    judge, notify = services.alerting.judge, services.notify
    opened = worst_first(alert for alert in judge.book.open.values() if view.sees(alert.host))
    asked = opened[:most]
    held = ((alert.id, judge.held(alert)) for alert in asked)
    return Gathered(
        now,
        tuple(opened),
        held={id_: rule for id_, rule in held if rule},
        silenced={} if notify is None else _silenced(notify.silences, asked, now, view),
        acknowledged={} if notify is None else _acknowledged(notify.acks, asked),
    )


def hush_of(silence: Silence) -> Hush:
    """What there is to say of a silence that takes an alert."""
    until = silence.until or 0.0
    return Hush(silence.by, silence.created, silence.comment, until, silence.id)


HIDDEN = Hush("", 0.0)
"""A silence that may name what is not seen."""


def _silenced(
    silences: Silences, alerts: Iterable[Alert], now: float, view: View
) -> dict[str, Hush]:
    found = ((alert.id, silences.silenced(alert.labels, now)) for alert in alerts)
    return {
        id_: hush_of(each) if view.sees_all_hosts or is_confined(each.match, view.hosts) else HIDDEN
        for id_, each in found
        if each is not None
    }


def _acknowledged(acks: Acks, alerts: Iterable[Alert]) -> dict[str, Hush]:
    found = ((alert, acks.get(alert.id)) for alert in alerts)
    return {
        alert.id: Hush(ack.by, ack.at, ack.note)
        for alert, ack in found
        if ack is not None and ack.covers(alert.said.severity)
    }
