"""Targets that are polled: what becomes of what they say, and of every way in which they fail.

Real sockets and real rooms; only the exporters behave as a test wants.
"""

from __future__ import annotations

import asyncio
import gzip
import itertools
import json
import time
from pathlib import Path

import pytest

from monitor.core.secret import Secret
from monitor.scrape.config import ScrapeConfig
from monitor.scrape.poller import phase
from monitor.scrape.targets import made
from tests.outbound.servers import certificates, serving
from tests.scrape.exporter import GOOD, exporter, hang, saying
from tests.scrape.house import OWN, House, Polling

HOST = "127.0.0.1"
OPENMETRICS = "application/openmetrics-text; version=1.0.0; charset=utf-8"


def config(*targets: str, **more: object) -> ScrapeConfig:
    """A job that is polled as often as a job can be."""
    given: dict[str, object] = {"interval": 0.5, "timeout": 0.5, **more}
    return ScrapeConfig(targets=targets, **given)  # type: ignore[arg-type]


@pytest.fixture
def house() -> House:
    return House()


async def test_what_a_target_says_is_its_hosts(house: House) -> None:
    async with exporter() as served:
        app = config(served.target, labels={"role": "app"})
        async with Polling(house, {"app": app}) as polling:
            await polling.until(lambda: polling.status(HOST).up)
            host = house.host()
            own = f'{{instance="{served.target}",job="app"}}'
            values = {text: host.value(text) for text in host.schema.texts}
            duration = values.pop(f"scrape_duration_seconds{own}")
            assert 0 < duration < 5
            assert values == {
                'app_jobs{job="app",queue="mail"}': 7,
                'app_up{job="app"}': 1,
                f"up{own}": 1,
                f"scrape_samples_scraped{own}": 2,
                f"scrape_series_added{own}": 2,
            }
            await polling.until(lambda: host.value(f"scrape_series_added{own}") == 0)
            assert host.labels == {"role": "app"}
            assert list(host.lanes) == [f"scrape:app/{served.target}"]
            status = polling.status(HOST)
            assert (status.samples, status.code, status.job) == (2, "", "app")
            assert status.url == f"http://{served.target}/metrics"
        head = served.asked[0].decode().lower()
        assert "\r\naccept: application/openmetrics-text;version=1.0.0" in head
        assert "\r\naccept-encoding: gzip\r\n" in head
        assert "authorization" not in head


async def test_a_token_and_a_query_are_sent_and_not_shown(house: House) -> None:
    async with exporter() as served:
        app = config(f"http://{served.target}/x?key=hunter2", token=Secret("mon_secret"))
        async with Polling(house, {"app": app}) as polling:
            await polling.until(lambda: polling.status(HOST).up)
            assert "hunter2" not in str(polling.poller.status())
            assert "mon_secret" not in str(polling.poller.status())
        head = served.asked[0].decode()
        assert head.startswith("GET /x?key=hunter2 HTTP/1.1\r\n")
        assert "\r\nauthorization: Bearer mon_secret\r\n" in head


