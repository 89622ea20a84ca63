"""``/api/v1/agent`` on a running server: acknowledged after commit, in order, within bounds."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import pytest
import websockets.asyncio.client

from monitor.access.tokens import Wish
from monitor.core.access import Role, TokenKind
from monitor.core.load import Seen
from monitor.errors import Unavailable
from monitor.stream.reader import Pipe
from monitor.tls.contexts import context
from monitor.tls.folder import kept
from monitor.web import agentlink
from monitor.web.agentsocket import AgentEndpoint
from tests.ingest.documents import encoded, full
from tests.ingest.documents import frame as values_at
from tests.ingest.refusals import REFUSALS
from tests.serving import Server
from tests.web import raw
from tests.web.agents import (
    BINARY,
    CLOSE,
    PING,
    PONG,
    TEXT,
    Agent,
    documents,
    frame,
    handshake,
    is_closed,
)
from tests.web.house import ROOT, PeopledRig

_Result = TypeVar("_Result")


async def apart(work: Callable[..., _Result], *arguments: Any, **named: Any) -> _Result:
    """Do what waits for the server beside the loop that serves."""
    return await asyncio.to_thread(work, *arguments, **named)


async def until(holds: Callable[[], bool]) -> None:
    """Wait for something that the server does by itself."""
    async with asyncio.timeout(10):
        while not holds():  # noqa: ASYNC110 - nothing says when
            await asyncio.sleep(0.005)


def heard(said: str | bytes) -> Any:
    """What the server said to a library's client."""
    assert isinstance(said, bytes)
    return msgspec.msgpack.decode(said)


def connected(url: str, *lines: str, token: str = "") -> Agent:
    """An agent that has heard the server's first word."""
    agent = Agent(url, "Sec-WebSocket-Protocol: awoooi.v1", *lines, token=token)
    assert agent.is_open, agent.head
    assert "server" in agent.hear()
    return agent


def metrics_of(url: str, host: str) -> dict[str, float]:
    found: dict[str, float] = raw.get(url, f"/api/v1/hosts/{host}").json()["metrics"]
    return found


# The handshake


@pytest.mark.parametrize(
    ("request_", "status", "code"),
    [
        (b"GET /api/v1/agent HTTP/1.1\r\nHost: localhost\r\n\r\n", 426, "upgrade_required"),
        (handshake().replace(b"Version: 13", b"Version: 8"), 426, "upgrade_required"),
        (handshake().replace(b"Upgrade: websocket", b"Upgrade: h2c"), 426, "upgrade_required"),
        (handshake().replace(b"Key: MD", b"Key: !!"), 426, "upgrade_required"),
        (handshake().replace(b"Key: MDEy", b"Key: "), 426, "upgrade_required"),
        (handshake("Sec-WebSocket-Key: x"), 426, "upgrade_required"),
        (handshake().replace(b"HTTP/1.1", b"HTTP/1.0"), 426, "upgrade_required"),
        (handshake(target="/api/v1/agent?host=a"), 400, "unknown_param"),
        (handshake("Origin: http://localhost"), 403, "csrf"),
        (handshake("Origin: null"), 403, "csrf"),
        (handshake("Sec-Fetch-Site: same-origin"), 403, "csrf"),
        (handshake("Sec-WebSocket-Protocol: awoooi.v9, mqtt"), 400, "schema_version"),
        (handshake("Authorization: Bearer garbage"), 401, "auth_required"),
        (handshake().replace(b"localhost", b"evil.example"), 421, "bad_host"),
        (handshake(method="POST"), 405, "method_not_allowed"),
        (handshake(target="/api/v1/agent/"), 404, "not_found"),
        (handshake(target="/api/v1/%61gent"), 404, "not_found"),
        (handshake(target="/api/v1/push"), 404, "not_found"),
    ],
    ids=range(18),
)
def test_whoever_is_no_agent_reads_why(
    running: Server, request_: bytes, status: int, code: str
) -> None:
    if b"HTTP/1.0" in request_:
        request_ = request_.replace(b"Connection: keep-alive, Upgrade\r\n", b"")
    answer = raw.send(running.url, request_)
    assert (answer.status, answer.json()["code"]) == (status, code)
    assert answer.headers["content-type"] == "application/problem+json"
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    if status == 426:
        assert answer.headers["sec-websocket-version"] == "13"


