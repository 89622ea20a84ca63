"""Readers that are slow, stand still, or are dead (STREAM section 5, cases 21 to 26)."""

from __future__ import annotations

import asyncio
import itertools
import os
import re
import shutil
import signal
import socket
import statistics
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from monitor.stream import delivery as delivery_module
from monitor.stream import hub as hub_module
from monitor.web import server as server_module
from monitor.web.forwarded import Proxies
from tests.browser.rig import Rig
from tests.elsewhere import Elsewhere
from tests.serving import ROOT, Server
from tests.stream.making import CPU, event_id, eventually, happen, notice, notices, position
from tests.stream.process import (
    connections_of,
    curl,
    descriptors_of,
    loaded,
    resident_bytes_of,
)
from tests.stream.reading import (
    Block,
    Decoder,
    Reader,
    connected_socket,
    request,
    stream,
)

HOT = stream("host:web-1", "log")
"""What a client asks for that wants everything of the host under load."""

MIB = 2**20

STALL_SECONDS = hub_module.STALL_SECONDS


async def delays(url: str, count: int) -> list[float]:
    """How old a frame is when a healthy reader has it, for so many frames, in seconds."""
    reader = await Reader.open(url, stream("fleet"))
    await reader.message("metric_update")
    found = []
    for _ in range(count):
        at = (await reader.message("metric_update")).data["at"]
        found.append(time.time() - at)
    reader.close()
    return found


async def test_case_21_curl_at_a_byte_a_second_costs_others_nothing(tmp_path: Path) -> None:
    """It must be that the server's memory is bounded and healthy readers do not feel it.

    Medians are compared, generously: the machines of tests are noisy.
    """
    if shutil.which("curl") is None:
        pytest.skip("curl is missing")
    with loaded(tmp_path, keys=3_000, frame_seconds=0.05, stall_seconds=4.0) as server:
        await asyncio.sleep(0.5)
        alone = await delays(server.url, 40)
        before = resident_bytes_of(server)
        with (
            curl(server.url + HOT, tmp_path / "one", "--limit-rate", "1") as slow,
            curl(server.url + HOT, tmp_path / "two", "--limit-rate", "1"),
        ):
            await eventually(lambda: connections_of(server) == 2)
            beside = await delays(server.url, 60)
            assert resident_bytes_of(server) - before < 24 * MIB
            await eventually(lambda: connections_of(server) == 0, 12)  # they are cut
            assert slow.pid
        assert statistics.median(beside) < statistics.median(alone) * 1.5 + 0.05
        assert resident_bytes_of(server) - before < 24 * MIB


async def test_case_22_a_client_that_was_stopped_gets_newest_state_and_every_event(
    tmp_path: Path,
) -> None:
    """It must be that SIGSTOP and SIGCONT of a client lose nothing that was logged.

    It stands still for less than the stall limit; the test after this one for longer.
    """
    if shutil.which("curl") is None:
        pytest.skip("curl is missing")
    output = tmp_path / "heard"
    with loaded(
        tmp_path, keys=2_000, frame_seconds=0.05, events=1_500, stall_seconds=30.0
    ) as server:
        with curl(server.url + HOT, output, "--raw") as client:
            await eventually(lambda: b"metric_update" in output.read_bytes())
            client.send_signal(signal.SIGSTOP)
            await asyncio.sleep(2.0)  # 40 frames of 50 KiB: more than anybody holds for it
            server.process.send_signal(signal.SIGUSR1)
            await asyncio.sleep(1.0)
            client.send_signal(signal.SIGCONT)
            resumed = time.time()
            await eventually(lambda: b'"1499"' in output.read_bytes(), 20)
            await eventually(lambda: newest(output) > resumed, 10)
        found = blocks_of(output)
    events = [block for block in found if block.type == "notice"]
    assert [block.data["text"] for block in events] == [f"{number}" for number in range(1_500)]
    assert [block.sequence for block in events] == list(range(1, 1_501))
    states = [block for block in found if block.type == "metric_update"]
    gaps = [after.data["at"] - before.data["at"] for before, after in itertools.pairwise(states)]
    assert max(gaps) > 0.5  # what it missed of the state was passed over


def blocks_of(output: Path) -> list[Block]:
    """The blocks in what a client wrote as it came, chunks and all."""
    return Decoder(chunked=True).feed(output.read_bytes())