async def test_a_target_behind_tls(house: House, tmp_path: Path) -> None:
    """It must be that its certificate is verified, with an authority that the operator names."""
    context, authority = certificates(tmp_path, HOST)
    answer = saying(GOOD)

    async def served(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await reader.readuntil(b"\r\n\r\n"):
            await answer(writer)

    async with serving(served, context) as port:
        target = f"https://{HOST}:{port}"
        jobs = {"good": config(target, tls_ca=authority), "bad": config(target)}
        async with Polling(house, jobs) as polling:
            await polling.until(lambda: polling.poller.status()[0].up)
            await polling.until(lambda: polling.poller.status()[1].code == "tls")
            good, bad = polling.poller.status()
    assert (good.up, good.code) == (True, "")
    assert (bad.up, bad.code) == (False, "tls")


async def test_openmetrics_and_gzip_and_timestamps(house: House) -> None:
    """It must be that samples which are as old as they say are left out, and counted."""
    now = time.time()
    text = f"a 1 {now:.3f}\nb 2 {now - 3600:.3f}\nc 3\nd NaN\ne +Inf\n# EOF\n"
    mode = saying(gzip.compress(text.encode(), mtime=0), OPENMETRICS, Content_Encoding="gzip")
    async with (
        exporter(mode) as served,
        Polling(house, {"app": config(served.target)}) as polling,
    ):
        await polling.until(lambda: polling.status(HOST).up)
        names = {key.name for key in house.host().schema.keys}
        assert {"a", "c"} <= names
        assert not names & {"b", "d", "e"}, "what has no value is no series"
        assert polling.status(HOST).stale == 1


async def test_duplicates_are_counted_and_hostile_labels_are_kept_as_they_are(
    house: House,
) -> None:
    label = '<script>alert(1)</script>"\\\n'
    written = label.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    text = f'a{{b="{written}"}} 1\na{{b="{written}"}} 2\n' + 'c{job="x",instance="y",host="z"} 3\n'
    async with (
        exporter(saying(text.encode())) as served,
        Polling(house, {"app": config(served.target)}) as polling,
    ):
        await polling.until(lambda: polling.status(HOST).up)
        assert polling.status(HOST).duplicates == 1
        keys = {str(key): key for key in house.host().schema.keys}
        (hostile,) = [key for key in keys.values() if key.name == "a"]
        assert hostile.get("b") == label
        assert house.host().value(str(hostile)) == 1
        own = 'c{exported_host="z",exported_instance="y",exported_job="x",job="app"}'
        assert house.host().value(own) == 3


async def test_two_targets_of_one_host_do_not_collide(house: House) -> None:
    """It must be that the second one's series carry its instance, and the first one's do not."""
    async with (
        exporter() as one,
        exporter(saying(b"app_up 0\n")) as two,
        Polling(house, {"app": config(one.target, two.target)}) as polling,
    ):
        await polling.until(lambda: all(each.up for each in polling.poller.status()))
        assert house.host().value('app_up{job="app"}') == 1
        assert house.host().value(f'app_up{{instance="{two.target}",job="app"}}') == 0


async def test_labels_that_change_do_not_fill_the_server(house: House) -> None:
    """It must be that series which find no room are counted and named, and the others go on."""
    house.intake.lanes.of(HOST, "x")
    count = 0

    def text() -> bytes:
        nonlocal count
        count += 1
        lines = [f'new{{id="{count}-{n}"}} 1\n' for n in range(3_000)]
        return ("app_up 1\n" + "".join(lines)).encode()

    async def answer(writer: asyncio.StreamWriter) -> None:
        await saying(text())(writer)

    async with (
        exporter(answer) as served,
        Polling(house, {"app": config(served.target)}) as polling,
    ):
        await polling.until(lambda: polling.status(HOST).refused)
        status = polling.status(HOST)
        assert status.up
        assert status.refused_names[0].startswith("new{id=")
        assert len(house.host().schema) <= 10_000
        assert house.host().value('app_up{job="app"}') == 1


async def test_the_servers_own_host_is_taken(house: House, tmp_path: Path) -> None:
    """It must be that nobody speaks for it, and that the target says so."""
    async with exporter() as served:
        listed = tmp_path / "targets.json"
        listed.write_text(json.dumps([{"targets": [served.target], "labels": {"host": OWN}}]))
        async with Polling(house, {"app": config(targets_file=listed)}) as polling:
            await polling.until(lambda: polling.poller.status() and polling.status(OWN).code)
            status = polling.status(OWN)
            assert (status.up, status.code) == (False, "host_taken")
            assert OWN not in house.state.hosts


async def test_a_place_that_the_guard_never_allows(house: House) -> None:
    async with Polling(house, {"app": config("0.0.0.0:9100")}) as polling:
        await polling.until(lambda: polling.poller.status()[0].up is False)
        assert polling.poller.status()[0].code == "url_not_allowed"
        assert not house.state.hosts, "a host that was never reached is none"


async def test_targets_come_and_go_with_their_file(
    house: House, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It must be that a file is followed, and that a broken one changes no target."""
    monkeypatch.setattr("monitor.scrape.poller.LOOK_SECONDS", 0.05)
    listed = tmp_path / "targets.json"
    async with exporter() as one, exporter() as two:
        listed.write_text(json.dumps([{"targets": [one.target]}]))
        async with Polling(house, {"app": config(targets_file=listed)}) as polling:
            poller = polling.poller
            await polling.until(lambda: any(each.up for each in poller.status()))
            listed.write_text("[")
            await polling.until(poller.complaints)
            assert "targets.json: is no JSON" in poller.complaints()[0]
            assert [each.instance for each in poller.status()] == [one.target]
            listed.write_text(json.dumps([{"targets": [two.target]}]))
            await polling.until(lambda: two.asked)
            assert [each.instance for each in poller.status()] == [two.target]
            assert not poller.complaints()
            asked = len(one.asked)
            await polling.until(lambda: len(two.asked) > 3)
            assert len(one.asked) == asked


async def test_a_target_that_hangs_delays_nobody(house: House) -> None:
    """It must be that others have their turns, and that it is asked again in its own."""
    async with exporter(hang) as slow_one, exporter() as good_one:
        jobs = {"app": config(slow_one.target, good_one.target, interval=0.2, timeout=0.2)}
        async with Polling(house, jobs) as polling:
            await polling.until(lambda: len(slow_one.asked) > 2)
            assert len(good_one.asked) >= 2
            assert polling.status(slow_one.target).code == "too_slow"


async def test_scrapes_of_one_target_never_overlap(house: House) -> None:
    """It must be that one which takes nearly its interval is asked when it has answered."""
    under_way = most = 0

    async def slow(writer: asyncio.StreamWriter) -> None:
        nonlocal under_way, most
        under_way += 1
        most = max(most, under_way)
        await asyncio.sleep(0.1)
        under_way -= 1
        await saying(GOOD)(writer)

    async with (
        exporter(slow) as served,
        Polling(house, {"app": config(served.target, interval=0.15)}) as polling,
    ):
        await polling.until(lambda: len(served.asked) > 3)
    assert most == 1


async def test_everything_ends_at_once(house: House) -> None:
    """It must be that a target which never answers keeps nobody from ending."""
    async with exporter(hang) as served:
        before = asyncio.all_tasks()
        async with Polling(house, {"app": config(served.target, timeout=60.0)}) as polling:
            await polling.until(lambda: served.asked)
        left = {task for task in asyncio.all_tasks() - before if "scrape" in task.get_name()}
        assert not left


def test_turns_are_spread_and_stay_where_they_are() -> None:
    """It must be that a target has its turn at the same instants of the clock after a restart."""
    targets = [made("node", f"web-{n}:9100") for n in range(200)]
    turns = sorted(1000.0 + phase(target, 10, 1000.0) for target in targets)
    again = {round((1003.7 + phase(target, 10, 1003.7)) % 10, 6) for target in targets}
    assert again == {round(turn % 10, 6) for turn in turns}
    gaps = [late - early for early, late in itertools.pairwise(turns)]
    assert max(gaps) < 0.5
