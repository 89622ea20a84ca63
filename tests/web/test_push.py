"""``POST /api/v1/push`` on a running server: what it takes, what it refuses, what it leaves."""

from __future__ import annotations

import asyncio
import contextlib
import json
import shutil
import socket
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from monitor.core.access import OPEN
from monitor.core.load import Load
from monitor.errors import Unavailable
from monitor.ingest.intake import Accept, Intake
from monitor.model import SeriesKey
from monitor.web.bodies import Bodies, Limits
from monitor.web.push import PushEndpoint
from tests.ingest.documents import KEYS, encoded, frame, full, simple
from tests.ingest.refusals import REFUSALS
from tests.serving import Server
from tests.web import raw
from tests.web.house import PeopledRig

PATH = "/api/v1/push"
JSON = "Content-Type: application/json\r\n"
NAME = socket.gethostname()
RECEIPT = {"accepted": 1, "duplicate": False, "seq": 3, "watched": False}


def head(*lines: str, method: str = "POST", target: str = PATH) -> bytes:
    sent = "".join(line + "\r\n" for line in lines)
    return f"{method} {target} HTTP/1.1\r\nHost: localhost\r\n{sent}\r\n".encode()


def push(running: Server, body: bytes, *lines: str) -> raw.Answer:
    """Push on a connection of its own."""
    length = f"Content-Length: {len(body)}"
    return raw.send(running.url, head(JSON.strip(), length, *lines) + body)


def refused(answer: raw.Answer, status: int, code: str) -> dict[str, Any]:
    """An answer must be this problem, and no fault of ours."""
    assert (answer.status, answer.json()["code"]) == (status, code), answer.body
    assert answer.headers["content-type"] == "application/problem+json"
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    assert b"Traceback" not in answer.body
    found: dict[str, Any] = answer.json()
    return found


def metrics_of(running: Server, host: str) -> dict[str, float]:
    found: dict[str, float] = raw.get(running.url, f"/api/v1/hosts/{host}").json()["metrics"]
    return found


@pytest.mark.parametrize("name", REFUSALS)
def test_what_is_wrong_is_refused_and_leaves_nothing(running: Server, name: str) -> None:
    body, status, code, field = REFUSALS[name]
    body = body.replace(b'"web-1"', b'"refused-1"')
    problem = refused(push(running, body), status, code)
    assert field is None or problem["field"] == field
    assert raw.get(running.url, "/api/v1/hosts/refused-1").status == 404


@pytest.mark.parametrize(
    ("lines", "code"),
    [
        ((), "unsupported_media_type"),
        (("Content-Type: text/plain",), "unsupported_media_type"),
        (("Content-Type: application/x-www-form-urlencoded",), "unsupported_media_type"),
        (("Content-Type: application/json; charset=latin-1",), "unsupported_media_type"),
        (("Content-Type: application/jsonp",), "unsupported_media_type"),
        (("Content-Type: application/json",) * 2, "unsupported_media_type"),
        (("Content-Type: application/x-ndjson",), "unsupported_media_type"),
        (("Content-Type: application/json", "Content-Encoding: br"), "unsupported_encoding"),
        (
            ("Content-Type: application/json", *("Content-Encoding: gzip",) * 2),
            "unsupported_encoding",
        ),
        (
            ("Content-Type: application/json", "Content-Encoding: gzip, gzip"),
            "unsupported_encoding",
        ),
        (("Content-Type: application/json", "Content-Encoding: GZIP;q=1"), "unsupported_encoding"),
    ],
)
def test_only_plain_json_is_taken_and_the_answer_says_what_to_add(
    running: Server, lines: tuple[str, ...], code: str
) -> None:
    body = simple(a=1)
    answer = raw.send(running.url, head(*lines, f"Content-Length: {len(body)}") + body)
    problem = refused(answer, 415, code)
    if code == "unsupported_media_type":
        assert "Content-Type: application/json" in problem["detail"]
    else:
        assert "identity" in problem["detail"]
    assert answer.headers["accept-encoding"] == "identity, gzip, zstd"


@pytest.mark.parametrize(
    "type_",
    ["application/json", "Application/JSON ; charset=UTF-8", 'application/json;charset="utf-8"'],
)
def test_the_media_type_may_be_spelled_as_http_allows(running: Server, type_: str) -> None:
    body = simple(spelled=1)
    lines = (f"Content-Type: {type_}", "Content-Encoding: identity")
    answer = raw.send(running.url, head(*lines, f"Content-Length: {len(body)}") + body)
    assert answer.status == 200


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE", "PATCH", "OPTIONS"])
def test_another_method_is_refused_with_the_one_that_is_taken(running: Server, method: str) -> None:
    with raw.connect(running.url) as connection:
        connection.sendall(head(method=method))
        answer = raw.read(connection, head=method == "HEAD")
    assert answer.status == 405
    assert answer.headers["allow"] == "POST"


