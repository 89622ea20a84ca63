"""Notifications for tests: one alert of a full disk with all of its evidence, and variations."""

from __future__ import annotations

from typing import Any

from monitor.core.messages import Alert
from monitor.notify.channel import Notification, Told

AT = 1_790_000_000.0
"""When the notification was made."""

FIRED = AT - 600.0

EVIDENCE: dict[str, Any] = {
    "at": FIRED,
    "processes": {
        "cpu": [{"pid": 7, "name": "ffmpeg", "user": "media", "value": 1.8}],
        "memory": [{"pid": 9, "name": "postgres", "user": "pg", "value": 6.1e9}],
        "io": [{"pid": 4242, "name": "logger", "user": "app", "value": 250e6}],
    },
    "pressure": {'system.linux.pressure{kind="some",resource="io"}': 0.35},
    "series": [{"key": "k", "style": "percent", "t": [1, 2], "v": [0.9, 0.97]}],
    "changes": [{"at": FIRED - 60, "text": "the agent was upgraded to 2.1"}],
    "host": {"status": "ok", "uptime": 120.0},
    "related": {
        'system.filesystem.usage{mountpoint="/",state="free"}': 80e9,
        'system.filesystem.usage{mountpoint="/var",state="used"}': 130e9,
        'system.filesystem.usage{mountpoint="/var",state="free"}': 4.1e9,
    },
    "forecast": {"full_in_seconds": 2_410.0},
}


def alert(**more: Any) -> Alert:
    """A disk that is almost full."""
    fields: dict[str, Any] = {
        "alert": "a1",
        "rule": "disk_space",
        "host": "db-1",
        "attributes": {"mountpoint": "/var"},
        "state": "firing",
        "was": "pending",
        "severity": "critical",
        "value": 0.972,
        "since": FIRED,
        "evidence": EVIDENCE,
        "summary": "/var of db-1 is 97 % full",
        "limit": "above 97 %",
        "unit": "percent",
        "metric": 'system.filesystem.utilization{mountpoint="/var"}',
        "labels": {"env": "prod", "role": "db"},
        "runbook_url": "https://wiki.example/disk?a=1&b=2",
        "peak": 0.981,
        "began": FIRED - 300,
        "fired": FIRED,
    }
    return Alert(**(fields | more))


def told(*, resolved_at: float = 0.0, held: int = 0, **more: Any) -> Told:
    """The same, told."""
    if resolved_at:
        more = {"state": "resolved", "was": "firing"} | more
    return Told(alert(**more), FIRED, resolved_at, held)


def notification(*alerts: Told, **more: Any) -> Notification:
    """A notification of these, or of the one."""
    fields: dict[str, Any] = {
        "key": "phone-17",
        "channel": "phone",
        "at": AT,
        "told": alerts or (told(),),
        "group": {"rule": "disk_space"},
    }
    return Notification(**(fields | more))
