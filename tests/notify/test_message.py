"""The message: enough on a lock screen, all of it below, and harmless whoever wrote its parts."""

from __future__ import annotations

import math
import tomllib
import unicodedata
from html.parser import HTMLParser
from typing import Any

import pytest

from monitor.alerting import shipped
from monitor.core.rules.wording import filled
from monitor.notify import evidence
from monitor.notify.channel import Notification
from monitor.notify.channels.webhook import body
from monitor.notify.headline import FIRST_LINE_CHARACTERS, line_of
from monitor.notify.message import MESSAGE_BYTES, NO_PUBLIC_URL, compose
from monitor.notify.wording import harmless, length_words, value_words
from tests.notify.channels.told import AT, EVIDENCE, FIRED, notification, told

URL = "https://mon.lan:8460"

QUEUE: dict[str, Any] = {
    "rule": "queue_long",
    "host": "web-1",
    "attributes": {},
    "severity": "warning",
    "value": 150.0,
    "unit": "number",
    "metric": "app.queue.length",
    "limit": "above 100 for 5m",
    "summary": "",
    "evidence": None,
    "labels": {},
    "peak": 180.0,
}


def hosts(count: int, **more: Any) -> tuple[Any, ...]:
    return tuple(
        told(
            alert=f"a{number}",
            host=f"db-{number}",
            rule="host_unreachable",
            summary=f"db-{number} is unreachable",
            metric="monitor.host.down",
            unit="flag",
            attributes={},
            evidence=None,
            **more,
        )
        for number in range(1, count + 1)
    )


FIRST_LINES = [
    pytest.param(
        notification(),
        "CRIT db-1 /var 97 % full, 4.1 GB free, full in ~40 min, logger 250 MB/s",
        id="a disk",
    ),
    pytest.param(
        notification(told(held=23, host="db-1", summary="db-1 is unreachable")),
        "CRIT db-1 is unreachable (mountpoint=/var), 4.1 GB free, full in ~40 min, "
        "logger 250 MB/s (23 held)",
        id="held",
    ),
    pytest.param(
        notification(told(summary="")),
        "CRIT db-1 /var 97 % full, 4.1 GB free, full in ~40 min, logger 250 MB/s",
        id="no summary",
    ),
    pytest.param(
        notification(told(**QUEUE)),
        "WARN web-1 app.queue.length 150 > 100 for 5m",
        id="a metric of one's own",
    ),
    pytest.param(
        notification(told(**(QUEUE | {"limit": "> 100, until < 80"}))),
        "WARN web-1 app.queue.length 150 > 100",
        id="a limit with a way back",
    ),
    pytest.param(
        notification(told(**(QUEUE | {"limit": "absent for 5m", "value": None}))),
        "WARN web-1 app.queue.length unknown (absent for 5m)",
        id="a metric that is absent",
    ),
    pytest.param(
        notification(told(**(QUEUE | {"summary": "web-1: 150 waiting"}))),
        "WARN web-1: 150 waiting",
        id="a summary of one's own",
    ),
    pytest.param(
        notification(told(**(QUEUE | {"summary": "too long a queue"}))),
        "WARN web-1 too long a queue",
        id="a summary without the host",
    ),
    pytest.param(
        notification(
            told(
                summary="The processors of db-1 are 95 % busy",
                metric="system.cpu.utilization",
                severity="warning",
                attributes={},
                evidence={"processes": {"cpu": [{"pid": 7, "name": "ffmpeg", "value": 1.8}]}},
            )
        ),
        "WARN db-1 processors 95 % busy, ffmpeg 180 %",
        id="who is to blame",
    ),
    pytest.param(
        notification(
            told(
                summary="A process of db-1 has 91 % of its file descriptors open",
                metric="system.processes.file_descriptors.utilization",
                severity="warning",
                attributes={},
                evidence={
                    "processes": {"descriptors": [{"pid": None, "name": "leaky", "value": 930}]}
                },
            )
        ),
        "WARN db-1 a process has 91 % of its file descriptors open, leaky 930 descriptors",
        id="a descriptor leak",
    ),
    pytest.param(
        notification(
            told(
                summary="A service or container of db-1 has 95 % of its tasks",
                metric="system.cgroups.pids.utilization",
                attributes={},
                evidence={"units": [{"name": "batch.service", "value": 950, "limit": 1000}]},
            )
        ),
        "CRIT db-1 a service or container has 95 % of its tasks, batch.service 950 of 1000",
        id="a unit that forks",
    ),
    pytest.param(
        notification(
            told(
                summary="db-1 stands still for its disks 45 % of the time",
                metric='system.linux.pressure{kind="full",resource="io"}',
                attributes={},
                severity="warning",
            )
        ),
        "WARN db-1 stands still for its disks 45 % of the time, full in ~40 min, logger 250 MB/s",
        id="pressure",
    ),
    pytest.param(
        notification(told(), is_drill=True),
        "DRILL CRIT db-1 /var 97 % full, 4.1 GB free, full in ~40 min, logger 250 MB/s",
        id="a drill",
    ),
    pytest.param(
        notification(told(**QUEUE), is_repeat=True),
        "WARN web-1 app.queue.length 150 > 100 for 5m, for 10 min",
        id="told again",
    ),
    pytest.param(
        notification(told(resolved_at=FIRED + 2520)),
        "OK db-1 /var: resolved after 42 min, peak 98 %",
        id="over",
    ),
    pytest.param(
        notification(told(resolved_at=FIRED + 2520, **QUEUE)),
        "OK web-1 queue_long: resolved after 42 min, peak 180",
        id="a metric of one's own is over",
    ),
    pytest.param(
        notification(told(resolved_at=FIRED + 2520, reason="retired", **QUEUE)),
        "OK web-1 queue_long: resolved after 42 min, peak 180 (retired)",
        id="over for another reason",
    ),
    pytest.param(
        notification(*hosts(2)),
        "CRIT 2 hosts unreachable: db-1, db-2",
        id="two hosts",
    ),
    pytest.param(
        notification(*hosts(20, held=1), left_out=17),
        "CRIT 37 hosts unreachable: db-1, db-2, db-3, db-4, db-5, db-6, db-7, db-8, … (20 held)",
        id="many hosts",
    ),
    pytest.param(
        notification(*hosts(3, resolved_at=AT)),
        "OK 3 hosts reachable again: db-1, db-2, db-3",
        id="many hosts are back",
    ),
    pytest.param(
        notification(told(), told(host="db-2", severity="warning")),
        "CRIT 2 alerts of disk_space: db-1, db-2",
        id="a group of one rule",
    ),
    pytest.param(
        notification(told(), told(**QUEUE)),
        "CRIT 2 alerts of 2 rules: db-1, web-1",
        id="a group of several rules",
    ),
    pytest.param(
        notification(told(), told(host="db-2", resolved_at=AT)),
        "CRIT 1 firing, 1 resolved of disk_space: db-1, …",
        id="some fire, some are over",
    ),
    pytest.param(
        notification(told(resolved_at=AT), told(host="db-2", resolved_at=AT)),
        "OK 2 alerts resolved of disk_space: db-1, db-2",
        id="a group is over",
    ),
]