def test_a_push_has_no_parameters(running: Server) -> None:
    body = simple(a=1)
    lines = (JSON.strip(), f"Content-Length: {len(body)}")
    answer = raw.send(running.url, head(*lines, target=f"{PATH}?host=a") + body)
    refused(answer, 400, "unknown_param")


def test_a_body_that_is_too_large_is_refused_before_it_is_read(running: Server) -> None:
    with raw.connect(running.url) as connection:
        connection.sendall(head(JSON.strip(), f"Content-Length: {4 * 1024 * 1024 + 1}"))
        started = time.monotonic()
        problem = refused(raw.read(connection), 413, "body_too_large")
        assert time.monotonic() - started < 1
        assert problem["limit"] == 4 * 1024 * 1024


def test_whoever_sends_too_large_a_body_all_at_once_reads_the_answer(running: Server) -> None:
    body = b'{"host":"' + b"a" * (8 * 1024 * 1024) + b'"}'
    with raw.connect(running.url) as connection:
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            connection.sendall(head(JSON.strip(), f"Content-Length: {len(body)}") + body)
        answer = raw.read(connection)
        refused(answer, 413, "body_too_large")
        assert answer.headers["connection"] == "close"
        assert connection.recv(1) == b""


def test_an_endless_chunked_body_is_refused_at_the_limit(running: Server) -> None:
    chunk = b"10000\r\n" + b" " * 65_536 + b"\r\n"
    with raw.connect(running.url) as connection:
        connection.sendall(head(JSON.strip(), "Transfer-Encoding: chunked"))
        for _ in range(70):
            connection.sendall(chunk)
        refused(raw.read(connection), 413, "body_too_large")


def test_a_chunked_body_of_any_pieces_is_one_document(running: Server) -> None:
    body = simple(chunked=3)
    with raw.connect(running.url) as connection:
        connection.sendall(head(JSON.strip(), "Transfer-Encoding: chunked"))
        for at in range(len(body)):
            connection.sendall(b"1\r\n" + body[at : at + 1] + b"\r\n")
        connection.sendall(b"0\r\n\r\n")
        assert raw.read(connection).status == 200
    assert metrics_of(running, "web-1")["chunked"] == 3


def test_a_length_that_lies_is_no_push(running: Server) -> None:
    body = simple(lying=1)
    with raw.connect(running.url) as connection:
        connection.sendall(head(JSON.strip(), f"Content-Length: {len(body) + 10}") + body)
        connection.shutdown(socket.SHUT_WR)
        assert raw.read(connection).status in {0, 400}
    short = push_with_length(running, body, len(body) - 4)
    refused(short, 400, "bad_json")
    assert "lying" not in raw.get(running.url, "/api/v1/hosts/web-1").body.decode()


def push_with_length(running: Server, body: bytes, length: int) -> raw.Answer:
    return raw.send(running.url, head(JSON.strip(), f"Content-Length: {length}") + body)


@pytest.mark.parametrize("length", ["-1", "1e3", "x", "", "9" * 30, "9" * 5000])
def test_a_length_that_is_no_length_is_refused(running: Server, length: str) -> None:
    request = head(JSON.strip(), f"Content-Length: {length}")
    assert raw.send(running.url, request).status in {400, 413}


def test_several_pushes_go_over_one_connection(running: Server) -> None:
    with raw.connect(running.url) as connection:
        for value in range(3):
            body = simple(kept=value)
            connection.sendall(head(JSON.strip(), f"Content-Length: {len(body)}") + body)
            assert raw.read(connection).status == 200
        connection.sendall(head(JSON.strip(), "Content-Length: 2") + b"{}")
        refused(raw.read(connection), 400, "bad_shape")
        connection.sendall(head(JSON.strip(), f"Content-Length: {len(body)}") + body)
        assert raw.read(connection).status == 200


def test_who_waits_to_be_told_to_go_on_is_told(running: Server) -> None:
    body = simple(expected=1)
    with raw.connect(running.url) as connection:
        lines = (JSON.strip(), f"Content-Length: {len(body)}", "Expect: 100-continue")
        connection.sendall(head(*lines))
        assert connection.recv(1024).startswith(b"HTTP/1.1 100")
        connection.sendall(body)
        assert raw.read(connection).status == 200