def test_no_extension_is_agreed_and_the_server_says_who_it_is(running: Server) -> None:
    offered = "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits"
    with Agent(running.url, offered, "Sec-WebSocket-Protocol: x, awoooi.v1") as agent:
        assert agent.is_open
        assert "extensions" not in agent.head.lower()
        assert "sec-websocket-protocol: awoooi.v1" in agent.head
        said = agent.hear()
        assert said["watched"] is False
        assert said["server"]["protocol"] == [1, 1]
        assert abs(said["server"]["time"] - time.time()) < 5
        assert said["server"]["version"]


def test_a_script_hears_first_what_became_of_its_document_in_its_own_words(
    running: Server,
) -> None:
    with Agent(running.url) as agent:
        assert "sec-websocket-protocol" not in agent.head
        agent.send(full(host="ws-script"))
        assert agent.hear() == {"ack": [["b-1", 1]]}
        agent.send(full(host="ws-script", seq=2), text=True)
        assert agent.frame() == (TEXT, b'{"ack":[["b-1",2]]}')
        agent.send(full(host="ws-script", seq=3))
        assert agent.hear() == {"ack": [["b-1", 3]]}


# Documents


def test_documents_are_stored_and_acknowledged_in_order_and_repeats_too(running: Server) -> None:
    with connected(running.url) as agent:
        sent = list(documents("ws-1", 60))
        for document in sent:
            agent.send(document)
        assert agent.acks(60) == [("b-1", seq) for seq in range(1, 61)]
        assert metrics_of(running.url, "ws-1")["app.queue.length"] == 1.5
        agent.send(sent[30])
        assert agent.acks(1) == [("b-1", 31)]
        agent.send(full(host="ws-1", seq=61))
        assert agent.acks(1) == [("b-1", 61)]


def test_a_refusal_names_its_push_and_nothing_else_is_lost(running: Server) -> None:
    with connected(running.url) as agent:
        agent.send(full(host="ws-2", seq=1))
        agent.send(full(host="ws-2", seq=2, frames=[values_at(1)]))
        agent.send(full(host="ws-2", seq=3))
        agent.send(full(host="ws-2", seq=1, frames=[values_at(values=(9, 9))]))
        agent.connection.sendall(frame(BINARY, b"\xc1"))
        agent.connection.sendall(frame(TEXT, b"\xff\xfe"))
        agent.send(full(host="ws-2", seq=4, schema="sha256:" + "0" * 64))
        agent.send(full(host="ws-2", seq=5))
        acked: list[Any] = []
        refused: list[Any] = []
        while len(acked) + len(refused) < 8:
            said = agent.hear()
            acked += said.get("ack", ())
            refused += said.get("refused", ())
    assert acked == [["b-1", 1], ["b-1", 3], ["b-1", 5]]
    assert [(*each[:2], each[2]["code"], each[2]["status"]) for each in refused] == [
        ("b-1", 2, "bad_time", 400),
        ("b-1", 1, "seq_conflict", 409),
        (None, None, "bad_frame", 400),
        (None, None, "bad_utf8", 400),
        ("b-1", 4, "unknown_schema", 409),
    ]
    assert refused[0][2]["field"] == "frames[0].at"
    assert "retry_after" not in refused[0][2]


