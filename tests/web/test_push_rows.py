"""Bad pushes, row by row, on a running server that has accounts: what is said, and what stays.

One server, and a witness: a host of its own whose values, history and open connection must be the
same after each row.  `tests.ingest.refusals` has what a document may have wrong; here they come
with a token, over one connection that stays.
"""

from __future__ import annotations

import json
import socket
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests import serving
from tests.ingest.documents import encoded, frame, full
from tests.ingest.refusals import REFUSALS
from tests.web import raw
from tests.web.test_push_packed import COMPRESSED

SECONDS = 10.0
"""How long to wait for what comes by itself."""

IDLE_SECONDS = 2.0
"""How long the witness takes a connection for granted; the server ends an idle one after five."""

JSON = "Content-Type: application/json"
SHUT = {"body_too_large", "bad_framing", "auth_required", "request_timeout"}
"""Codes after which a connection may be over: what was sent behind them cannot be told apart."""


def monitor(folder: Path, *words: str, given: str = "") -> str:
    """The command line beside the running server."""
    return subprocess.run(
        [*serving.checkout_command(), *words, "--data", str(folder / "data")],
        cwd=folder,
        env=serving.checkout_environment(),
        input=given,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()


@dataclass
class House:
    """The server, its tokens, and the witness."""

    server: serving.Server
    folder: Path
    witness: str
    hostile: str
    reader: str
    seq: int = field(default=0, init=False)
    began: float = field(default_factory=lambda: round(time.time()) - 600.0, init=False)
    connection: socket.socket = field(init=False)
    known: dict[str, Any] = field(init=False)
    heard_at: float = field(default_factory=time.monotonic, init=False)

    def __post_init__(self) -> None:
        self.connection = raw.connect(self.server.url)
        for _ in range(2):
            self.testify()
        self.known = self.seen()

    def head(self, *lines: str, token: str | None = None) -> bytes:
        bearer = f"Authorization: Bearer {self.hostile if token is None else token}"
        sent = "".join(f"{line}\r\n" for line in (bearer, *lines))
        return f"POST /api/v1/push HTTP/1.1\r\nHost: localhost\r\n{sent}\r\n".encode()

    def push(self, body: bytes, *lines: str, token: str | None = None) -> raw.Answer:
        sent = self.head(*lines, f"Content-Length: {len(body)}", token=token) + body
        return raw.send(self.server.url, sent)

    def testify(self) -> None:
        """The witness pushes over the connection that it has, which waits for some time only."""
        if time.monotonic() - self.heard_at > IDLE_SECONDS:
            self.connection.close()
            self.connection = raw.connect(self.server.url)
        self.seq += 1
        at = 1.0 * self.seq + self.began
        body = encoded(host="witness-1", seq=self.seq, frames=[frame(at, (7, 1_000))])
        sent = self.head(JSON, f"Content-Length: {len(body)}", token=self.witness) + body
        self.connection.sendall(sent)
        answer = raw.read(self.connection)
        assert answer.status == 200, answer.body
        self.heard_at = time.monotonic()

    def get(self, target: str) -> raw.Answer:
        return raw.get(self.server.url, target, authorization=f"Bearer {self.reader}")

    def seen(self) -> dict[str, Any]:
        """What is known of the witness, and which hosts there are."""
        found = self.get("/api/v1/history?host=witness-1&metric=app.queue.length").json()
        (series,) = found["series"]
        host = self.get("/api/v1/hosts/witness-1").json()
        names = [each["host"] for each in self.get("/api/v1/hosts").json()]
        return {
            "metrics": host["metrics"],
            "labels": host["labels"],
            "status": host["status"],
            "history": {*series["min"], *series["max"]},
            "hosts": sorted(names),
        }

    def is_intact(self) -> None:
        """Nothing of the witness has changed, no host has come, and it is heard at once."""
        self.testify()
        assert self.seen() == self.known
        assert self.server.process.poll() is None


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    folder = tmp_path_factory.mktemp("rows")
    server = serving.start(folder)
    monitor(
        folder,
        *("user", "create", "ann", "--role", "admin", "--password-stdin"),
        given="correct horse battery\n",
    )
    kinds = (("--host", "witness-1"), ("--ingest", "bad-*"), ("--api", "read,admin"))
    with ThreadPoolExecutor(3) as pool:
        tokens = pool.map(lambda kind: monitor(folder, "token", "create", *kind), kinds)
        witness, hostile, reader = tokens
    made = House(server, folder, witness, hostile, reader)
    yield made
    made.connection.close()
    assert server.end() == 0
    assert "Traceback" not in server.said()


def refused(answer: raw.Answer, status: int, code: str) -> dict[str, Any]:
    found: dict[str, Any] = answer.json()
    assert (answer.status, found["code"]) == (status, code), answer.body
    assert answer.headers["content-type"] == "application/problem+json"
    assert {"type", "title", "status", "detail"} <= found.keys()
    return found


def test_every_document_that_is_wrong_leaves_the_connection_and_everybody_as_they_were(
    house: House,
) -> None:
    """Rows 8 to 17, 21 and 23."""
    connection = raw.connect(house.server.url)
    for name, (body, status, code, _) in REFUSALS.items():
        named = body.replace(b'"web-1"', b'"bad-1"').replace(b'"host": "a"', b'"host": "bad-1"')
        connection.sendall(house.head(JSON, f"Content-Length: {len(named)}") + named)
        answer = raw.read(connection)
        assert (answer.status, answer.json()["code"]) == (status, code), name
        assert len(answer.json()["detail"]) < 400
        if answer.headers.get("connection") == "close":
            assert code in SHUT, name
            connection.close()
            connection = raw.connect(house.server.url)
    connection.close()
    house.is_intact()


def test_what_is_badly_compressed_leaves_everybody_as_they_were(house: House) -> None:
    """Rows 5 and 6; a 413 or 400 comes, and no memory goes."""
    for name, (body, coding, status, code) in COMPRESSED.items():
        answer = house.push(body, JSON, f"Content-Encoding: {coding}")
        assert (answer.status, answer.json()["code"]) == (status, code), name
    house.is_intact()


AUTHORIZATIONS = {
    "none": "X-Nothing: 1",
    "empty": "Authorization:",
    "scheme alone": "Authorization: Bearer",
    "another scheme": "Authorization: Basic YTpi",
    "no scheme": "Authorization: agt_0123456789",
    "unknown": "Authorization: Bearer agt_0123456789abcdef0123456789abcdef",
    "not ASCII": "Authorization: Bearer agt_\xe9\xff",
    "two words": "Authorization: Bearer agt_a agt_b",
    "long": "Authorization: Bearer " + "a" * 10_000,
}


@pytest.mark.parametrize("name", AUTHORIZATIONS)
def test_nobody_is_told_so_before_the_body_is_read(house: House, name: str) -> None:
    """Row 1: it says that it is a bomb of 4 MB, and none of it is waited for."""
    lines = ("Host: localhost", AUTHORIZATIONS[name], JSON, "Content-Encoding: gzip")
    head = "\r\n".join(["POST /api/v1/push HTTP/1.1", *lines, "Content-Length: 4000000", "", ""])
    answer = raw.send(house.server.url, head.encode("latin-1"))
    problem = refused(answer, 401, "auth_required")
    assert answer.headers["connection"] == "close"
    assert answer.headers["www-authenticate"].startswith("Bearer")
    assert "agt_" not in problem["detail"]
    house.is_intact()


def test_a_token_with_a_nul_is_no_header(house: House) -> None:
    """Row 1."""
    sent = house.head(JSON, "Content-Length: 2", token="agt_\0x") + b"{}"
    answer = raw.send_and_see_the_end(house.server.url, sent)
    assert answer.status in {400, 401}
    house.is_intact()


def test_another_hosts_frames_are_refused_and_it_is_remembered_who_tried(house: House) -> None:
    """Row 2, in every form."""
    document = full(host="witness-1", seq=10_000, frames=[frame(values=(666, 666))])
    for body, media in (
        (json.dumps(document).encode(), "application/json"),
        (msgspec.msgpack.encode(document), "application/msgpack"),
        (b'{"host":"witness-1","metrics":{"app.queue.length":666}}', "application/json"),
        (b'{"host":"witness-1","agent":"a","boot_id":"b-1","bye":true}', "application/json"),
    ):
        answer = house.push(body, f"Content-Type: {media}")
        assert refused(answer, 403, "host_mismatch")["field"] == "host"
    house.is_intact()
    trail = house.get("/events?kind=audit").body.decode()
    assert trail.count("host_mismatch POST /api/v1/push (refused") == 4


@pytest.mark.parametrize(
    "lines",
    [
        (),
        ("Content-Type: text/plain",),
        ("Content-Type: application/x-www-form-urlencoded",),
        ("Content-Type: multipart/form-data; boundary=x",),
        ("Content-Type: application/x-protobuf",),
        (JSON, JSON),
    ],
)
def test_only_what_no_form_can_send_is_taken(house: House, lines: tuple[str, ...]) -> None:
    """Row 4."""
    refused(house.push(encoded(host="bad-1"), *lines), 415, "unsupported_media_type")
    house.is_intact()


def test_a_body_over_the_bound_ends_its_own_connection_alone(house: House) -> None:
    """Row 7, by its length, in chunks, and with a length that lies."""
    large = house.head(JSON, f"Content-Length: {4 * 1024 * 1024 + 1}")
    answer = raw.send(house.server.url, large)
    refused(answer, 413, "body_too_large")
    assert answer.headers["connection"] == "close"
    with raw.connect(house.server.url) as connection:
        connection.sendall(house.head(JSON, "Transfer-Encoding: chunked"))
        for _ in range(70):
            connection.sendall(b"10000\r\n" + b" " * 65_536 + b"\r\n")
        refused(raw.read(connection), 413, "body_too_large")
    body = encoded(host="bad-1")
    short = house.head(JSON, f"Content-Length: {len(body) - 5}") + body
    refused(raw.send(house.server.url, short), 400, "bad_json")
    both = house.head(JSON, "Content-Length: 2", "Transfer-Encoding: chunked") + b"0\r\n\r\n"
    refused(raw.send_and_see_the_end(house.server.url, both), 400, "bad_framing")
    house.is_intact()


def test_a_bad_frame_among_good_ones_is_named_and_none_is_stored(house: House) -> None:
    """Row 18."""
    now = time.time()
    for at, code in ((now - 1e8, "too_old"), (now + 3_600, "bad_time"), (7, "bad_time")):
        frames = [frame(now - 2), frame(now - 1), frame(at)]
        body = encoded(host="bad-1", frames=frames, sent=now)
        problem = refused(house.push(body, JSON), 400, code)
        assert problem["field"].startswith("frames[")
        assert house.get("/api/v1/hosts/bad-1").status == 404
    house.is_intact()


def test_messagepack_that_is_none_writes_nothing(house: House) -> None:
    """Row 22."""
    whole = msgspec.msgpack.encode(full(host="bad-1"))
    for body in (whole[:-1], whole + b"\xc0", b"\xdf\xff\xff\xff\xff", b"\xc1", b"\xdb\0\1\0\0a"):
        refused(house.push(body, "Content-Type: application/msgpack"), 400, "bad_frame")
    house.is_intact()


def test_a_future_protocol_is_told_what_is_spoken(house: House) -> None:
    """Row 21."""
    problem = refused(house.push(encoded(host="bad-1", protocol=2), JSON), 400, "schema_version")
    assert (problem["field"], problem["limit"]) == ("protocol", 1)
    house.is_intact()


def test_who_is_turned_away_is_shown_with_what_to_do(house: House) -> None:
    """Rows 17 and 24: a second machine, and one whose clock is an hour ahead."""
    ahead = time.time() + 3_600
    body = encoded(host="bad-ahead", sent=ahead, frames=[frame(ahead)])
    refused(house.push(body, JSON), 400, "bad_time")
    own = encoded(host=socket.gethostname())
    refused(house.push(own, JSON), 403, "host_mismatch")  # nobody learns whose host it is
    page = raw.get(
        house.server.url, "/", authorization=f"Bearer {house.reader}", accept="text/plain"
    ).body.decode()
    said = " ".join(page.split())
    assert "bad-ahead is 1 h" in said or "bad-ahead is 59 min" in said
    assert "ahead: its frames are refused" in said
    house.is_intact()


def test_repeats_are_acknowledged_conflicts_told_and_any_order_taken(house: House) -> None:
    """Rows 19, 20 and 24; last of all, since a host comes by it."""
    body = encoded(host="bad-ok", seq=5, agent="one")
    answers = [house.push(body, JSON).json() for _ in range(3)]
    assert [(each["accepted"], each["duplicate"]) for each in answers] == [
        (1, False),
        (0, True),
        (0, True),
    ]
    other = encoded(host="bad-ok", seq=5, agent="one", frames=[frame(values=(9, 9))])
    refused(house.push(other, JSON), 409, "seq_conflict")
    for seq in (900, 1, 77):
        assert house.push(encoded(host="bad-ok", seq=seq, agent="one"), JSON).status == 200
    refused(house.push(encoded(host="bad-ok", seq=6, agent="two"), JSON), 409, "host_taken")
    reset = encoded(host="bad-ok", seq=1_000, agent="one", frames=[frame(values=(1, 0))])
    assert house.push(reset, JSON).status == 200
    house.known["hosts"] = sorted([*house.known["hosts"], "bad-ok"])
    house.is_intact()


def test_a_token_that_is_revoked_ends_on_the_connection_that_it_is_used_on(house: House) -> None:
    """Row 3, by the command line beside the server."""
    passing = monitor(house.folder, "token", "create", "--ingest", "bad-*", "--note", "passing")
    (made,) = [
        each["id"]
        for each in json.loads(monitor(house.folder, "token", "list", "--json"))
        if each["note"] == "passing"
    ]
    body = encoded(host="bad-ok", seq=5, agent="one", frames=[])
    with raw.connect(house.server.url) as connection:
        sent = house.head(JSON, f"Content-Length: {len(body)}", token=passing) + body
        connection.sendall(sent)
        refused(raw.read(connection), 400, "bad_shape")
        monitor(house.folder, "token", "delete", made)
        deadline = time.monotonic() + SECONDS
        while True:
            connection.sendall(sent)
            answer = raw.read(connection)
            if answer.status == 401 or time.monotonic() > deadline:
                break
        refused(answer, 401, "auth_required")
        assert connection.recv(1) == b""
    house.is_intact()