@pytest.fixture
def curl() -> str:
    found = shutil.which("curl")
    if found is None:
        pytest.skip("curl is missing")
    return found


def curled(curl: str, *arguments: str) -> tuple[int, str]:
    """The status of curl itself, and what it printed."""
    done = subprocess.run(
        [curl, "-sS", "--max-time", "20", *arguments], capture_output=True, text=True, check=False
    )
    return done.returncode, done.stdout + done.stderr


def test_the_simple_form_works_from_curl(running: Server, curl: str) -> None:
    document = '{"host": "script-1", "metrics": {"app.queue.length": 7}, "labels": {"role": "db"}}'
    told = curled(curl, "--json", document, running.url + PATH)
    assert told == (0, '{"accepted":1,"duplicate":false,"seq":null,"watched":false}')
    host = raw.get(running.url, "/api/v1/hosts/script-1").json()
    assert host["metrics"] == {"app.queue.length": 7}
    assert host["labels"] == {"role": "db"}
    assert abs(host["at"] - time.time()) < 5


def test_curl_without_the_header_is_told_which(running: Server, curl: str) -> None:
    status, told = curled(curl, "-d", '{"host":"a","metrics":{"b":1}}', running.url + PATH)
    assert status == 0
    assert "Content-Type: application/json" in told


def test_curl_sends_a_large_push_and_is_told_of_one_too_large(
    running: Server, curl: str, tmp_path: Any
) -> None:
    keys = [f"metric.{n:05}" for n in range(2_000)]
    frames = [frame(time.time() - n, [n + 0.123456] * 2_000) for n in range(1, 21)]
    large = tmp_path / "large.json"
    large.write_bytes(encoded(host="large-1", schema=keys, frames=frames))
    status, told = curled(curl, "--json", f"@{large}", running.url + PATH)
    assert (status, json.loads(told)["accepted"]) == (0, 20)
    large.write_bytes(b" " * (5 * 1024 * 1024))
    status, told = curled(curl, "--json", f"@{large}", running.url + PATH)
    assert "body_too_large" in told


def test_a_repeat_is_acknowledged_and_another_content_conflicts(running: Server) -> None:
    body = encoded(host="repeat-1", seq=3)
    assert push(running, body).json() == RECEIPT
    assert push(running, body).json() == RECEIPT | {"accepted": 0, "duplicate": True}
    other = encoded(host="repeat-1", seq=3, frames=[frame(values=(99, 1))])
    assert refused(push(running, other), 409, "seq_conflict")["field"] == "seq"
    for seq in (9, 1, 5):
        assert push(running, encoded(host="repeat-1", seq=seq)).status == 200


def test_of_equal_pushes_at_once_one_is_stored(running: Server) -> None:
    body = encoded(host="race-1")
    with ThreadPoolExecutor(8) as pool:
        answers = [each.json() for each in pool.map(lambda _: push(running, body), range(16))]
    assert sorted(answer["duplicate"] for answer in answers) == [False] + [True] * 15
    assert sum(answer["accepted"] for answer in answers) == 1


def test_a_schema_is_sent_once_and_named_afterwards(running: Server) -> None:
    import hashlib  # noqa: PLC0415 - spelled out as the contract does

    digest = "sha256:" + hashlib.sha256("\n".join(KEYS).encode()).hexdigest()
    named = encoded(host="schema-1", schema=digest)
    refused(push(running, named), 409, "unknown_schema")
    assert push(running, encoded(host="schema-1", seq=2)).status == 200
    assert push(running, named).status == 200


def test_nobody_pushes_for_this_host_or_with_another_s_agent(running: Server) -> None:
    refused(push(running, encoded(host=NAME)), 409, "host_taken")
    assert push(running, encoded(host="agent-1", agent="spool-a")).status == 200
    other = encoded(host="agent-1", agent="spool-b", seq=2)
    refused(push(running, other), 409, "host_taken")


def test_one_bad_frame_among_good_ones_stores_none(running: Server) -> None:
    frames = [frame(), frame(), frame(at=1)]
    problem = refused(push(running, encoded(host="whole-1", frames=frames)), 400, "bad_time")
    assert problem["field"] == "frames[2].at"
    assert raw.get(running.url, "/api/v1/hosts/whole-1").status == 404