@pytest.mark.parametrize(("made", "expected"), FIRST_LINES)
def test_the_first_line_is_enough_for_a_lock_screen(made: Notification, expected: str) -> None:
    found = compose(made, URL).first
    assert found == expected
    assert len(found) <= FIRST_LINE_CHARACTERS


def test_every_shipped_rule_is_told_with_the_host_first_or_at_least_named() -> None:
    """It must be that a lock screen shows whose trouble it is, whatever the rule."""
    written = tomllib.loads(shipped.text())["rules"]
    parts = {"host": "db-1", "value": "97 %", "mountpoint": "/var", "device": "sda"}
    host_first = 0
    for name, rule in written.items():
        summary = filled(rule["summary"], parts | {"interface": "eth0", "unit": "app.service"})
        line = compose(notification(told(rule=name, summary=summary, evidence=None)), URL).first
        assert line.startswith("CRIT "), line
        assert line.count("db-1") == 1, line
        assert not line.endswith("…"), line
        host_first += line.startswith("CRIT db-1 ")
    assert host_first > 0.9 * len(written)


def test_the_message_says_what_to_know() -> None:
    """It must be that since when, held against what, culprits, changes, held and links are told."""
    found = compose(notification(told(held=23)), URL).text
    for part in (
        "Since 2026-09-21 14:03:20 UTC, 10 min ago",
        "and held for 5 min before it fired",
        "system.filesystem.utilization: 97 %, limit above 97 %, peak 98 %",
        "Disk: logger 250 MB/s (pid 4242, app)",
        "CPU: ffmpeg 180 % (pid 7, media)",
        "Memory: postgres 6.1 GB (pid 9, pg)",
        "Pressure: io 35 %",
        "the agent was upgraded to 2.1",
        "The host had been up for 2 min",
        "Held back while it fires: 23 other alerts",
        "Labels: env=prod, role=db",
        "Alert: https://mon.lan:8460/alerts/a1",
        "Acknowledge: https://mon.lan:8460/alerts/a1#acknowledge",
        "Silence 1 h: https://mon.lan:8460/alerts/a1#silence",
        "Runbook: https://wiki.example/disk?a=1&b=2",
    ):
        assert part in found, (part, found)
    assert found.index("Disk:") < found.index("CPU:"), "the alert's own kind of culprit comes first"


