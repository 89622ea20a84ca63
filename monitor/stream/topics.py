"""Which topics a reader may ask for, and what a bad request for them is told."""

from __future__ import annotations

import re
from collections.abc import Container

from monitor.core.access import EVERYTHING, View, topic_right
from monitor.errors import InputError, MonitorError, NotFound, excerpt

DEFAULT = ("fleet", "alerts")
PLAIN = frozenset({"fleet", "alerts", "approvals", "log"})
MOST_TOPICS = 64
"""Topics of one reader."""

_HOST = re.compile(r"[A-Za-z0-9._-]{1,253}", re.ASCII)
_SESSION = re.compile(r"[A-Za-z0-9_-]{1,64}", re.ASCII)


def parse(text: str | None, hosts: Container[str], view: View = EVERYTHING) -> frozenset[str]:
    """The topics that a request names, `DEFAULT` where it names none.

    Raises `InputError` for a kind of topic that does not exist, a 403 for a kind that this view
    may not read, and `NotFound` for a host that is not known or that it does not see: the same.
    """
    if text is None:
        return frozenset(DEFAULT)
    topics = text.split(",")
    if len(topics) > MOST_TOPICS:
        raise InputError(
            "too many topics", code="too_many_topics", field="topics", limit=MOST_TOPICS
        )
    return frozenset(_known(topic, hosts, view) for topic in topics)


def is_topic(text: str) -> bool:
    """Whether an event may be heard on a topic of this name."""
    kind, _, name = text.partition(":")
    if kind == "host":
        return _HOST.fullmatch(name) is not None
    if kind == "terminal":
        return _SESSION.fullmatch(name) is not None
    return text in PLAIN and text != "log"


def _known(topic: str, hosts: Container[str], view: View) -> str:
    if topic in PLAIN:
        _require(topic, view)
        return topic
    kind, _, name = topic.partition(":")
    if kind == "host" and _HOST.fullmatch(name):
        _require(topic, view)
        if name not in hosts or not view.sees(name):
            raise NotFound("there is no such host", code="unknown_host", field="topics")
        return topic
    if kind == "terminal" and _SESSION.fullmatch(name):
        _require(topic, view)
        raise NotFound("there is no such session", code="unknown_session", field="topics")
    raise InputError(f"there is no topic {excerpt(topic)}", code="unknown_topic", field="topics")


def _require(topic: str, view: View) -> None:
    if topic_right(topic) not in view.rights:
        detail = f"you may not listen to {excerpt(topic)}"
        raise MonitorError(detail, code="forbidden", field="topics", status=403)