def test_what_came_late_is_history_and_not_the_present(running: Server) -> None:
    now = time.time()
    assert push(running, encoded(host="late-1", frames=[frame(now - 1, (5, 1))])).status == 200
    backlog = [frame(now - 60, (1, 1)), frame(now - 30, (2, 1))]
    assert push(running, encoded(host="late-1", seq=2, frames=backlog)).status == 200
    assert metrics_of(running, "late-1")["app.queue.length"] == 5
    target = "/api/v1/history?host=late-1&metric=app.queue.length&start=-2m&points=120"
    (series,) = raw.get(running.url, target).json()["series"]
    assert [value for value in series["avg"] if value is not None] == [1, 2, 5]


def test_a_host_that_pushed_is_everywhere(running: Server) -> None:
    """On the pages, in the API, with its rates and processes, and as an event."""
    now = time.time()
    rows = [{"pid": 7, "name": "postgres", "user": "db", "cpu": 0.5, "rss": 4096}]
    with raw.connect(running.url) as stream:
        target = f"/api/v1/stream?topics=fleet,host:{NAME}"
        stream.sendall(head(method="GET", target=target))
        for seq, at in enumerate((now - 2, now - 1)):
            body = encoded(
                host="seen-1",
                seq=seq,
                labels={"role": "db"},
                schema=["system.cpu.utilization", KEYS[1]],
                frames=[frame(at, (0.5, 1000 * seq))],
                snapshots={"processes": rows},
            )
            assert push(running, body).status == 200
        seen = b""
        until = time.monotonic() + 10
        event = b'"host":"seen-1","status":"up"'
        while event not in seen and time.monotonic() < until:
            seen += stream.recv(65_536)
        assert b"event: host_update\n" in seen
        assert event in seen
    hosts = {each["host"]: each for each in raw.get(running.url, "/api/v1/hosts").json()}
    assert hosts["seen-1"]["labels"] == {"role": "db"}
    assert hosts["seen-1"]["status"] == "up"
    metrics = metrics_of(running, "seen-1")
    assert metrics["system.cpu.utilization"] == 0.5
    assert metrics[KEYS[1]] == pytest.approx(1000)  # a counter is shown as its rate
    for page in ("/", "/hosts/seen-1"):
        answer = raw.get(running.url, page, accept="text/html")
        assert answer.status == 200
        assert b"seen-1" in answer.body
    table = raw.get(running.url, "/api/v1/hosts/seen-1/processes").json()
    assert table["processes"][0]["name"] == "postgres"
    key = quote(KEYS[1])
    history = raw.get(running.url, f"/api/v1/history?host=seen-1&metric={key}&raw=1").json()
    assert max(value for value in history["series"][0]["max"] if value is not None) == 1000


def test_markup_in_names_and_labels_stays_text(running: Server) -> None:
    nasty = '</script><img src=x onerror="alert(1)">'
    key = str(SeriesKey.of("app.x", path=nasty))
    rows = [{"pid": 1, "name": nasty, "command": nasty, "user": nasty}]
    body = encoded(
        host="nasty-1",
        schema=[key],
        frames=[frame(values=(1,))],
        labels={"role": nasty},
        snapshots={"processes": rows},
    )
    assert push(running, body).status == 200
    for page in ("/", "/hosts/nasty-1"):
        answer = raw.get(running.url, page, accept="text/html")
        assert answer.status == 200
        assert b"<img src=x" not in answer.body


@settings(
    max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    st.binary(max_size=200)
    | st.text(max_size=80).map(str.encode)
    | st.sampled_from([*full()]).flatmap(
        lambda field: st.recursive(
            st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9),
            lambda inner: st.lists(inner, max_size=3),
            max_leaves=5,
        ).map(lambda value: json.dumps(full(host="fuzz-1") | {field: value}).encode())
    )
)
def test_no_body_is_ever_a_fault_of_ours(running: Server, body: bytes) -> None:
    answer = push(running, body)
    assert answer.status in {200, 400, 409, 413}
    assert b"Traceback" not in answer.body


def test_the_pushes_are_counted_by_what_became_of_them(running: Server) -> None:
    def count(outcome: str) -> int:
        told = raw.get(running.url, "/metrics").body.decode()
        line = f'monitor_pushes_total{{outcome="{outcome}"}} '
        return int(next((x for x in told.splitlines() if x.startswith(line)), "0").split()[-1])

    before = {name: count(name) for name in ("accepted", "duplicate", "bad_shape")}
    body = encoded(host="counted-1")
    for each in (body, body, b"{}"):
        push(running, each)
    assert {name: count(name) - was for name, was in before.items()} == {
        "accepted": 1,
        "duplicate": 1,
        "bad_shape": 1,
    }


