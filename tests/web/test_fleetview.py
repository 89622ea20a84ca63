"""The fleet page as values: who is there, who has retired, who was turned away."""

from __future__ import annotations

import gzip
import math
from array import array
from dataclasses import replace

import numpy as np
import pytest

from monitor.core.headline import HEADLINE_KEYS, glances, headline
from monitor.core.state import HostState, LiveState
from monitor.fleet.fleet import Refusal
from monitor.model import Frame, HostStatus, Schema, key
from monitor.web.fleetrows import fleet_rows
from monitor.web.fleetview import FLEET_COLUMNS, WORST_PRESSURE, fleet
from monitor.web.sources import sender, skew_words, source_words
from monitor.web.text import fleet_text
from monitor.web.turnedaway import turned_away
from monitor.web.views import Reader
from tests.web.house import PeopledRig

NOW = 1_700_000_000.0
WIDE = Schema((*HEADLINE_KEYS, 'system.linux.pressure{kind="full",resource="cpu"}'))


def known(*names: str, schema: Schema = WIDE, source: str = "") -> list[HostState]:
    """Hosts that have just sent two frames."""
    state = LiveState()
    for name in names:
        for at in (NOW - 2, NOW - 1):
            values = array("d", [0.25 + at % 7 / 20] * len(schema))
            state.fold(Frame(name, at, schema, values, source), (), at)
        state.hosts[name].status = HostStatus.UP
    return list(state.hosts.values())


def test_a_row_says_what_the_page_of_the_host_says() -> None:
    """It must be that the quick way to a row's values gives what the reader gives."""
    (host,) = known("web-1")
    host.observed_at[2] = NOW - 500
    host.periods[0] = math.nan
    (row,) = fleet(glances([host]), {}, NOW).rows
    headlines = Reader(host, NOW).headlines()
    for column, value in zip(FLEET_COLUMNS, row.values, strict=True):
        if column.key != WORST_PRESSURE:
            assert value == headlines[column.key], column.label


def test_all_headlines_together_are_those_of_each() -> None:
    """It must be that hosts of several schemas, and one that has none, keep their own numbers."""
    disks = [key("system.filesystem.utilization", mountpoint=f"/{name}") for name in "abc"]
    nets = [key("system.network.io", direction="receive", interface=i) for i in ("lo", "a", "b")]
    hosts = [
        *known("web-1", "web-2"),
        *known("db-1", schema=Schema((*disks, *nets, "system.uptime"))),
        HostState("new-1", {}),
        *known("db-2", schema=Schema(("app.queue", *nets))),
    ]
    hosts[2].observed_at[1] -= 300
    hosts[2].shown[:6] = [0.1, 0.9, 0.3, 7.0, 20.0, 30.0]
    found = glances(hosts).headlines(NOW)
    for host, numbers in zip(hosts, found.current.tolist(), strict=True):
        assert numbers == pytest.approx(headline(host), nan_ok=True), host.name
    db = dict(zip(HEADLINE_KEYS, found.numbers[2].tolist(), strict=True))
    assert db["system.filesystem.utilization"] == 0.3
    assert db[key("system.network.io", direction="receive")] == 50.0


def test_a_copy_does_not_change() -> None:
    hosts = known("web-1")
    copied = glances(hosts)
    before = copied.headlines(NOW).numbers.tolist()
    hosts[0].shown[:] = 0.99
    assert copied.headlines(NOW).numbers.tolist() == before