@pytest.mark.parametrize(
    ("key", "kind"),
    [
        ("system.cpu.utilization", "cpu"),
        ('system.cpu.utilization{cpu="3"}', "cpu"),
        ('system.cpu.utilization{state="iowait"}', "io"),
        ('system.cpu.utilization{state="steal"}', ""),
        ("system.memory.utilization", "memory"),
        ("system.paging.operations", "memory"),
        ('system.linux.pressure.avg300{kind="full",resource="io"}', "io"),
        ('system.linux.pressure{kind="full",resource="memory"}', "memory"),
        ('system.disk.await{device="sda"}', "io"),
        ("system.processes.file_descriptors.utilization", "descriptors"),
        ("monitor.host.down", ""),
        ("app.queue.length", ""),
        ("{", ""),
    ],
)
def test_whom_an_alert_is_blamed_on(key: str, kind: str) -> None:
    assert evidence.kind_of(key) == kind


def test_who_used_a_disk_is_told_with_the_time_that_it_is_of() -> None:
    found = compose(notification(told(evidence=EVIDENCE | {"io_seconds": 600.0})), URL).text
    assert "Disk over 10 min: logger 250 MB/s (pid 4242, app)" in found


def test_one_that_is_over_says_how_long_it_was_and_has_nothing_to_acknowledge() -> None:
    found = compose(notification(told(resolved_at=FIRED + 2520)), URL).text
    assert "resolved 2026-09-21 14:45:20 UTC: 42 min" in found
    assert "Acknowledge" not in found


def test_without_a_public_url_one_line_says_how_to_set_it() -> None:
    found = compose(notification(told(runbook_url="")))
    assert found.links == ()
    assert found.rest.endswith(NO_PUBLIC_URL)
    assert "public_url" in NO_PUBLIC_URL


@pytest.mark.parametrize(
    "found",
    [
        None,
        {},
        {"processes": None, "changes": 3, "pressure": [], "related": "x", "forecast": 1},
        {"processes": {"io": [None, {}, {"name": 3, "pid": True, "value": "x"}]}},
        {
            "processes": {"io": {"pid": 1}},
            "changes": [None, {"at": "x"}, {"at": 1e300, "text": ""}],
        },
        {"forecast": {"full_in_seconds": float("nan")}, "host": {"uptime": -1}},
        {"related": {"{": 1, "": 2, 'a{b="': 3}, "pressure": {"{": 1.0}},
        {"changes": [{"at": 1e300, "text": "x"}], "forecast": {"full_in_seconds": 10**400}},
    ],
)
def test_any_part_of_the_evidence_may_miss_or_be_odd(found: dict[str, Any] | None) -> None:
    message = compose(notification(told(evidence=found)), URL)
    assert message.first.startswith("CRIT db-1 /var 97 % full")
    assert message.html


CANARY = (
    "x\r\nBcc: evil@example.com\r\n\x00\x1b[31m\u202e@everyone @here <!channel> <@U123>"
    " [click](https://evil.example/) <https://evil.example|text> <script>alert(1)</script>"
    " {{7*7}} {0.__class__} {value} \u2028data: x\n\nevent: y' or 1=1 --"
)


def planted() -> Notification:
    """The canary in every field that a stranger may fill."""
    culprit = {"pid": 1, "name": CANARY, "user": CANARY, "value": 1.0}
    return notification(
        told(
            summary=CANARY,
            limit=CANARY,
            attributes={"mountpoint": CANARY, CANARY[:60]: CANARY},
            labels={"env": CANARY, CANARY[:60]: CANARY},
            reason=CANARY,
            metric=CANARY,
            unit=CANARY,
            runbook_url=f"javascript:alert(1)//{CANARY}",
            evidence={
                "processes": {"cpu": [culprit], "memory": [culprit], "io": [culprit]},
                "changes": [{"at": FIRED, "text": CANARY}],
                "pressure": {f'a{{resource="{CANARY}"}}': 0.5},
            },
        ),
        group={"rule": CANARY},
    )


class Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.seen: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))


