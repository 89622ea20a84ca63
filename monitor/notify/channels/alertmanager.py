"""Alertmanager: alerts by its API of version 2, which routes, groups and tells people itself.

It forgets what it is not told again, so a firing alert is told every `REPEAT_SECONDS`, with an end
that moves along; one that it was not told of for `ENDS_AFTER_SECONDS` is over there.  What never
changes of an alert are its labels, what does are its annotations: Alertmanager tells alerts apart
by labels.  The API: https://github.com/prometheus/alertmanager, api/v2/openapi.yaml.
"""

from __future__ import annotations

import json
import ssl
from collections.abc import Callable
from datetime import UTC, datetime
from typing import ClassVar

from monitor.core.prometheus_names import label_name
from monitor.core.secret import Secret
from monitor.errors import MonitorError
from monitor.notify.channel import Notification, Outcome, Told
from monitor.notify.channels.replies import HOPELESS, failed, judged
from monitor.notify.channels.webhook import AGENT
from monitor.notify.headline import line_of
from monitor.notify.message import LATEST_INSTANT, alert_url, runbook
from monitor.outbound import client
from monitor.outbound.connecting import DEADLINE_SECONDS, Connector
from monitor.outbound.targets import Target

PATH = "/api/v2/alerts"

REPEAT_SECONDS = 60.0
"""Prometheus, too, sends what fires again every minute."""

ENDS_AFTER_SECONDS = 4 * REPEAT_SECONDS
"""Prometheus' measure: three of these may be lost before it looks resolved."""

MOST_TOLD = 1_000
"""Alerts of one post, some 700 bytes each: what it is not told of does not fire there."""

_HOPELESS = HOPELESS | {400}
"""An alert that it finds invalid stays so."""


class Alertmanager:
    """Carries alerts to an Alertmanager."""

    kind = "alertmanager"
    repeat_seconds: ClassVar[float | None] = REPEAT_SECONDS
    most_told: ClassVar[int] = MOST_TOLD

    def __init__(
        self,
        name: str,
        url: Secret,
        target: Target,
        connector: Connector,
        tls: ssl.SSLContext,
        clock: Callable[[], float],
        *,
        public_url: str = "",
        deadline_seconds: float = DEADLINE_SECONDS,
    ) -> None:
        """`url` is that of HTTP, with the whole path."""
        self.name = name
        self.target = f"{target.scheme}://{target.place.written}"
        self._place = target.place.written
        self._url = url
        self._public_url = public_url
        self._clock = clock
        self._client = client.client(connector, deadline_seconds=deadline_seconds, tls=tls)

    async def deliver(self, notification: Notification) -> Outcome:
        """Post it once."""
        now = self._clock()
        content = body(notification, self._public_url, now)
        headers = {"Content-Type": "application/json", "User-Agent": AGENT}
        try:
            reply = await client.ask(
                self._client, "POST", self._url.reveal(), headers=headers, content=content
            )
        except MonitorError as error:
            return failed(error)
        return judged(reply, self._place, now, _HOPELESS)

    async def close(self) -> None:
        """Close its connections."""
        await self._client.aclose()


def body(notification: Notification, public_url: str, now: float) -> bytes:
    """The list of alerts; those that fire end after `now`, unless they are told of again."""
    found = [_alert(one, public_url, now) for one in notification.told]
    return json.dumps(found, ensure_ascii=False).encode("utf-8", "replace")


def _alert(one: Told, public_url: str, now: float) -> dict[str, object]:
    alert = one.alert
    labels = {_name(name): value for name, value in alert.labels.items()}
    labels |= {_name(name): value for name, value in alert.attributes.items()}
    labels |= {"alertname": alert.rule, "severity": alert.severity}
    labels |= {"host": alert.host, "instance": alert.host}
    if alert.is_drill:
        labels["drill"] = "true"
    annotations = {
        "summary": line_of(one),
        "limit": alert.limit,
        "runbook_url": runbook(one),
    }
    found: dict[str, object] = {
        # A label without a value is none, and it refuses the alert for it.
        "labels": {name: value for name, value in labels.items() if value and name},
        "annotations": {name: value for name, value in annotations.items() if value},
        "startsAt": _instant(one.fired_at),
        "endsAt": _instant(one.resolved_at if one.is_resolved else now + ENDS_AFTER_SECONDS),
    }
    if public_url:
        found["generatorURL"] = alert_url(public_url, alert.alert)
    return found


def _name(name: str) -> str:
    made = label_name(name)
    return f"_{made}" if made[:1].isdigit() else made


def _instant(at: float) -> str:
    return datetime.fromtimestamp(min(max(0.0, at), LATEST_INSTANT), UTC).isoformat()
