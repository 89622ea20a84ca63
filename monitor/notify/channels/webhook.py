"""The webhook: one JSON object, signed, with the same bytes and key in every attempt.

`docs/notifications.md` describes the object; fields are added and never change their meaning while
``version`` is the same.  It is sent through the outbound guard, and of the answer only the status
counts: nothing of its body is kept or shown.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import math
import ssl
from collections.abc import Callable
from typing import Any, ClassVar
from urllib.parse import quote

import monitor
from monitor.core.secret import Secret
from monitor.errors import MonitorError
from monitor.notify import evidence
from monitor.notify.channel import Notification, Outcome, Told
from monitor.notify.channels.replies import failed, judged
from monitor.notify.headline import line_of
from monitor.notify.message import alert_url, compose, runbook
from monitor.outbound import client
from monitor.outbound.connecting import DEADLINE_SECONDS, Connector
from monitor.outbound.targets import Target

VERSION = 1
"""Of the object's shape."""

_IN_A_HEADER = "!#$&'()*+,/:;=?@[]~"
"""What of a key stands in a header as it is, beside letters, digits and ``_.-``."""

AGENT = f"awoooi-monitor/{monitor.__version__}"


class Webhook:
    """Carries notifications to an URL of HTTP."""

    kind = "webhook"
    repeat_seconds: ClassVar[float | None] = None

    def __init__(
        self,
        name: str,
        url: Secret,
        target: Target,
        connector: Connector,
        tls: ssl.SSLContext,
        clock: Callable[[], float],
        *,
        secret: Secret | None = None,
        public_url: str = "",
        deadline_seconds: float = DEADLINE_SECONDS,
    ) -> None:
        self.name = name
        self.target = f"{target.scheme}://{target.place.written}"
        self._place = target.place.written
        self._url = url
        self._secret = secret
        self._public_url = public_url
        self._clock = clock
        self._client = client.client(connector, deadline_seconds=deadline_seconds, tls=tls)

    async def deliver(self, notification: Notification) -> Outcome:
        """Post it once."""
        content = body(notification, self._public_url)
        now = self._clock()
        headers = {
            "Content-Type": "application/json",
            "User-Agent": AGENT,
            "Idempotency-Key": quote(notification.key, safe=_IN_A_HEADER),
            "X-Awoooi-Attempt": str(notification.attempt),
        }
        if self._secret is not None:
            headers["X-Awoooi-Signature"] = signature(self._secret, int(now), content)
        try:
            reply = await client.ask(
                self._client, "POST", self._url.reveal(), headers=headers, content=content
            )
        except MonitorError as error:
            return failed(error)
        return judged(reply, self._place, now)

    async def close(self) -> None:
        """Close its connections."""
        await self._client.aclose()


def signature(secret: Secret, at: int, content: bytes) -> str:
    """``t=AT,v1=HEX``: HMAC-SHA256 with the secret over the instant, a dot and the body."""
    signed = b"%d." % at + content
    return f"t={at},v1={hmac.new(secret.reveal().encode(), signed, hashlib.sha256).hexdigest()}"


def body(notification: Notification, public_url: str) -> bytes:
    """The object as bytes: the same ones for the same notification."""
    message = compose(notification, public_url)
    firing = [one for one in notification.told if not one.is_resolved]
    found = {
        "version": VERSION,
        "key": notification.key,
        "channel": notification.channel,
        "at": notification.at,
        "status": "firing" if firing else "resolved",
        "severity": max((one.alert.severity for one in firing), key=_rank, default=None),
        "is_drill": notification.is_drill,
        "is_repeat": notification.is_repeat,
        "title": message.first,
        "text": message.rest,
        "group": dict(notification.group),
        "url": f"{public_url.rstrip('/')}/alerts" if public_url else None,
        "alerts": [_alert(one, public_url) for one in notification.told],
        "left_out": notification.left_out,
    }
    text = json.dumps(
        found, ensure_ascii=False, allow_nan=False, sort_keys=True, separators=(",", ":")
    )
    return text.encode("utf-8", "replace")


def _finite(value: float | None) -> float | None:
    """A number as JSON can say it."""
    return value if value is not None and math.isfinite(value) else None


def _rank(severity: str) -> int:
    return ("info", "warning", "critical").index(severity)


def _alert(one: Told, public_url: str) -> dict[str, Any]:
    alert = one.alert
    return {
        "id": alert.alert,
        "rule": alert.rule,
        "host": alert.host,
        "attributes": alert.attributes,
        "labels": alert.labels,
        "status": "resolved" if one.is_resolved else "firing",
        "severity": alert.severity,
        "title": line_of(one),
        "summary": alert.summary,
        "metric": alert.metric,
        "value": _finite(alert.value),
        "peak": _finite(alert.peak),
        "limit": alert.limit,
        "style": alert.unit,
        "began": _finite(alert.began),
        "fired": one.fired_at,
        "resolved": one.resolved_at or None,
        "reason": alert.reason,
        "held": one.held,
        "is_flapping": alert.is_flapping,
        "is_drill": alert.is_drill,
        "runbook_url": runbook(one) or None,
        "url": alert_url(public_url, alert.alert) if public_url else None,
        "evidence": evidence.told(alert) or None,
    }