def test_rows_are_printed_and_what_hosts_say_is_inert() -> None:
    """It must be that names, versions and the range are escaped, and each cell has its column."""
    evil = '<b onx="1">&'
    hosts = known("web-1", "web-2", evil)
    for host in hosts:
        host.info = {"version": evil}
    hosts[1].status, hosts[1].skew_seconds = HostStatus.DOWN, 60.0
    view = fleet(glances(hosts), {"web-1": np.array([0.25, 0.5])}, NOW)
    html = fleet_rows(view.rows, '?from="-1h"&to=now')
    assert "<b" not in html
    assert html.count("<tr ") == 3
    rows = html.split("<tr ")[1:]
    assert [row.count("<td") + row.count("<th") for row in rows] == [len(FLEET_COLUMNS) + 4] * 3
    down, odd, up = rows
    assert 'class="status is-down" data-status="web-2"><span aria-hidden="true">■</span>' in down
    assert "clock 1 min behind" in down
    assert 'href="/hosts/web-1?from=&#34;-1h&#34;&amp;to=now"' in up
    assert 'd="M0 11.8h.01L1 8.0"' in up
    assert "&lt;b onx=&#34;1&#34;&gt;&amp;" in odd
    assert 'href="/hosts/%3Cb%20onx%3D%221%22%3E%26?' in odd


def test_a_late_value_is_printed_with_its_age() -> None:
    (host,) = known("web-1")
    host.seen_at = NOW - 90
    html = fleet_rows(fleet(glances([host]), {}, NOW).rows, "")
    assert html.count('<span class="v late" title="1 min ago" data-age="90.0">') == 8
    assert html.count('<small class="age">1 min ago</small>') == 8


def test_who_has_retired_is_folded_away_and_counted() -> None:
    hosts = known("web-1", "web-2", "old-1")
    hosts[2].status, hosts[2].labels = HostStatus.RETIRED, {"role": "batch", "env": "prod"}
    view = fleet(glances(hosts), {}, NOW)
    assert [row.name for row in view.rows] == ["web-1", "web-2"]
    assert [(row.name, row.labels) for row in view.retired] == [("old-1", "env=prod, role=batch")]
    assert view.counts == {"up": 2, "stale": 0, "down": 0, "retired": 1}
    assert not view.is_empty
    assert "3 hosts: 2 up, 1 retired" in fleet_text(view)
    only = fleet(glances(hosts[2:]), {}, NOW)
    assert not only.is_empty
    assert fleet(glances([]), {}, NOW).is_empty


def test_versions_are_counted_where_they_differ() -> None:
    hosts = known(*(f"web-{n}" for n in range(12)))
    for host in hosts[:10]:
        host.info = {"version": "1.0"}
    assert fleet(glances(hosts), {}, NOW).versions == ()
    for number, host in enumerate(hosts[6:10]):
        host.info = {"version": f"0.{number}"}
    assert fleet(glances(hosts), {}, NOW).versions == (
        ("1.0", 6),
        ("0.0", 1),
        ("0.1", 1),
        ("0.2", 1),
        ("other", 1),
    )
    assert fleet(glances(hosts), {}, NOW).rows[0].version == "1.0"


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (math.nan, ""),
        (1.9, ""),
        (-2.0, ""),
        (12.4, "clock 12 s behind"),
        (-3_700.0, "clock 1 h 1 min ahead"),
    ],
)
def test_a_wrong_clock_is_said(seconds: float, words: str) -> None:
    assert skew_words(seconds) == words
    hosts = known("web-1")
    hosts[0].skew_seconds = seconds
    view = fleet(glances(hosts), {}, NOW)
    assert view.rows[0].skew == words
    assert view.skewed == bool(words)
    assert (f"! web-1: {words}" in fleet_text(view)) == bool(words)


def refusal(code: str, host: str = "web-1", count: int = 1, **more: object) -> Refusal:
    """Somebody who was turned away a minute ago."""
    made = Refusal(host, code, "the detail", NOW - 600, NOW - 60, count, "192.0.2.7")
    for name, value in more.items():
        object.__setattr__(made, name, value)
    return made