def newest(output: Path) -> float:
    """The instant of the newest state that a client wrote, in unix seconds."""
    found: list[bytes] = re.findall(rb'data: \{"at":([0-9.]+),', output.read_bytes())
    return float(found[-1]) if found else 0.0


async def test_case_22_one_that_stood_still_for_too_long_is_cut_and_can_come_back(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hub_module, "STALL_SECONDS", 0.5)
    reader = await Reader.open(rig.url, stream("log", "fleet"), receive_buffer=4_096)
    await reader.message("connected")
    await notices(rig, [f"{number}" for number in range(10)])
    found = await reader.messages(10, "notice")
    await notices(rig, [f"{number}{'x' * 5_000}" for number in range(400)])
    await eventually(lambda: rig.hub.client_count == 0)
    assert rig.hub.counters.stalls_total == 1
    assert rig.hub.counters.evictions_total == {"stalled": 1}
    again = await Reader.open(rig.url, stream("log"), last_event_id=found[-1].id)
    assert "gap" not in (await again.message("connected")).data
    found += await again.messages(400, "notice", "connected")
    assert [block.sequence for block in found] == list(range(1, 411))


def ask_and_never_read(url: str, target: str = HOT) -> socket.socket:
    """A connection whose peer asked for a lot and reads nothing of it."""
    connection = connected_socket(url, 2_048)
    connection.sendall(request(target))
    return connection


async def test_cases_23_and_24_readers_that_never_read_are_gone_in_time(tmp_path: Path) -> None:
    """It must be that they and their descriptors are gone within the stall limit and 5 s.

    300 of them, at the real limit of 10 s; their memory is bounded meanwhile, and who reads
    has every frame.  What they take of the kernel is bounded too: the server's own buffer for
    each is small.
    """
    with loaded(tmp_path, keys=400, frame_seconds=0.1, events=100) as server:
        healthy = asyncio.create_task(delays(server.url, 150))
        await asyncio.sleep(0.5)
        before, descriptors = resident_bytes_of(server), descriptors_of(server)
        stuck = [ask_and_never_read(server.url) for _ in range(300)]
        try:
            await eventually(lambda: connections_of(server) >= 300)
            full = time.monotonic()
            # Until nothing more fits between the server and them they have not yet stopped.
            await eventually(lambda: unsent_bytes(server) > 300 * 20_000, 15)
            most = 0
            while connections_of(server) > 1:
                most = max(most, resident_bytes_of(server))
                assert time.monotonic() - full < STALL_SECONDS + 5 + 5
                await asyncio.sleep(0.25)
        finally:
            for connection in stuck:
                connection.close()
        assert max(await healthy) < 3
        await eventually(lambda: descriptors_of(server) <= descriptors)
        assert most - before < 300 * 200 * 1024


def unsent_bytes(server: Server) -> int:
    """What the kernel holds that the server wrote and nobody took."""
    port = int(server.url.rpartition(":")[2])
    total = 0
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        fields = line.split()
        if int(fields[1].split(":")[1], 16) == port:
            total += int(fields[4].split(":")[0], 16)
    return total


