"""Pushes as MessagePack, and compressed, on a running server: taken, refused, and what stays."""

from __future__ import annotations

import gzip
import json
import time
from pathlib import Path
from typing import Any

import cramjam
import msgspec
import pytest

from tests import serving
from tests.ingest.documents import KEYS, encoded, frame, full
from tests.ingest.test_inflating import block
from tests.ingest.test_inflating import frame as zstd_frame
from tests.ingest.test_packed import WRONG
from tests.serving import Server
from tests.web import raw

PACKED = "Content-Type: application/msgpack"
PLAIN = "Content-Type: application/json"
MOST = 4 * 1024 * 1024


def push(running: Server, body: bytes, *lines: str) -> raw.Answer:
    """Push on a connection of its own."""
    sent = "".join(f"{line}\r\n" for line in (*lines, f"Content-Length: {len(body)}"))
    head = f"POST /api/v1/push HTTP/1.1\r\nHost: localhost\r\n{sent}\r\n".encode()
    return raw.send(running.url, head + body)


def packed(**changes: Any) -> bytes:
    return msgspec.msgpack.encode(full(**changes))


def gzipped(body: bytes) -> bytes:
    return gzip.compress(body, mtime=0)


def zstd(body: bytes) -> bytes:
    return bytes(cramjam.zstd.compress(body))


def test_both_forms_are_one_push(running: Server) -> None:
    """It must be that a repeat in the other form, or compressed, is known as what it is."""
    document = full(
        host="both-1", seq=7, agent="a", sent=time.time(), frames=[frame(values=(3, 5))]
    )
    as_json, as_packed = json.dumps(document).encode(), msgspec.msgpack.encode(document)
    answer = push(running, as_packed, PACKED)
    assert answer.json() == {"accepted": 1, "duplicate": False, "seq": 7, "watched": False}
    for body, *lines in (
        (as_json, PLAIN),
        (as_packed, "Content-Type: application/vnd.msgpack"),
        (as_packed, "Content-Type: application/x-msgpack"),
        (gzipped(as_json), PLAIN, "Content-Encoding: gzip"),
        (zstd(as_packed), PACKED, "Content-Encoding: zstd"),
        (gzipped(as_packed), PACKED, "Content-Encoding: GZIP"),
    ):
        answer = push(running, body, *lines)
        assert (answer.status, answer.json()["duplicate"]) == (200, True), lines
    metrics = raw.get(running.url, "/api/v1/hosts/both-1").json()["metrics"]
    assert metrics[KEYS[0]] == 3


@pytest.mark.parametrize("name", WRONG)
def test_what_is_wrong_is_refused_and_leaves_nothing(running: Server, name: str) -> None:
    body, status, code, field = WRONG[name]
    body = body.replace(b"\xa5web-1", b"\xa5ref-1").replace(b"\xa4host\xa1a", b"\xa4host\xa1z")
    answer = push(running, body, PACKED)
    problem = answer.json()
    assert (answer.status, problem["code"]) == (status, code)
    assert answer.headers["content-type"] == "application/problem+json"
    assert field is None or problem["field"] == field
    for host in ("ref-1", "z", "a"):
        assert raw.get(running.url, f"/api/v1/hosts/{host}").status == 404


BODY = encoded(host="zip-1")
BOMB = b"\x20" * 100_000_000
COMPRESSED = {
    "gzip bomb": (gzipped(BOMB), "gzip", 413, "inflated_too_large"),
    "gzip bomb in a bomb": (gzipped(gzipped(BOMB)), "gzip", 400, "bad_utf8"),
    "gzip one too many": (gzipped(BOMB[: MOST + 1]), "gzip", 413, "inflated_too_large"),
    "gzip truncated": (gzipped(BODY)[:-9], "gzip", 400, "bad_gzip"),
    "gzip with garbage": (gzipped(BODY) + b"x", "gzip", 400, "bad_gzip"),
    "gzip of the wrong sum": (gzipped(BODY)[:-8] + bytes(8), "gzip", 400, "bad_gzip"),
    "no gzip": (BODY, "gzip", 400, "bad_gzip"),
    "gzip of nothing": (gzipped(b""), "gzip", 400, "bad_shape"),
    "zstd bomb": (zstd(BOMB), "zstd", 413, "inflated_too_large"),
    "zstd bomb of unknown size": (
        zstd_frame(*[block(1, 128 * 1024, b" ", last=False)] * 40, block(0, 0, b""), window=7 << 3),
        "zstd",
        413,
        "inflated_too_large",
    ),
    "zstd of a large window": (
        zstd_frame(block(0, 1, b"a"), window=17 << 3),
        "zstd",
        413,
        "inflated_too_large",
    ),
    "zstd truncated": (zstd(BODY)[:-3], "zstd", 400, "bad_zstd"),
    "zstd with garbage": (zstd(BODY) + b"x", "zstd", 400, "bad_zstd"),
    "no zstd": (BODY, "zstd", 400, "bad_zstd"),
    "zstd said to be gzip": (zstd(BODY), "gzip", 400, "bad_gzip"),
    "brotli": (BODY, "br", 415, "unsupported_encoding"),
    "deflate": (BODY, "deflate", 415, "unsupported_encoding"),
    "gzip twice": (gzipped(gzipped(BODY)), "gzip, gzip", 415, "unsupported_encoding"),
    "gzip with a weight": (gzipped(BODY), "GZIP;q=1", 415, "unsupported_encoding"),
}


