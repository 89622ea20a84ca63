"""Bounds of history: it must be that no query is too much, and that each refusal says why."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Sequence
from urllib.parse import quote, urlencode

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.ports import Buckets
from monitor.store.memory import MemoryStore
from monitor.web import asked, history, turns
from monitor.web.app import create_app
from monitor.web.asgi import Message
from tests.browser.rig import Rig
from tests.serving import Server
from tests.web import raw
from tests.web.asking import House

METRIC = "system.uptime"


@pytest.fixture
async def house() -> AsyncIterator[House]:
    """A served house with one host that has a past."""
    found = House(Rig("hub"))
    columns = {METRIC: [1.0] * 9, **{f'm{{n="{n:03}"}}': [1.0] * 9 for n in range(20)}}
    await found.past("web-1", columns, {"role": "web"})
    async with found.rig.serving(), found.client:
        yield found


@pytest.fixture(scope="module")
def pushed(running: Server) -> Iterator[httpx.Client]:
    """A client of a server of its own, to which the same host was pushed."""
    metrics = {METRIC: 1.0, **{f'm{{n="{n:03}"}}': 1.0 for n in range(20)}}
    push = {"host": "web-1", "labels": {"role": "web"}, "metrics": metrics}
    with httpx.Client(base_url=running.url, verify=False) as client:
        assert client.post("/api/v1/push", json=push).status_code == 200
        yield client


ALONE = f"host=web-1&metric={METRIC}"


@pytest.mark.parametrize(
    ("query", "code", "field", "limit"),
    [
        ("", "missing_param", "host", None),
        (f"metric={METRIC}", "missing_param", "host", None),
        ("host=web-1", "missing_param", "metric", None),
        ("match=role=web", "missing_param", "metric", None),
        (f"host=nobody&metric={METRIC}", "unknown_host", "host", None),
        (f"host=nobody&match=role=web&metric={METRIC}", "unknown_host", "host", None),
        (f"host=&metric={METRIC}", "unknown_host", "host", None),
        ("host=web-1&metric=nothing", "unknown_metric", "metric", None),
        ("host=web-1&metric=", "unknown_metric", "metric", None),
        ("host=web-1&metric=m{n=", "unknown_metric", "metric", None),
        ("match=role=web&metric=nothing", "unknown_metric", "metric", None),
        (f"{ALONE}&start=20&end=10", "bad_range", "start", None),
        (f"{ALONE}&start=10&end=10", "bad_range", "start", None),
        (f"{ALONE}&end=0", "bad_range", "start", None),
        (f"{ALONE}&start=-5m&end=-10m", "bad_range", "start", None),
        (f"{ALONE}&start=now", "bad_range", "start", None),
        *(
            (f"{ALONE}&start={text}", "bad_range", "start", None)
            for text in (
                *("", "NaN", "nan", "inf", "-inf", "1e400", "1e9", "99999-01-01", "-1", "0x10"),
                *("9999-99-99", "yesterday", "-6", "-1h30m", "-99999999y", "1_000", "%D9%A3"),
                *("2026-01-01T00:00:00%2B99:00", "0001-01-01", "-6h%00"),
            )
        ),
        *(
            (f"{ALONE}&points={text}", "bad_range", "points", asked.MOST_POINTS)
            for text in ("0", "-1", "11001", "1e3", "NaN", "", "1.5", "%D9%A3", "9" * 400, "+5")
        ),
        (f"{ALONE}&points=5&points=6", "ambiguous_param", "points", None),
        (f"{ALONE}&match=role=web&match=role=web", "ambiguous_param", "match", None),
        (f"{ALONE}&start=-1h&start=-1h", "ambiguous_param", "start", None),
        (f"{ALONE}&nonsense=1", "unknown_param", "nonsense", None),
        (f"{ALONE}&step=60", "unknown_param", "step", None),
        (f"host[]=web-1&metric={METRIC}", "unknown_param", "host[]", None),
        (f"{ALONE}&raw=yes", "bad_param", "raw", None),
        (f"{ALONE}&download=2", "bad_param", "download", None),
        (f"{ALONE}&format=xml", "bad_param", "format", None),
        (f"{ALONE}&format=", "bad_param", "format", None),
        (f"{ALONE}&aggregate=mean", "bad_aggregate", "aggregate", None),
        (f"{ALONE}&aggregate=p101", "bad_aggregate", "aggregate", None),
        (f"{ALONE}&by=role", "missing_param", "aggregate", None),
        (f"{ALONE}&aggregate=avg&by=a,b", "bad_param", "by", None),
        (f"{ALONE}&aggregate=avg&by=", "bad_param", "by", None),
        (f"match=&metric={METRIC}", "bad_selector", "match", None),
        (f"match=role&metric={METRIC}", "bad_selector", "match", None),
        (f"match=severity=critical&metric={METRIC}", "bad_selector", "match", None),
        (f"match=rule!=x&metric={METRIC}", "bad_selector", "match", None),
        (f"match={'a' * 2_049}&metric={METRIC}", "bad_selector", "match", 2_048),
        ("host=web-1" + "&metric=m".join(map(str, range(102))), "too_many_params", "metric", 100),
        ("metric=m" + "&host=h".join(map(str, range(102))), "too_many_params", "host", 100),
        ("host=web-1&metric=m&points=5001", "too_many_values", "points", 100_000),
    ],
)
def test_a_query_that_makes_no_sense_is_told_why(
    pushed: httpx.Client, query: str, code: str, field: str, limit: int | None
) -> None:
    answer = pushed.get(f"/api/v1/history?{query}")
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert (answer.status_code, problem["status"]) == (400, 400)
    assert (problem["code"], problem.get("field"), problem.get("limit")) == (code, field, limit)
    assert len(problem["detail"]) < 250
    assert pushed.get(f"/api/v1/history?{ALONE}").status_code == 200  # and the next one is answered


async def test_what_was_asked_is_never_echoed_raw(house: House) -> None:
    canary = "\x1b[2J<script>\r\n" + "x" * 500
    for name in ("host", "metric", "match", "aggregate", "by", "start", "points", "format", canary):
        given_ = {"host": "web-1", "metric": METRIC, "aggregate": "avg", name: canary}
        text = (await house.get(urlencode(given_))).text
        assert "\\u001b" not in text
        assert "x" * 65 not in text


async def test_a_query_of_20_kilobytes_is_414(house: House) -> None:
    answer = await house.get(ALONE + "&match=" + "a" * 20_000)
    assert (answer.status_code, answer.json()["code"]) == (414, "url_too_long")


async def crowd(house: House, size: int) -> None:
    for number in range(size):
        name = f"h-{number:04}"
        await house.past(name, {METRIC: [float(number)] * 2}, {"role": f"r{number % 3}"})


async def test_a_thousand_hosts_are_one_series_and_not_a_thousand(house: House) -> None:
    await crowd(house, 1_000)
    every = f"match=host=h-*&metric={METRIC}"
    problem = await house.refused(f"{every}&points=1")
    assert (problem["code"], problem["limit"]) == ("too_many_series", history.MOST_SERIES)
    (series,) = (await house.get(f"{every}&aggregate=max&start=-60s&points=300")).json()["series"]
    assert (series["hosts"], max(v for v in series["avg"] if v is not None)) == (1_000, 999.0)
    three = (await house.get(f"{every}&aggregate=p50&by=role&points=300")).json()["series"]
    assert [one["labels"] for one in three] == [{"role": f"r{n}"} for n in range(3)]
    problem = await house.refused(f"{every}&aggregate=avg&by=host&points=1")
    assert (problem["code"], problem["field"]) == ("too_many_series", "by")
    problem = await house.refused(f"{every}&aggregate=avg&points=1001")
    assert (problem["code"], problem["limit"]) == ("too_many_values", history.MOST_READ_CELLS)


async def test_series_read_for_an_aggregate_are_bounded_too(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    await crowd(house, 60)
    monkeypatch.setattr(history, "MOST_READ_SERIES", 59)
    problem = await house.refused(f"match=host=h-*&metric={METRIC}&aggregate=avg")
    assert (problem["code"], problem["limit"]) == ("too_many_series", 59)


class Stuck(MemoryStore):
    """A store whose ranges never end by themselves; it counts those begun and those given up."""

    def __init__(self) -> None:
        super().__init__()
        self.begun = asyncio.Semaphore(0)
        self.given_up = asyncio.Semaphore(0)

    async def series(self, host: str) -> tuple[str, ...]:
        return (METRIC,)

    async def range(
        self,
        series: Sequence[tuple[str, str]],
        start: float,
        end: float,
        points: int,
        raw: bool = False,
    ) -> Buckets:
        self.begun.release()
        try:
            await asyncio.Event().wait()
        finally:
            self.given_up.release()
        raise AssertionError


@pytest.fixture
async def stuck() -> AsyncIterator[tuple[House, Stuck]]:
    """A served house whose store is stuck."""
    found, store = House(Rig("hub")), Stuck()
    found.keep(store)
    found.rig.state.label("web-1", {})
    async with found.rig.serving(), found.client:
        yield found, store


@pytest.mark.parametrize(
    ("path", "query"), [("/api/v1/history", ALONE), ("/api/v1/hosts/web-1/markers", "")]
)
async def test_what_takes_too_long_is_503_and_given_up(
    stuck: tuple[House, Stuck], monkeypatch: pytest.MonkeyPatch, path: str, query: str
) -> None:
    house, store = stuck
    monkeypatch.setattr(turns, "QUERY_SECONDS", 0.05)
    answer = await house.get(query, path)
    assert (answer.status_code, answer.json()["code"]) == (503, "query_timeout")
    assert int(answer.headers["retry-after"]) > 0
    await asyncio.wait_for(store.given_up.acquire(), 5)


async def test_who_waits_too_long_for_a_turn_is_503_and_others_go_on(
    stuck: tuple[House, Stuck], monkeypatch: pytest.MonkeyPatch
) -> None:
    house, store = stuck
    running = [asyncio.create_task(house.get(ALONE)) for _ in range(turns.MOST_AT_ONCE)]
    for _ in running:
        await asyncio.wait_for(store.begun.acquire(), 5)
    monkeypatch.setattr(turns, "WAIT_SECONDS", 0.05)
    answer = await house.get(ALONE)
    assert (answer.status_code, answer.json()["code"]) == (503, "busy")
    assert int(answer.headers["retry-after"]) > 0
    assert store.begun.locked()
    assert (await house.get("", "/api/v1/hosts")).status_code == 200
    for task in running:
        task.cancel()
    await asyncio.gather(*running, return_exceptions=True)


async def test_a_client_that_leaves_ends_the_work_and_frees_its_place(
    stuck: tuple[House, Stuck],
) -> None:
    house, store = stuck
    line = f"GET /api/v1/history?{ALONE} HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n"
    for _ in range(turns.MOST_AT_ONCE + 2):
        with raw.connect(house.rig.url) as connection:
            connection.sendall(line.encode())
            await asyncio.wait_for(store.begun.acquire(), 5)
            connection.shutdown(socket.SHUT_RDWR)
        await asyncio.wait_for(store.given_up.acquire(), 5)


async def test_one_large_query_runs_at_a_time_and_small_ones_beside_it(
    stuck: tuple[House, Stuck], monkeypatch: pytest.MonkeyPatch
) -> None:
    house, store = stuck
    monkeypatch.setattr(history, "MOST_CELLS", 10)
    monkeypatch.setattr(turns, "WAIT_SECONDS", 0.05)
    large = f"{ALONE}&aggregate=avg&points=11"
    monkeypatch.setattr(history, "_require_cells", lambda *_: None)
    running = asyncio.create_task(house.get(large))
    await asyncio.wait_for(store.begun.acquire(), 5)
    assert (await house.get(large)).json()["code"] == "busy"
    small = asyncio.create_task(house.get(f"{ALONE}&points=5"))
    await asyncio.wait_for(store.begun.acquire(), 5)
    for task in (running, small):
        task.cancel()
    await asyncio.gather(running, small, return_exceptions=True)


async def test_a_hundred_series_of_an_hour_cost_little() -> None:
    """It must be that 100 series in 300 points cost some 20 ms; three times that is a fault."""
    house = House(Rig("hub"))
    columns = {f"m{number:03}": [number + 0.1 * n for n in range(3_600)] for number in range(100)}
    await house.past("web-1", columns, before=3_600)
    query = "&".join(["host=web-1", *(f"metric={name}" for name in columns)])
    serve = served(house)
    costs = []
    for _ in range(3):
        began = time.process_time()
        assert (await serve(query))[0] == 200
        costs.append(time.process_time() - began)
    assert min(costs) < 0.06


def served(house: House) -> Callable[..., Coroutine[None, None, tuple[int, bytes]]]:
    """The application without a socket: a function from a query to status and body."""
    application = create_app(house.rig.services)

    async def serve(query: str, path: str = "/api/v1/history") -> tuple[int, bytes]:
        messages: list[Message] = []
        given_ = iter([{"type": "http.request", "body": b"", "more_body": False}])

        async def receive() -> Message:
            for message in given_:
                return dict(message)
            await asyncio.Event().wait()
            raise AssertionError

        async def send(message: Message) -> None:
            messages.append(message)

        scope = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": "GET",
            "scheme": "http",
            "path": path,
            "raw_path": path.encode(),
            "query_string": query.encode(),
            "root_path": "",
            "headers": [(b"host", b"127.0.0.1")],
            "client": ("127.0.0.1", 1),
            "server": ("127.0.0.1", 80),
        }
        await application(scope, receive, send)
        return messages[0]["status"], b"".join(each.get("body", b"") for each in messages[1:])

    return serve


_WORDS = st.sampled_from(
    [
        *("web-1", METRIC, "m", 'm{n="001"}', "role=web", "host=*", "avg", "p95", "role", "host"),
        *("-1h", "-5m", "now", "0", "1", "1800000000", "2027-01-15", "csv", "json", "300", "11000"),
    ]
)
_VALUE = _WORDS | st.text(max_size=20) | st.floats().map(str) | st.integers().map(str)
_NAMES = st.sampled_from([parameter.name for parameter in asked.PARAMETERS])
_QUERY = st.lists(st.tuples(_NAMES | st.text(max_size=5), _VALUE), max_size=8)


def test_any_query_is_answered_or_refused_and_never_a_fault() -> None:
    house = House(Rig("hub"))
    with asyncio.Runner() as runner:
        columns = {METRIC: [1.0] * 9, **{f'm{{n="{n:03}"}}': [1.0] * 9 for n in range(20)}}
        runner.run(house.past("web-1", columns, {"role": "web"}))
        serve = served(house)

        @settings(max_examples=400, deadline=None)
        @given(_QUERY, st.booleans())
        def ask(pairs: list[tuple[str, str]], whole: bool) -> None:
            given_ = [("host", "web-1"), ("metric", METRIC), *pairs] if whole else pairs
            query = urlencode(given_, quote_via=quote)
            status, body = runner.run(serve(query))
            assert status in {200, 400}, (query, body)
            status, body = runner.run(serve(query, "/api/v1/hosts/web-1/markers"))
            assert status in {200, 400}, (query, body)

        @settings(max_examples=200, deadline=None)
        @given(st.text(st.characters(codec="ascii"), max_size=60))
        def ask_raw(query: str) -> None:
            assert runner.run(serve(query))[0] in {200, 400}

        ask()
        ask_raw()