def test_everything_that_is_refused_by_post_is_refused_here_and_leaves_nothing(
    running: Server,
) -> None:
    with connected(running.url) as agent:
        for name, (body, status, code, field) in REFUSALS.items():
            body = body.replace(b'"web-1"', b'"ws-refused"')  # noqa: PLW2901
            if len(body) > 1_000_000:
                continue
            agent.connection.sendall(frame(TEXT, body))
            _, _, problem = agent.refusal()
            assert (problem["status"], problem["code"]) == (status, code), name
            assert field is None or problem["field"] == field, name
        agent.send(full(host="ws-3"))
        assert agent.acks(1) == [("b-1", 1)]
    assert raw.get(running.url, "/api/v1/hosts/ws-refused").status == 404


def test_a_protocol_of_the_future_is_refused_with_what_is_spoken(running: Server) -> None:
    with connected(running.url) as agent:
        agent.send(full(host="ws-4", protocol=2))
        boot_id, seq, problem = agent.refusal()
        assert (boot_id, seq, problem["code"]) == ("b-1", 1, "schema_version")
        assert (problem["field"], problem["limit"]) == ("protocol", 1)


def test_a_goodbye_is_heard_and_the_connection_may_go_on(running: Server) -> None:
    with connected(running.url) as agent:
        agent.send(full(host="ws-5", agent="a"))
        agent.acks(1)
        agent.send({"host": "ws-5", "agent": "a", "boot_id": "b-1", "bye": True})
        agent.connection.sendall(frame(PING, b"done?"))
        assert agent.frame() == (PONG, b"done?")
    until_away(running, "ws-5")


def test_what_is_sent_before_a_close_is_stored_and_acknowledged(running: Server) -> None:
    """It must be that an agent may say goodbye and close in one breath."""
    with connected(running.url) as agent:
        agent.send(full(host="ws-10", agent="a"))
        agent.acks(1)
        bye = {"host": "ws-10", "agent": "a", "boot_id": "b-1", "bye": True}
        said = [full(host="ws-10", agent="a", seq=2), bye]
        pieces = [frame(BINARY, msgspec.msgpack.encode(each)) for each in said]
        agent.connection.sendall(b"".join([*pieces, frame(CLOSE, b"\x03\xe8")]))
        assert agent.acks(1) == [("b-1", 2)]
        assert agent.ending() == 1000
    until_away(running, "ws-10")


def until_away(running: Server, host: str) -> None:
    """Wait until nobody waits for a host."""
    deadline = time.monotonic() + 5
    while raw.get(running.url, f"/api/v1/hosts/{host}").json()["status"] == "up":
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_another_agent_of_a_host_is_told_and_sent_away(running: Server) -> None:
    with connected(running.url) as first, connected(running.url) as second:
        first.send(full(host="ws-6", agent="one"))
        first.acks(1)
        second.send(full(host="ws-6", agent="two", boot_id="b-2"))
        _, _, problem = second.refusal()
        assert (problem["status"], problem["code"]) == (409, "host_taken")
        assert second.ending() == 4409
        first.send(full(host="ws-6", agent="one", seq=2))
        assert first.acks(1) == [("b-1", 2)]


# Misuse


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (frame(BINARY, b"a", mask=None), 1002),
        (frame(BINARY, b"ab", first=0xC0), 1002),
        (frame(BINARY, bytes(4 * 1024 * 1024 + 1))[:14], 1009),
        (b"\x82\xff" + b"\xff" * 12, 1009),
        (frame(CLOSE, b"\x03\xe8"), 1000),
    ],
    ids=range(5),
)
def test_misuse_ends_the_connection_with_its_code(running: Server, data: bytes, code: int) -> None:
    with connected(running.url) as agent:
        agent.send(full(host="ws-7", boot_id=data.hex()[:32]))
        agent.acks(1)
        agent.connection.sendall(data)
        assert agent.ending() == code
    assert metrics_of(running.url, "ws-7")