@pytest.mark.parametrize("name", COMPRESSED)
def test_what_is_badly_compressed_is_refused_and_leaves_nothing(running: Server, name: str) -> None:
    body, coding, status, code = COMPRESSED[name]
    answer = push(running, body, PLAIN, f"Content-Encoding: {coding}")
    problem = answer.json()
    assert (answer.status, problem["code"]) == (status, code)
    if code == "inflated_too_large":
        assert problem["limit"] in {MOST, 8 * 1024 * 1024}
    if status == 415:
        assert answer.headers["accept-encoding"] == "identity, gzip, zstd"
        assert "gzip" in problem["detail"]
    assert raw.get(running.url, "/api/v1/hosts/zip-1").status == 404


def test_bombs_one_after_another_leave_the_server_its_memory(running: Server) -> None:
    def resident() -> int:
        status = Path(f"/proc/{running.process.pid}/status").read_text()
        return int(status.partition("VmHWM:")[2].split()[0])

    bomb, other = gzipped(BOMB), zstd(BOMB)
    push(running, bomb, PLAIN, "Content-Encoding: gzip")
    push(running, other, PLAIN, "Content-Encoding: zstd")
    before = resident()
    for _ in range(10):
        push(running, bomb, PLAIN, "Content-Encoding: gzip")
        push(running, other, PLAIN, "Content-Encoding: zstd")
    assert resident() - before < 40_000, (before, resident())
    assert push(running, encoded(host="after-bombs"), PLAIN).status == 200


@pytest.mark.parametrize("form", ["json", "msgpack"])
def test_a_version_of_the_future_is_told_what_is_spoken_and_unknown_fields_are_taken(
    running: Server, form: str
) -> None:
    host = f"future-{form}"

    def send(**changes: Any) -> raw.Answer:
        if form == "json":
            return push(running, encoded(host=host, **changes), PLAIN)
        return push(running, packed(host=host, **changes), PACKED)

    for version, status, code in ((2, 400, "schema_version"), ("1", 400, "bad_type")):
        answer = send(protocol=version)
        problem = answer.json()
        assert (answer.status, problem["code"], problem["field"]) == (status, code, "protocol")
        if code == "schema_version":
            assert problem["limit"] == 1
            assert "1 to 1" in problem["detail"]
    assert raw.get(running.url, f"/api/v1/hosts/{host}").status == 404
    assert send(protocol=1, colour="green", info={"paint": [1]}).status == 200


def test_a_goodbye_ends_the_waiting_for_a_host_at_once_and_its_next_frame_up(
    running: Server,
) -> None:
    def status() -> str:
        found: str = raw.get(running.url, "/api/v1/hosts/bye-1").json()["status"]
        return found

    def wait_for(wanted: str) -> None:
        until = time.monotonic() + 10
        while status() != wanted:
            assert time.monotonic() < until
            time.sleep(0.05)

    assert push(running, packed(host="bye-1", agent="a"), PACKED).status == 200
    assert status() == "up"
    bye = {"host": "bye-1", "agent": "a", "boot_id": "b-1", "bye": True}
    answer = push(running, json.dumps(bye).encode(), PLAIN)
    assert answer.json() == {"accepted": 0, "duplicate": False, "seq": None, "watched": False}
    assert status() != "up"
    other = push(running, json.dumps(bye | {"agent": "b"}).encode(), PLAIN)
    assert (other.status, other.json()["code"]) == (409, "host_taken")
    assert push(running, packed(host="bye-1", agent="a", seq=2), PACKED).status == 200
    wait_for("up")


def test_a_frame_older_than_what_is_kept_is_named_and_nothing_is_stored(running: Server) -> None:
    old = time.time() - 20 * 365 * 86_400
    frames = [frame(), frame(old), frame()]
    answer = push(running, packed(host="old-1", frames=frames), PACKED)
    problem = answer.json()
    assert (answer.status, problem["code"]) == (400, "too_old")
    assert problem["limit"] > old
    assert problem["field"].startswith("frames[")
    assert raw.get(running.url, "/api/v1/hosts/old-1").status == 404


def test_a_counter_that_was_reset_is_stored_and_no_rate_is_below_zero(running: Server) -> None:
    now = time.time()
    frames = [frame(now - 4 + n, (1, count)) for n, count in enumerate((900, 1000, 10, 20))]
    assert push(running, packed(host="reset-1", frames=frames), PACKED).json()["accepted"] == 4
    assert raw.get(running.url, "/api/v1/hosts/reset-1").json()["metrics"][KEYS[1]] >= 0


def test_a_repeat_is_known_by_the_server_that_comes_after(tmp_path: Path) -> None:
    """It must be that an orderly restart forgets no push, and a killed server stores none twice."""
    bodies = [packed(host="again-1", seq=seq, frames=[frame(values=(seq, 1))]) for seq in range(5)]
    at = time.time() - 9
    late = packed(host="again-1", seq=9, frames=[frame(at, (9, 9))])
    first = serving.start(tmp_path)
    for body in bodies:
        assert not push(first, body, PACKED).json()["duplicate"]
    assert first.end() == 0
    second = serving.start(tmp_path)
    for body in bodies:
        assert push(second, body, PACKED).json()["duplicate"]
    assert not push(second, late, PACKED).json()["duplicate"]
    second.process.kill()
    second.process.wait()
    third = serving.start(tmp_path)
    assert push(third, late, PACKED).status == 200
    target = f"/api/v1/history?host=again-1&metric={KEYS[0]}&start={at - 1}&end={at + 1}&points=2"
    (series,) = raw.get(third.url, target).json()["series"]
    assert [value for value in series["avg"] if value is not None] == [9]
    assert third.end() == 0
