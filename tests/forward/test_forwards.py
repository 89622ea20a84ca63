"""It must be that what was accepted arrives, in order, however the receiver behaves."""

from __future__ import annotations

import asyncio
import contextlib
import time
from array import array
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from monitor.core.secret import Secret
from monitor.errors import StartError
from monitor.forward import sender as senders
from monitor.forward.config import RemoteWriteConfig
from monitor.forward.encoding import Encoder, Part, Stream
from monitor.forward.forwards import Forwards, ForwardStatus
from monitor.forward.sender import requests, wait_seconds
from monitor.model import Frame, Schema
from tests.forward.receiver import Receiver, Series, receiving

AT = 1_800_000_000.0
SCHEMA = Schema(("a", "b"))
LABELS = {"web-1": {"role": "web"}, "db-1": {"role": "db"}}


def frames(*numbers: int, host: str = "web-1") -> list[Frame]:
    return [Frame(host, AT + n, SCHEMA, array("d", [float(n), n + 0.5])) for n in numbers]


def arrived(receiver: Receiver, host: str = "web-1", name: str = "a") -> list[int]:
    """The instants that have arrived of a series, less `AT`, in the order in which they came."""
    return [
        ms // 1000 - int(AT) for ms, _ in receiver.taken.get(f"__name__={name},host={host}", [])
    ]


def built(folder: Path, configs: Mapping[str, RemoteWriteConfig]) -> Forwards:
    return Forwards(configs, folder, (), lambda host: LABELS.get(host, {}), time.time)


@contextlib.asynccontextmanager
async def forwarding(folder: Path, url: str, **config: Any) -> AsyncIterator[Forwards]:
    """Forwards to one receiver that run until the block ends."""
    forwards = built(folder, {"far": RemoteWriteConfig(url=url, **{"interval": 0.0, **config})})
    await forwards.open()
    task = asyncio.create_task(forwards.run())
    try:
        yield forwards
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def until(forwards: Forwards, holds: Callable[[ForwardStatus], bool]) -> ForwardStatus:
    async with asyncio.timeout(10):
        while not holds(status := forwards.status()[0]):  # noqa: ASYNC110 - it has no event
            await asyncio.sleep(0.01)
    return status


