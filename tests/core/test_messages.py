"""Every type of event: what it may say, and where it is heard."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, get_args

import pytest

from monitor.core import messages
from monitor.core.messages import LOGGED, PASSING
from monitor.errors import InputError
from monitor.model import Event, EventType, HostStatus, RetentionClass, retention_class

SESSION: dict[str, Any] = {"session": "s1"}
RUN: dict[str, Any] = {**SESSION, "approval": "p1", "action": "restart", "host": "web-1"}

EXAMPLES: list[tuple[messages.Message, tuple[str, ...], RetentionClass]] = [
    (
        messages.HostUpdate(host="web-1", status=HostStatus.UP, was=None, reason="first frame"),
        ("fleet", "host:web-1"),
        RetentionClass.HOSTS,
    ),
    (
        messages.Alert(
            alert="a1",
            rule="disk_space",
            host="web-1",
            attributes={"mountpoint": "/var"},
            state="firing",
            was="pending",
            severity="critical",
            value=0.97,
            since=1.0,
            evidence={"processes": [{"pid": 1}]},
        ),
        ("alerts", "host:web-1"),
        RetentionClass.ALERTS,
    ),
    (
        messages.Approval(approval="p1", action="restart", host="web-1", state="pending"),
        ("approvals",),
        RetentionClass.AUDIT,
    ),
    (
        messages.AiThinking(host="web-1", text="The disk fills.", alert="a1"),
        ("alerts", "host:web-1"),
        RetentionClass.ALERTS,
    ),
    *(
        (message, ("terminal:s1",), RetentionClass.TERMINAL)
        for message in (
            messages.TerminalThought(**SESSION, text="So."),
            messages.TerminalToolCall(**SESSION, call="c1", tool="history", arguments={"h": 1}),
            messages.TerminalRenderUi(**SESSION, component="chart", properties={}),
            messages.TerminalActionRequest(**RUN, arguments={}, reason="It hangs."),
            messages.TerminalActionResult(**RUN, outcome="succeeded", output=""),
            messages.TerminalComplete(**SESSION, summary="Done."),
            messages.TerminalError(**SESSION, code="no_answer", detail="Nobody answered."),
            messages.TerminalHeartbeat(**SESSION, elapsed=3.0),
        )
    ),
    *(
        (
            messages.Notice(kind=kind, text="Something was done.", details={"by": "ann"}),
            (),
            RetentionClass.ALERTS
            if kind in {"silence", "ack", "maintenance", "delivery"}
            else RetentionClass.AUDIT,
        )
        for kind in get_args(messages.NoticeKind)
    ),
]


@pytest.mark.parametrize(
    ("message", "topics", "class_"),
    EXAMPLES,
    ids=[f"{type(message).__name__}-{index}" for index, (message, _, _) in enumerate(EXAMPLES)],
)
def test_a_message_becomes_an_event_on_its_topics_and_of_its_class(
    message: messages.Message, topics: tuple[str, ...], class_: RetentionClass
) -> None:
    made = messages.event(message, 12.5, "e1")
    assert LOGGED[made.type] is type(message)
    assert (made.topics, made.at, made.event_id, made.sequence) == (topics, 12.5, "e1", 0)
    assert retention_class(made) is class_
    messages.check(made)


def test_every_type_of_the_contract_is_logged_said_or_made_by_the_stream() -> None:
    by_the_stream = {EventType.CONNECTED, EventType.METRIC_UPDATE}
    assert {type(message) for message, _, _ in EXAMPLES} == set(LOGGED.values())
    assert set(EventType) == set(LOGGED) | set(PASSING) | by_the_stream


GOOD = messages.event(EXAMPLES[1][0], 1.0, "e1")


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"host": "a b"}, "host"),
        ({"host": "x\n\nevent: alert"}, "host"),
        ({"host": ""}, "host"),
        ({"alert": "../1"}, "alert"),
        ({"state": "burning"}, "state"),
        ({"severity": "fatal"}, "severity"),
        ({"value": "0.97"}, "value"),
        ({"since": None}, "since"),
        ({"attributes": {"a": 1}}, "attributes[...]"),
        ({"colour": "red"}, None),
    ],
)
def test_a_field_that_is_not_what_its_type_says_is_refused_by_name(
    change: dict[str, Any], field: str | None
) -> None:
    with pytest.raises(InputError) as caught:
        messages.check(replace(GOOD, data={**GOOD.data, **change}))
    assert (caught.value.code, caught.value.field) == ("bad_event", field)


def test_a_missing_field_is_refused() -> None:
    data = {name: value for name, value in GOOD.data.items() if name != "rule"}
    with pytest.raises(InputError, match="rule"):
        messages.check(replace(GOOD, data=data))


@pytest.mark.parametrize("type_", sorted(set(EventType) - set(LOGGED)))
def test_what_is_not_logged_cannot_be_an_event_of_the_log(type_: EventType) -> None:
    with pytest.raises(InputError) as caught:
        messages.check(Event(type_, (), {}, 1.0, "e1"))
    assert caught.value.code == "not_logged"


def test_a_message_built_with_wrong_values_is_refused_too() -> None:
    with pytest.raises(InputError):
        messages.event(messages.TerminalThought(session="no such/id", text=""), 1.0, "e1")
