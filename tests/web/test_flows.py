"""``/settings/flows``: it must be that what is in trouble stands first, with why."""

from __future__ import annotations

from dataclasses import replace

from monitor.core.access import Role
from monitor.forward.forwards import ForwardStatus
from monitor.scrape.scraper import TargetStatus
from monitor.web.flows import MOST_TARGETS, flows_page
from tests.web.house import PeopledRig

NOW = 1_700_000_000.0
TARGET = TargetStatus(
    "node",
    "http://web-1:9100/metrics",
    "web-1:9100",
    "web-1",
    15.0,
    up=True,
    scraped_at=NOW - 3,
    succeeded_at=NOW - 3,
    duration_seconds=0.012,
    samples=1_234,
)
FORWARD = ForwardStatus(
    name="vm",
    place="vm.lan:8428",
    pending_samples=0,
    pending_bytes=0,
    size_bytes=0,
    most_bytes=10**9,
    behind_seconds=0.0,
    sent_at=NOW - 1,
    failing_since=0.0,
    fault="",
    refusal="",
    requests_total=9,
    retries_total=0,
    sent_samples_total=12_345,
    sent_bytes_total=100,
    refused_samples_total=0,
    dropped_samples_total=0,
)


def test_a_target_that_is_well_says_how_it_goes() -> None:
    (row,) = flows_page([TARGET], [], NOW).targets
    assert (row.state, row.every, row.last, row.took) == ("up", "15 s", "3 s ago", "12.0 ms")
    assert (row.samples, row.what) == ("1,234", "")


def test_a_target_that_is_down_stands_first_and_says_why() -> None:
    down = replace(
        TARGET,
        url="http://web-2:9100/metrics",
        up=False,
        code="timeout",
        detail="no answer within 10 s",
        succeeded_at=NOW - 3_600,
    )
    waiting = replace(TARGET, url="http://web-3:9100/metrics", up=None, scraped_at=0.0)
    rows = flows_page([TARGET, waiting, down], [], NOW).targets
    assert [row.state for row in rows] == ["down", "up", "stale"]
    assert rows[0].what == "no answer within 10 s; it last answered 1 h 0 min ago"
    assert (rows[2].what, rows[2].last, rows[2].samples) == ("not asked yet", "never", "–")


def test_what_a_target_lost_is_said() -> None:
    odd = replace(TARGET, refused=2, refused_names=("a", "b"), duplicates=1, stale=3)
    (row,) = flows_page([odd], [], NOW).targets
    said = "2 series not taken, such as a, b; 1 series stand twice; 3 samples are too old"
    assert row.what == said


def test_a_list_of_targets_ends() -> None:
    view = flows_page([TARGET] * (MOST_TARGETS + 7), [], NOW)
    assert (len(view.targets), view.left_out) == (MOST_TARGETS, 7)


def test_a_receiver_says_what_waits_and_what_is_the_matter() -> None:
    failing = replace(
        FORWARD,
        pending_samples=5_000,
        size_bytes=2_500_000,
        fault="503: try later",
        failing_since=NOW - 120,
        dropped_samples_total=4,
        refused_samples_total=3,
    )
    behind = replace(FORWARD, behind_seconds=300.0)
    refused = replace(FORWARD, refusal="400: bad name")
    well, bad, late, once = flows_page([], [FORWARD, failing, behind, refused], NOW).forwards
    assert (well.state, well.sent, well.last, well.lost, well.what) == (
        "up",
        "12,345",
        "1 s ago",
        "–",
        "",
    )
    assert (bad.state, bad.waiting, bad.queue, bad.lost) == ("warn", "5,000", "2.5MB of 1GB", "7")
    assert bad.what == "503: try later, for 2 min"
    assert (late.state, late.what) == ("warn", "5 min behind")
    assert (once.state, once.what) == ("up", "last refused: 400: bad name")


async def test_the_page_escapes_what_others_said() -> None:
    rig = PeopledRig("hub")
    hostile = replace(TARGET, up=False, detail="<script>x</script>")
    rig.services = replace(rig.services, targets=lambda: [hostile], forwards=lambda: [FORWARD])
    async with rig.serving():
        await rig.person("ann", Role.ADMIN)
        await rig.person("oscar", Role.OPERATOR)
        async with rig.as_person("ann") as ann, rig.as_person("oscar") as oscar:
            page = await ann.get("/settings/flows")
            assert page.status_code == 200
            assert "&lt;script&gt;x" in page.text
            assert "<script>x" not in page.text
            assert "vm.lan:8428" in page.text
            assert (await oscar.get("/settings/flows")).status_code == 403
            assert "/settings/flows" not in (await oscar.get("/settings")).text