def test_a_large_document_in_pieces_is_one(running: Server) -> None:
    keys = [f"metric.{n:05}" for n in range(2_000)]
    body = msgspec.msgpack.encode(
        full(host="ws-8", schema=keys, frames=[values_at(values=[n + 0.5 for n in range(2_000)])])
    )
    with connected(running.url) as agent:
        for at in range(0, len(body), 1_000):
            last = at + 1_000 >= len(body)
            opcode = 0 if at else BINARY
            piece = frame(opcode, body[at : at + 1_000], first=0x80 if last else 0)
            agent.connection.sendall(piece)
        assert agent.acks(1) == [("b-1", 1)]
    assert len(metrics_of(running.url, "ws-8")) == 2_000


async def test_a_client_that_others_wrote_understands_us(running: Server) -> None:
    """It must be that a common library connects, with all that it offers, and is acknowledged."""
    url = running.url.replace("http", "ws") + "/api/v1/agent"
    subprotocol = websockets.Subprotocol("awoooi.v1")
    async with websockets.asyncio.client.connect(url, subprotocols=[subprotocol]) as socket:
        assert socket.subprotocol == "awoooi.v1"
        hello = heard(await socket.recv())
        assert hello["server"]["protocol"] == [1, 1]
        await socket.send(msgspec.msgpack.encode(full(host="ws-9")))
        assert heard(await socket.recv()) == {"ack": [["b-1", 1]]}
        await asyncio.wait_for(await socket.ping(), 5)


# Who is connected, and for how long


class AgentsRig(PeopledRig):
    """A server in this process; `endpoint` has its agents."""

    async def token(self, *hosts: str, kind: TokenKind = TokenKind.AGENT) -> tuple[str, str]:
        """A token's text and its id."""
        text, token = await self.office.tokens.create(ROOT, Wish(kind, hosts))
        return text, token.id


@contextlib.asynccontextmanager
async def house() -> AsyncIterator[AgentsRig]:
    rig = AgentsRig("main")
    await rig.person("ann", Role.ADMIN)
    async with rig.serving():
        yield rig


async def test_a_token_writes_its_host_alone_and_counts_for_no_address() -> None:
    async with house() as rig:
        refused = await apart(Agent, rig.url)
        assert (refused.status, refused.is_open) == (401, False)
        assert "www-authenticate" in refused.head
        text, _ = await rig.token("web-1")
        places = rig.services.connections.places
        with await apart(connected, rig.url, token=text) as agent:
            assert not places._by_address
            assert rig.services.connections.agents_open == 1
            agent.send(full(host="db-1"))
            _, _, problem = await apart(agent.refusal)
            assert (problem["status"], problem["code"]) == (403, "host_mismatch")
            agent.send(full(host="web-1"))
            assert await apart(agent.acks, 1) == [("b-1", 1)]
        assert "db-1" not in rig.state.hosts
        audited = await rig.audited()
        assert ("host_mismatch", "GET /api/v1/agent", "refused") in audited
        reader, _ = await rig.token("web-1", kind=TokenKind.ENROLL)
        refused = await apart(Agent, rig.url, token=reader)
        assert refused.status == 403


async def test_a_token_that_is_revoked_ends_its_connection_at_once() -> None:
    async with house() as rig:
        text, id_ = await rig.token("web-1")
        with await apart(connected, rig.url, token=text) as agent:
            agent.send(full())
            await apart(agent.acks, 1)
            await rig.office.tokens.revoke(ROOT, id_)
            began = time.monotonic()
            assert await apart(agent.ending) == 4401
            assert time.monotonic() - began < 5
        refused = await apart(Agent, rig.url, token=text)
        assert refused.status == 401


async def test_who_brings_a_host_that_is_deleted_introduces_itself_anew() -> None:
    async with house() as rig:
        text, _ = await rig.token("web-1")
        with await apart(connected, rig.url, token=text) as agent:
            agent.send(full())
            await apart(agent.acks, 1)
            await rig.services.fleet.delete("web-1")
            assert await apart(agent.ending) == 1013