@pytest.mark.parametrize(
    ("found", "text", "may_adopt"),
    [
        (
            refusal("host_taken", count=12),
            (
                "Another machine calls itself web-1 and was turned away. If the machine was"
                " replaced or set up anew, accept it; else give it another name. (from 192.0.2.7,"
                " 12 times, last 1 min ago)"
            ),
            True,
        ),
        (
            refusal("host_taken", "hub"),
            (
                "Another machine calls itself hub, which is the host that this server runs on."
                " Give it another name. (from 192.0.2.7, once, 1 min ago)"
            ),
            False,
        ),
        (
            refusal("schema_version", info={"version": "9.0"}, address=""),
            (
                "The agent of web-1 (9.0) speaks another protocol than this server. Upgrade the"
                " server first, then its agents. (once, 1 min ago)"
            ),
            False,
        ),
        (
            refusal("bad_time", skew_seconds=-3_600.0),
            (
                "The clock of web-1 is 1 h 0 min ahead: its frames are refused. Have it set its"
                " clock by the network. (from 192.0.2.7, once, 1 min ago)"
            ),
            False,
        ),
        (
            refusal("too_old", skew_seconds=math.nan),
            (
                "The clock of web-1 is not to be believed: the detail. Have it set its clock by the"
                " network. (from 192.0.2.7, once, 1 min ago)"
            ),
            False,
        ),
        (
            replace(refusal("host_taken"), is_copy=True),
            (
                "Another machine calls itself web-1 with the same agent's identity, and was turned"
                " away. One is a copy of the other: remove agent-id from the copy's spool, and give"
                " it another name. (from 192.0.2.7, once, 1 min ago)"
            ),
            False,
        ),
        (
            refusal("series_limit"),
            "web-1 was turned away: the detail. (from 192.0.2.7, once, 1 min ago)",
            False,
        ),
    ],
)
def test_who_was_turned_away_is_told_with_what_to_do(
    found: Refusal, text: str, may_adopt: bool
) -> None:
    said = turned_away(found, NOW, "hub")
    assert (said.text, said.may_adopt) == (text, may_adopt)
    plain = fleet_text(fleet(glances(known("a")), {}, NOW, [found], "hub"))
    assert f"! {text}" in " ".join(plain.split())
    assert all(len(line) <= 100 for line in plain.splitlines())


def test_a_host_says_where_its_values_come_from() -> None:
    (host,) = known("web-1")
    schema = Schema(("node.x",))
    for at in (NOW - 90, NOW - 75):
        frame = Frame("web-1", at, schema, array("d", [1.0]), "scrape:node/web-1:9100")
        host.fold(frame, 9, at + 4)
    host.info = {"version": "1.0", "machine_id": "0123456789abcdef", "kernel": "6.1", "arch": "x"}
    found = sender(host, NOW, "hub", "a" * 32)
    assert found.facts == (
        ("Agent", "a" * 12),
        ("Version", "1.0"),
        ("Machine id", "0123456789ab"),
        ("Kernel", "6.1 x"),
    )
    agent, scrape = found.sources
    assert (agent.words, agent.every, agent.heard, agent.lag, agent.is_late) == (
        "its agent",
        "every 1 s",
        "now",
        "",
        False,
    )
    assert (scrape.words, scrape.every, scrape.heard, scrape.lag, scrape.is_late) == (
        "scraped: node/web-1:9100",
        "every 15 s",
        "1 min ago",
        "4 s",
        True,
    )
    assert source_words("", is_own=True) == "this server itself"
    assert source_words("otlp") == "OpenTelemetry"
    assert source_words("new:kind") == "new: kind"


async def test_a_page_of_a_thousand_hosts_is_small() -> None:
    """It must be that it takes at most 150 kB on the wire."""
    rig = PeopledRig("hub")
    for number in range(1_000):
        values = {key: (number * 7 + place) % 97 / 97 for place, key in enumerate(HEADLINE_KEYS)}
        await rig.send(values, host=f"web-{number:04d}")
    async with rig.serving(), rig.client() as browser:
        answer = await browser.get("/")
    assert answer.text.count("<tr data-host=") == 1_001
    assert len(gzip.compress(answer.content, 5)) < 150_000
    assert int(answer.headers["content-length"]) < 150_000