@pytest.mark.parametrize("resolved_at", [0.0, AT])
def test_what_strangers_wrote_does_nothing(resolved_at: float) -> None:
    """It must be that no field ends a line, mentions anybody, links anywhere or becomes HTML."""
    made = planted()
    (one,) = made.told
    made = notification(type(one)(one.alert, FIRED, resolved_at), group=made.group)
    found = compose(made, URL)
    for line in (found.first, *found.lines):
        assert all(unicodedata.category(letter)[0] != "C" or letter == "\u200b" for letter in line)
        assert not any(letter in line for letter in "\u2028\u2029\u202e")
        for live in ("@everyone", "@here", "@example", "<!", "<@", "](", "<s", "://evil"):
            assert live not in line, (live, line)
        assert "49" not in line
    parser = Tags()
    parser.feed(found.html)
    assert {tag for tag, _ in parser.seen} == {"html", "body", "p", "b", "br", "a"}
    for tag, attributes in parser.seen:
        assert set(attributes) == ({"href"} if tag == "a" else set())
        assert (attributes.get("href") or URL).startswith(URL)


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("a\r\nb\tc\x00d", "a b c d"),
        ("  a \u2028 b\u00a0c ", "a b c"),
        ("a\u202eb\u200bc\ufeffd\ud800e", "abcde"),
        ("@all a@b 5 @ 3 @", "@\u200ball a@\u200bb 5 @ 3 @"),
        ("a < b <= c <1 <b> <!x> </b>", "a < b <= c <1 \u2039b> \u2039!x> \u2039/b>"),
        ("[a](b) [a] (b)", "[a]\u200b(b) [a] (b)"),
        ("http://x a://b c:/d", "http:\u200b//x a:\u200b//b c:/d"),
        ("x" * 50, "x" * 39 + "…"),
    ],
)
def test_text_becomes_harmless(written: str, expected: str) -> None:
    assert harmless(written, 40) == expected


def test_the_html_says_what_the_text_says() -> None:
    """It must be that what looks like HTML in a name is read as it was written."""
    found = compose(notification(told(labels={"a": '1 < 2 &lt; &amp; "x"'})), URL).html
    assert "a=1 &lt; 2 &amp;lt; &amp;amp; &quot;x&quot;" in found


def test_the_message_is_bounded() -> None:
    """It must be that 8 KiB is all that a message holds, links included, whatever it is told."""
    many = tuple(
        told(alert=f"a{number}", host="h" * 253, summary="ä" * 2_000, attributes={"a": "ö" * 500})
        for number in range(50)
    )
    long = told(
        labels={f"label{number}": "ü" * 256 for number in range(64)},
        attributes={f"a{number}": "<&>" * 80 for number in range(16)},
        summary="&" * 5_000,
    )
    for made in (notification(*many, left_out=10_000), notification(long)):
        found = compose(made, URL)
        assert len(found.first) <= FIRST_LINE_CHARACTERS
        for text in (found.text, found.html):
            assert len(text.encode()) <= MESSAGE_BYTES
            assert f"{URL}/alerts" in text, "links are kept, lines are let go"
    assert "more lines" in compose(notification(*many), URL).text


def test_every_attempt_says_the_same() -> None:
    first, second = notification(), notification(attempt=7)
    assert compose(first, URL) == compose(second, URL)
    assert body(first, URL) == body(second, URL)


@pytest.mark.parametrize(
    ("value", "style", "expected"),
    [
        (0.972, "percent", "97 %"),
        (0.9987, "percent", "99.8 %"),
        (1.0, "percent", "100 %"),
        (3.2, "percent", "320 %"),
        (0.0531, "percent", "5.3 %"),
        (0.0, "percent", "0 %"),
        (4.1e9, "bytes", "4.1 GB"),
        (999.6e6, "bytes", "1 GB"),
        (512.0, "bytes", "512 B"),
        (250e6, "bytes_per_second", "250 MB/s"),
        (1e9, "bits_per_second", "1 Gbit/s"),
        (0.25, "seconds", "250 ms"),
        (90.0, "seconds", "1 min 30 s"),
        (150.0, "number", "150"),
        (1234.56, "number", "1235"),
        (0.0375, "number", "0.037"),
        (1e12, "number", "1e+12"),
        (-3.0, "number", "-3"),
        (1.0, "flag", "yes"),
        (71.25, "celsius", "71.2 °C"),
        (None, "percent", "unknown"),
        (math.nan, "bytes", "unknown"),
        (math.inf, "number", "unknown"),
    ],
)
def test_values_are_short(value: float | None, style: str, expected: str) -> None:
    assert value_words(value, style) == expected


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        (0, "0 s"),
        (59.6, "1 min"),
        (60, "1 min"),
        (2_520, "42 min"),
        (3_600, "1 h"),
        (3_661, "1 h 1 min"),
        (90_000, "1 d 1 h"),
        (86_401, "1 d"),
        (-5, "−5 s"),
        (math.nan, "for ever"),
    ],
)
def test_lengths_of_time_are_short(seconds: float, expected: str) -> None:
    assert length_words(seconds) == expected


def test_alerts_that_a_summary_does_not_tell_apart_are_told_apart() -> None:
    """It must be that the attributes it leaves out are said, and those that it names are not."""
    found = [
        line_of(told(summary=summary, attributes={"queue": name, "mountpoint": "/var"}))
        for name, summary in (("mail", "5 wait on /var"), ("jobs", "5 jobs wait on /var"))
    ]
    assert found == ["CRIT db-1 5 wait on /var (queue=mail)", "CRIT db-1 5 jobs wait on /var"]