async def test_an_agent_hears_when_somebody_begins_and_ends_to_look_at_its_host() -> None:
    async with house() as rig:
        text, _ = await rig.token("web-1")
        with await apart(connected, rig.url, token=text) as agent:
            agent.send(full())
            await apart(agent.acks, 1)
            for topics, is_watched in (({"fleet"}, None), ({"host:web-1", "fleet"}, True)):
                client = await rig.hub.subscribe(frozenset(topics))
                rig.hub.attach(client, Pipe(client))
                if is_watched:
                    assert await apart(agent.hear) == {"watched": True}
                    async with rig.client(Authorization=f"Bearer {text}") as http:
                        body = encoded(seq=2)
                        answer = await http.post(
                            "/api/v1/push",
                            content=body,
                            headers={"Content-Type": "application/json"},
                        )
                        assert answer.json()["watched"] is True
                rig.hub.unsubscribe(client)
            assert await apart(agent.hear) == {"watched": False}


async def test_a_server_that_stops_says_so_and_acknowledges_what_it_has() -> None:
    async with contextlib.AsyncExitStack() as stack:
        rig = await stack.enter_async_context(house())
        text, _ = await rig.token("web-1")
        with (
            await apart(connected, rig.url, token=text) as busy,
            await apart(connected, rig.url, token=text) as idle,
        ):
            for document in documents("web-1", 10):
                busy.send(document)
            await apart(busy.acks, 1)
            began = time.monotonic()
            ending = asyncio.gather(apart(busy.ending), apart(idle.ending))
            await stack.aclose()
            assert tuple(await ending) == (1012, 1012)
            assert time.monotonic() - began < 5