def test_a_slow_body_is_cut_by_its_own_clock(running: Server) -> None:
    """A body that pauses gets a 408 after ten seconds, and the connection ends."""
    with raw.connect(running.url) as connection:
        connection.settimeout(15)
        connection.sendall(head(JSON.strip(), "Content-Length: 100") + b'{"host"')
        started = time.monotonic()
        refused(raw.read(connection), 408, "request_timeout")
        assert 8 < time.monotonic() - started < 13


def test_a_peer_that_leaves_midway_costs_nothing(running: Server) -> None:
    for _ in range(5):
        with raw.connect(running.url) as connection:
            connection.sendall(head(JSON.strip(), "Content-Length: 100000") + b'{"host"')
    assert push(running, simple(after=1)).status == 200


class Exchange:
    """One request without a server: its body comes in pieces, and what is sent is kept."""

    def __init__(self, *pieces: bytes, stalls: bool = False) -> None:
        self._pieces = list(pieces)
        self._stalls = stalls
        self.sent: list[Any] = []
        headers = [(b"content-type", b"application/json"), (b"transfer-encoding", b"chunked")]
        self.scope: dict[str, Any] = {"method": "POST", "query_string": b"", "headers": headers}
        self.scope["monitor.caller"] = OPEN

    async def receive(self) -> Any:
        if self._stalls and not self._pieces:
            await asyncio.sleep(60)
        piece = self._pieces.pop(0)
        more = bool(self._pieces) or self._stalls
        return {"type": "http.request", "body": piece, "more_body": more}

    async def send(self, message: Any) -> None:
        self.sent.append(message)

    def answer(self) -> tuple[int, Any, dict[bytes, bytes]]:
        body = b"".join(message["body"] for message in self.sent[1:])
        return self.sent[0]["status"], json.loads(body), dict(self.sent[0]["headers"])


def endpoint(accept: Accept, **limits: float) -> PushEndpoint:
    intake = Intake(accept, PeopledRig("hub").fleet, time.time)

    async def report(_scope: object, _error: object) -> None:
        """Nobody is told."""

    def still(_scope: object) -> None:
        """Everybody may what they might."""

    bounds = Limits(**limits)  # type: ignore[arg-type]
    return PushEndpoint(intake, report, still, Load(2**62), Bodies(bounds))


async def stored(_frames: object, _snapshots: object, _sent: object) -> None:
    """A store that keeps everything."""


async def test_a_store_that_fails_asks_to_come_again_and_shows_nothing() -> None:
    async def fail(_frames: object, _snapshots: object, _sent: object) -> None:
        raise OSError("/secret/path is full")

    exchange = Exchange(simple(a=1))
    await endpoint(fail)(exchange.scope, exchange.receive, exchange.send)
    status, problem, headers = exchange.answer()
    assert (status, problem["code"]) == (503, "not_stored")
    assert b"retry-after" in headers
    assert "secret" not in json.dumps(problem)


async def test_a_store_that_is_low_on_disk_says_when_to_come_again() -> None:
    async def refuse(_frames: object, _snapshots: object, _sent: object) -> None:
        raise Unavailable("little is free", code="disk_low", status=507, retry_after=60.0)

    exchange = Exchange(simple(a=1))
    await endpoint(refuse)(exchange.scope, exchange.receive, exchange.send)
    status, problem, headers = exchange.answer()
    assert (status, problem["code"], headers[b"retry-after"]) == (507, "disk_low", b"60")


@pytest.mark.parametrize("limits", [{"chunk_seconds": 0.05}, {"body_seconds": 0.05}])
async def test_a_body_has_a_deadline_for_each_piece_and_one_in_all(
    limits: dict[str, float],
) -> None:
    exchange = Exchange(b"{", stalls=True)
    started = time.monotonic()
    await endpoint(stored, **limits)(exchange.scope, exchange.receive, exchange.send)
    assert exchange.answer()[:2][0] == 408
    assert time.monotonic() - started < 5


async def test_all_bodies_together_are_bounded_and_give_their_room_back() -> None:
    taking = endpoint(stored, most_held_bytes=100)
    for _ in range(3):
        large = Exchange(b" " * 60, b" " * 60)
        await taking(large.scope, large.receive, large.send)
        assert large.answer()[:2][0] == 503
    small = Exchange(simple(a=1))
    await taking(small.scope, small.receive, small.send)
    assert small.answer()[0] == 200
