"""A stage for what is folded without a loop: alerts are said, and it is asked what is due."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from monitor.core import book
from monitor.core.messages import HostUpdate, event
from monitor.core.selectors import Selector
from monitor.model import HostStatus
from monitor.notify.channel import Notification
from monitor.notify.config import RouteConfig
from monitor.notify.folding import Ledger
from monitor.notify.groups import Draft, Member
from monitor.notify.routing import Routing
from monitor.notify.scene import Scene
from tests.notify.alerts import said

START = 1_000_000.0


def route(match: str = "", *channels: str, **more: Any) -> RouteConfig:
    """A route as a file writes it."""
    return RouteConfig(match=Selector.parse(match) if match else None, channels=channels, **more)


class Ack:
    """Somebody acknowledged it while it was so bad."""

    def __init__(self, severity: str = "warning") -> None:
        self.severity = severity

    def covers(self, severity: str) -> bool:
        return severity == self.severity


class Stage:
    """One channel, the scene and the routes."""

    def __init__(
        self,
        *routes: RouteConfig,
        channel: str = "phone",
        channels: Sequence[str] = ("phone", "mail"),
        repeat_seconds: float | None = None,
    ) -> None:
        self.channels = channels
        self.silences: list[Selector] = []
        self.acks: dict[str, Ack] = {}
        self.scene = Scene(self._silenced, self.acks.get)
        self.routing = Routing(routes, channels)
        self.ledger = Ledger(channel, repeat_seconds)
        self.position = 0

    def _silenced(self, labels: Mapping[str, str], _now: float) -> object:
        return any(each.matches(labels) for each in self.silences)

    def say(self, at: float, id_: str = "a1", host: str = "web-1", **more: Any) -> None:
        """The log says something of an alert, so long after the start."""
        instant = START + at
        was = self.scene.book.open.get(id_)
        fired = was.fired_at if was else instant
        message = said(id_, host, **({"since": instant, "fired": fired} | more))
        self.position += 1
        made = event(message, instant, f"e{self.position}")
        numbered = type(made)(
            made.type, made.topics, made.data, made.at, made.event_id, self.position
        )
        blocked = was is not None and bool(self.scene.blocked(was, instant))
        alert = self.scene.fold(numbered)
        assert alert is not None
        assigned = self.routing.assign(alert.said) if alert.is_open else None
        self.ledger.take(alert, assigned, instant, blocked)

    def ends(self, at: float, id_: str = "a1", host: str = "web-1", **more: Any) -> None:
        """An alert is over."""
        before = self.scene.book.open[id_].said
        kept = {"severity": before.severity, "rule": before.rule, "notify": before.notify}
        self.say(at, id_, host, **(kept | {"state": "resolved", "was": "firing"} | more))

    def host(self, at: float, host: str, status: HostStatus) -> None:
        """A host goes or comes."""
        self.position += 1
        self.scene.fold(
            event(HostUpdate(host=host, status=status, was=None, reason=""), START + at, "h")
        )

    def draft(self, at: float) -> Draft | None:
        """The next draft so long after the start."""
        return self.ledger.due(START + at, self._blocked, self._held)

    def _blocked(self, entry: Any, now: float) -> str:
        alert = self.scene.book.open.get(entry.id)
        return self.scene.blocked(alert, now) if alert else "over"

    def _held(self, entry: Any) -> int:
        alert = self.scene.book.open.get(entry.id)
        return self.scene.held(alert) if alert else 0

    def told(self, at: float) -> list[str]:
        """All that is due so long after the start: a line for each notification."""
        lines = []
        while (draft := self.draft(at)) is not None:
            lines.append(line(draft))
        return lines

    def open(self) -> Mapping[str, book.Alert]:
        """The open alerts."""
        return self.scene.book.open


def line(draft: Draft) -> str:
    """A draft in a line: ``drill repeat a1 a2(ok) +3``."""
    words = ["drill"] * draft.is_drill + ["repeat"] * draft.is_repeat
    for member in draft.members:
        ok = "(ok)" if member.resolved_at else ""
        held = f"(holds {member.held})" if member.held else ""
        words.append(f"{member.id}{ok}{held}")
    if draft.left_out:
        words.append(f"+{draft.left_out}")
    return " ".join(words)


def line_of(told: Notification) -> str:
    """A notification in a line, as `line` has it."""
    members = tuple(
        Member(each.alert.alert, 0, 0, each.fired_at, each.resolved_at, each.held)
        for each in told.told
    )
    return line(Draft(members, told.left_out, told.group, told.is_repeat, told.is_drill, ()))