async def test_a_sender_that_is_ahead_waits_and_every_document_is_acknowledged(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It must be that no more than sixteen are under way, however many were sent at once."""
    most = 0
    async with house() as rig:
        text, _ = await rig.token("web-1")
        real, gate = rig.services.intake._accept, asyncio.Event()

        async def slow(*arguments: Any) -> None:
            await gate.wait()
            await real(*arguments)

        monkeypatch.setattr(rig.services.intake, "_accept", slow)
        links = agents_of(rig)
        with await apart(connected, rig.url, token=text) as agent:
            body = b"".join(
                frame(BINARY, msgspec.msgpack.encode(each)) for each in documents("web-1", 200)
            )
            await apart(agent.connection.sendall, body)
            (link,) = links._links
            await until(lambda: link._is_paused)
            most = len(link._documents)
            assert rig.services.bodies.held_bytes >= most * 100
            gate.set()
            assert await apart(agent.acks, 200) == [("b-1", seq) for seq in range(1, 201)]
            assert rig.services.bodies.held_bytes == 0
    assert most == agentlink.MOST_UNDER_WAY


def agents_of(rig: PeopledRig) -> AgentEndpoint:
    """The endpoint of the server that runs."""
    (stop,) = (
        each
        for each in rig.services.connections.ending
        if isinstance(getattr(each, "__self__", None), AgentEndpoint)
    )
    found: AgentEndpoint = stop.__self__  # type: ignore[attr-defined]
    return found


async def test_what_cannot_be_stored_now_may_come_again(monkeypatch: pytest.MonkeyPatch) -> None:
    async with house() as rig:
        text, _ = await rig.token("web-1")
        real = rig.services.intake._accept

        async def fail(*_: object) -> None:
            raise OSError("/secret/path is full")

        async def low(*_: object) -> None:
            raise Unavailable("little is free", code="disk_low", status=507, retry_after=60.0)

        with await apart(connected, rig.url, token=text) as agent:
            for accept, code, wait in ((fail, "not_stored", 2), (low, "disk_low", 60)):
                monkeypatch.setattr(rig.services.intake, "_accept", accept)
                agent.send(full())
                _, seq, problem = await apart(agent.refusal)
                assert (problem["code"], problem["retry_after"]) == (code, wait)
                assert "secret" not in str(problem)
                assert code == "not_stored" or seq == 1
            monkeypatch.setattr(rig.services.intake, "_accept", real)
            rig.services.load.update(Seen(2**62, 0.0), 0.0)
            agent.send(full())
            _, _, problem = await apart(agent.refusal)
            assert problem["code"] == "overloaded"
            assert problem["retry_after"] >= 5
            rig.services.load.level = type(rig.services.load.level)(0)
            agent.send(full())
            assert await apart(agent.acks, 1) == [("b-1", 1)]


async def test_who_says_nothing_is_asked_and_who_does_not_answer_is_let_go(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(agentlink, "LOOK_SECONDS", 0.02)
    monkeypatch.setattr(agentlink, "QUIET_SECONDS", 0.05)
    monkeypatch.setattr(agentlink, "GONE_SECONDS", 0.4)
    async with house() as rig:
        text, _ = await rig.token("web-1")
        with await apart(connected, rig.url, token=text) as agent:
            assert await apart(agent.frame) == (PING, b"")
            agent.connection.sendall(frame(PONG, b""))
            opcode = PING
            with contextlib.suppress(EOFError, ConnectionError):
                while opcode == PING:
                    opcode, _ = await apart(agent.frame)
            assert opcode == PING
            assert await apart(is_closed, agent.connection)
        assert not len(agents_of(rig))


async def test_a_message_that_dribbles_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(agentlink, "LOOK_SECONDS", 0.02)
    monkeypatch.setattr(agentlink, "BODY_SECONDS", 0.1)
    async with house() as rig:
        text, _ = await rig.token("web-1")
        with await apart(connected, rig.url, token=text) as agent:
            agent.connection.sendall(frame(BINARY, bytes(1000))[:500])
            assert await apart(agent.ending) == 1008
        assert rig.services.bodies.held_bytes == 0


async def test_whoever_does_not_read_its_acknowledgements_is_cut() -> None:
    async with house() as rig:
        text, _ = await rig.token("web-1")
        agent = await apart(connected, rig.url, token=text)
        pings = frame(PING, bytes(125)) * 400
        agent.connection.settimeout(10)

        def flood() -> int:
            sent = 0
            with contextlib.suppress(ConnectionError):
                while sent < 200_000_000:
                    agent.connection.sendall(pings)
                    sent += len(pings)
            return sent

        with agent:
            assert await apart(flood) < 200_000_000
        await until(lambda: not len(agents_of(rig)))


async def test_connections_without_a_token_count_for_their_address() -> None:
    rig = AgentsRig("main")
    places = rig.services.connections.places
    async with rig.serving():
        with await apart(connected, rig.url), await apart(connected, rig.url):
            assert places._by_address["127.0.0.1"] == 2
        await until(lambda: not len(rig.services.connections))
        assert not places._by_address
        assert not len(places)


async def test_over_tls_it_is_the_same(tmp_path: Path) -> None:
    rig, tls = AgentsRig("main"), context(kept(tmp_path, ("localhost",), time.time()).server)
    async with rig.serving(context=lambda: tls):
        url = rig.url.replace("https", "wss") + "/api/v1/agent"
        trusting = ssl.create_default_context()
        trusting.check_hostname, trusting.verify_mode = False, ssl.CERT_NONE
        spoken = [websockets.Subprotocol("awoooi.v1")]
        async with websockets.asyncio.client.connect(
            url, ssl=trusting, subprotocols=spoken
        ) as socket:
            await socket.recv()
            for document in documents("web-1", 40):
                await socket.send(msgspec.msgpack.encode(document))
            acked: list[Any] = []
            while len(acked) < 40:
                acked += heard(await socket.recv())["ack"]
            assert acked == [["b-1", seq] for seq in range(1, 41)]