async def test_case_24_what_is_held_for_a_reader_that_does_not_read_is_bounded(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It must be that neither events nor state heap up for it, in a thousand of which one stays."""
    stuck = [ask_and_never_read(rig.url, stream("log", "host:web-1")) for _ in range(20)]
    try:
        await eventually(lambda: rig.hub.client_count == 20)
        for number in range(40):
            await rig.send({f"metric.{key}": number + key / 3 for key in range(2_000)})
            await happen(rig, *(notice("x" * 2_000) for _ in range(40)))
            await asyncio.sleep(0.02)
        clients = rig.hub._delivery.crowd.clients()
        assert len(clients) == 20
        assert rig.hub.counters.conflations_total > 20
        for client in clients:
            assert client.is_slow
            held = sum(len(piece) for piece in client.pending)
            assert client.sink is not None
            assert held + client.sink.get_write_buffer_size() < 512 * 1024
    finally:
        for connection in stuck:
            connection.close()


async def leave_by_fin(reader: Reader) -> None:
    reader.writer.close()


async def leave_by_rst(reader: Reader) -> None:
    reader.reset()


async def leave_halfway(reader: Reader) -> None:
    reader.writer.write_eof()


async def leave_after_a_stray_byte(reader: Reader) -> None:
    reader.writer.write(b"x")
    await asyncio.sleep(0.1)
    reader.writer.close()


@pytest.mark.parametrize(
    "leave", [leave_by_fin, leave_by_rst, leave_halfway, leave_after_a_stray_byte]
)
async def test_case_25_who_leaves_is_gone_within_a_second(
    rig: Rig, leave: Any, caplog: pytest.LogCaptureFixture
) -> None:
    readers = [await Reader.open(rig.url, stream("approvals")) for _ in range(10)]
    for reader in readers:
        await reader.message("connected")
    assert rig.hub.client_count == 10
    gone: list[str] = []
    rig.hub.on_disconnect(lambda client: gone.append(client.id))
    for reader in readers:
        await leave(reader)
    await eventually(lambda: rig.hub.client_count == 0, 1.0)
    await eventually(lambda: len(rig.services.connections) == 0, 1.0)
    assert len(set(gone)) == len(gone) == 10
    assert "Traceback" not in caplog.text


@pytest.mark.parametrize("stray", [b"", b"x", b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"])
async def test_case_25_who_left_before_the_stream_began_is_gone_too(
    rig: Rig, monkeypatch: pytest.MonkeyPatch, stray: bytes
) -> None:
    """It must be that an end is seen that came while the position was being looked up."""
    await notices(rig, ["one"])
    read = rig.log.read

    async def slowly(*arguments: Any) -> Any:
        await asyncio.sleep(0.3)
        return await read(*arguments)

    monkeypatch.setattr(rig.log, "read", slowly)
    connection = connected_socket(rig.url)
    connection.sendall(request(stream("approvals", last_event_id=position(rig, 0))))
    await asyncio.sleep(0.05)
    connection.sendall(stray)
    await asyncio.sleep(0.05)
    connection.close()
    await asyncio.sleep(0.5)
    await eventually(lambda: rig.hub.client_count == 0, 1.0)
    await eventually(lambda: len(rig.services.connections) == 0, 1.0)


async def test_case_25_a_reader_that_talks_too_much_is_cut(rig: Rig) -> None:
    reader = await Reader.open(rig.url, stream("approvals"))
    await reader.message("connected")
    reader.writer.write(b"x" * 1_000)
    await asyncio.sleep(0.2)
    assert rig.hub.client_count == 1
    reader.writer.write(b"x" * 100_000)
    await eventually(lambda: rig.hub.client_count == 0, 1.0)


def options_of(connection: socket.socket) -> dict[str, int]:
    """What makes the kernel notice that a peer vanished."""
    names = "TCP_USER_TIMEOUT", "TCP_KEEPIDLE", "TCP_KEEPINTVL", "TCP_KEEPCNT"
    found = {
        name: connection.getsockopt(socket.IPPROTO_TCP, getattr(socket, name)) for name in names
    }
    return found | {"keepalive": connection.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)}


async def test_case_26_a_streams_connection_has_what_finds_a_vanished_peer(rig: Rig) -> None:
    """It must be that the options of the listener hold for the connection of a stream.

    The test after this one lets a peer vanish, where it may.
    """
    reader = await Reader.open(rig.url, stream("approvals"))
    await reader.message("connected")
    (client,) = rig.hub._delivery.crowd.clients()
    found = options_of(client.sink.get_extra_info("socket"))  # type: ignore[union-attr]
    assert found.pop("keepalive") == 1
    assert found == {
        "TCP_USER_TIMEOUT": server_module.USER_TIMEOUT_MILLISECONDS,
        "TCP_KEEPIDLE": 15,
        "TCP_KEEPINTVL": 5,
        "TCP_KEEPCNT": 3,
    }
    assert (
        client.sink.get_extra_info("socket").getsockopt(  # type: ignore[union-attr]
            socket.SOL_SOCKET, socket.SO_SNDBUF
        )
        <= 2 * 32 * 1024
    )


PEER = """
import socket, sys, time
connection = socket.create_connection((sys.argv[1], int(sys.argv[2])))
connection.sendall(b"GET /api/v1/stream?topics=approvals HTTP/1.1\\r\\nHost: localhost\\r\\n\\r\\n")
while connection.recv(65536):
    pass
"""


async def test_case_26_a_vanished_peer_is_gone_within_heartbeat_and_user_timeout(
    elsewhere: Elsewhere, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It must be that a peer whose cable was cut is noticed at the first heartbeat after it.

    The heartbeat is 2 s here and the timeout 3 s, rather than 15 and 10.  The server listens
    on the near end of the cable, past the check that keeps an open server on loopback.
    """
    monkeypatch.setattr(hub_module, "HEARTBEAT_SECONDS", 2.0)
    monkeypatch.setattr(server_module, "USER_TIMEOUT_MILLISECONDS", 3_000)
    listener = server_module.listener
    monkeypatch.setattr(
        server_module, "listener", lambda _, port: listener(elsewhere.address, port)
    )
    # In plain text the server answers nobody beyond this machine but its proxies.
    proxies = Proxies.of([elsewhere.peer])
    async with Rig("web-1").serving(proxies=proxies) as rig:
        port = rig.url.rpartition(":")[2]
        line = ["ip", "netns", "exec", elsewhere.name, sys.executable, "-c", PEER]
        peers = [
            await asyncio.create_subprocess_exec(*line, elsewhere.address, port, cwd=ROOT)
            for _ in range(3)
        ]
        try:
            await eventually(lambda: rig.hub.client_count == 3)
            await asyncio.sleep(0.5)
            elsewhere.cut()
            assert await eventually(lambda: rig.hub.client_count == 0, 2 + 1 + 3 + 3) > 0.5
            await eventually(lambda: len(rig.services.connections) == 0, 1.0)
        finally:
            for peer in peers:
                peer.kill()
                await peer.wait()


async def test_large_events_reach_slow_readers_whole(rig: Rig) -> None:
    """It must be that events of 256 KiB come whole to who reads a few kilobytes at a time."""
    readers = [
        await Reader.open(
            rig.url, stream("log"), accept_encoding=encoding, receive_buffer=4_096, version=version
        )
        for encoding in ("identity", "gzip")
        for version in ("1.0", "1.1")
    ]
    for reader in readers:
        await reader.message("connected")
    large = [f"{number}" + os.urandom(120_000).hex() for number in range(12)]
    for text in large:
        await happen(rig, notice(text), notice(event_id()))
        await rig.send({CPU: 0.5})
    heard = await asyncio.gather(*(slowly(reader, 24) for reader in readers))
    for found in heard:
        assert [block.data["text"] for block in found[::2]] == large
        assert [block.sequence for block in found] == list(range(1, 25))


async def slowly(reader: Reader, count: int) -> list[Block]:
    """So many notices, with a pause before each."""
    found = []
    for _ in range(count):
        await asyncio.sleep(0.02)
        found.append(await reader.message("notice"))
    return found


async def test_a_reader_that_was_ended_and_does_not_read_is_cut_in_time(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It must be that a goodbye which nobody takes keeps no connection."""
    monkeypatch.setattr(delivery_module, "ENDED_SECONDS", 0.5)
    reader = await Reader.open(rig.url, stream("log"), receive_buffer=4_096)
    await reader.message("connected")
    await notices(rig, [f"{number}{'x' * 5_000}" for number in range(300)])
    await eventually(lambda: all(c.is_slow for c in rig.hub._delivery.crowd.clients()))
    rig.hub.end(rig.hub._delivery.crowd.clients()[0], "revoked")
    await asyncio.sleep(0.1)
    assert len(rig.services.connections) == 1
    await eventually(lambda: len(rig.services.connections) == 0, 2.0)


async def test_a_slow_reader_that_is_ended_gets_its_goodbye_last_and_leaves_nothing(
    rig: Rig,
) -> None:
    """It must be that nothing is written after the end, and that the reader is forgotten."""
    readers = [
        await Reader.open(
            rig.url, stream("log", "host:web-1"), receive_buffer=4_096, version=version
        )
        for version in ("1.0", "1.1")
    ]
    for reader in readers:
        await reader.message("connected")
    await notices(rig, [f"{number}{'x' * 5_000}" for number in range(300)])
    await eventually(lambda: all(c.is_slow for c in rig.hub._delivery.crowd.clients()))
    for client in rig.hub._delivery.crowd.clients():
        rig.hub.end(client, "revoked")
    assert rig.hub.client_count == 0
    await rig.send({f"metric.{key}": 0.5 for key in range(2_000)})
    await notices(rig, ["after"])
    for reader in readers:
        found = await reader.rest()
        assert found[-1].type == "disconnected"
        assert found[-1].data["reason"] == "revoked"
        numbers = [block.sequence for block in found if block.type == "notice"]
        assert numbers == list(range(1, len(numbers) + 1))
    await rig.send({CPU: 0.75})
    await eventually(lambda: len(rig.services.connections) == 0)
    assert not rig.hub._delivery.crowd.groups()
    assert not rig.hub._delivery.crowd.behind()