async def idle(forwards: Forwards) -> ForwardStatus:
    """When nothing waits any more."""
    return await until(forwards, lambda status: not status.pending_bytes)


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tries again soon."""
    monkeypatch.setattr(senders, "FIRST_WAIT_SECONDS", 0.01)
    monkeypatch.setattr(senders, "LONGEST_WAIT_SECONDS", 0.02)


async def test_what_is_accepted_arrives_in_order_with_what_a_receiver_wants(tmp_path: Path) -> None:
    async with receiving() as receiver:
        config = {"token": Secret("s3cret"), "headers": {"X-Scope-OrgID": "ops"}}
        async with forwarding(tmp_path, receiver.url, **config) as forwards:
            for number in range(50):
                forwards.tap(frames(number))
                await asyncio.sleep(0)
            status = await idle(forwards)
        assert arrived(receiver) == list(range(50))
        assert receiver.taken["__name__=b,host=web-1"][1] == (int(AT + 1) * 1000, 1.5)
        head = receiver.heads[0].lower()
        for line in (
            "post /api/v1/write http/1.1\r\n",
            "content-type: application/x-protobuf\r\n",
            "content-encoding: snappy\r\n",
            "x-prometheus-remote-write-version: 0.1.0\r\n",
            "user-agent: awoooi-monitor/",
            "authorization: bearer s3cret\r\n",
            "x-scope-orgid: ops\r\n",
        ):
            assert line in head
        assert status.sent_samples_total == 100
        assert status.fault == ""
        assert status.sent_at > 0
        assert "s3cret" not in repr(status)


async def test_only_selected_hosts_go_there_and_every_series_has_the_labels(tmp_path: Path) -> None:
    async with receiving() as receiver:
        config = {"hosts": "role=web", "labels": {"dc": "eu"}}
        async with forwarding(tmp_path, receiver.url, **config) as forwards:
            forwards.tap(frames(1) + frames(1, host="db-1") + frames(1, host="unknown"))
            await idle(forwards)
        assert set(receiver.taken) == {
            "__name__=a,dc=eu,host=web-1",
            "__name__=b,dc=eu,host=web-1",
        }


async def test_a_receiver_that_was_away_gets_everything_in_order(tmp_path: Path) -> None:
    away = True

    def mode(_: Series) -> tuple[int, str]:
        return (503, "") if away else (204, "")

    async with receiving(mode) as receiver:
        async with forwarding(tmp_path, receiver.url) as forwards:
            for number in range(20):
                forwards.tap(frames(number))
            status = await until(forwards, lambda status: status.retries_total >= 3)
            assert status.failing_since > 0
            assert "answered 503" in status.fault
            assert status.pending_samples == 40
            away = False
            status = await idle(forwards)
            assert status.failing_since == 0
        assert arrived(receiver) == list(range(20))


async def test_who_cannot_be_reached_is_tried_until_it_can(tmp_path: Path) -> None:
    async with receiving() as receiver:
        url = receiver.url
    async with forwarding(tmp_path, url) as forwards:
        forwards.tap(frames(1))
        status = await until(forwards, lambda status: status.retries_total >= 2)
        assert "cannot be reached" in status.fault
        assert status.behind_seconds == 0  # the sample lies in the future here
    # The queue is on disk: the next start sends it.
    async with receiving() as receiver, forwarding(tmp_path, receiver.url) as forwards:
        await idle(forwards)
        assert arrived(receiver) == [1]


@pytest.mark.parametrize("status", [401, 403, 404, 408, 429, 500, 502, 307])
async def test_what_is_no_fault_of_the_samples_is_tried_again(tmp_path: Path, status: int) -> None:
    answers = iter([status, status])

    def mode(_: Series) -> tuple[int, str]:
        return next(answers, 204), "Location: http://127.0.0.1:1/\r\n"

    async with receiving(mode) as receiver:
        async with forwarding(tmp_path, receiver.url) as forwards:
            forwards.tap(frames(1))
            found = await idle(forwards)
        assert arrived(receiver) == [1]
        assert (found.retries_total, found.refused_samples_total) == (2, 0)


async def test_poison_is_found_set_aside_and_holds_nothing_up(tmp_path: Path) -> None:
    def mode(series: Series) -> tuple[int, str]:
        bad = any(value == 7.0 for samples in series.values() for _, value in samples)
        return (400, "") if bad else (204, "")

    async with receiving(mode) as receiver:
        async with forwarding(tmp_path, receiver.url) as forwards:
            forwards.tap(frames(*range(32)) + frames(*range(40, 44), host="db-1"))
            status = await idle(forwards)
        assert arrived(receiver) == [number for number in range(32) if number != 7]
        assert arrived(receiver, "db-1") == [40, 41, 42, 43]
        assert status.refused_samples_total == 2
        assert "answered 400" in status.refusal
        assert status.fault == ""
        assert len(list((tmp_path / "forward/far").glob("refused-*.snappy"))) == 1


async def test_where_everything_is_refused_little_is_asked_and_little_kept(tmp_path: Path) -> None:
    async with receiving(lambda _: (400, "")) as receiver:
        async with forwarding(tmp_path, receiver.url, batch=4) as forwards:
            forwards.tap(frames(*range(400)))
            status = await idle(forwards)
        assert status.refused_samples_total == 800
        assert len(receiver.statuses) < 250  # 200 requests, and the first few were cut
        kept = list((tmp_path / "forward/far").glob("refused-*.snappy"))
        assert len(kept) == senders.MOST_REFUSED_FILES


async def test_a_request_that_is_too_large_is_made_smaller(tmp_path: Path) -> None:
    def mode(series: Series) -> tuple[int, str]:
        return (413, "") if sum(map(len, series.values())) > 120 else (204, "")

    async with receiving(mode) as receiver:
        async with forwarding(tmp_path, receiver.url) as forwards:
            forwards.tap(frames(*range(500)))
            status = await idle(forwards)
            before = receiver.statuses.count(413)
            forwards.tap(frames(*range(500, 550)))
            await idle(forwards)
        assert arrived(receiver) == list(range(550))
        assert status.refused_samples_total == 0
        assert receiver.statuses.count(413) == before  # it was learnt


async def test_a_frame_that_is_too_large_alone_is_set_aside(tmp_path: Path) -> None:
    async with receiving(lambda _: (413, "")) as receiver:
        async with forwarding(tmp_path, receiver.url) as forwards:
            forwards.tap(frames(1))
            status = await idle(forwards)
        assert status.refused_samples_total == 2


async def test_a_slow_receiver_gets_one_request_at_a_time_and_few_large_ones(
    tmp_path: Path,
) -> None:
    async with receiving() as receiver:
        receiver.delay_seconds = 0.05
        async with forwarding(tmp_path, receiver.url, batch=400) as forwards:
            for number in range(400):
                forwards.tap(frames(number))
                if number % 50 == 0:
                    await asyncio.sleep(0.01)
            await idle(forwards)
        assert receiver.most_under_way == 1
        assert arrived(receiver) == list(range(400))
        assert len(receiver.statuses) <= 12


async def test_one_that_does_not_answer_in_time_is_asked_again(tmp_path: Path) -> None:
    async with receiving() as receiver:
        receiver.delay_seconds = 30
        async with forwarding(tmp_path, receiver.url, timeout=0.1) as forwards:
            forwards.tap(frames(1))
            status = await until(forwards, lambda status: status.retries_total >= 1)
            assert "did not answer in time" in status.fault
            receiver.delay_seconds = 0
            await idle(forwards)
        assert 1 in arrived(receiver)


async def test_the_end_sends_what_waits_where_it_is_taken(tmp_path: Path) -> None:
    async with receiving() as receiver:
        async with forwarding(tmp_path, receiver.url, interval=3600.0) as forwards:
            forwards.tap(frames(1))
            await idle(forwards)
            forwards.tap(frames(2))  # the next is due in an hour
        assert arrived(receiver) == [1, 2]


async def test_the_end_is_not_held_up_by_a_receiver_that_hangs(tmp_path: Path) -> None:
    async with receiving() as receiver:
        receiver.delay_seconds = 30
        began = time.monotonic()
        async with forwarding(tmp_path, receiver.url) as forwards:
            forwards.tap(frames(1))
            await until(forwards, lambda status: status.requests_total == 1)
        assert time.monotonic() - began < 10
    async with receiving() as receiver, forwarding(tmp_path, receiver.url) as forwards:
        await idle(forwards)
        assert arrived(receiver) == [1]


async def test_a_fault_of_ours_is_said_and_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    real, faults = Encoder.body, iter([RuntimeError("odd")])

    def body(encoder: Encoder, parts: list[Part]) -> tuple[bytes, int]:
        for fault in faults:
            raise fault
        return real(encoder, parts)

    monkeypatch.setattr(Encoder, "body", body)
    async with receiving() as receiver, forwarding(tmp_path, receiver.url) as forwards:
        forwards.tap(frames(1))
        await idle(forwards)
        assert arrived(receiver) == [1]
    assert "sending failed" in capsys.readouterr().out


async def test_one_receiver_that_is_away_holds_no_other_up(tmp_path: Path) -> None:
    async with receiving() as well, receiving(lambda _: (503, "")) as ill:
        configs = {
            name: RemoteWriteConfig(url=receiver.url, interval=0.0)
            for name, receiver in (("ill", ill), ("well", well))
        }
        forwards = built(tmp_path, configs)
        await forwards.open()
        task = asyncio.create_task(forwards.run())
        forwards.tap(frames(1))
        async with asyncio.timeout(10):
            await until(forwards, lambda status: status.retries_total > 0)
            while not arrived(well):  # noqa: ASYNC110 - it has no event
                await asyncio.sleep(0.01)
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        assert [status.pending_samples for status in forwards.status()] == [2, 0]


async def test_without_receivers_nothing_is_made(tmp_path: Path) -> None:
    forwards = built(tmp_path, {})
    await forwards.open()
    forwards.tap(frames(1))
    assert forwards.status() == ()
    assert not (tmp_path / "forward").exists()


async def test_a_folder_that_cannot_be_used_is_said_at_the_start(tmp_path: Path) -> None:
    (tmp_path / "forward").write_text("a file")
    forwards = built(tmp_path, {"far": RemoteWriteConfig(url="http://127.0.0.1:8428/")})
    with pytest.raises(StartError, match="forward/far"):
        await forwards.open()


@pytest.mark.parametrize("text", [None, "no certificate"])
def test_authorities_that_cannot_be_used_are_said_at_the_start(
    tmp_path: Path, text: str | None
) -> None:
    path = tmp_path / "ca.pem"
    if text is not None:
        path.write_text(text)
    with pytest.raises(StartError, match=r"remote_write.far\] tls_ca"):
        built(tmp_path, {"far": RemoteWriteConfig(url="https://a/", tls_ca=path)})


async def test_what_waits_for_nobody_any_more_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "forward/old").mkdir(parents=True)
    await built(tmp_path, {}).open()
    assert "forward/old" in capsys.readouterr().out


def test_requests_are_no_larger_than_asked_and_keep_the_order() -> None:
    def part(host: str, rows: int, columns: int) -> Part:
        return Part(
            Stream(host, tuple(map(str, range(columns)))),
            np.arange(rows, dtype=float),
            np.ones((rows, columns)),
        )

    found = requests([part("a", 10, 30), part("b", 1, 500), part("c", 3, 10)], 100)
    sizes = [[(p.stream.host, p.at.tolist(), p.samples) for p in made] for made in found]
    assert sizes == [
        [("a", [0, 1, 2], 90)],
        [("a", [3, 4, 5], 90)],
        [("a", [6, 7, 8], 90)],
        [("a", [9], 30)],
        [("b", [0], 500)],
        [("c", [0, 1, 2], 30)],
    ]


@pytest.mark.parametrize(
    ("tries", "asked", "chance", "expected"),
    [
        (0, "", 1.0, 0.5),
        (0, "", 0.0, 0.25),
        (3, "", 1.0, 4.0),
        (6, "", 1.0, 30.0),
        (10**6, "", 1.0, 30.0),
        (0, "7", 1.0, 7.0),
        (6, "7", 1.0, 30.0),
        (0, "99999", 1.0, 300.0),
        (0, "-5", 1.0, 0.5),
        (0, "Wed, 21 Oct 2015 07:28:00 GMT", 1.0, 0.5),
    ],
)
def test_it_is_tried_ever_more_rarely_within_bounds(
    monkeypatch: pytest.MonkeyPatch, tries: int, asked: str, chance: float, expected: float
) -> None:
    monkeypatch.undo()  # the real ones
    assert wait_seconds(tries, asked, chance) == pytest.approx(expected)
